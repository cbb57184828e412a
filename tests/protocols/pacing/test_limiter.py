"""Adaptive concurrency and slots, around a scripted model that keeps its own books; for pace see test_pace.py."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.models.accounts import Accounts
from protocols.errors import ModelError, RateLimited
from protocols.model import Reply, Request
from protocols.pacing.limiter import Limiter
from protocols.pacing.limits import MOST, Limits
from protocols.providers.catalogue import Account
from protocols.wrappers.limited import LimitedModel
from tests.protocols.wrappers.faults import REQUEST, failure, in_turn
from tests.world import Oracle, shuffled

pytestmark = pytest.mark.anyio
BACKENDS = ["asyncio", "trio"]
AT_ONCE = 1e-9
"""Seconds of a wait that is over as soon as it is named; where none is named the limiter waits (test_pace.py)."""


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


async def test_a_whole_window_pushed_back_halves_once_and_the_next_one_again() -> None:
    gate, limiter = Gate(), Limiter(Limits(8))
    model = LimitedModel(gate, limiter, urgent=False)
    async with anyio.create_task_group() as tasks:
        for _ in range(40):
            tasks.start_soon(call_and_forget, model)
        await anyio.wait_all_tasks_blocked()
        assert limiter.in_flight == len(gate.waiting) == 8
        await gate.end(failure(RateLimited, AT_ONCE))
        assert limiter.allowed == 4
        for _ in range(4):
            await gate.end(failure(RateLimited, AT_ONCE))
        assert limiter.allowed == 4, "they were in flight with the first"
        for _ in range(3):
            await gate.end()
        assert limiter.in_flight == len(gate.waiting) == limiter.allowed == 4
        await gate.end(failure(RateLimited, AT_ONCE))
        assert limiter.allowed == 2
        for _ in range(3):
            await gate.end(failure(RateLimited, AT_ONCE))
        await gate.end(failure(RateLimited, AT_ONCE))
        assert limiter.allowed == 1
        while gate.waiting:
            await gate.end()
    assert limiter.in_flight == 0
    assert 1 < limiter.allowed <= 8


async def test_successes_win_back_every_slot_and_no_more() -> None:
    limiter = Limiter(Limits(4))
    model = LimitedModel(Oracle(fault=in_turn(*[failure(RateLimited, AT_ONCE)] * 3)), limiter, urgent=False)
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
    limiter, rng = Limiter(Limits(most)), Random(seed)
    kinds = {"rate": failure(RateLimited, AT_ONCE), "server": failure()}
    model = Oracle(fault=in_turn(*[kinds.get(fault) for fault in faults]), delay=shuffled(rng))
    limited = LimitedModel(model, limiter, urgent=False)

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


async def test_a_cancelled_call_gives_its_slot_back() -> None:
    gate, limiter = Gate(), Limiter(Limits(1))
    model = LimitedModel(gate, limiter, urgent=False)
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(call_and_forget, model)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await model.complete(REQUEST)
        assert limiter.in_flight == 1, "of the two only the second was cancelled, while it waited"
        tasks.cancel_scope.cancel()
    assert limiter.in_flight == 0


limits = st.builds(Limits, *[st.none() | st.integers(1, 9) for _ in range(3)])


@given(asked=st.lists(st.tuples(limits, st.integers(0, 9)), min_size=1, max_size=12))
@settings(deadline=None)
def test_a_limiter_keeps_to_the_strictest_limits_of_those_who_use_it_now(asked: list[tuple[Limits, int]]) -> None:
    """Each asks for its limits, and some who asked before give theirs back."""
    held: list[Limits] = []
    accounts, account = Accounts(), Account("openai")
    for wanted, leaving in asked:
        limiter = accounts.limiter(account, wanted)
        held.append(wanted)
        while len(held) > 1 and leaving % len(held):
            limiter.give_back(held.pop(leaving % len(held)))
            leaving -= 1
        for name in ("concurrency", "requests", "tokens"):
            known = [getattr(each, name) for each in held if getattr(each, name) is not None]
            assert getattr(limiter.limits, name) == (min(known) if known else None)
        assert limiter.most == (limiter.limits.concurrency or MOST)
        assert 1 <= limiter.allowed <= limiter.most
        if limiter.limits.concurrency:
            assert limiter.allowed == limiter.most


async def test_who_waits_for_a_narrow_search_is_sent_when_that_ends() -> None:
    gate, limiter = Gate(), Limiter(Limits(8))
    limiter.restrict(Limits(1))
    model = LimitedModel(gate, limiter, urgent=False)
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(call_and_forget, model)
        await anyio.wait_all_tasks_blocked()
        assert (len(gate.waiting), limiter.in_flight) == (1, 1)
        limiter.give_back(Limits(1))
        await anyio.wait_all_tasks_blocked()
        assert limiter.in_flight == 8
        for _ in range(8):
            await gate.end()


async def test_what_a_rate_limit_has_taught_outlives_who_was_told() -> None:
    gate, limiter = Gate(), Limiter(Limits(8))
    limiter.restrict(Limits(4))
    model = LimitedModel(gate, limiter, urgent=False)
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(call_and_forget, model)
        await anyio.wait_all_tasks_blocked()
        await gate.end(RateLimited("slow down", model="gate", retry_after=AT_ONCE))
        limiter.give_back(Limits(4))
        assert (limiter.most, limiter.allowed) == (8, 2)
        tasks.cancel_scope.cancel()
