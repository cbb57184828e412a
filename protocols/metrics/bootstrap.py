"""Confidence intervals of a corpus metric, or of the difference between two, by resampling examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from protocols.task import Array, Counts, Metric, tally

RESAMPLES = 10_000
SEED = 0
"""The fixed seed of the resamples, so that the same outcomes have the same interval in every run."""
DRAWN = 2**20
"""Number of weights drawn at a time, about 24 MB; all resamples of a large split would take gigabytes."""
Interval = tuple[float, float]


class Judged(Protocol):
    """What a corpus metric is computed from: an `Outcome`, or its `Mark`."""

    @property
    def score(self) -> float:
        """In [0, 1]."""

    @property
    def counts(self) -> Counts:
        """See `Judgement`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The judgement of one reply, without the reply."""

    score: float
    counts: Counts = field(default_factory=dict)


def interval(
    metric: Metric,
    outcomes: Sequence[Judged],
    against: Sequence[Judged] = (),
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> Interval:
    """The confidence interval, at `level`, of the corpus metric. With `against`, outcomes of the same examples: of
    the difference, own value minus theirs. Paired percentile bootstrap over examples (Efron & Tibshirani 1993,
    chapter 13; Berg-Kirkpatrick et al. 2012 for corpus metrics). (0, 0) without examples."""
    n = len(outcomes)
    if not n:
        return 0.0, 0.0
    sides = [columns(side) for side in (outcomes, against) if side]
    totals = [{name: np.empty(resamples) for name in side} for side in sides]
    for start, weights in _draws(n, resamples):
        for side, sums in zip(sides, totals, strict=True):
            for name, column in side.items():
                sums[name][start : start + len(weights)] = weights @ column
    values = metric.corpus(totals[0])
    if against:
        values = values - metric.corpus(totals[1])
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _draws(n: int, resamples: int) -> Iterator[tuple[int, Array]]:
    """How often each of `n` examples is in each resample: blocks of resamples, each with the index of its first one.
    The draws are the same as if all were drawn at once."""
    rng, rows = np.random.default_rng(SEED), max(1, DRAWN // n)
    for start in range(0, resamples, rows):
        drawn = rng.multinomial(n, np.full(n, 1 / n), min(rows, resamples - start))
        yield start, drawn.astype(np.float64)


def columns(outcomes: Sequence[Judged]) -> dict[str, Array]:
    """Each count of the corpus metric per example, of shape (len(outcomes),)."""
    rows = [tally([(outcome.score, outcome.counts)]) for outcome in outcomes]
    names = sorted({name for row in rows for name in row})
    return {name: np.array([row.get(name, 0.0) for row in rows]) for name in names}
