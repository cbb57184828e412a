"""ucb: the highest upper confidence bound, UCB1 of Auer, Cesa-Bianchi & Fischer (2002), figure 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from agents.selectors.bandit import Bandit
from agents.selectors.selector import Action, Choice


class UCB(Bandit):
    """mean + c sqrt(2 ln t / n), in deviations of the rewards; untried actions first. Visits in flight count in n
    and t at once (as in WU-UCT, arXiv 1810.11755).

    `c` > 0: UCB1 is c = 1 for rewards in [0, 1], whose deviation is at most 1/2; it is known to explore too much for
    short runs, so the default is less.
    """

    def __init__(self, rng: Random, c: float = 0.5) -> None:
        super().__init__(rng)
        self._c, self._chosen = c, 0

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """The highest bound."""
        self._chosen += 1
        return super().choose(choices)

    def score(self, action: Action) -> float:
        """The bound; infinite for an action that was never chosen."""
        visits = self.visits(action)
        if not visits:
            return math.inf
        return self.total(action) / visits + self._c * math.sqrt(2 * math.log(self._chosen) / visits)
