"""Pace and limiter on a simulated clock, against the books of the model that they protect."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import partial
from itertools import pairwise
from random import Random
from statistics import median

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import RateLimited
from protocols.model import Allowance
from protocols.pacing.breaker import Breaker
from protocols.pacing.limiter import Limiter
from protocols.pacing.limits import Limits
from protocols.wrappers.limited import LimitedModel
from protocols.wrappers.retry import RetryingModel
from tests.protocols.wrappers.clocked import (
    MINUTE,
    REQUEST,
    Clocked,
    FixedWindow,
    flood,
    fullest_minute,
    refusal,
    simulate,
)


@given(
    requests=st.integers(5, 300),
    latency=st.floats(0.05, 3.0),
    jitter=st.floats(0.0, 0.5),
    seed=st.integers(0, 999),
)
@settings(max_examples=5)
def test_no_minute_holds_more_requests_than_allowed_and_nearly_all_are_used(
    requests: int, latency: float, jitter: float, seed: int
) -> None:
    rng = Random(seed)
    model = Clocked(latency=lambda: rng.expovariate(1 / latency), way=lambda: rng.uniform(0, jitter))
    limiter = Limiter(Limits(concurrency=1024, requests=requests))
    start = simulate(partial(flood, LimitedModel(model, limiter, urgent=False), 3 * MINUTE, callers=96))
    assert fullest_minute([(time, 1) for time in model.arrivals]) <= requests
    last = [time for time in model.arrivals if time >= start + MINUTE]
    assert len(last) >= 0.95 * 2 * requests - 1


@pytest.mark.parametrize("allowance", [Allowance(requests=300), Allowance(tokens=60_000), Allowance(300, 60_000)])
def test_what_the_provider_tells_is_kept_to(allowance: Allowance) -> None:
    """From the first call on, though it is told with the first reply, when others are in flight."""
    model = Clocked(latency=lambda: 0.5, allowance=allowance)
    limiter = Limiter(Limits(concurrency=32))
    start = simulate(partial(flood, LimitedModel(model, limiter, urgent=False), 3 * MINUTE, callers=64))
    assert fullest_minute([(time, 1) for time in model.arrivals]) <= (allowance.requests or 600)
    assert fullest_minute(model.entered) <= (allowance.tokens or math.inf)
    last = [time for time in model.arrivals if time >= start + MINUTE]
    assert len(last) >= 0.95 * 2 * (allowance.requests or 600)


@pytest.mark.parametrize("limits", [Limits(32), Limits(64, requests=600), Limits(64, tokens=60_000)])
def test_an_urgent_call_overtakes_all_that_wait(limits: Limits) -> None:
    """Under full load it waits for at most twice the median service time."""
    rng = Random(0)
    model = Clocked(latency=lambda: rng.lognormvariate(0, 1))
    limiter = Limiter(limits)
    waits: list[float] = []

    async def now_and_then() -> None:
        urgent = LimitedModel(model, limiter, urgent=True)
        for _ in range(30):
            await anyio.sleep(rng.uniform(0, 2))
            asked, known = anyio.current_time(), len(model.arrivals)
            await urgent.complete(REQUEST)
            waits.append(model.arrivals[known] - asked)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flood, LimitedModel(model, limiter, urgent=False), math.inf, 200)
            await anyio.sleep(MINUTE / 2)
            await now_and_then()
            tasks.cancel_scope.cancel()

    simulate(main)
    assert max(waits) <= 2 * median(rng.lognormvariate(0, 1) for _ in range(999))


def test_retry_after_holds_back_the_whole_account() -> None:
    errors = [RateLimited("slow down", model="scripted", status=429, retry_after=30.0)]
    model = Clocked(latency=lambda: 1.0, fault=lambda: errors.pop() if errors else None)
    limited = LimitedModel(model, Limiter(Limits(concurrency=8)), urgent=False)

    async def call() -> None:
        try:
            await limited.complete(REQUEST)
        except RateLimited:
            await limited.complete(REQUEST)

    async def main() -> float:
        start = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(call)
        return start

    start = simulate(main)
    times = [time - start for time in model.arrivals]
    assert len(times) == 41
    assert not [time for time in times if 1.0 < time < 31.0]
    assert len([time for time in times if time == 31.0]) == 4


def test_an_account_that_names_no_wait_is_held_back_for_longer_and_longer_until_it_answers() -> None:
    """One call at a time finds out whether it does."""
    errors: list[RateLimited | None] = [None, *[refusal()] * 8, None, None, refusal(), refusal(), refusal(), None]
    errors.reverse()
    model = Clocked(latency=lambda: 0.0, fault=lambda: errors.pop() if errors else None)
    limited = LimitedModel(model, Limiter(Limits(concurrency=1)), urgent=False)

    async def main() -> None:
        for _ in range(len(errors)):
            with suppress(RateLimited):
                await limited.complete(REQUEST)

    simulate(main)
    waits = [after - before for before, after in pairwise(model.arrivals)]
    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60, 0, 0, 1, 2, 4]


@pytest.mark.parametrize("quota", [60, 200])
@pytest.mark.parametrize("latency", [0.05, 1.0])
def test_a_quota_that_is_told_of_in_no_header_is_found_without_a_storm(quota: int, latency: float) -> None:
    """64 callers at a server that counts by the minute: whoever is refused is answered later."""
    rng, server = Random(0), FixedWindow(quota)
    model = Clocked(latency=lambda: latency * rng.lognormvariate(0, 1), fault=server.refuse)
    limited = LimitedModel(model, Limiter(Limits()), urgent=False)
    retrying = RetryingModel(limited, Random(0), Breaker())
    left = iter(range(1000))

    async def call() -> None:
        for _ in left:
            await retrying.complete(REQUEST)

    async def main() -> float:
        start = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(call)
        return anyio.current_time() - start

    seconds = simulate(main)
    assert len(model.arrivals) == 1000 + server.refused
    assert server.refused <= 0.25 * len(model.arrivals)
    assert seconds <= MINUTE * (1000 / quota + 1)


def test_concurrency_starts_slow_and_takes_what_it_gets() -> None:
    model = Clocked(latency=lambda: 1.0)
    limiter = Limiter(Limits())

    async def main() -> None:
        await flood(LimitedModel(model, limiter, urgent=False), 3.5, callers=500)

    begun = limiter.allowed
    simulate(main)
    assert begun < model.most_in_flight == limiter.most


@given(
    urgent=st.lists(st.booleans(), min_size=1, max_size=40),
    cancelled=st.sets(st.integers(0, 39)),
    refused=st.lists(st.none() | st.just(refusal()), max_size=12),
    limits=st.builds(
        Limits,
        st.none() | st.integers(1, 4),
        st.none() | st.integers(1, 600),
        st.none() | st.integers(700, 50_000),
    ),
    seed=st.integers(0, 999),
)
@settings(max_examples=40)
def test_nobody_is_forgotten(
    urgent: list[bool], cancelled: set[int], refused: list[RateLimited | None], limits: Limits, seed: int
) -> None:
    """Whatever is cancelled while it waits or is in flight, or refused, the others are sent, and all slots come
    back."""
    rng, faults = Random(seed), list(refused)
    model = Clocked(latency=lambda: rng.uniform(0, 2), fault=lambda: faults.pop() if faults else None)
    limiter = Limiter(limits)
    done: set[int] = set()

    async def call(number: int) -> None:
        await anyio.sleep(rng.uniform(0, 1))
        with anyio.move_on_after(rng.uniform(0, 3) if number in cancelled else math.inf):
            with suppress(RateLimited):
                await LimitedModel(model, limiter, urgent[number]).complete(REQUEST)
            done.add(number)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(len(urgent)):
                tasks.start_soon(call, number)

    simulate(main)
    assert done >= set(range(len(urgent))) - cancelled
    assert limiter.in_flight == 0
    assert model.most_in_flight <= limiter.most
