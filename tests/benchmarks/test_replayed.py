"""Selectors on measured rewards: each outcome is handed out once, and what is collected is bounded."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest

from benchmarks.operators import Earned, Row
from benchmarks.replayed import ARMS, STEPS, Outcomes, collected, measured, table

EARNED = tuple(
    Earned(operator, section, reward, "survived" if reward > 0 else "lost", first, reward, 30)
    for operator, section in (("few_shot", "examples"), ("describe", "definitions"), ("self_reflection", "task"))
    for reward, first in ((0.1, True), (-0.02, True), (0.05, False), (-0.01, False))
)
ROW = Row("t", "bare", 0, {}, EARNED, {}, 1.0)


def test_each_outcome_is_handed_out_once_and_then_no_gain() -> None:
    outcomes = Outcomes(EARNED, Random(0))
    drawn = [outcomes.draw("few_shot", first=n % 2 == 0) for n in range(20)]
    assert Counter(drawn[:4]) == Counter(e for e in EARNED if e.operator == "few_shot")
    assert all(each.reward <= 0 for each in drawn[4:])


@pytest.mark.parametrize("name", ARMS)
def test_no_selector_collects_more_than_there_is(name: str) -> None:
    worth = collected(ROW, ARMS[name], seed=3)
    assert len(worth) == max(STEPS)
    assert np.all(np.diff(worth) >= 0)
    assert worth[-1] <= 100 * sum(e.reward for e in EARNED if e.reward > 0) + 1e-9


def test_a_selector_is_compared_with_uniform() -> None:
    lines = table(measured([ROW, ROW], draws=2))
    assert len(lines) == 2 + len(ARMS)
    assert next(line for line in lines if line.startswith("| uniform")).endswith("| +0.0 [+0.0, +0.0] |")
