"""The Pareto front of survivors, by their scores on every validation example and by their length, and its result.

A candidate is on it while no other is at least as good on every example with no more tokens. At a value of 0 length
does not count, since a shorter prompt gains nothing, and the older candidate stays. Only `preferred` decides which
member is the result of a run.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from agents.archive.guard import Guard
from agents.archive.race import compare
from protocols.messages import FIRST, Scores
from protocols.task import Array

Prefer = Literal["short", "balanced", "best"]
"""Which candidate of the archive is the result."""
WITHIN: Final[Mapping[Prefer, float]] = {"short": 1.0, "balanced": 0.5, "best": 0.0}
"""Number of standard errors by which the result may be worse than the best, to be shorter (Breiman et al. 1984,
Classification and regression trees, 3.4.3: take the smallest tree within one standard error)."""
TINY = 1e-9
"""Tolerance for rounding: a prompt that is behind on a single example is behind by exactly one standard error."""
UNANSWERED = -1.0
"""The score of a missing answer: below every real one."""


class Ranked(Protocol):
    """The properties of a survivor by which it is compared with others."""

    @property
    def candidate(self) -> int:
        """Its number; the lower of two is the older."""

    @property
    def value(self) -> float:
        """The corpus metric on validation."""

    @property
    def tokens(self) -> int:
        """Its estimated length as sent, without the input."""

    @property
    def scores(self) -> Scores:
        """The scores on the validation examples."""


R = TypeVar("R", bound=Ranked)
Mask = npt.NDArray[np.bool_]


AGE, LENGTH, SCORES = 0, 1, 2
"""The columns of a `Front`'s rows: the candidate's number and its length, both negated, so that more is better in
every column; and from the third on the scores."""


class Front(Generic[R]):
    """`members` in the order in which they were added, with a row of numbers for each, so that a new one is compared
    with all of them in one operation. `guard` None: every member may be the result."""

    def __init__(self, guard: Guard | None = None) -> None:
        self.members: list[R] = []
        self._guard, self._first, self._held = guard, Scores(), dict[int, bool]()
        self._rows: Array = np.zeros((0, 0))

    @property
    def scores(self) -> Array:
        """Shape (members, examples); `UNANSWERED` where there is no answer."""
        return self._rows[: len(self.members), SCORES:]

    def add(self, new: R) -> bool:
        """Add a survivor, unless it is dominated, and drop those that it dominates. Returns whether it was added."""
        if new.candidate == FIRST:
            self._first = new.scores
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
        """Remove these candidates, if they are members."""
        self._keep(np.array([member.candidate not in candidates for member in self.members], np.bool_))

    def preferred(self, prefer: Prefer) -> R:
        """The result: of those that the guard lets pass, see `preferred`. The first prompt passes, and so does a
        member that dominates it."""
        if self._guard is None:
            return preferred(self.members, self.scores, prefer)
        held = np.array([self._holds(self._guard, member) for member in self.members], np.bool_)
        return preferred([m for m, holds in zip(self.members, held, strict=True) if holds], self.scores[held], prefer)

    def _holds(self, guard: Guard, member: R) -> bool:
        if member.candidate not in self._held:
            self._held[member.candidate] = guard.holds(member.scores, self._first)
        return self._held[member.candidate]

    def _keep(self, kept: Mask) -> None:
        if kept.all():
            return
        self._rows = self._rows[: len(self.members)][kept]
        self.members = [member for member, stays in zip(self.members, kept, strict=True) if stays]

    def _append(self, new: R, row: Array) -> None:
        count = len(self.members)
        if count == len(self._rows):  # doubles the room, so that few additions copy all rows
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
    """The result among the members of a front. The best has the highest value; of equals it is the shortest, then the
    oldest. The result is the shortest member that is behind the best by at most `WITHIN` standard errors of the
    paired difference, both in mean score and in value; of equals the one with the higher value, then the oldest.
    `scores`: see `Front`."""
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
    """The members that `_is_near` may accept, found in one operation; with a margin for rounding."""
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
    """Sort key of prompts; the lower is the better. At a value of 0 all lengths count the same."""
    return -value, tokens if value > 0 else math.inf
