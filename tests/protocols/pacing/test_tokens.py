"""Tokens a minute on a simulated clock, against books that enter input on arrival and output with the reply."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.model import ChatMessage, Request, Usage
from protocols.pacing.limiter import Limiter
from protocols.pacing.limits import Limits
from protocols.pacing.tokens import Needs
from protocols.wrappers.limited import LimitedModel
from tests.protocols.wrappers.clocked import MINUTE, REQUEST, Clocked, flood, fullest_minute, simulate

CLASSIFY = Request((ChatMessage("user", "x" * 1000),))
"""A bound of 1,032 tokens in and 1,024 out."""
BOUND = CLASSIFY.most_input + CLASSIFY.max_tokens


def constant(rng: Random) -> Iterator[Usage]:
    """A label."""
    while True:
        yield Usage(rng.randint(245, 255), rng.randint(2, 8))


def uniform(rng: Random) -> Iterator[Usage]:
    """Half as much as usual to half as much again."""
    while True:
        yield Usage(rng.randint(125, 375), rng.randint(50, 150))


def exponential(rng: Random) -> Iterator[Usage]:
    """Output of every length."""
    while True:
        yield Usage(250, min(1024, 1 + int(rng.expovariate(1 / 150))))


def candidates(rng: Random) -> Iterator[Usage]:
    """Calls of one candidate after another, each of them short-winded or long-winded."""
    while True:
        level = rng.uniform(0.5, 1.5)
        for _ in range(rng.randint(50, 200)):
            yield Usage(int(250 * level * rng.uniform(0.9, 1.1)), int(100 * level * rng.uniform(0.8, 1.2)))


LAWS = [constant, uniform, exponential, candidates]
Law = Callable[[Random], Iterator[Usage]]


def run(law: Law, tokens: int, latency: Callable[[Random], float], seed: int) -> tuple[float, float]:
    """The fullest minute of four, and what was used in the last three of them, as shares of the allowance."""
    rng = Random(seed)
    model = Clocked(
        latency=partial(latency, rng), needs=partial(next, law(Random(seed))), way=lambda: rng.uniform(0, 0.1)
    )
    limited = LimitedModel(model, Limiter(Limits(concurrency=1024, tokens=tokens)), urgent=False)
    start = simulate(partial(flood, limited, 4 * MINUTE, callers=96, request=CLASSIFY))
    used = sum(amount for time, amount in model.entered if time >= start + MINUTE)
    return fullest_minute(model.entered) / tokens, used / (3 * tokens)


@pytest.mark.parametrize("law", LAWS)
@given(
    tokens=st.integers(40_000, 100_000),
    latency=st.floats(0.05, 3.0),
    sigma=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 999),
)
@settings(max_examples=4)
def test_no_minute_holds_more_tokens_than_allowed(
    law: Law, tokens: int, latency: float, sigma: float, seed: int
) -> None:
    fullest, _ = run(law, tokens, lambda rng: latency * rng.lognormvariate(0, sigma), seed)
    assert fullest <= 1.0


@pytest.mark.parametrize(
    ("law", "least", "slowest"), [(constant, 20_000, 1.0), (uniform, 60_000, 0.5), (candidates, 60_000, 0.5)]
)
@given(more=st.integers(0, 40_000), latency=st.floats(0.05, 1.0), seed=st.integers(0, 999))
@settings(max_examples=3)
def test_nearly_all_tokens_are_used(
    law: Law, least: int, slowest: float, more: int, latency: float, seed: int
) -> None:
    """Where a minute's allowance is many calls, or such as are all alike: in the first minutes already, when little
    was seen. `slowest`: seconds of a call, at most."""
    fullest, used = run(law, least + more, lambda rng: slowest * latency, seed)
    assert fullest <= 1.0
    assert used >= 0.95


@given(
    tokens=st.integers(60_000, 100_000),
    mean=st.integers(150, 400),
    latency=st.floats(0.05, 2.0),
    seed=st.integers(0, 999),
)
@settings(max_examples=5)
def test_input_that_cannot_be_foretold_is_used_nearly_whole_too(
    tokens: int, mean: int, latency: float, seed: int
) -> None:
    """Calls need less than their bound of 632 tokens, each another share of it."""
    rng = Random(seed)
    model = Clocked(
        latency=lambda: rng.expovariate(1 / latency), needs=lambda: Usage(rng.randint(mean // 2, mean * 3 // 2), 0)
    )
    limiter = Limiter(Limits(concurrency=1024, tokens=tokens))
    start = simulate(partial(flood, LimitedModel(model, limiter, urgent=False), 3 * MINUTE, callers=96))
    assert fullest_minute(model.entered) <= tokens
    used = sum(amount for time, amount in model.entered if time >= start + MINUTE)
    assert used >= 0.95 * 2 * tokens - (REQUEST.most_input + REQUEST.max_tokens)


@given(
    seen=st.lists(st.integers(0, 1000), max_size=300), bounds=st.lists(st.integers(1, 5000), min_size=1, max_size=600)
)
def test_calls_in_flight_hold_back_what_is_expected_of_them_and_never_more_than_their_bounds(
    seen: list[int], bounds: list[int]
) -> None:
    needs = Needs()
    for used in seen:
        needs.begin(1000)
        needs.end(1000, used)
    *in_flight, one = bounds
    for bound in in_flight:
        needs.begin(bound)
    most = needs.most(one)
    assert sum(map(needs.expected, bounds)) <= most * 1.000001
    assert most <= sum(bounds) * 1.000001
    if not seen:
        assert most == sum(bounds)
