"""msgd: meta-level stochastic gradient ascent on the expected reward.

Our reading of the paper's MSGD (arXiv 2510.12246; its exact equations were not at hand): the policy gradient of a
bandit, after Sutton & Barto, Reinforcement Learning (2nd ed.; below S&B).

    state        none: the policy is the same at every parent, except for which actions are open there
    action       a = (operator, section)
    policy       pi(a) ~ exp(H(a) - LOSS * n(a)), over the open actions, n(a) of which are in flight: a soft-max in
                 action preferences (S&B 13.2), with virtual loss (Chaslot et al. 2008, Parallel MCTS), mixed with a
                 share FLOOR of the uniform policy, so that no action is given up (as in Exp3, Auer et al. 2002)
    preference   H(a) = h[operator] + h[section] + h[operator, section]: linear in three features (S&B 13.3), so that
                 an operator that works in one section is soon tried in others (ours). In a program of several prompts
                 h[prompt] is a fourth, and ln(f) is added, f the odds that the prompt is at fault (fault.py)
    reward       as it is given, in running deviations from its running mean, which is the baseline (S&B 2.8 and
                 13.4); at most CLIP deviations count (ours: one step size fits every task, one outlier decides
                 nothing)
    update       h[f] <- (1 - DECAY) h[f] + alpha_t A (1[f in a] - sum of pi_t(b) over all b with f), A the reward
                 as above and pi_t the policy as it was when a was chosen (REINFORCE with baseline, S&B 13.4; for one
                 feature per action this is the gradient bandit, S&B 2.12)
    step size    alpha_t = max(ALPHA / sqrt(1 + t / TAU), LEAST): Robbins & Monro (1951) first, then constant, and
                 the moments and the preferences forget slowly, to follow what drifts (S&B 2.5)
    change       where the rewards fall and stay below the baseline (CUSUM, Page 1954), the preferences shrink to a
                 share KEEP and t begins anew (restarts as in CUSUM-UCB, arXiv 1711.03539)
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random

from agents.selectors.fault import Fault
from agents.selectors.records import Falls, InFlight, Running
from agents.selectors.selector import Action, Choice

Feature = tuple[str, str]
Policy = Mapping[Action, float]
ALPHA, LEAST, TAU = 0.3, 0.1, 50.0
"""The first and the least step size, and outcomes until it has fallen by 30 %."""
DECAY = 0.002
"""Of the preferences, at each outcome."""
LOSS = 0.1
"""Preference lost by a visit in flight."""
HORIZON = 100.0
"""Outcomes that the baseline looks back on."""
CLIP = 3.0
"""Deviations of a reward, at most, that count."""
KEEP = 0.1
"""The share of the preferences that outlives a change."""
FLOOR = 0.15
"""The share of choices that are made at random."""


def features(choice: Choice) -> tuple[Feature, ...]:
    """The features of a choice: its operator and its section, which it shares with others, and the pair of both; in a
    program of several prompts its prompt, too."""
    operator, section = choice.action.operator, choice.action.section
    own = (operator, ""), ("", section), (operator, section)
    return (*own, ("", f"{choice.prompt}.")) if choice.prompt else own


class MSGD:
    """Soft-max policy over preferences for operators, sections and pairs of them."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._preference: dict[Feature, float] = defaultdict(float)
        self._in_flight: InFlight[tuple[Sequence[Choice], Policy]] = InFlight()
        self._rewards, self._falls = Running(HORIZON), Falls()
        self._fault = Fault()

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """A draw from the policy; the policy is kept until the outcome arrives."""
        policy = self.policy(choices)
        choice = self._rng.choices(choices, weights=list(policy.values()))[0]
        self._in_flight.add(choice, (choices, policy))
        return choice

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        """Take one step of gradient ascent."""
        choices, policy = self._in_flight.take(choice)
        self._rewards.add(reward)
        self._fault.learn(choice, float(reward > 0))
        self._fault.hear(successors)
        advantage = max(-CLIP, min(CLIP, self._rewards.standard(reward)))
        step = max(ALPHA / math.sqrt(1 + self._rewards.count / TAU), LEAST)
        keep = 1 - DECAY
        if self._falls.add(advantage):
            keep, self._rewards = KEEP, Running(HORIZON)
        for feature in self._preference:
            self._preference[feature] *= keep
        for other in choices:
            for feature in features(other):
                self._preference[feature] += (
                    step * advantage * ((other.action == choice.action) - policy[other.action])
                )

    def policy(self, choices: Sequence[Choice]) -> dict[Action, float]:
        """The probability of each action, summing to 1."""
        preferences = {
            choice.action: math.fsum(self._preference[feature] for feature in features(choice))
            - LOSS * self._in_flight.count(choice.action)
            for choice in choices
        }
        if choices[0].prompt:
            odds = self._fault.odds(choices)
            for choice in choices:
                preferences[choice.action] += math.log(odds[choice.prompt])
        highest = max(preferences.values())
        weights = {action: math.exp(preference - highest) for action, preference in preferences.items()}
        total = math.fsum(weights.values())
        return {action: (1 - FLOOR) * weight / total + FLOOR / len(choices) for action, weight in weights.items()}
