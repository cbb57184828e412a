"""The archive: the Pareto front of the candidates that survived, with their lineage.

Parents are drawn in proportion to the examples on which they are best, after GEPA (arXiv 2507.19457, section 3.3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from itertools import accumulate
from operator import or_
from random import Random

import numpy as np

from agents.archive.credit import believed
from agents.archive.front import Front, Prefer, preferred
from agents.archive.guard import Guard
from protocols.messages import Assignment, Credit, Critique, OfModel, Outcome, Partner, Scores, Swap, mean
from protocols.model import Usage
from protocols.prompt import Prompt
from protocols.task import Array

PARTNERS = 4
"""Members of the archive that an assignment tells its operator of."""


@dataclass(frozen=True, slots=True)
class Member:
    """A survivor with everything that its children need. `value`: the corpus metric on validation, in [0, 1].
    `credit`: by section, the estimated credit of its text. `refused`, `truncated`, `unreadable`, `textless` and
    `quoted`: counts of validation replies that ended that way, see `Evaluation`.
    `tokens`: the prompt's estimated length as sent, without the input. `diagnosis`: the Critic's whole text, and
    `doubtful` the ids of outcomes whose expected answers it doubts.
    `usage` and `models`: of the validation replies, see `Evaluation`. `swaps`: with prompts of earlier survivors."""

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
    swaps: tuple[Swap, ...] = ()
    models: Mapping[str, OfModel] = field(default_factory=dict)
    doubtful: tuple[str, ...] = ()


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
        swaps=critique.swaps,
        models=evaluation.models,
        doubtful=critique.doubtful,
    )


@dataclass(frozen=True, slots=True)
class _Ancestor:
    parent: int | None
    prompt: Prompt
    tokens: int


class Archive:
    """Members in order of arrival. The lineage of every member is kept, including those since dropped."""

    def __init__(self, prefer: Prefer = "best", guard: Guard | None = None) -> None:
        self._prefer: Prefer = prefer
        self._front = Front[Member](guard)
        self._lineage: dict[int, _Ancestor] = {}
        self._best: tuple[Member, ...] = ()
        self._partners: dict[int, tuple[tuple[Member, ...], tuple[Partner, ...]]] = {}

    @property
    def members(self) -> Sequence[Member]:
        """Those that are in."""
        return self._front.members

    def add(self, member: Member) -> bool:
        """Add a survivor and drop the members that it dominates; a dominated survivor is not added. Returns whether
        it was."""
        if not self._front.add(member):
            return False
        self._lineage[member.candidate] = _Ancestor(member.parent, member.prompt, member.tokens)
        self._rank()
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
        members = self._front.members
        members[:] = [replace(member, prompt=member.prompt.freeze((section,))) for member in members]
        self._rank()

    def partners(self, member: Member) -> tuple[Partner, ...]:
        """Up to `PARTNERS` other members, the best first, as an assignment of this one tells of them; the same object
        as long as they are the same."""
        known, partners = self._partners.get(member.candidate, ((), ()))
        if known is not self._best:
            others = [other for other in self._best if other is not member][:PARTNERS]
            before = {partner.candidate: partner for partner in partners}
            partners = tuple(self._partner(member, other, before.get(other.candidate)) for other in others)
            self._partners[member.candidate] = self._best, partners
        return partners

    def _partner(self, member: Member, other: Member, before: Partner | None) -> Partner:
        if before is not None and before.prompt is other.prompt:
            return before
        trained = {outcome.example: outcome.score for outcome in other.outcomes}
        return Partner(
            other.candidate,
            other.prompt,
            other.scores,
            other.credit,
            self.ancestor(member, other),
            trained,
            swapped(member, other),
        )

    def _rank(self) -> None:
        """After a change: who is told of to others. One more than are told of, for nobody is told of itself."""
        best = nsmallest(PARTNERS + 1, self.members, key=lambda other: (-other.value, other.candidate))
        if len(best) != len(self._best) or any(a is not b for a, b in zip(best, self._best, strict=True)):
            self._best = tuple(best)
        if len(self._partners) > len(self.members):
            self._partners = {
                m.candidate: self._partners[m.candidate] for m in self.members if m.candidate in self._partners
            }

    def draw(self, parents: Sequence[Member], rng: Random) -> Member:
        """One of the members `parents`, see `draw`."""
        scores = self._front.scores
        if len(parents) < len(self.members):
            wanted = {parent.candidate for parent in parents}
            scores = scores[[member.candidate in wanted for member in self.members]]
        return draw(parents, scores, rng)

    def best(self) -> Member:
        """The result, see `Front.preferred`."""
        return self._front.preferred(self._prefer)

    def unguarded(self) -> Member:
        """What would be the result if every member might be."""
        return preferred(self.members, self._front.scores, self._prefer)


def draw(members: Sequence[Member], scores: Array, rng: Random) -> Member:
    """A parent. Each example has one vote, shared by those who are best on it. `scores`: as a `Front` has them.

    Members that are the only best on no example are removed first, lowest value first, as long as another remains for
    each of their examples (GEPA, algorithm 2): otherwise many weak members that are right on the same easy examples
    would be drawn most often.
    """
    leads = scores == scores.max(axis=0)
    order = sorted(range(len(members)), key=lambda i: (members[i].value, -members[i].candidate))
    masks = [int.from_bytes(row.tobytes(), "big") for row in np.packbits(leads[order], axis=1)]
    later = [0, *accumulate(reversed(masks), or_)][-2::-1]  # the examples of all who come after each
    kept = 0
    for index, mask, rest in zip(order, masks, later, strict=True):
        if mask & ~(kept | rest):
            kept |= mask
        else:
            leads[index] = False
    votes = (leads / leads.sum(axis=0)).sum(axis=1)
    return rng.choices(members, weights=votes.tolist())[0]


def swapped(member: Member, other: Member) -> dict[str, Credit]:
    """By prompt, how much better `member` is with the prompt of `other`. What was measured the other way round counts
    with its sign changed: the prompts of the two are compared beside the other's prompts then."""
    back = {s.prompt: Credit(-s.worth.value, s.worth.error) for s in other.swaps if s.candidate == member.candidate}
    return back | {s.prompt: s.worth for s in member.swaps if s.candidate == other.candidate}


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
