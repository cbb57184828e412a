"""Several replies to one question, as one outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace
from statistics import mean

from protocols.messages import Outcome
from protocols.model import Usage
from protocols.task import Counts


def averaged(outcomes: Sequence[Outcome]) -> Outcome:
    """At least one outcome of the same example: their mean score, counts, mistakes and usage; all else is that of
    the worst, the first of equals, for that is what a critic can learn from.

    Corpus metrics are quotients of sums of counts, so that means give what the counts of all replies together give.
    """
    worst = min(outcomes, key=lambda outcome: outcome.score)
    if len(outcomes) == 1:
        return worst
    return replace(
        worst,
        score=mean(outcome.score for outcome in outcomes),  # exact: that of equal scores is no other
        counts=_means([outcome.counts for outcome in outcomes]),
        mistakes=_means([outcome.mistakes for outcome in outcomes]),
        usage=_mean_usage([outcome.usage for outcome in outcomes]),
    )


def _mean_usage(usages: Sequence[Usage]) -> Usage:
    """Of one reply, to whole tokens."""
    summed = astuple(sum(usages, Usage()))
    return Usage(*(round(total / len(usages)) for total in summed))


def _means(counts: Sequence[Counts]) -> Counts:
    names = dict.fromkeys(name for one in counts for name in one)
    return {name: mean(float(one.get(name, 0.0)) for one in counts) for name in names}
