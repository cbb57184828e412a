"""uniform: the baseline that learns nothing."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from agents.selectors.selector import Choice


class Uniform:
    """Every choice is as likely as any other."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """One at random."""
        return self._rng.choice(choices)

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        """Nothing."""
