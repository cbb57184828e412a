"""Limiters that share an account by leases, on a simulated clock, against the books of the model they protect."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import RateLimited
from protocols.leases.lease import Lease, NoLease, Report, Source
from protocols.model import Allowance, Usage
from protocols.pacing.limits import Limits
from protocols.wrappers.limited import LimitedModel
from tests.protocols.leases.members import Shared, crowd, joined, used
from tests.protocols.wrappers.clocked import MINUTE, REQUEST, Clocked, flood, fullest_minute, simulate


def served(rng: Random, latency: float = 1.0, needs: Callable[[], Usage] = lambda: Usage(100, 0)) -> Clocked:
    return Clocked(latency=lambda: rng.expovariate(1 / latency), way=lambda: rng.uniform(0, 0.2), needs=needs)


@dataclass
class Dying:
    """The source of a member that says no more after this time."""

    source: Source
    time: float

    async def exchange(self, member: str, report: Report) -> Lease:
        if anyio.current_time() >= self.time:
            raise NoLease("dead")
        return await self.source.exchange(member, report)


@pytest.mark.parametrize("members", [1, 3, 20])
def test_ten_minutes_of_full_demand_use_nearly_all_requests_and_never_more(members: int) -> None:
    rng = Random(members)
    model, source = served(rng), Shared(trip=lambda: rng.uniform(0.0005, 0.003), ahead=1e4)
    start = simulate(partial(crowd, model, source, [Limits(1024, 600)] * members, 10 * MINUTE, 32 // members + 4))
    arrivals = [(time, 1.0) for time in model.arrivals]
    assert fullest_minute(arrivals) <= 600
    assert used(arrivals, start + MINUTE) >= 0.9 * 9 * 600
    assert len(source.times) <= 1.1 * 600 * members, "about one exchange a second for each member"


@pytest.mark.parametrize("members", [1, 3, 10])
def test_full_demand_uses_nearly_all_tokens_and_never_more(members: int) -> None:
    rng = Random(members)
    model = served(rng, needs=lambda: Usage(rng.randint(50, 150), rng.randint(30, 80)))
    source, limits = Shared(trip=lambda: rng.uniform(0.0005, 0.003)), [Limits(1024, tokens=100_000)] * members
    start = simulate(partial(crowd, model, source, limits, 5 * MINUTE, 64 // members + 4))
    assert fullest_minute(model.entered) <= 100_000
    assert used(model.entered, start + MINUTE) >= 0.9 * 4 * 100_000


@given(
    requests=st.integers(5, 300),
    members=st.integers(1, 6),
    ends=st.lists(st.floats(1.0, 100.0), min_size=6, max_size=6),
    trip=st.floats(0.0, 0.5),
    failing=st.floats(0.0, 0.4),
    seed=st.integers(0, 999),
)
@settings(max_examples=12)
def test_no_minute_exceeds_the_limit_when_members_come_and_die_and_exchanges_fail(
    requests: int, members: int, ends: list[float], trip: float, failing: float, seed: int
) -> None:
    """A member that dies says nothing more. The last one stays, and goes on."""
    rng = Random(seed)

    def fails() -> str:
        return rng.choice(["before", "after"]) if rng.random() < failing else ""

    model, limits = served(rng, 0.5), Limits(1024, requests)
    source = Shared(trip=lambda: rng.uniform(0, trip), ahead=rng.uniform(-1e5, 1e5), fails=fails)

    async def life(number: int) -> None:
        await anyio.sleep(rng.uniform(0, 20))
        if number == members - 1:
            await crowd(model, source, [limits], 3 * MINUTE, 8)
        else:
            await crowd(model, Dying(source, anyio.current_time() + ends[number]), [limits], ends[number], 8)

    async def main() -> float:
        async with anyio.create_task_group() as tasks:
            for number in range(members):
                tasks.start_soon(life, number)
        return anyio.current_time()

    end = simulate(main)
    arrivals = [(time, 1.0) for time in model.arrivals]
    assert fullest_minute(arrivals) <= requests
    assert used(arrivals, end - MINUTE) >= (0.8 if failing < 0.1 else 0.2) * requests - 1


def test_what_the_provider_tells_one_member_is_kept_to_by_all() -> None:
    model, source = Clocked(latency=lambda: 0.5, allowance=Allowance(requests=300)), Shared()
    start = simulate(partial(crowd, model, source, [Limits(16)] * 3, 3 * MINUTE, 16))
    arrivals = [(time, 1.0) for time in model.arrivals]
    assert fullest_minute(arrivals) <= 300
    assert used(arrivals, start + MINUTE) >= 0.9 * 2 * 300


def test_a_wait_that_one_member_is_told_holds_back_all() -> None:
    errors = [RateLimited("slow down", model="scripted", status=429, retry_after=30.0)]
    refused = Clocked(latency=lambda: 1.0, fault=lambda: errors.pop() if errors else None)
    model, source = Clocked(latency=lambda: 1.0), Shared()

    async def main() -> float:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flood, LimitedModel(model, joined(source, Limits(8), tasks), False), math.inf, 8)
            await anyio.sleep(10.0)
            with pytest.raises(RateLimited):
                await LimitedModel(refused, joined(source, Limits(8), tasks), False).complete(REQUEST)
            begun = anyio.current_time()
            await anyio.sleep(MINUTE)
            tasks.cancel_scope.cancel()
        return begun

    begun = simulate(main)
    assert not [time for time in model.arrivals if begun + 1.1 < time < begun + 29.9], "told with its next lease"
    assert len([time for time in model.arrivals if time > begun + 30.0]) >= 30


def test_places_are_shared_and_never_exceeded() -> None:
    rng = Random(0)
    model, source = served(rng, 0.5), Shared()
    start = simulate(partial(crowd, model, source, [Limits(8)] * 3, 2 * MINUTE, 16))
    assert model.most_in_flight <= 8
    assert used([(time, 1.0) for time in model.arrivals], start + 10) >= 0.8 * 8 * 110 / 0.7


@pytest.mark.parametrize("members", [1, 4])
def test_an_idle_member_has_given_everything_back(members: int) -> None:
    model, source = Clocked(latency=lambda: 0.1), Shared()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            limited = [LimitedModel(model, joined(source, Limits(8, 600), tasks), False) for _ in range(members)]
            for each in limited:
                tasks.start_soon(each.complete, REQUEST)
            await anyio.sleep(6.0)
            assert not source.quota.pack()["members"]
            before = len(source.times)
            await anyio.sleep(600.0)
            assert len(source.times) == before
            await limited[0].complete(REQUEST)

    simulate(main)
    assert len(model.arrivals) == members + 1


def test_without_its_quota_calls_wait_and_the_reason_is_known() -> None:
    model, source = Clocked(latency=lambda: 0.1), Shared(fails=lambda: "before")

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            limiter = joined(source, Limits(8), tasks)
            tasks.start_soon(LimitedModel(model, limiter, False).complete, REQUEST)
            await anyio.sleep(100.0)
            assert (limiter.failure, limiter.queued, model.arrivals) == ("cut off", 1, [])
            source.fails = lambda: ""
            await anyio.sleep(2.0)
            assert (limiter.failure, limiter.queued, len(model.arrivals)) == ("", 0, 1)

    simulate(main)
    assert len(source.times) <= 105


@pytest.mark.anyio
async def test_a_member_works_on_both_backends() -> None:
    model, source = Clocked(latency=lambda: 0.0), Shared(trip=lambda: 0.0)
    async with anyio.create_task_group() as tasks:
        limited = LimitedModel(model, joined(source, Limits(4), tasks), urgent=False)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as calls:
                for _ in range(40):
                    calls.start_soon(limited.complete, REQUEST)
        tasks.cancel_scope.cancel()
    assert len(model.arrivals) == 40
    assert model.most_in_flight <= 4
    assert not source.quota.pack()["members"]
