"""The baselines: selectors that do not learn (uniform, round_robin), and bandits, which score actions by their past
rewards and ignore the state (epsilon_greedy, ucb, thompson).

Epsilon-greedy: Sutton & Barto, 2nd ed., section 2.2. UCB1: Auer, Cesa-Bianchi & Fischer (2002), figure 1. Thompson:
Thompson 1933; Russo et al., arXiv 1707.02038.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random

from agents.selectors.records import InFlight, Running
from agents.selectors.selector import Action, Choice

EPSILON = 0.1
"""The probability of a choice at random."""
C = 0.5
"""By which the width of UCB's bounds is multiplied."""


class Uniform:
    """Draws from all choices with equal probability."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """A random choice."""
        return self._rng.choice(choices)

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        """Nothing."""


class RoundRobin:
    """Chooses the action that was chosen least often; ties are broken by an order that is drawn once at random."""

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


class Bandit(ABC):
    """Chooses the action with the highest score; ties are broken at random.

    Scores are in standard deviations of all rewards from their mean, so that neither scale nor offset of the rewards
    matters.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.rewards = Running()
        self.earned: dict[Action, Running] = defaultdict(Running)
        self.in_flight: InFlight[None] = InFlight()

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """The choice with the highest score."""
        return self._begin(max(choices, key=lambda choice: (self.score(choice.action), self.rng.random())))

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        """Add the reward to the action's."""
        self.in_flight.take(choice)
        self.rewards.add(reward)
        self.earned[choice.action].add(reward)

    @abstractmethod
    def score(self, action: Action) -> float:
        """The score of an action; higher is better."""

    def visits(self, action: Action) -> int:
        """How often the action was chosen, including choices in flight."""
        return self.earned[action].count + self.in_flight.count(action)

    def total(self, action: Action) -> float:
        """The sum of the action's rewards, in standard deviations from the mean of all rewards; choices in flight
        count as the mean."""
        earned = self.earned[action]
        return earned.count * self.rewards.standard(earned.mean)

    def _begin(self, choice: Choice) -> Choice:
        self.in_flight.add(choice, None)
        return choice


class EpsilonGreedy(Bandit):
    """One choice in ten, as EPSILON says, is at random."""

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """The best so far, or one at random."""
        if self.rng.random() < EPSILON:
            return self._begin(self.rng.choice(choices))
        return super().choose(choices)

    def score(self, action: Action) -> float:
        """The mean of the action's rewards and of one more visit with the mean of all rewards."""
        return self.total(action) / (self.visits(action) + 1)


class UCB(Bandit):
    """mean + C sqrt(2 ln t / n), in deviations of the rewards; untried actions first. Visits in flight count in n
    and t at once (as in WU-UCT, arXiv 1810.11755).

    UCB1 is C = 1 for rewards in [0, 1], whose deviation is at most 1/2; it is known to explore too much for short
    runs, so it is less here.
    """

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self._chosen = 0

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """The choice with the highest bound."""
        self._chosen += 1
        return super().choose(choices)

    def score(self, action: Action) -> float:
        """The bound; infinite for an action that was never chosen."""
        visits = self.visits(action)
        if not visits:
            return math.inf
        return self.total(action) / visits + C * math.sqrt(2 * math.log(self._chosen) / visits)


class Thompson(Bandit):
    """A normal-inverse-gamma posterior of the mean and the variance of each action's reward.

    In standard deviations of all rewards from their mean, the prior is one observation of mean 0 and two of variance
    1 (m = 0, kappa = 1, alpha = 1, beta = 1). Updates as in Murphy, "Conjugate Bayesian analysis of the Gaussian
    distribution" (2007), section 3; a visit in flight counts as an observation at the prior mean.
    """

    def score(self, action: Action) -> float:
        """A draw of the mean reward from its posterior."""
        earned, visits = self.earned[action], self.visits(action)
        scale = self.rewards.variance
        mean = self.rewards.standard(earned.mean)
        within = earned.count * earned.variance / scale if scale else 0.0
        kappa, alpha = 1 + visits, 1 + earned.count / 2
        beta = 1 + within / 2 + earned.count * mean * mean / (2 * (1 + earned.count))
        variance = beta / self.rng.gammavariate(alpha, 1)
        return self.rng.gauss(self.total(action) / kappa, math.sqrt(variance / kappa))
