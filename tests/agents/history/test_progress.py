"""How the end of an assignment is said: a loss never looks like a gain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.history.progress import Ending


@given(st.floats(-1, 1), st.booleans())
def test_a_loss_begins_with_that_it_is_one(gain: float, best: bool) -> None:
    said = str(Ending(3, "lost", "merge", "*", 0, gain, 0.1, 9, best=best))
    assert said.startswith("lost its race: merge on *, ")
    assert "best" not in said


@pytest.mark.parametrize(
    ("gain", "best", "end"),
    [
        (0.1, True, "validation 0.500, the best so far"),
        (0.1, False, "validation 0.500"),
        (0.0, True, "validation 0.500, the result so far, though no better than its parent"),
        (-0.02, True, "validation 0.500, the result so far, though worse than its parent"),
    ],
)
def test_what_is_preferred_for_its_length_is_not_called_the_best(gain: float, best: bool, end: str) -> None:
    assert str(Ending(3, "survived", "shrink", "*", 0, gain, 0.1, 9, value=0.5, best=best)).endswith(end)
