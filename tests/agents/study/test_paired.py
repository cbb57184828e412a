"""Intervals of paired differences: against known quantiles, and how often they are right."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random
from statistics import NormalDist, fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.study.paired import difference, holm, student

unhurried = settings(deadline=None, max_examples=100)
VALUES = st.floats(-1, 1, allow_subnormal=False)
STRATA = st.lists(st.lists(VALUES, min_size=2, max_size=12), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 12.706204736), (2, 4.302652730), (5, 2.570581836), (9, 2.262157163), (18, 2.100922040), (1000, 1.962339081)],
)
def test_quantiles_are_those_of_the_tables(freedom: int, expected: float) -> None:
    values, within = student(freedom)
    assert np.interp(0.95, within, values) == pytest.approx(expected, rel=1e-6)


@unhurried
@given(st.floats(0, 50), st.floats(1, 500))
def test_the_distribution_lies_between_its_bounds(t: float, freedom: float) -> None:
    """Of Cauchy's law (one degree) and the normal one; that of two degrees is known, too."""
    cauchy, normal = 2 * math.atan(t) / math.pi, 2 * NormalDist().cdf(t) - 1
    (values, within), (at_two, known) = student(freedom), student(2)
    assert cauchy - 1e-6 <= np.interp(t, values, within) <= normal + 1e-6
    assert np.interp(t, at_two, known) == pytest.approx(t / math.sqrt(2 + t * t), abs=1e-6)


@unhurried
@given(STRATA, st.floats(-5, 5), st.floats(0.1, 10))
def test_an_interval_follows_shift_and_scale_and_holds_the_mean(
    strata: list[list[float]], shift: float, scale: float
) -> None:
    found, moved = difference(strata), difference([[scale * d + shift for d in stratum] for stratum in strata])
    assert found.interval is not None
    assert moved.interval is not None
    low, high = found.interval
    assert low <= found.value <= high
    assert found.value == pytest.approx(fmean(map(fmean, strata)), abs=1e-9)
    assert moved.interval == pytest.approx((scale * low + shift, scale * high + shift), abs=1e-5)


@unhurried
@given(STRATA)
def test_p_and_the_interval_agree(strata: list[list[float]]) -> None:
    found = difference(strata)
    assert found.interval is not None
    if found.p is not None and abs(found.p - 0.05) > 1e-6:
        assert (found.interval[0] <= 0 <= found.interval[1]) == (found.p > 0.05)


def test_what_cannot_be_told() -> None:
    assert difference([[0.1, 0.2], [0.3]]).interval is None
    same = difference([[0.3 - 0.2, 0.4 - 0.3], [0.1, 0.1]])
    assert same.p is None
    assert same.interval == pytest.approx((0.1, 0.1))


LAWS = {
    "normal": lambda rng: rng.gauss(0, 1),
    "of unlike spread": lambda rng: rng.gauss(0, 1) * rng.choice((0.2, 3)),
    "lattice": lambda rng: rng.choice((-0.25, -0.125, 0.0, 0.125, 0.25)),
    "skewed": lambda rng: rng.expovariate(1) - 1,
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("tasks", [1, 2])
def test_intervals_of_ten_pairs_are_right_about_as_often_as_they_say(law: str, tasks: int) -> None:
    """Of 400; a skewed law is known to cost some."""
    rng, right = Random(f"{law}/{tasks}"), 0
    for _ in range(400):
        scale = 1 + 3 * rng.random()
        strata = [[LAWS[law](rng) * scale**task for _ in range(10)] for task in range(tasks)]
        low, high = difference(strata).interval or (1.0, -1.0)
        right += low <= 0 <= high
    assert (0.86 if law == "skewed" else 0.91) <= right / 400 <= 0.985


@unhurried
@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1, max_size=6))
def test_the_correction_keeps_the_order_and_lies_between_none_and_bonferroni(p: dict[str, float]) -> None:
    corrected = holm(p)
    assert corrected.keys() == p.keys()
    for name, value in p.items():
        assert value <= corrected[name] <= min(1.0, len(p) * value) + 1e-12
    ranked = sorted(p, key=p.__getitem__)
    assert all(corrected[a] <= corrected[b] for a, b in pairwise(ranked))


def test_of_many_arms_that_do_nothing_few_are_said_to_do_something() -> None:
    """In 200 studies of five arms that share a baseline: the share with any false finding, at most about 5 %."""
    rng, false = Random(0), 0
    for _ in range(200):
        baseline = [rng.gauss(0, 1) for _ in range(10)]
        p = {str(arm): difference([[rng.gauss(0, 1) - b for b in baseline]]).p or 0.0 for arm in range(5)}
        false += min(holm(p).values()) <= 0.05
    assert false / 200 <= 0.08
