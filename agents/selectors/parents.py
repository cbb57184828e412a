"""The freshness of parents: which of them are exhausted."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from agents.selectors.selector import Choice
from memory.bayesian_regression import Array, Places

RATE, WEIGHT = 0.2, 5.0
"""Prior share of edits at a fresh parent that earn a reward, and its weight in edits."""
FRESH = 8.0
"""Weight of the prior that a parent is fresh, in outcomes."""
HERITAGE = 0.5
"""Share of its parent's outcomes that a child begins with."""


class Parents:
    """The freshness of each parent: its rate of rewarded edits, relative to that of a fresh parent.

    freshness = min(1, (s / p + FRESH) / (n + FRESH)), s of the parent's n edits having earned something. p is the
    rate at a fresh parent: all that earned something, over the freshness that their parents had (empirical Bayes for
    rates). A child begins with a share HERITAGE of its parent's n and s, for it is much like it.
    """

    def __init__(self) -> None:
        self._count, self._earned = array("d"), array("d")
        self._home: dict[Choice, int] = {}
        self._all_earned, self._exposure = RATE * WEIGHT, WEIGHT

    def meet(self, choices: Sequence[Choice], origin: int | None = None) -> None:
        """Register the choices of one parent, some of which may be known. `origin`: the number of the parent's own
        parent, used if it is new."""
        if all(choice in self._home for choice in choices):
            return
        number = next((self._home[choice] for choice in choices if choice in self._home), len(self._count))
        if number == len(self._count):
            self._count.append(0.0 if origin is None else HERITAGE * self._count[origin])
            self._earned.append(0.0 if origin is None else HERITAGE * self._earned[origin])
        self._home.update(dict.fromkeys(choices, number))

    def of(self, choices: Sequence[Choice]) -> Places:
        """The number of each choice's parent; all choices must be registered with `meet`."""
        return np.array([self._home[choice] for choice in choices], np.int64)

    def freshness(self) -> Array:
        """The freshness of each parent, in (0, 1], shape (parents,)."""
        rate = self._all_earned / self._exposure
        found = (np.array(self._earned) / rate + FRESH) / (np.array(self._count) + FRESH)
        return np.minimum(found, 1.0)

    def learn(self, number: int, earned: bool) -> None:
        """Add an outcome to the parent with this number."""
        self._exposure += float(self.freshness()[number])
        self._all_earned += earned
        self._count[number] += 1
        self._earned[number] += earned

    def doubt(self, keep: float) -> None:
        """Reduce the weight of all counts to a share `keep`, after a change."""
        for known in (self._count, self._earned):
            known[:] = array("d", (keep * value for value in known))
