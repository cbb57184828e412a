"""What the bandit baselines share: they score actions by what these earned, whatever the state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from random import Random

from agents.selectors.records import InFlight, Running
from agents.selectors.selector import Action, Choice


class Bandit(ABC):
    """Chooses the action of the highest score, of equals one at random.

    Scores are in deviations of all rewards from their mean, so that neither the scale of the rewards nor an offset
    matters.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.rewards = Running()
        self.earned: dict[Action, Running] = defaultdict(Running)
        self.in_flight: InFlight[None] = InFlight()

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """The highest score."""
        return self._begin(max(choices, key=lambda choice: (self.score(choice.action), self.rng.random())))

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        """Take the reward in."""
        self.in_flight.take(choice)
        self.rewards.add(reward)
        self.earned[choice.action].add(reward)

    @abstractmethod
    def score(self, action: Action) -> float:
        """Higher is better."""

    def visits(self, action: Action) -> int:
        """How often it was chosen, those in flight included."""
        return self.earned[action].count + self.in_flight.count(action)

    def total(self, action: Action) -> float:
        """The sum of what it earned, each in deviations from the mean of all; those in flight count as the mean."""
        earned = self.earned[action]
        return earned.count * self.rewards.standard(earned.mean)

    def _begin(self, choice: Choice) -> Choice:
        self.in_flight.add(choice, None)
        return choice
