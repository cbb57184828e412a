"""A user is told whose expected answers the critic doubts."""

from __future__ import annotations

import pytest

from agents.views.report import MOST, left_out

MANY = {f"t{n}": 99 - n for n in range(MOST + 3)}
FIRST = [*MANY][:MOST]


@pytest.mark.parametrize(
    ("doubted", "said"),
    [
        ({}, []),
        ({"t7": 2}, ["The critic doubts the expected answer of 1 training example: t7."]),
        ({"t7": 2, "第一": 1}, ["The critic doubts the expected answers of 2 training examples: t7, 第一."]),
        (MANY, [f"The critic doubts the expected answers of {len(MANY)} training examples: {', '.join(FIRST)}, …."]),
    ],
)
def test_doubted_examples_are_named_the_most_doubted_first(doubted: dict[str, int], said: list[str]) -> None:
    assert list(left_out({"doubted": doubted})) == said
