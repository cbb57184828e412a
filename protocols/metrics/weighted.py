"""Combines several metrics into one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from protocols.model import Finish
from protocols.task import Array, Example, Judgement, Metric, tally


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
        values = {}
        for name, _, metric in self._parts:
            prefix = f"{name}/"
            own = {count.removeprefix(prefix): total for count, total in totals.items() if count.startswith(prefix)}
            values[name] = metric.corpus(own)
        return values
