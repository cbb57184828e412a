"""What a call waits for, for how long, and how a person ends that: on a simulated clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

import anyio
import pytest

from agents.models.accounts import Accounts
from protocols.errors import CallTimeout, Interrupted, ModelError, RateLimited, ServerFailed
from protocols.model import Reply, Request, Usage
from protocols.pacing.breaker import Breaker
from protocols.pacing.limiter import Limiter
from protocols.pacing.limits import Limits
from protocols.pacing.waiting import SILENT, Patience
from protocols.providers.catalogue import Account
from protocols.wrappers.limited import LimitedModel
from protocols.wrappers.retry import DEADLINE, RetryingModel
from tests.protocols.wrappers.clocked import simulate
from tests.protocols.wrappers.faults import REQUEST, failure


@dataclass
class Slow:
    """Answers after `seconds`, or fails as `errors` say, one after the other; then it answers."""

    seconds: float = 1.0
    errors: list[ModelError | None] = field(default_factory=list)
    name: str = "slow"
    sent: list[float] = field(default_factory=list)

    async def complete(self, request: Request) -> Reply:
        self.sent.append(anyio.current_time())
        await anyio.sleep(self.seconds)
        if self.errors and (error := self.errors.pop(0)):
            raise error
        return Reply("ok", Usage(1, 1))


def stack(model: Slow, accounts: Accounts, at_once: int = 1, deadline: float = DEADLINE) -> RetryingModel:
    """As a run has it, with a patience of its own."""
    patience = Patience(accounts.calls)
    limiter = accounts.limiter(Account("openai", "http://host"), Limits(at_once))
    limited = LimitedModel(model, limiter, False, patience, timeout=30.0)
    return RetryingModel(limited, Random(0), Breaker(), deadline, patience=patience)


@pytest.fixture
def naps_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.wrappers.retry.BASE", 60.0)


def of(model: RetryingModel) -> Patience:
    return model._patience


async def attempt(model: RetryingModel, ends: list[BaseException | None]) -> None:
    try:
        await model.complete(REQUEST)
    except (ModelError, Interrupted) as error:
        ends.append(error)
    else:
        ends.append(None)


# The deadline


@pytest.mark.parametrize("queue", [0, 1, 5, 50])
def test_a_deadline_begins_with_the_first_byte(queue: int) -> None:
    """However many calls go first, the last is tried again for as long."""

    async def main() -> None:
        model = Slow(10.0, [*[None] * queue, failure()])
        ends: list[BaseException | None] = []
        retrying = stack(model, Accounts(), deadline=25.0)
        async with anyio.create_task_group() as tasks:
            for _ in range(queue + 1):
                tasks.start_soon(attempt, retrying, ends)
        assert ends == [None] * (queue + 1)

    simulate(main)


def test_a_deadline_still_ends_the_tries() -> None:
    async def main() -> None:
        model, ends = Slow(10.0, [failure()] * 9), list[BaseException | None]()
        await attempt(stack(model, Accounts(), deadline=25.0), ends)
        assert [type(end) for end in ends] == [ServerFailed]
        assert len(model.sent) == 3

    simulate(main)


# A person stops the search


@pytest.mark.usefixtures("naps_are_long")
@pytest.mark.parametrize(
    ("errors", "after", "sent", "ended"),
    [
        ([], 0.5, 2, [None, None]),
        ([failure()] * 99, 0.5, 2, [Interrupted, Interrupted]),
        ([failure()] * 99, 1.01, 2, [Interrupted, Interrupted]),
        ([failure(RateLimited, 100.0)] * 99, 1.5, 2, [Interrupted, Interrupted]),
        ([None, failure(RateLimited)] + [None] * 9, 0.5, 2, [None, Interrupted]),
    ],
    ids=["in flight", "in flight and failing", "waiting for a next try", "held back", "some"],
)
def test_after_a_stop_what_is_in_flight_ends_and_nothing_is_sent(
    errors: list[ModelError | None], after: float, sent: int, ended: list[type[BaseException] | None]
) -> None:
    """Two are sent and eight wait for a free place: those are given up with the stop, not when a place is free."""

    async def main() -> None:
        model, ends = Slow(1.0, list(errors)), list[BaseException | None]()
        retrying = stack(model, Accounts(), at_once=2)
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(attempt, retrying, ends)
            await anyio.sleep(after)
            queued = 10 - len(ends) - (2 if after < 1.0 else 0)
            of(retrying).stop()
            await anyio.wait_all_tasks_blocked()
            assert len(ends) >= min(queued, 8)
            assert all(isinstance(end, Interrupted) for end in ends)
            stopped_at = anyio.current_time()
        assert anyio.current_time() - stopped_at <= 1.0
        assert [end if end is None else type(end) for end in ends[-2:]] == ended
        assert all(isinstance(end, Interrupted) for end in ends[:8])
        late = [moment for moment in model.sent if moment >= stopped_at]
        assert not late
        with pytest.raises(Interrupted):
            await retrying.complete(REQUEST)

    simulate(main)


@pytest.mark.usefixtures("naps_are_long")
@pytest.mark.parametrize(
    ("before", "after", "asked", "ended"),
    [
        ([None], [], 6, [None] * 6),
        ([None], [failure()], 6, [ServerFailed, *[None] * 5]),
        ([None], [failure()] * 99, 6, [*[ServerFailed] * (SILENT - 1), *[Interrupted] * 4]),
        ([failure()] * SILENT, [], 0, [Interrupted] * 6),
        ([CallTimeout("stalled", model="slow")], [], 0, [Interrupted] * 6),
        ([failure(RateLimited, 100.0)], [], 0, [Interrupted] * 6),
        ([failure(RateLimited, 4.0)], [], 6, [None] * 6),
    ],
    ids=["answers", "a single failure", "dies", "was dead", "was stalled", "held back", "held back for a moment"],
)
def test_what_is_left_after_a_stop_is_asked_once_of_a_model_that_answers(
    before: list[ModelError | None],
    after: list[ModelError | None],
    asked: int,
    ended: list[type[BaseException] | None],
) -> None:
    async def main() -> None:
        model, accounts = Slow(1.0, list(before)), Accounts()
        retrying = stack(model, accounts)
        first: list[BaseException | None] = []
        async with anyio.create_task_group() as tasks:
            for _ in before:
                tasks.start_soon(attempt, retrying, first)
            await anyio.sleep(len(before) + 0.5)
            of(retrying).stop()
        model.errors, made, begun = list(after), len(model.sent), anyio.current_time()
        of(retrying).hurry()
        ends: list[BaseException | None] = []
        for _ in range(6):
            await attempt(retrying, ends)
        assert [end if end is None else type(end) for end in ends] == ended
        assert len(model.sent) - made == (asked if asked != 6 or Interrupted not in ended else SILENT)
        assert anyio.current_time() - begun <= 6.0 + 4.0

    simulate(main)


@pytest.mark.usefixtures("naps_are_long")
def test_a_person_in_a_hurry_ends_naps_with_what_they_met() -> None:
    """The last part of a run is under way: a call that waits for its next try is left unanswered."""

    async def main() -> None:
        model, ends = Slow(1.0, [None, failure()]), list[BaseException | None]()
        retrying = stack(model, Accounts(), at_once=2)
        await retrying.complete(REQUEST)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt, retrying, ends)
            await anyio.sleep(1.5)
            of(retrying).hurry()
            await anyio.wait_all_tasks_blocked()
            assert [type(end) for end in ends] == [ServerFailed]
        await retrying.complete(REQUEST)

    simulate(main)


# What is waited for


@pytest.mark.usefixtures("naps_are_long")
def test_the_waits_of_an_account_are_those_of_its_calls() -> None:
    async def main() -> None:
        accounts = Accounts()
        model = Slow(10.0, [failure(), failure(RateLimited, 60.0)])
        retrying = stack(model, accounts, at_once=2)
        assert accounts.waits().in_flight == accounts.waits().others == 0
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(attempt, retrying, [])
            await anyio.sleep(4.0)
            waits = accounts.waits()
            assert (waits.in_flight, waits.queued, waits.naps, waits.others) == (2, 3, 0, 0)
            assert (waits.oldest, waits.within, waits.answered, waits.last) == (4.0, 26.0, None, "")
            await anyio.sleep(7.0)
            waits = accounts.waits()
            assert (waits.naps, waits.failures, waits.last) == (2, 2, "scripted: scripted")
            assert [(address, math.ceil(seconds)) for address, seconds in waits.held] == [("http://host", 59)]
            assert 0.0 <= waits.next_try <= 120.0
            tasks.cancel_scope.cancel()
        waits = accounts.waits()
        assert (waits.in_flight, waits.queued, waits.naps, waits.others, waits.held) == (0, 0, 0, 0, ())
        await retrying.complete(REQUEST)
        await anyio.sleep(3.0)
        waits = accounts.waits()
        assert (waits.replies, waits.answered, waits.failures, waits.last) == (1, 3.0, 0, "")

    simulate(main)


def test_a_stop_races_with_a_place_that_becomes_free() -> None:
    """A call that is given a place and given up at one moment gives the place back."""

    async def main() -> None:
        limiter, patience = Limiter(Limits(1)), Patience()
        limited = LimitedModel(Slow(1.0), limiter, False, patience)
        ends: list[bool] = []

        async def call() -> None:
            try:
                await limited.complete(REQUEST)
            except Interrupted:
                ends.append(False)
            else:
                ends.append(True)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            ticket = next(iter(limiter.flights))
            limiter.leave(ticket, None)
            patience.stop()
            limiter._in_flight.add(ticket)
        assert sorted(ends) == [False, True]
        assert limiter.in_flight == 0

    simulate(main)
