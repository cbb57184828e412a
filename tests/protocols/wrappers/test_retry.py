"""Retry and breaker, around a scripted model that keeps its own books."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Ledger
from protocols.errors import (
    AlwaysRefused,
    AuthenticationFailed,
    BadRequest,
    BudgetExhausted,
    ModelError,
    ModelNotFound,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
)
from protocols.model import ChatModel
from protocols.pacing.breaker import ROUNDS, Breaker
from protocols.wrappers.metered import MeteredModel
from protocols.wrappers.retry import ATTEMPTS, BASE, DEADLINE, LONGEST, RetryingModel, Timing
from tests.protocols.wrappers.faults import REQUEST, ModelFault, failure, in_turn
from tests.world import Oracle

pytestmark = pytest.mark.anyio


@dataclass
class Naps:
    """A clock that only moves when somebody sleeps."""

    waits: list[float] = field(default_factory=list)

    @property
    def timing(self) -> Timing:
        return Timing(lambda: sum(self.waits), self)

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


def retrying(
    model: ChatModel, naps: Naps, deadline: float = DEADLINE, seed: int = 0, breaker: Breaker | None = None
) -> RetryingModel:
    return RetryingModel(model, Random(seed), breaker or Breaker(), deadline, naps.timing)


@given(
    failures=st.integers(0, 8),
    deadline=st.floats(1, 2000),
    retry_after=st.none() | st.floats(0, 1000),
    seed=st.integers(),
)
def test_retries_wait_within_bounds(
    failures: int,
    deadline: float,
    retry_after: float | None,
    seed: int,
) -> None:
    model, naps = Oracle(fault=in_turn(*[failure(retry_after=retry_after)] * failures)), Naps()

    async def call() -> bool:
        try:
            await retrying(model, naps, deadline, seed).complete(REQUEST)
        except ServerFailed:
            return False
        return True

    answered = anyio.run(call)
    assert answered == (model.calls == failures + 1)
    assert model.calls <= min(failures + 1, ATTEMPTS)
    assert len(naps.waits) == model.calls - 1
    assert sum(naps.waits) <= deadline
    for number, wait in enumerate(naps.waits, start=1):
        assert (retry_after or 0) <= wait <= max(min(LONGEST, BASE * 2**number), retry_after or 0)
    if not answered and model.calls < ATTEMPTS:
        longest_wait = max(min(LONGEST, BASE * 2**model.calls), retry_after or 0)
        assert sum(naps.waits) + longest_wait > deadline


async def test_a_rate_limit_is_bounded_by_the_deadline_and_other_failures_by_attempts_too() -> None:
    limited = [failure(RateLimited)] * 20
    model, naps = Oracle(fault=in_turn(*limited, *[failure()] * 5)), Naps()
    await retrying(model, naps).complete(REQUEST)
    assert model.calls == 26
    model, naps = Oracle(fault=in_turn(*limited, *[failure()] * 6)), Naps()
    with pytest.raises(ServerFailed):
        await retrying(model, naps).complete(REQUEST)
    assert model.calls == 26
    model, naps = Oracle(fault=in_turn(*limited * 1000)), Naps()
    with pytest.raises(RateLimited):
        await retrying(model, naps).complete(REQUEST)
    assert DEADLINE - LONGEST < sum(naps.waits) <= DEADLINE


async def test_the_waits_are_spread_over_the_whole_range() -> None:
    naps = Naps()
    for seed in range(400):
        model = Oracle(fault=in_turn(failure()))
        await retrying(model, naps, seed=seed).complete(REQUEST)
    assert min(naps.waits) < 0.1 < 0.9 < max(naps.waits) <= 1.0


async def test_what_is_not_worth_a_retry_is_tried_once() -> None:
    model, naps = Oracle(fault=in_turn(failure(BadRequest))), Naps()
    with pytest.raises(BadRequest):
        await retrying(model, naps).complete(REQUEST)
    assert (model.calls, naps.waits) == (1, [])


async def test_a_spent_budget_is_not_retried() -> None:
    model, naps = Oracle(), Naps()
    ledger = Ledger(Caps(calls=1), {}, lambda: 0.0)
    wrapped = retrying(MeteredModel(model, ledger, "task"), naps)
    await wrapped.complete(REQUEST)
    with pytest.raises(BudgetExhausted) as caught:
        await wrapped.complete(REQUEST)
    assert (caught.value.cap, model.calls, naps.waits) == ("calls", 1, [])


async def test_a_rate_limit_that_outlasts_the_deadline_is_an_exhausted_quota() -> None:
    model, naps = Oracle(fault=in_turn(failure(RateLimited, retry_after=7200.0))), Naps()
    with pytest.raises(QuotaExhausted, match="7,200 s"):
        await retrying(model, naps).complete(REQUEST)
    assert (model.calls, naps.waits) == (1, [])


# The breaker


async def calls_until_open(fault: ModelFault, together: int, most: int = 200) -> tuple[int, ModelError | None]:
    """Rounds of `together` calls at once; how many were sent, and the failure that all later calls get."""
    model, naps, breaker = Oracle(fault=fault), Naps(), Breaker()

    async def call(tasks: list[ModelError]) -> None:
        try:
            await retrying(model, naps, breaker=breaker).complete(REQUEST)
        except ModelError as error:
            tasks.append(error)

    while model.calls < most:
        before, errors = model.calls, list[ModelError]()
        async with anyio.create_task_group() as tasks:
            for _ in range(together):
                tasks.start_soon(call, errors)
        if model.calls == before:
            return before, errors[0]
    return model.calls, None


def always(kind: type[ModelError]) -> ModelFault:
    return lambda request: failure(kind)


@pytest.mark.parametrize("kind", [AuthenticationFailed, ModelNotFound, QuotaExhausted])
async def test_what_every_call_would_meet_is_met_once(kind: type[ModelError]) -> None:
    calls, error = await calls_until_open(always(kind), together=1)
    assert calls == 1
    assert isinstance(error, kind)


@pytest.mark.parametrize("together", [1, 16])
async def test_the_same_refusal_again_and_again_stops_all_calls(together: int) -> None:
    """Those that are refused together count once."""
    calls, error = await calls_until_open(always(BadRequest), together)
    assert ROUNDS <= calls <= ROUNDS * together
    assert isinstance(error, AlwaysRefused)
    assert error.fatal
    assert "every request is refused: scripted" in str(error)


def differing() -> Callable[[], str]:
    texts = iter(f"reason {chr(97 + number % 26)}" for number in range(10_000))
    return lambda: next(texts)


async def test_other_refusals_stop_nothing() -> None:
    """Neither different ones, nor any after a first reply."""
    reason = differing()
    calls, error = await calls_until_open(lambda request: BadRequest(reason(), model="scripted"), together=1)
    assert (calls, error) == (200, None)
    replied = in_turn(None, *[failure(BadRequest)] * 300)
    calls, error = await calls_until_open(replied, together=1)
    assert (calls, error) == (200, None)


def forbidden(status: int = 403) -> ModelError:
    return AuthenticationFailed("Attention required", model="scripted", status=status)


@pytest.mark.parametrize("together", [1, 16])
async def test_a_403_after_a_reply_is_of_its_request_until_it_comes_again_and_again(together: int) -> None:
    """Firewalls and moderation answer with it, too."""
    calls, error = await calls_until_open(in_turn(None, *[forbidden()] * 999), together)
    assert ROUNDS < calls <= 1 + (ROUNDS + 1) * together
    assert isinstance(error, AuthenticationFailed)
    now_and_then = in_turn(*[None, forbidden(), forbidden()] * 100)
    assert await calls_until_open(now_and_then, together=1) == (200, None)


async def test_a_403_before_any_reply_and_a_401_at_any_time_stop_all_calls() -> None:
    assert (await calls_until_open(in_turn(*[forbidden()] * 9), together=1))[0] == 1
    assert (await calls_until_open(in_turn(None, *[forbidden(401)] * 9), together=1))[0] == 2
