"""Which parents are exhausted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agents.selectors.parents import Parents
from agents.selectors.selector import Action, Choice


def choices(count: int) -> list[Choice]:
    """Open at one parent."""
    return [Choice(Action("a", f"{n}"), "task", np.zeros(2, np.float32)) for n in range(count)]


outcomes = st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60)


@given(outcomes, st.booleans())
def test_freshness_is_a_share_and_falls_with_what_fails(script: list[tuple[int, bool]], earned: bool) -> None:
    parents, met = Parents(), [choices(3) for _ in range(5)]
    for each in met:
        parents.meet(each)
    assert parents.freshness().tolist() == [1.0] * 5
    for number, well in script:
        parents.learn(number, well)
    before = parents.freshness()
    parents.learn(0, earned)
    after = parents.freshness()
    assert ((after > 0) & (after <= 1)).all()
    if not earned:
        assert after[0] <= before[0]
        assert (after[1:] >= before[1:]).all(), "fewer would have earned something anywhere"


@given(st.integers(1, 200))
def test_of_equally_many_that_fail_everywhere_no_parent_is_less_fresh_than_another(rounds: int) -> None:
    parents, met = Parents(), [choices(1) for _ in range(4)]
    for each in met:
        parents.meet(each)
    for _ in range(rounds):
        for number in range(4):
            parents.learn(number, False)
    assert np.ptp(parents.freshness()) < 1e-12


def test_a_child_has_half_of_what_its_parent_has_been_through() -> None:
    parents, first, child = Parents(), choices(2), choices(2)
    parents.meet(first)
    for _ in range(40):
        parents.learn(0, False)
    parents.meet(child, 0)
    other = choices(2)
    parents.meet(other)
    worn, heir, fresh = parents.freshness()[[parents.of(each)[0] for each in (first, child, other)]]
    assert worn < heir < fresh == 1.0


def test_choices_that_come_later_are_of_the_parent_that_they_come_with() -> None:
    parents, first = Parents(), choices(4)
    parents.meet(first[:2])
    parents.meet(choices(1))
    parents.meet(first)
    assert parents.of(first).tolist() == [0] * 4


def test_after_a_change_a_parent_is_nearly_fresh_again() -> None:
    parents, first = Parents(), choices(1)
    parents.meet(first)
    for _ in range(40):
        parents.learn(0, False)
    worn = parents.freshness()[0]
    parents.doubt(0.1)
    assert parents.freshness()[0] > 2 * worn
