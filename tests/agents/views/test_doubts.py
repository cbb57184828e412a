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
        ({"t7": 2}, ["The critic doubts the expected answers of some training examples: t7 (1 in all)."]),
        (
            {"t7": 2, "第一": 1},
            ["The critic doubts the expected answers of some training examples: t7, 第一 (2 in all)."],
        ),
        (
            MANY,
            [
                "The critic doubts the expected answers of some training examples: "
                f"{', '.join(FIRST)}, … ({len(MANY)} in all)."
            ],
        ),
    ],
)
def test_doubted_examples_are_named_the_most_doubted_first(doubted: dict[str, int], said: list[str]) -> None:
    correct = "To correct such an answer: label CONFIG --id ID --target ANSWER; to leave the example out: --wrong."
    assert list(left_out({"doubted": doubted})) == [*said, *([correct] if said else [])]
