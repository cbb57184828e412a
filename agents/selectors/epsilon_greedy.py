"""epsilon_greedy: mostly the best so far, sometimes any (Sutton & Barto, 2nd ed., section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from agents.selectors.bandit import Bandit
from agents.selectors.selector import Action, Choice


class EpsilonGreedy(Bandit):
    """`epsilon` in [0, 1]: the probability of a choice at random."""

    def __init__(self, rng: Random, epsilon: float = 0.1) -> None:
        super().__init__(rng)
        self._epsilon = epsilon

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """The best so far, or one at random."""
        if self.rng.random() < self._epsilon:
            return self._begin(self.rng.choice(choices))
        return super().choose(choices)

    def score(self, action: Action) -> float:
        """The mean of what it earned and of one visit that earned the mean of all."""
        return self.total(action) / (self.visits(action) + 1)
