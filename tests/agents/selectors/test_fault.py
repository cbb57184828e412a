"""Which prompt of a program is drawn: by blame first, and by what edits earn in the end."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.selectors.fault import Fault
from agents.selectors.msgd import MSGD
from agents.selectors.msgd_rl import MSGDRL
from agents.selectors.selector import WHOLE_PROGRAM, Action, Choice, Selector

STATE = np.zeros(4, np.float32)
PROMPTS = ("extract", "route", "decide")


def choices(*blamed: str) -> list[Choice]:
    """Two operators on a section of each prompt, and one edit of the whole program."""
    each = [
        Choice(Action(operator, f"{name}.task"), "task", STATE, prompt=name, blamed=name in blamed)
        for operator in "ab"
        for name in PROMPTS
    ]
    return [*each, Choice(Action("merge", "*"), "task", STATE, prompt=WHOLE_PROGRAM, blamed=bool(blamed))]


named = st.lists(st.sets(st.sampled_from(PROMPTS)), max_size=6)
outcomes = st.lists(st.tuples(st.integers(0, 6), st.floats(0, 1)), max_size=40)


@given(named, outcomes)
@settings(deadline=None)
def test_the_odds_are_positive_and_one_on_average(heard: list[set[str]], ended: list[tuple[int, float]]) -> None:
    fault = Fault()
    for blamed in heard:
        fault.hear(choices(*blamed))
    for place, earned in ended:
        fault.learn(choices()[place], earned)
    odds = fault.odds(choices())
    assert odds.pop(WHOLE_PROGRAM) == 1.0
    assert set(odds) == set(PROMPTS)
    assert min(odds.values()) > 0
    assert sum(odds.values()) == pytest.approx(len(PROMPTS))


@given(st.sampled_from(PROMPTS))
def test_blame_comes_first_and_failures_overrule_it(blamed: str) -> None:
    fault = Fault()
    fault.hear(choices(blamed))
    assert max(fault.odds(choices()), key=fault.odds(choices()).__getitem__) == blamed
    for _ in range(15):
        fault.learn(next(choice for choice in choices() if choice.prompt == blamed), 0.0)
    odds = fault.odds(choices())
    assert odds[blamed] == min(odds.values()), "nobody is believed who is wrong again and again"


@pytest.mark.parametrize("make", [MSGD, MSGDRL])
def test_most_edits_go_to_what_is_blamed_and_some_to_the_rest(make: type[MSGD] | type[MSGDRL]) -> None:
    """Before any outcome: choices in flight count for the next."""
    drawn = []
    for seed in range(200):
        selector: Selector = make(Random(seed))
        drawn.append(selector.choose(choices("route")).prompt)
    told = [prompt for prompt in drawn if prompt != WHOLE_PROGRAM]
    assert 0.5 < told.count("route") / len(told) < 0.95
    assert {*PROMPTS} <= {*told}
