"""msgd: meta-level stochastic gradient ascent on the expected reward.

Our reading of the paper's MSGD (arXiv 2510.12246; its exact equations were not at hand): the policy gradient of a
bandit, after Sutton & Barto, Reinforcement Learning (2nd ed.; below S&B).

    state        none: the policy is the same at every parent, except for which actions are open there
    action       a = (operator, section)
    policy       pi(a) ~ exp(H(a) - loss * n(a)), over the open actions, n(a) of which are in flight: a soft-max in
                 action preferences (S&B 13.2), with virtual loss (Chaslot et al. 2008, Parallel MCTS), mixed with a
                 share `floor` of the uniform policy, so that no action is given up (as in Exp3, Auer et al. 2002)
    preference   H(a) = h[operator] + h[section] + h[operator, section]: linear in three features (S&B 13.3), so that
                 an operator that works in one section is soon tried in others (ours)
    reward       the reward in running standard deviations from its running mean, which is the baseline (S&B 2.8 and
                 13.4), clipped to `clip` deviations (ours: one step size fits every task, and no single outlier
                 dominates)
    update       h[f] <- (1 - decay) h[f] + alpha_t A (1[f in a] - sum of pi_t(b) over all b with f), A the reward
                 as above and pi_t the policy as it was when a was chosen (REINFORCE with baseline, S&B 13.4; for one
                 feature per action this is the gradient bandit, S&B 2.12)
    step size    alpha_t = max(alpha / sqrt(1 + t / tau), least): Robbins & Monro (1951) first, then constant, and
                 the moments and the preferences forget slowly, to follow what drifts (S&B 2.5)
    change       where the rewards fall and stay below the baseline (CUSUM, Page 1954), the preferences shrink to a
                 share `keep` and t restarts (restarts as in CUSUM-UCB, arXiv 1711.03539)
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from agents.selectors.records import Falls, InFlight, Running
from agents.selectors.selector import Action, Choice

Feature = tuple[str, str]
Policy = Mapping[Action, float]


def features(action: Action) -> tuple[Feature, Feature, Feature]:
    """The features of an action: its operator and its section, which it shares with others, and the pair of both."""
    return (action.operator, ""), ("", action.section), (action.operator, action.section)


@dataclass(frozen=True, slots=True)
class MSGDSettings:
    """`alpha`, `least` > 0: the first and the least step size; `tau`: outcomes until it has fallen by 30 %. `decay`
    in [0, 1): of the preferences, per outcome. `loss` >= 0: preference lost per visit in flight. `horizon`: outcomes
    that the baseline averages over. `clip`: limit on a reward, in standard deviations. `keep` in [0, 1]: the share
    of the preferences kept after a change. `floor` in [0, 1]: the share of choices made at random."""

    alpha: float = 0.3
    least: float = 0.1
    tau: float = 50.0
    decay: float = 0.002
    loss: float = 0.1
    horizon: float = 100.0
    clip: float = 3.0
    keep: float = 0.1
    floor: float = 0.15


class MSGD:
    """Soft-max policy over preferences for operators, sections and pairs of them."""

    def __init__(self, rng: Random, settings: MSGDSettings | None = None) -> None:
        self._rng, self._settings = rng, settings or MSGDSettings()
        self._preference: dict[Feature, float] = defaultdict(float)
        self._in_flight: InFlight[Policy] = InFlight()
        self._rewards, self._falls = Running(self._settings.horizon), Falls()

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """A draw from the policy; the policy is kept until the outcome arrives."""
        policy = self.policy([choice.action for choice in choices])
        choice = self._rng.choices(choices, weights=list(policy.values()))[0]
        self._in_flight.add(choice, policy)
        return choice

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        """Take one step of gradient ascent."""
        policy, settings = self._in_flight.take(choice), self._settings
        self._rewards.add(reward)
        advantage = max(-settings.clip, min(settings.clip, self._rewards.standard(reward)))
        step = max(settings.alpha / math.sqrt(1 + self._rewards.count / settings.tau), settings.least)
        keep = 1 - settings.decay
        if self._falls.add(advantage):
            keep, self._rewards = settings.keep, Running(settings.horizon)
        for feature in self._preference:
            self._preference[feature] *= keep
        for action, probability in policy.items():
            for feature in features(action):
                self._preference[feature] += step * advantage * ((action == choice.action) - probability)

    def policy(self, actions: Sequence[Action]) -> dict[Action, float]:
        """The probability of each action, summing to 1."""
        loss = self._settings.loss
        preferences = {
            action: math.fsum(self._preference[feature] for feature in features(action))
            - loss * self._in_flight.count(action)
            for action in actions
        }
        highest = max(preferences.values())
        weights = {action: math.exp(preference - highest) for action, preference in preferences.items()}
        total = math.fsum(weights.values())
        floor = self._settings.floor
        return {action: (1 - floor) * weight / total + floor / len(actions) for action, weight in weights.items()}
