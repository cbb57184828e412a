"""How far a judge agrees with people who graded the same answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from protocols.data.grades import Graded
from protocols.metrics.bootstrap import SEED, Interval
from protocols.task import Array, Judgement

LEAST = 20
"""Fewest graded answers: with fewer, the interval of the agreement is nearly as wide as the scale."""
RESAMPLES = 2_000
HALF = 0.5
"""A judge's score from here on counts as a yes."""
SHOWN = 10
"""Most disagreements that are shown."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An answer that judge and person graded differently. `judge`: from 0 to 10; `reasons`: the judge's."""

    example: str
    answer: str
    person: float
    judge: float
    reasons: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """`measure`: `accuracy` where people said yes or no, compared with whether the judge gave 5 or more; else
    `correlation`, Spearman's, which does not depend on the scale. `interval`: 95 %, by bootstrap over answers.

    `kappa`: Cohen's, None for a correlation. `always`: the accuracy of always giving the commoner answer, None for a
    correlation. `means`: of the people, in their scale, and of the judge, from 0 to 10. `n`: answers with both
    grades; `ungraded`: without the judge's. `disagreements`: the largest first.
    """

    measure: Literal["accuracy", "correlation"]
    value: float
    interval: Interval
    kappa: float | None
    always: float | None
    means: tuple[float, float]
    n: int
    ungraded: int
    disagreements: tuple[Disagreement, ...]


def agreement(graded: Sequence[Graded], judged: Sequence[Judgement | None]) -> Agreement:
    """The agreement of people and judge; `judged`: the judge's verdict on each answer, None if it gave none. There
    are at least two different grades of people."""
    both = [(one, verdict) for one, verdict in zip(graded, judged, strict=True) if verdict is not None]
    people = np.array([one.grade for one, _ in both])
    scores = np.array([verdict.score for _, verdict in both])
    yes_or_no = set(people.tolist()) <= {0.0, 1.0}
    if yes_or_no:
        said = (scores >= HALF).astype(float)
        value, apart = _accuracy(people, said), np.abs(people - said) + np.abs(people - scores) / 10
        found = _bootstrap(_accuracy, people, said)
    else:
        value, apart = (
            float(np.nan_to_num(_spearman(people, scores))),
            np.abs(_ranks(people) - _ranks(scores)) / max(1, len(both)),
        )
        found = _bootstrap(_spearman, people, scores)
    order = [n for n in np.argsort(-apart, kind="stable") if apart[n] > (HALF if yes_or_no else 0.2)]
    return Agreement(
        measure="accuracy" if yes_or_no else "correlation",
        value=value,
        interval=found,
        kappa=_kappa(people, said) if yes_or_no else None,
        always=max(float(people.mean()), 1 - float(people.mean())) if yes_or_no else None,
        means=(float(people.mean()), 10 * float(scores.mean())),
        n=len(both),
        ungraded=len(graded) - len(both),
        disagreements=tuple(_disagreement(*both[n]) for n in order[:SHOWN]),
    )


def _disagreement(one: Graded, verdict: Judgement) -> Disagreement:
    return Disagreement(one.example.id, one.answer, one.grade, round(10 * verdict.score, 2), verdict.feedback)


def _bootstrap(measure: Callable[[Array, Array], float], people: Array, judge: Array) -> Interval:
    """The 95 % percentile interval over answers; resamples in which all grades are the same have no correlation."""
    rng, n = np.random.default_rng(SEED), len(people)
    drawn = rng.integers(0, n, (RESAMPLES, n))
    values = np.array([measure(people[some], judge[some]) for some in drawn])
    values = values[np.isfinite(values)]
    if not len(values):
        return -1.0, 1.0
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _accuracy(people: Array, judge: Array) -> float:
    return float((people == judge).mean())


def _kappa(people: Array, judge: Array) -> float:
    """Cohen's kappa of two yes-or-no ratings; 0 if chance alone would agree always."""
    p, q = float(people.mean()), float(judge.mean())
    chance = p * q + (1 - p) * (1 - q)
    return (_accuracy(people, judge) - chance) / (1 - chance) if chance < 1 else 0.0


def _spearman(people: Array, judge: Array) -> float:
    """The correlation of the ranks, equal grades sharing theirs; NaN if all of one side are equal."""
    a, b = _ranks(people), _ranks(judge)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else float("nan")


def _ranks(values: Array) -> Array:
    """Ranks from 0; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Array = (ends - (counts + 1) / 2)[place]
    return ranks
