"""Running moments, falls, and the reward that they are fed with."""

from __future__ import annotations

import statistics
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.archive.reward import Reward
from agents.selectors.records import Falls, Running
from protocols.messages import Evaluation
from protocols.prompt import Prompt, Section

PROMPT = Prompt((Section("task", "task", "-"),))
gains = st.floats(-1, 1)


@given(st.lists(gains, min_size=2))
def test_running_moments_are_those_of_the_list(values: list[float]) -> None:
    running = Running()
    for value in values:
        running.add(value)
    assert running.mean == pytest.approx(statistics.fmean(values), abs=1e-12)
    assert running.variance == pytest.approx(statistics.pvariance(values), abs=1e-12)


def test_a_horizon_forgets() -> None:
    running = Running(horizon=20)
    for value in [0.0] * 200 + [1.0] * 100:
        running.add(value)
    assert running.mean > 0.95


def test_a_fall_is_noticed_soon_and_noise_seldom() -> None:
    late, false = 0, 0
    for seed in range(200):
        falls, rng = Falls(), Random(seed)
        false += any([falls.add(rng.gauss(0, 1)) for _ in range(100)])
        falls = Falls()
        late += not any([falls.add(rng.gauss(-1, 1)) for _ in range(30)])
    assert false < 50
    assert late < 10


def evaluation(gain: float, error: float, paired: int) -> Evaluation:
    return Evaluation(1, PROMPT, (), gain > 0, gain, error, paired, 0)


@given(st.lists(st.tuples(gains, st.floats(0, 1), st.integers(1, 300)), min_size=1))
def test_a_reward_is_the_gain_drawn_towards_zero(outcomes: list[tuple[float, float, int]]) -> None:
    reward = Reward(token_price=0.0)
    for gain, error, paired in outcomes:
        earned = reward(evaluation(gain, error, paired), 5)
        assert 0 <= earned * np.sign(gain) <= abs(gain)


@given(gains, st.floats(0, 0.5), st.floats(0, 0.5), st.integers(1, 300))
def test_the_surer_gain_counts_for_more(gain: float, one: float, other: float, paired: int) -> None:
    sure, unsure = (Reward(0.0)(evaluation(gain, error, paired), 0) for error in sorted((one, other)))
    assert abs(sure) >= abs(unsure) - 1e-12


def test_tokens_cost_and_no_answers_say_nothing() -> None:
    assert Reward(0.001)(evaluation(0.0, 0.0, 0), 20) == -0.02
    assert Reward(0.001)(evaluation(0.0, 0.1, 30), -20) == 0.02
