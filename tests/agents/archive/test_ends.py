"""How a search ended, in words."""

from __future__ import annotations

import pytest

from agents.archive.aims import Aims, Standing
from agents.archive.ends import ALL_MADE, ALLOWANCES, FLAWLESS, INTERRUPTED, UNEDITABLE, UNREAD, end_in_words


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (INTERRUPTED, "stopped by a person"),
        (ALL_MADE, "all assignments were made"),
        ("budget", "stopped by a cap of the budget"),
        ("budget: calls", "stopped by the cap budget.calls"),
        ("budget: dollars of proposer/few_shot", "stopped by the cap budget.operators.few_shot.dollars"),
        ("budget: calls of sweep", "stopped by the cap sweep.budget.calls"),
        (ALLOWANCES, f"stopped by {ALLOWANCES}"),
        (UNREAD, f"stopped, since {UNREAD}"),
        (FLAWLESS, f"stopped, since {FLAWLESS}"),
        (UNEDITABLE, f"stopped, since there is {UNEDITABLE}"),
    ],
)
def test_an_end_is_said_in_words_that_a_person_uses(reason: str, words: str) -> None:
    assert end_in_words(reason) == words


def test_a_target_that_is_reached_is_named() -> None:
    standing = Standing(Aims(target=0.5))
    standing.take(0.75)
    assert end_in_words(standing.reached(False)).startswith("stopped by target: 0.750 on validation")
