"""The archive: the Pareto front of the candidates that survived.

A candidate is kept while no other is at least as good on every validation example at no more tokens. Where a value
is 0 there is nothing that fewer tokens could do as well: length then counts for nothing, and the older stays. Parents
are drawn in proportion to the examples on which they are best, after GEPA (arXiv 2507.19457, section 3.3). Which of
them is the result of a run is said here, by `preferred`, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final, Literal, Protocol, TypeVar

import numpy as np

from agents.archive.credit import believed
from agents.archive.race import compare
from protocols.messages import Assignment, Credit, Critique, Outcome, Partner, Scores, mean
from protocols.model import Usage
from protocols.prompt import Prompt

Prefer = Literal["short", "balanced", "best"]
"""Which candidate of the archive is the result."""
WITHIN: Final[Mapping[Prefer, float]] = {"short": 1.0, "balanced": 0.5, "best": 0.0}
"""The standard errors by which the result may be worse than the best to be shorter (Breiman et al. 1984,
Classification and regression trees, 3.4.3: of trees, the smallest within one)."""
TINY = 1e-9
"""For sums of floats: a prompt that is behind on one example alone is behind by one standard error to the digit."""


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


@dataclass(frozen=True, slots=True)
class Member:
    """A survivor with all that its children need. `value`: the corpus metric on validation, in [0, 1]. `credit`: by
    section, what is believed of its text. `refused`, `truncated`, `unreadable`, `textless` and `quoted`: validation
    replies that ended that way, see `Evaluation`.
    `tokens`: about the prompt's length as it is sent, without the input. `diagnosis`: all that the Critic said.
    `usage`: of the validation replies."""

    candidate: int
    parent: int | None
    prompt: Prompt
    tokens: int
    scores: Scores
    value: float
    gradients: Mapping[str, str]
    outcomes: tuple[Outcome, ...]
    credit: Mapping[str, Credit] = field(default_factory=dict)
    refused: int = 0
    truncated: int = 0
    unreadable: int = 0
    textless: Mapping[str, int] = field(default_factory=dict)
    quoted: str = ""
    diagnosis: str = ""
    usage: Usage = field(default_factory=Usage)


def survivor(critique: Critique, assignment: Assignment | None, frozen: Collection[str]) -> Member:
    """The member that a candidate becomes which has won its race, or the first prompt, which had no assignment.
    `frozen`: sections that a person has frozen meanwhile."""
    evaluation = critique.evaluation
    return Member(
        candidate=critique.assignment,
        parent=None if assignment is None else assignment.parent,
        prompt=evaluation.prompt.freeze(frozen),
        tokens=evaluation.tokens,
        scores=evaluation.scores,
        value=evaluation.value,
        gradients=critique.gradients,
        outcomes=evaluation.outcomes,
        credit=believed(critique, assignment),
        refused=evaluation.refused,
        truncated=evaluation.truncated,
        unreadable=evaluation.unreadable,
        textless=evaluation.textless,
        quoted=evaluation.quoted,
        diagnosis=critique.diagnosis,
        usage=evaluation.usage,
    )


@dataclass(frozen=True, slots=True)
class _Ancestor:
    parent: int | None
    prompt: Prompt
    tokens: int


class Archive:
    """Members in the order in which they came. Of all that were ever in, the lineage is kept."""

    def __init__(self, prefer: Prefer = "best") -> None:
        self._prefer: Prefer = prefer
        self.members: list[Member] = []
        self._lineage: dict[int, _Ancestor] = {}

    def add(self, member: Member) -> bool:
        """Take a survivor in, and drop whom it dominates; a dominated one stays out. Returns whether it is in."""
        self.members = front(self.members, member)
        if self.members[-1] is not member:
            return False
        self._lineage[member.candidate] = _Ancestor(member.parent, member.prompt, member.tokens)
        return True

    def ancestor(self, one: Member, other: Member) -> Prompt:
        """The last prompt that both come from; all come from the first. It may be one of them."""
        line = set(self._line(one.candidate))
        return self._lineage[next(number for number in self._line(other.candidate) if number in line)].prompt

    def tokens(self, candidate: int) -> int:
        """How long a prompt is that is or was in."""
        return self._lineage[candidate].tokens

    def _line(self, candidate: int | None) -> Iterator[int]:
        """A member, its parent, and so on to the first prompt."""
        while candidate is not None:
            yield candidate
            candidate = self._lineage[candidate].parent

    def freeze(self, section: str) -> None:
        """Freeze a section of every member."""
        self.members = [replace(member, prompt=member.prompt.freeze((section,))) for member in self.members]

    def partners(self, member: Member, most: int) -> tuple[Partner, ...]:
        """Other members, the best first, as an assignment of this one tells of them."""
        others = [other for other in self.members if other is not member]
        best = sorted(others, key=lambda other: (-other.value, other.candidate))[:most]
        return tuple(
            Partner(
                other.candidate,
                other.prompt,
                other.scores,
                other.credit,
                self.ancestor(member, other),
                {outcome.example: outcome.score for outcome in other.outcomes},
            )
            for other in best
        )

    def best(self) -> Member:
        """The result, see `preferred`."""
        return preferred(self.members, self._prefer)


def front(members: Sequence[R], new: R) -> list[R]:
    """The Pareto front `members` with a survivor that came last, if it is on it, and without those that are not."""
    if any(_dominates(other, new) for other in members):
        return list(members)
    return [*(other for other in members if not _dominates(new, other)), new]


def preferred(members: Sequence[R], prefer: Prefer) -> R:
    """Of a front, the result. The best has the highest value; of equals it is the shortest, then the first. The
    shortest is taken of those that are behind it by no more than so many standard errors of the paired difference
    (`WITHIN`), in their mean score and in value; of equals the higher value, then the first."""
    best = min(members, key=lambda m: (*rank(m.value, m.tokens), m.candidate))
    if not WITHIN[prefer]:
        return best
    near = [member for member in members if member is best or _is_near(member, best, WITHIN[prefer])]
    return min(near, key=lambda m: (rank(m.value, m.tokens)[1], -m.value, m.candidate))


def _is_near(member: Ranked, best: Ranked, errors: float) -> bool:
    paired = compare(member.scores, best.scores)
    most = errors * paired.error + TINY
    return best.value - member.value <= most and -paired.gain <= most


def rank(value: float, tokens: int) -> tuple[float, float]:
    """By which a prompt is compared with others: the lower is the better. At a value of 0 all lengths are one."""
    return -value, tokens if value > 0 else math.inf


def draw(members: Sequence[Member], rng: Random) -> Member:
    """A parent. Each example has one vote, shared by those who are best on it.

    Who is best nowhere alone steps back, the lowest mean first, as long as others remain for each of its examples
    (GEPA, algorithm 2): otherwise a crowd of weak members, all right on the easy examples, would be drawn most.
    """
    scores = np.array([[-1.0 if s is None else s for s in m.scores] for m in members])
    leads = scores == scores.max(axis=0)
    for index in sorted(range(len(members)), key=lambda i: (members[i].value, -members[i].candidate)):
        if (leads[:, leads[index]].sum(axis=0) > 1).all():
            leads[index] = False
    votes = (leads / leads.sum(axis=0)).sum(axis=1)
    return rng.choices(members, weights=votes.tolist())[0]


def best_parent(child: Prompt, assignment: Assignment) -> Partner:
    """Of the parent and those partners whose text the child took for a section, the one with the highest mean score.

    A child that copies a better member gains nothing by it.
    """
    taken = [
        partner
        for partner in assignment.partners
        if any(section.text and section in partner.prompt and section not in assignment.prompt for section in child)
    ]
    parent = Partner(assignment.parent, assignment.prompt, assignment.scores, assignment.credit)
    return max([parent, *taken], key=lambda member: mean(member.scores))


def _dominates(a: Ranked, b: Ranked) -> bool:
    """At least as good everywhere, and better somewhere or older; a missing answer counts as worse than any."""
    left = [-1.0 if s is None else s for s in a.scores]
    right = [-1.0 if s is None else s for s in b.scores]
    (_, mine), (_, theirs) = rank(a.value, a.tokens), rank(b.value, b.tokens)
    if mine > theirs or any(x < y for x, y in zip(left, right, strict=True)):
        return False
    return left != right or mine < theirs or a.candidate < b.candidate
