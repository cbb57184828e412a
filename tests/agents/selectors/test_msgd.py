"""What an outcome does to the policy of msgd."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.selectors import msgd, records
from agents.selectors.msgd import MSGD
from agents.selectors.selector import Action, Choice

STATE = np.zeros(4, np.float32)
CHOICES = [Choice(Action(operator, section), "task", STATE) for operator in "abc" for section in "xyz"]
ACTIONS = [choice.action for choice in CHOICES]
histories = st.lists(st.floats(-1, 1), min_size=2, max_size=20).filter(
    lambda rewards: max(rewards) - min(rewards) > 1e-3
)


def after(seed: int, rewards: list[float]) -> tuple[MSGD, Choice]:
    """One that has learnt from these, and its next choice, which is in flight."""
    selector = MSGD(Random(seed))
    for reward in rewards:
        selector.learn(selector.choose(CHOICES), reward, ())
    return selector, selector.choose(CHOICES)


@given(st.integers(), histories, st.floats(0.01, 1))
@example(0, [0.0] * 7 + [-0.25, -1.0, -1.0], 1.0)
def test_what_earned_more_than_the_mean_is_likelier_than_what_earned_less(
    seed: int, rewards: list[float], apart: float
) -> None:
    """The same history but for its last reward, without alarms: after one the first reward is itself the mean."""
    mean, shares = sum(rewards) / len(rewards), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "LIMIT", math.inf)
        for reward in (mean + apart, mean - apart):
            selector, chosen = after(seed, rewards)
            selector.learn(chosen, reward, ())
            shares.append(selector.policy(CHOICES)[chosen.action])
    assert shares[0] > shares[1]


@pytest.mark.parametrize(("reward", "sign"), [(1.0, 1), (-1.0, -1)])
def test_what_shares_the_operator_or_the_section_goes_with_it(reward: float, sign: int) -> None:
    """The first reward says nothing, for it is the mean: the second moves a policy that is uniform."""
    selector, chosen = after(0, [0.0])
    selector.learn(chosen, reward, ())
    policy, action = selector.policy(CHOICES), chosen.action
    shared = {each: (each.operator == action.operator) + (each.section == action.section) for each in ACTIONS}
    for one in ACTIONS:
        for other in ACTIONS:
            if shared[one] > shared[other]:
                assert sign * policy[one] > sign * policy[other]


@given(st.integers(), histories)
def test_nothing_is_given_up(seed: int, rewards: list[float]) -> None:
    selector, _ = after(seed, rewards)
    assert min(selector.policy(CHOICES).values()) >= msgd.FLOOR / len(ACTIONS)


@pytest.mark.parametrize("loss", [0.1, 1.0, 3.0])
def test_a_visit_in_flight_costs_its_action_so_much_preference(loss: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msgd, "LOSS", loss)
    monkeypatch.setattr(msgd, "FLOOR", 0.0)
    selector = MSGD(Random(0))
    chosen = selector.choose(CHOICES).action
    policy = selector.policy(CHOICES)
    other = next(action for action in ACTIONS if action != chosen)
    assert policy[chosen] / policy[other] == pytest.approx(np.exp(-loss))


def test_after_a_change_little_is_left_of_what_was_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewards fall from 1 to -1 for good: soon the favourite of before is hardly likelier than the others."""
    monkeypatch.setattr(msgd, "LOSS", 0.0)
    monkeypatch.setattr(msgd, "FLOOR", 0.0)
    selector, favourite = MSGD(Random(0)), CHOICES[4]
    for _ in range(60):
        chosen = selector.choose(CHOICES)
        selector.learn(chosen, float(chosen is favourite), ())
    before = selector.policy(CHOICES)[favourite.action]
    shares = []
    for _ in range(12):
        selector.learn(selector.choose(CHOICES), -1.0, ())
        shares.append(selector.policy(CHOICES)[favourite.action])
    assert before > 0.5
    assert min(shares) < before / 2
