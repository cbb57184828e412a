"""The Pareto front of survivors, by their scores on every validation example and by their length, and its result.

A candidate is on it while no other is at least as good on every example at no more tokens. Where a value is 0 there
is nothing that fewer tokens could do as well: length then counts for nothing, and the older stays. Which of them is
the result of a run is said here, by `preferred`, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from agents.archive.race import compare
from protocols.messages import Scores
from protocols.task import Array

Prefer = Literal["short", "balanced", "best"]
"""Which candidate of the archive is the result."""
WITHIN: Final[Mapping[Prefer, float]] = {"short": 1.0, "balanced": 0.5, "best": 0.0}
"""The standard errors by which the result may be worse than the best to be shorter (Breiman et al. 1984,
Classification and regression trees, 3.4.3: of trees, the smallest within one)."""
TINY = 1e-9
"""For sums of floats: a prompt that is behind on one example alone is behind by one standard error to the digit."""
UNANSWERED = -1.0
"""What a missing answer counts as: worse than any score."""


class Ranked(Protocol):
    """A survivor, as far as it is compared with others."""

    @property
    def candidate(self) -> int:
        """Its number: of two that came, the lower is the older."""

    @property
    def value(self) -> float:
        """The corpus metric on validation."""

    @property
    def tokens(self) -> int:
        """About its length as it is sent, without the input."""

    @property
    def scores(self) -> Scores:
        """On the validation examples."""


R = TypeVar("R", bound=Ranked)
Mask = npt.NDArray[np.bool_]


AGE, LENGTH, SCORES = 0, 1, 2
"""The columns of a `Front`'s rows: the number of the candidate and its length, both negative, so that more is better
everywhere, and from the third on the scores."""


class Front(Generic[R]):
    """`members` in the order in which they came, and a row of numbers for each: whoever comes is compared with all of
    them in one operation."""

    def __init__(self) -> None:
        self.members: list[R] = []
        self._rows: Array = np.zeros((0, 0))

    @property
    def scores(self) -> Array:
        """Shape (members, examples); `UNANSWERED` where there is no answer."""
        return self._rows[: len(self.members), SCORES:]

    def add(self, new: R) -> bool:
        """Take in a survivor, and drop whom it dominates; a dominated one stays out. Returns whether it is in."""
        row = np.array([-new.candidate, -rank(new.value, new.tokens)[1], *row_of(new.scores)])
        rows = self._rows[: len(self.members)]
        if self.members:
            theirs, mine = rows[:, LENGTH:], row[LENGTH:]
            ahead, behind = (theirs >= mine).all(axis=1), (theirs <= mine).all(axis=1)
            older = rows[:, AGE] > row[AGE]
            if (ahead & (~behind | older)).any():
                return False
            self._keep(~behind | (ahead & older))
        self._append(new, row)
        return True

    def drop(self, candidates: Collection[int]) -> None:
        """Take these out, as far as they are in."""
        self._keep(np.array([member.candidate not in candidates for member in self.members], np.bool_))

    def preferred(self, prefer: Prefer) -> R:
        """The result, see `preferred`."""
        return preferred(self.members, self.scores, prefer)

    def _keep(self, kept: Mask) -> None:
        if kept.all():
            return
        self._rows = self._rows[: len(self.members)][kept]
        self.members = [member for member, stays in zip(self.members, kept, strict=True) if stays]

    def _append(self, new: R, row: Array) -> None:
        count = len(self.members)
        if count == len(self._rows):  # room for as many again, so that a row is not copied for each that comes later
            grown = np.empty((max(8, 2 * count), len(row)))
            if count:
                grown[:count] = self._rows
            self._rows = grown
        self._rows[count] = row
        self.members.append(new)


def row_of(scores: Scores) -> list[float]:
    """The scores, and `UNANSWERED` for those that are missing."""
    return [UNANSWERED if score is None else score for score in scores]


def preferred(members: Sequence[R], scores: Array, prefer: Prefer) -> R:
    """Of a front, the result. The best has the highest value; of equals it is the shortest, then the first. The
    shortest is taken of those that are behind it by no more than so many standard errors of the paired difference
    (`WITHIN`), in their mean score and in value; of equals the higher value, then the first. `scores`: see
    `Front`."""
    best = min(members, key=lambda m: (*rank(m.value, m.tokens), m.candidate))
    if not WITHIN[prefer]:
        return best
    near = _may_be_near(scores, scores[members.index(best)], WITHIN[prefer])
    ordered = sorted(
        (member for member, may in zip(members, near, strict=True) if may or member is best),
        key=lambda m: (rank(m.value, m.tokens)[1], -m.value, m.candidate),
    )
    return next(member for member in ordered if member is best or _is_near(member, best, WITHIN[prefer]))


def _may_be_near(scores: Array, best: Array, errors: float) -> Mask:
    """Who is not farther behind than `_is_near` allows, but for roundings; it is asked only of those."""
    answered = (scores != UNANSWERED) & (best != UNANSWERED)
    count = np.maximum(answered.sum(axis=1), 1)
    lag = np.where(answered, best - scores, 0.0)
    mean = lag.sum(axis=1) / count
    squares = np.where(answered, (lag - mean[:, None]) ** 2, 0.0).sum(axis=1)
    near: Mask = mean <= errors * np.sqrt(squares / np.maximum(count - 1, 1) / count) + 1e-6
    return near


def _is_near(member: Ranked, best: Ranked, errors: float) -> bool:
    paired = compare(member.scores, best.scores)
    most = errors * paired.error + TINY
    return best.value - member.value <= most and -paired.gain <= most


def rank(value: float, tokens: int) -> tuple[float, float]:
    """By which a prompt is compared with others: the lower is the better. At a value of 0 all lengths are one."""
    return -value, tokens if value > 0 else math.inf
