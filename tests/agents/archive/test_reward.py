"""The reward is what the edit gained, on average: also where losers are stopped as soon as they look bad."""

from __future__ import annotations

from random import Random

import pytest

from agents.archive.race import Capital, Race, compare
from agents.archive.reward import Reward
from protocols.messages import Evaluation
from protocols.prompt import Prompt, Section

PROMPT = Prompt((Section("a", "task", "a"),))
TOTAL, ALPHA, FUTILE = 200, 0.2, 0.6


def raced(gain: float, changed: float, rng: Random) -> Evaluation:
    """A child whose answers differ from its parent's on the share `changed` of examples, by `gain` on average."""
    race = Race(Capital(ALPHA, 0.0, TOTAL), FUTILE, rng.random())
    differences: list[float] = []
    while len(differences) < TOTAL and not race.lost:
        better = rng.random() * changed < (changed + gain) / 2
        differences.append((1.0 if better else -1.0) if rng.random() < changed else 0.0)
        race.look(differences[-1])
    paired = compare(tuple(differences), (0.0,) * len(differences))
    return Evaluation(1, PROMPT, (), race.end(), paired.gain, paired.error, paired.n, 0)


@pytest.mark.parametrize(("spread", "changed"), [(0.05, 0.2), (0.1, 0.5), (0.0, 0.5)])
def test_stopping_losers_early_does_not_make_edits_look_worse_than_they_are(spread: float, changed: float) -> None:
    rng, reward = Random(0), Reward(token_price=0.0)
    gains = [max(-changed, min(changed, rng.gauss(0, spread))) for _ in range(300)]
    earned = [reward(raced(gain, changed, rng), 0) for gain in gains]
    off = sum(e - g for e, g in zip(earned, gains, strict=True)) / len(gains)
    assert abs(off) < 0.01
