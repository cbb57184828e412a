"""Retry, limiter and ledger around a scripted model that keeps its own books."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import BadRequest, BudgetExhausted, ModelError, RateLimited, ServerFailed
from protocols.model import ChatMessage, Reply, Request, Usage
from protocols.wrappers.ledger import Caps, Ledger, MeteredModel, Price
from protocols.wrappers.limiter import LimitedModel, Limiter
from protocols.wrappers.retry import RetryingModel, RetryPolicy
from tests.world import Oracle, shuffled

pytestmark = pytest.mark.anyio
BACKENDS = ["asyncio", "trio"]
REQUEST = Request((ChatMessage("system", "amber"), ChatMessage("user", "Text: v 1 amber")))

ModelFault = Callable[[Request], ModelError | None]


def in_turn(*errors: ModelError | None) -> ModelFault:
    """These errors one after the other, then none."""
    left = list(errors)
    return lambda request: left.pop(0) if left else None


def failure(kind: type[ModelError] = ServerFailed, retry_after: float | None = None) -> ModelError:
    return kind("scripted", model="scripted", retry_after=retry_after)


@dataclass
class Naps:
    """Records how long it was asked to sleep."""

    waits: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


@given(
    failures=st.integers(0, 8),
    attempts=st.integers(1, 6),
    base=st.floats(0.01, 10),
    longest=st.floats(0.01, 60),
    retry_after=st.none() | st.floats(0, 1000),
    seed=st.integers(),
)
@settings(deadline=None)
def test_retries_wait_within_bounds(
    failures: int, attempts: int, base: float, longest: float, retry_after: float | None, seed: int
) -> None:
    model, naps = Oracle(fault=in_turn(*[failure(retry_after=retry_after)] * failures)), Naps()
    retrying = RetryingModel(model, RetryPolicy(attempts, base, longest), Random(seed), naps)

    async def call() -> bool:
        try:
            await retrying.complete(REQUEST)
        except ServerFailed:
            return False
        return True

    assert anyio.run(call) == (failures < attempts)
    assert model.calls == min(failures + 1, attempts)
    assert len(naps.waits) == model.calls - 1
    for number, wait in enumerate(naps.waits, start=1):
        assert (retry_after or 0) <= wait <= max(min(longest, base * 2**number), retry_after or 0)


async def test_the_waits_are_spread_over_the_whole_range() -> None:
    naps = Naps()
    for seed in range(400):
        model = Oracle(fault=in_turn(failure()))
        await RetryingModel(model, RetryPolicy(2, base=0.5), Random(seed), naps).complete(REQUEST)
    assert min(naps.waits) < 0.1 < 0.9 < max(naps.waits) <= 1.0


async def test_what_is_not_worth_a_retry_is_tried_once() -> None:
    model, naps = Oracle(fault=in_turn(failure(BadRequest))), Naps()
    with pytest.raises(BadRequest):
        await RetryingModel(model, RetryPolicy(), Random(0), naps).complete(REQUEST)
    assert (model.calls, naps.waits) == (1, [])


async def test_a_spent_budget_is_not_retried() -> None:
    model, naps = Oracle(), Naps()
    ledger = Ledger(Caps(calls=1), {}, lambda: 0.0)
    retrying = RetryingModel(MeteredModel(model, ledger, "task"), RetryPolicy(), Random(0), naps)
    await retrying.complete(REQUEST)
    with pytest.raises(BudgetExhausted) as caught:
        await retrying.complete(REQUEST)
    assert (caught.value.cap, model.calls, naps.waits) == ("calls", 1, [])


# The limiter


@dataclass
class Gate:
    """A model whose calls end when told to, in the order in which they came."""

    name: str = "gate"
    waiting: list[tuple[anyio.Event, list[Exception]]] = field(default_factory=list)

    async def complete(self, request: Request) -> Reply:
        event, errors = anyio.Event(), list[Exception]()
        self.waiting.append((event, errors))
        await event.wait()
        if errors:
            raise errors[0]
        return Reply("ok")

    async def end(self, *errors: Exception) -> None:
        event, ends = self.waiting.pop(0)
        ends.extend(errors)
        event.set()
        await anyio.wait_all_tasks_blocked()


async def call_and_forget(model: LimitedModel) -> None:
    with suppress(ModelError):
        await model.complete(REQUEST)


@pytest.mark.parametrize("anyio_backend", BACKENDS)
async def test_a_whole_window_pushed_back_halves_once_and_the_next_one_again() -> None:
    gate, limiter = Gate(), Limiter(8)
    model = LimitedModel(gate, limiter)
    async with anyio.create_task_group() as tasks:
        for _ in range(40):
            tasks.start_soon(call_and_forget, model)
        await anyio.wait_all_tasks_blocked()
        assert limiter.in_flight == len(gate.waiting) == 8
        await gate.end(failure(RateLimited))
        assert limiter.allowed == 4
        for _ in range(4):
            await gate.end(failure(RateLimited))
        assert limiter.allowed == 4, "they were in flight with the first"
        for _ in range(3):
            await gate.end()
        assert limiter.in_flight == len(gate.waiting) == limiter.allowed == 4
        await gate.end(failure(RateLimited))
        assert limiter.allowed == 2
        for _ in range(3):
            await gate.end(failure(RateLimited))
        await gate.end(failure(RateLimited))
        assert limiter.allowed == 1
        while gate.waiting:
            await gate.end()
    assert limiter.in_flight == 0
    assert 1 < limiter.allowed <= 8


@pytest.mark.parametrize("anyio_backend", BACKENDS)
async def test_successes_win_back_every_slot_and_no_more() -> None:
    limiter = Limiter(4)
    model = LimitedModel(Oracle(fault=in_turn(*[failure(RateLimited)] * 3)), limiter)
    for _ in range(3):
        await call_and_forget(model)
    assert limiter.allowed == 1
    seen = []
    for _ in range(10):
        await model.complete(REQUEST)
        seen.append(limiter.allowed)
    assert seen == [2, 2, 3, 3, 3, 4, 4, 4, 4, 4]


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    most=st.integers(1, 6),
    faults=st.lists(st.sampled_from(["rate", "server", "ok", "cancel"]), max_size=60),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_never_more_in_flight_than_allowed(backend: str, most: int, faults: list[str], seed: int) -> None:
    limiter, rng = Limiter(most), Random(seed)
    kinds = {"rate": failure(RateLimited), "server": failure()}
    model = Oracle(fault=in_turn(*[kinds.get(fault) for fault in faults]), delay=shuffled(rng))
    limited = LimitedModel(model, limiter)

    async def one(fault: str) -> None:
        with anyio.CancelScope() as scope:
            if fault == "cancel":
                scope.cancel()
            await call_and_forget(limited)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for fault in faults:
                tasks.start_soon(one, fault)
                await shuffled(rng)()
                assert model.in_flight <= limiter.in_flight <= most
        assert limiter.in_flight == 0
        assert 1 <= limiter.allowed <= most

    anyio.run(main, backend=backend)
    assert model.most_in_flight <= most


@pytest.mark.parametrize("anyio_backend", BACKENDS)
async def test_a_cancelled_call_gives_its_slot_back() -> None:
    gate, limiter = Gate(), Limiter(1)
    model = LimitedModel(gate, limiter)
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(call_and_forget, model)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await model.complete(REQUEST)
        assert limiter.in_flight == 1, "of the two only the second was cancelled, while it waited"
        tasks.cancel_scope.cancel()
    assert limiter.in_flight == 0


# The ledger


PRICE = Price(2.0, 8.0, 0.5)


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    cap=st.none() | st.integers(1, 40),
    held=st.integers(0, 20),
    calls=st.lists(st.sampled_from(["ok", "fail", "cancel"]), max_size=60),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_the_ledgers_calls_are_the_models(
    backend: str, cap: int | None, held: int, calls: list[str], seed: int
) -> None:
    rng = Random(seed)
    ledger = Ledger(Caps(calls=cap), {"scripted": PRICE}, lambda: 0.0)
    models = {kind: Oracle(delay=shuffled(rng)) for kind in ("ok", "fail", "cancel")}
    models["fail"].fault = lambda request: failure()
    refused = 0

    async def one(kind: str) -> None:
        nonlocal refused
        with anyio.CancelScope() as scope:
            try:
                async with anyio.create_task_group() as tasks:
                    if kind == "cancel":
                        tasks.start_soon(cancel_soon, scope)
                    await MeteredModel(models[kind], ledger, kind).complete(REQUEST)
                    tasks.cancel_scope.cancel()
            except* ModelError:
                pass
            except* BudgetExhausted:
                refused += 1

    async def cancel_soon(scope: anyio.CancelScope) -> None:
        await shuffled(rng)()
        scope.cancel()

    async def main() -> None:
        with ledger.holding(held):
            async with anyio.create_task_group() as tasks:
                for kind in calls:
                    tasks.start_soon(one, kind)
                    await shuffled(rng, 1)()

    anyio.run(main, backend=backend)
    total = sum(model.calls for model in models.values())
    assert ledger.calls == total
    assert ledger.in_flight == 0
    assert sum(account.failed for account in ledger.accounts.values()) == total - sum(
        model.answered for model in models.values()
    )
    assert ledger.tokens == sum(model.tokens.total() for model in models.values())
    room = math.inf if cap is None else max(0, cap - held)
    assert total + refused <= len(calls)
    assert total <= room
    assert not refused or total == room
    assert (ledger.exhausted == "calls") == bool(refused)


async def test_dollars_are_unknown_only_when_something_unpriced_was_used() -> None:
    ledger = Ledger(Caps(), {"scripted": PRICE}, lambda: 0.0)
    unpriced = MeteredModel(Oracle(name="other"), ledger, "critic")
    reply = await MeteredModel(Oracle(), ledger, "task").complete(REQUEST)
    assert ledger.dollars == pytest.approx((2.0 * reply.usage.input + 8.0 * reply.usage.output) / 1e6)
    await unpriced.complete(REQUEST)
    assert ledger.dollars is None


def test_tokens_that_the_provider_had_cached_have_their_own_price() -> None:
    usage = Usage(input=1000, output=10, cached=600)
    assert PRICE.of(usage) == pytest.approx((400 * 2 + 600 * 0.5 + 10 * 8) / 1e6)
    assert Price(2.0, 8.0).of(usage) == pytest.approx((1000 * 2 + 10 * 8) / 1e6)


async def calls_until_refused(ledger: Ledger) -> int:
    model, count = MeteredModel(Oracle(), ledger, "task"), 0
    while True:
        try:
            await model.complete(REQUEST)
        except BudgetExhausted:
            return count
        count += 1


@pytest.mark.parametrize("held", [0, 3, 10])
@pytest.mark.parametrize("cap", ["tokens", "dollars"])
async def test_caps_on_tokens_and_dollars_hold_back_what_so_many_calls_cost(cap: str, held: int) -> None:
    reply = await Oracle().complete(REQUEST)
    each = reply.usage.input + reply.usage.output
    caps = Caps(tokens=20 * each) if cap == "tokens" else Caps(dollars=20 * PRICE.of(reply.usage))
    ledger = Ledger(caps, {"scripted": PRICE}, lambda: 0.0)
    with ledger.holding(held):
        assert await calls_until_refused(ledger) == 20 - held
        assert ledger.exhausted == cap
    assert await calls_until_refused(ledger) == held


async def test_the_cap_on_minutes_holds_only_while_the_search_does() -> None:
    now = 0.0
    ledger = Ledger(Caps(minutes=1), {}, lambda: now)
    model = MeteredModel(Oracle(), ledger, "task")
    with ledger.holding(2):
        await model.complete(REQUEST)
        now = 60.0
        with pytest.raises(BudgetExhausted, match="1 minutes"):
            await model.complete(REQUEST)
    await model.complete(REQUEST)
    assert ledger.seconds == 60.0
