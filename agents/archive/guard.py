"""What the result of a search must not lose: the examples of before, when a search goes on with new ones."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from agents.archive.race import Capital, Race, compare, resolved
from protocols.messages import Scores

TINY = 1e-9
"""Tolerance for rounding."""


@dataclass(frozen=True, slots=True)
class Guard:
    """A candidate may be the result only if it is no worse than the first prompt on the first `old` >= 1 validation
    examples: it scores lower on none of them; or its mean is no lower, and it wins the race by which a shrunk prompt
    is accepted: at the level `alpha`, it is not worse by more than so many examples can tell (`resolved`)."""

    old: int
    alpha: float

    def holds(self, scores: Scores, first: Scores) -> bool:
        """Whether a candidate with these validation scores may be the result. `first`: the first prompt's."""
        pairs = zip(scores[: self.old], first[: self.old], strict=True)
        differences = [None if c is None else c - f for c, f in pairs if f is not None]
        if all(difference is not None and difference >= 0 for difference in differences):
            return True
        if compare(scores[: self.old], first[: self.old]).gain < -TINY:
            return False
        race = Race(Capital(self.alpha, -resolved(len(differences)), len(differences)), 0.0, 1.0)
        for difference in Random("guard").sample(differences, len(differences)):
            race.look(difference)
        return race.end()
