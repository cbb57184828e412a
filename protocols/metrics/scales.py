"""Metrics for answers on a scale: mean absolute error and quadratic kappa."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from protocols.answers.ratings import is_number
from protocols.errors import ConfigError
from protocols.metrics.parsed import ParsedMetric
from protocols.task import Array, Counts, Example, Json, Judgement, TaskKind


class OnScale(ParsedMetric):
    """Compares the place of an answer on the scale with that of the target. Places lie in [0, 1], as the levels do if
    they are numbers, and evenly if they are names."""

    def __init__(self, kind: TaskKind) -> None:
        """`kind.labels`: the levels, at least two, the lowest first."""
        super().__init__(kind)
        numeric = all(map(is_number, kind.labels))
        values = [float(level) if numeric else float(n) for n, level in enumerate(kind.labels)]
        low, length = min(values), max(values) - min(values)
        self._places = {level: (value - low) / length for level, value in zip(kind.labels, values, strict=True)}

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer.

        :raises ConfigError: it is no level of the scale.
        """
        said, wanted = self._kind.show(answer), self._kind.show(example.target)
        if said not in self._places:
            raise ConfigError(f"the parser gives {said!r}, which is no level of the scale: {', '.join(self._places)}")
        distance = self._places[said] - self._places[wanted]
        counts = self.counts(self._places[wanted], self._places[said])
        if not distance:
            return Judgement(1.0, said, counts=counts)
        too = "too high" if distance > 0 else "too low"
        return Judgement(
            self.worth(abs(distance)), said, f"answered {said}, expected {wanted}: {too}", counts, {f"rated {too}": 1}
        )

    @abstractmethod
    def worth(self, distance: float) -> float:
        """The score of an answer at this distance from the target, a share of the scale's length."""

    def counts(self, gold: float, said: float) -> Counts:
        """The counts of one answer for the corpus value."""
        return {}


class MeanAbsoluteError(OnScale):
    """1 less the distance to the target as a share of the scale's length; over a corpus, the mean. On a scale from 1
    to 5, 0.9 is a mean absolute error of 0.4. An unreadable reply scores 0."""

    def worth(self, distance: float) -> float:
        """1 - |distance|."""
        return 1 - distance


class QuadraticKappa(OnScale):
    """1 less the squared distance; over a corpus, Cohen's kappa with quadratic weights (Cohen 1968), 0 where answers
    agree with the targets less than by chance. An unreadable reply counts as the level farthest from the target."""

    def worth(self, distance: float) -> float:
        """1 - distance²."""
        return 1 - distance**2

    def counts(self, gold: float, said: float) -> Counts:
        """Sums of places and of their squares, which determine kappa: the expected squared distance of independent
        ratings is the mean over all pairs of a target and an answer."""
        return {"gold": gold, "gold2": gold**2, "said": said, "said2": said**2, "apart2": (gold - said) ** 2}

    def missed(self, target: Json) -> Counts:
        """The counts of the level farthest from the target."""
        gold = self._places[self._kind.show(target)]
        return self.counts(gold, float(gold < 0.5))

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """1 - observed / expected squared distance, at least 0; 1 if all are one level and all answers right."""
        chance = totals["gold2"] + totals["said2"] - 2 * totals["gold"] * totals["said"] / totals["n"]
        apart = totals["apart2"]
        varied = chance > 1e-9
        kappa = 1 - np.where(varied, apart, 0.0) / np.where(varied, chance, 1.0)
        kappa = np.where(varied, kappa, np.where(apart > 1e-9, 0.0, 1.0))
        return np.clip(kappa, 0.0, 1.0)
