"""Combines several metrics into one, and one metric over the replies of several models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Literal, TypeVar

import numpy as np

from protocols.metrics.bootstrap import Judged, Mark
from protocols.model import Finish
from protocols.task import Array, Counts, Example, Judgement, MeanScore, Metric, tally

Across = Literal["mean", "worst"]
"""How the scores of several models become one."""
T = TypeVar("T")


class Weighted:
    """The weighted mean of several metrics: of their scores for an example, and of their values for a corpus."""

    def __init__(self, parts: Sequence[tuple[str, float, Metric]]) -> None:
        """`parts`: (name, weight > 0, metric) each. The answer of the first metric is shown."""
        self._parts = parts
        self._total = sum(weight for _, weight, _ in parts)

    @property
    def metrics(self) -> list[Metric]:
        """The metrics, in order."""
        return [metric for _, _, metric in self._parts]

    async def judge(self, example: Example, reply: str, finish: Finish = "stop", sample: int = 0) -> Judgement:
        """Judge with every metric, in order.

        :raises ModelError, BudgetExhausted: a metric's own call of a model failed.
        """
        judged = [
            (name, weight, await part.judge(example, reply, finish, sample)) for name, weight, part in self._parts
        ]
        mistakes: Counter[str] = Counter()
        for _, _, one in judged:
            mistakes.update(one.mistakes)
        return Judgement(
            score=sum(weight * one.score for _, weight, one in judged) / self._total,
            answer=judged[0][2].answer,
            feedback="\n".join(dict.fromkeys(one.feedback for _, _, one in judged if one.feedback)),
            counts={
                f"{name}/{count}": value
                for name, _, one in judged
                for count, value in tally([(one.score, one.counts)]).items()
            },
            mistakes=dict(mistakes),
        )

    def attributed_to(self, assignment: int) -> Weighted:
        """This metric with its calls of a model, if any, attributed to this assignment."""
        return Weighted([(name, weight, metric.attributed_to(assignment)) for name, weight, metric in self._parts])

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """The weighted mean of the metrics, each computed from its own sums."""
        value, parts = 0.0 * totals["n"], self.parts(totals)
        for name, weight, _ in self._parts:
            value = value + weight * parts[name]
        return value / self._total

    def parts(self, totals: Mapping[str, Array]) -> Mapping[str, Array]:
        """The corpus value of each metric by its name, from the sums of the counts of all."""
        return {name: metric.corpus(_under(name, totals)) for name, _, metric in self._parts}

    @property
    def averages(self) -> bool:
        """See the function `averages`."""
        return all(averages(metric) for _, _, metric in self._parts)


class OverModels:
    """The metric of a task that several models answer, all of them each example. The score of an example is the mean
    or the lowest (`across`) of the models' scores, so a difference of two is in [-1, 1].

    The corpus value is the mean of these scores. Of a metric that is no mean of scores, such as macro F1, it is the
    mean or the lowest of the models' own values. Counts are those of each model, under its place in `models`."""

    def __init__(self, metric: Metric, models: Sequence[str], across: Across) -> None:
        """`metric`: judges each reply. `models`: two names or more."""
        self.metric, self.models, self.across = metric, tuple(models), across

    async def judge(self, example: Example, reply: str, finish: Finish = "stop", sample: int = 0) -> Judgement:
        """Judge one reply of one model.

        :raises ModelError, BudgetExhausted: the metric's own call of a model failed.
        """
        return await self.metric.judge(example, reply, finish, sample)

    def attributed_to(self, assignment: int) -> OverModels:
        """This metric with its calls of a model, if any, attributed to this assignment."""
        return OverModels(self.metric.attributed_to(assignment), self.models, self.across)

    def combined(self, values: Sequence[float]) -> float:
        """The mean or the lowest of the models' values."""
        return mean(values) if self.across == "mean" else min(values)

    def counts(self, judged: Sequence[Judged]) -> Counts:
        """The counts of an example, of which the models' replies were judged so, in the order of the models."""
        return {
            f"{place}/{name}": count
            for place, one in enumerate(judged)
            for name, count in tally([(one.score, one.counts)]).items()
        }

    def marks(self, model: str, judged: Sequence[Judged]) -> list[Mark]:
        """What one model alone contributed to the examples that were `judged` so."""
        place = str(self.models.index(model))
        found = []
        for one in judged:
            counts = dict(_under(place, one.counts))
            del counts["n"]
            found.append(Mark(counts.pop("score"), counts))
        return found

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """The value over all models, from the sums of the counts."""
        if averages(self.metric):
            return totals["score"] / totals["n"]
        values = np.array([self.metric.corpus(_under(str(place), totals)) for place in range(len(self.models))])
        over: Array = values.mean(axis=0) if self.across == "mean" else values.min(axis=0)
        return over


def averages(metric: Metric) -> bool:
    """Whether the corpus value of a metric is the mean of its scores."""
    if isinstance(metric, Weighted):
        return metric.averages
    corpus: object = type(metric).corpus
    return isinstance(metric, MeanScore) and corpus is MeanScore.corpus


def _under(name: str, counts: Mapping[str, T]) -> dict[str, T]:
    """The counts under a name, without it."""
    prefix = f"{name}/"
    return {count.removeprefix(prefix): value for count, value in counts.items() if count.startswith(prefix)}
