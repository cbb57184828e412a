"""The first prompt and the winner on the examples of before and on those that came later, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TypeVar

from agents.archive.archive import Archive
from agents.archive.race import NORMAL, compare
from agents.results.comparison import Answer
from agents.ring.evaluator import value_of
from protocols.messages import Outcome, Scores, mean
from protocols.metrics.bootstrap import Interval, interval
from protocols.task import Example, Metric, Task

T = TypeVar("T")
SIDE = NORMAL.inv_cdf(0.975)
"""Standard errors from the middle of a 95 % interval to its ends."""


@dataclass(frozen=True, slots=True)
class Change:
    """Two prompts on the `n` examples that both answered: the value of the first, that of the other, and the
    difference with its 95 % `interval`."""

    first: float
    best: float
    difference: float
    interval: Interval
    n: int


@dataclass(frozen=True, slots=True)
class Parts:
    """The examples of before (`old`), and those that came later (`new`); None where there are none."""

    old: Change | None = None
    new: Change | None = None


@dataclass(frozen=True, slots=True)
class OldAndNew:
    """`validation`: the mean scores; `test`: the metric. `refused`: the candidate that would be the result if it were
    not worse than the first prompt on the old validation examples, where it has the scores `refused_old`; None if
    there is none."""

    validation: Parts
    test: Parts
    refused: int | None = None
    refused_old: Change | None = None


def change(metric: Metric, first: Sequence[Answer], best: Sequence[Answer]) -> Change | None:
    """Two prompts on the same examples, by the task's metric, with the interval of a paired bootstrap; None if both
    answered none."""
    pairs = [(f, b) for f, b in zip(first, best, strict=True) if isinstance(f, Outcome) and isinstance(b, Outcome)]
    if not pairs:
        return None
    before, after = [f for f, _ in pairs], [b for _, b in pairs]
    old, new = value_of(metric, before), value_of(metric, after)
    return Change(old, new, new - old, interval(metric, after, before), len(pairs))


def test_parts(task: Task, first: Sequence[Answer], best: Sequence[Answer]) -> Parts:
    """Both parts of the test split, whose answers these are, in its order."""
    return _parts(task, task.test, first, best, lambda before, after: change(task.metric, before, after))


def old_and_new(task: Task, archive: Archive, first: Scores, test: Parts) -> OldAndNew | None:
    """The result of an archive beside the first prompt, which has these validation scores; None if no examples came
    later."""
    if not task.new:
        return None
    winner, unguarded = archive.best(), archive.unguarded()
    validation = _parts(task, task.validation, first, winner.scores, _of_scores)
    if unguarded.candidate == winner.candidate:
        return OldAndNew(validation, test)
    refused = _parts(task, task.validation, first, unguarded.scores, _of_scores).old
    return OldAndNew(validation, test, unguarded.candidate, refused)


def _parts(
    task: Task,
    examples: Sequence[Example],
    first: Sequence[T],
    best: Sequence[T],
    compared: Callable[[Sequence[T], Sequence[T]], Change | None],
) -> Parts:
    new = [example.id in task.new for example in examples]
    old = [not each for each in new]
    return Parts(*(compared([*compress(first, part)], [*compress(best, part)]) for part in (old, new)))


def _of_scores(first: Sequence[float | None], best: Sequence[float | None]) -> Change | None:
    paired = compare(tuple(best), tuple(first))
    if not paired.n:
        return None
    known = [(f, b) for f, b in zip(first, best, strict=True) if f is not None and b is not None]
    before, after = mean(tuple(f for f, _ in known)), mean(tuple(b for _, b in known))
    aside = SIDE * paired.error
    return Change(before, after, paired.gain, (paired.gain - aside, paired.gain + aside), paired.n)
