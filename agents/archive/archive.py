"""The archive: the Pareto front of the candidates that survived.

A candidate is kept while no other is at least as good on every validation example at no more tokens. For candidates
of value 0, length does not count, and the older one stays: being shorter is no merit if nothing is right. Parents
are drawn in proportion to the examples on which they are best, after GEPA (arXiv 2507.19457, section 3.3). The result
of a run is chosen by `preferred`, and nowhere else.
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
"""Standard errors by which a shorter result may be worse than the best (Breiman et al. 1984, Classification and
regression trees, 3.4.3: take the smallest tree within one standard error)."""
TINY = 1e-9
"""Tolerance for rounding: a prompt that is worse on a single example is worse by exactly one standard error."""


class Ranked(Protocol):
    """The properties by which survivors are compared."""

    @property
    def candidate(self) -> int:
        """The candidate's number; lower is older."""

    @property
    def value(self) -> float:
        """The corpus metric on validation."""

    @property
    def tokens(self) -> int:
        """Estimated length as sent, without the input."""

    @property
    def scores(self) -> Scores:
        """The scores on the validation examples."""


R = TypeVar("R", bound=Ranked)


@dataclass(frozen=True, slots=True)
class Member:
    """A survivor with everything that its children need. `value`: the corpus metric on validation, in [0, 1].
    `credit`: by section, the estimated credit of its text. `refused`, `truncated`, `unreadable`, `textless` and
    `quoted`: counts of validation replies that ended that way, see `Evaluation`.
    `tokens`: the prompt's estimated length as sent, without the input. `diagnosis`: the Critic's whole text.
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
    """The archive's member for a candidate that has won its race, or for the first prompt, which has no assignment.
    `frozen`: sections that a person has frozen since."""
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
    """Members in order of arrival. The lineage of every member is kept, including those since dropped."""

    def __init__(self, prefer: Prefer = "best") -> None:
        self._prefer: Prefer = prefer
        self.members: list[Member] = []
        self._lineage: dict[int, _Ancestor] = {}

    def add(self, member: Member) -> bool:
        """Add a survivor and drop the members that it dominates; a dominated survivor is not added. Returns whether
        it was."""
        self.members = front(self.members, member)
        if self.members[-1] is not member:
            return False
        self._lineage[member.candidate] = _Ancestor(member.parent, member.prompt, member.tokens)
        return True

    def ancestor(self, one: Member, other: Member) -> Prompt:
        """The prompt of the last common ancestor, which may be one of the two; all descend from the first prompt."""
        line = set(self._line(one.candidate))
        return self._lineage[next(number for number in self._line(other.candidate) if number in line)].prompt

    def tokens(self, candidate: int) -> int:
        """Tokens of the prompt of a present or former member."""
        return self._lineage[candidate].tokens

    def _line(self, candidate: int | None) -> Iterator[int]:
        """The member's number, its parent's, and so on to the first prompt's."""
        while candidate is not None:
            yield candidate
            candidate = self._lineage[candidate].parent

    def freeze(self, section: str) -> None:
        """Freeze a section of every member."""
        self.members = [replace(member, prompt=member.prompt.freeze((section,))) for member in self.members]

    def partners(self, member: Member, most: int) -> tuple[Partner, ...]:
        """At most `most` other members, best first, as partners for an assignment of this one."""
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
    """The Pareto front after a new survivor: `members` without those it dominates, then `new` if it is on it."""
    if any(_dominates(other, new) for other in members):
        return list(members)
    return [*(other for other in members if not _dominates(new, other)), new]


def preferred(members: Sequence[R], prefer: Prefer) -> R:
    """The result among the members of a front. The best has the highest value; ties go to the shortest, then the
    oldest. The result is the shortest of those that are behind the best by at most `WITHIN` standard errors of the
    paired difference, in mean score and in value; ties go to the higher value, then the oldest."""
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
    """Sort key of a prompt: lower is better. At a value of 0 all lengths count the same."""
    return -value, tokens if value > 0 else math.inf


def draw(members: Sequence[Member], rng: Random) -> Member:
    """Draw a parent. Each example has one vote, shared by the members that are best on it.

    Members that are the only best on no example are removed first, lowest value first, as long as another remains for
    each of their examples (GEPA, algorithm 2): otherwise many weak members that are right on the same easy examples
    would be drawn most often.
    """
    scores = np.array([[-1.0 if s is None else s for s in m.scores] for m in members])
    leads = scores == scores.max(axis=0)
    for index in sorted(range(len(members)), key=lambda i: (members[i].value, -members[i].candidate)):
        if (leads[:, leads[index]].sum(axis=0) > 1).all():
            leads[index] = False
    votes = (leads / leads.sum(axis=0)).sum(axis=1)
    return rng.choices(members, weights=votes.tolist())[0]


def best_parent(child: Prompt, assignment: Assignment) -> Partner:
    """The prompt to race against: of the parent and the partners from which the child took a section's text, the one
    with the highest mean score. So a child gains nothing by copying a better member.
    """
    taken = [
        partner
        for partner in assignment.partners
        if any(section.text and section in partner.prompt and section not in assignment.prompt for section in child)
    ]
    parent = Partner(assignment.parent, assignment.prompt, assignment.scores, assignment.credit)
    return max([parent, *taken], key=lambda member: mean(member.scores))


def _dominates(a: Ranked, b: Ranked) -> bool:
    """Whether `a` is at least as good everywhere, and better somewhere or older; no answer is worse than any."""
    left = [-1.0 if s is None else s for s in a.scores]
    right = [-1.0 if s is None else s for s in b.scores]
    (_, mine), (_, theirs) = rank(a.value, a.tokens), rank(b.value, b.tokens)
    if mine > theirs or any(x < y for x, y in zip(left, right, strict=True)):
        return False
    return left != right or mine < theirs or a.candidate < b.candidate
