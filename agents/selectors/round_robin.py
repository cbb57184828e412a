"""round_robin: the baseline that gives every action its turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from agents.selectors.selector import Action, Choice


class RoundRobin:
    """The action that was chosen least often, of equals the first; which comes first is drawn once per action."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._chosen: Counter[Action] = Counter()
        self._place: dict[Action, float] = {}

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """The next in turn."""
        for choice in choices:
            self._place.setdefault(choice.action, self._rng.random())
        following = min(choices, key=lambda c: (self._chosen[c.action], self._place[c.action], c.action))
        self._chosen[following.action] += 1
        return following

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        """Nothing."""
