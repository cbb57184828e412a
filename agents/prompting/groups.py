"""Groups failures by their mistakes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agents.prompting.requests import show_inputs
from protocols.embedding import Vector
from protocols.messages import Outcome

ALIKE = 0.4
"""The least cosine at which two inputs count as similar."""
Embed = Callable[[str], Vector]
"""Maps a text to its vector of shape (dimension,) and L2 norm 1 (or 0)."""


@dataclass(frozen=True, slots=True)
class Group:
    """Failures that share their commonest `mistake`: the most typical input first, then always the input least like
    those before. `right`: the correct outcome nearest to the first failure, among those whose answer was expected or
    given in the group, and that no larger group has."""

    mistake: str
    members: tuple[Outcome, ...]
    right: Outcome | None = None


def grouped(outcomes: Sequence[Outcome], embed: Embed) -> list[Group]:
    """The failures among the outcomes in groups, the largest first.

    A failure with several mistakes counts for the mistake that is commonest over all failures.
    """
    failed = [outcome for outcome in outcomes if outcome.score < 1.0]
    right = [outcome for outcome in outcomes if outcome.score >= 1.0]
    common = Counter(mistake for outcome in failed for mistake in outcome.mistakes)
    kinds: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in failed:
        kinds[max(sorted(outcome.mistakes), key=common.__getitem__, default="")].append(outcome)
    known = {outcome.example: embed(show_inputs(outcome.inputs)) for outcome in outcomes}
    groups = []
    for mistake, members in sorted(kinds.items(), key=lambda kind: -len(kind[1])):
        ordered = _typical(members, np.stack([known[member.example] for member in members]))
        near = _alike(ordered, right, known)
        right = [outcome for outcome in right if outcome is not near]
        groups.append(Group(mistake, tuple(ordered), near))
    return groups


def _alike(members: Sequence[Outcome], right: Sequence[Outcome], known: Mapping[str, Vector]) -> Outcome | None:
    """The correct outcome nearest to the first member, among those with an answer that was expected or given in the
    group. If there is none and no answer recurs, answers cannot be confused: then an outcome with a similar input."""
    said = {answer for member in members for answer in (member.target, member.answer)}
    near = [outcome for outcome in right if outcome.target in said]
    if not near and len({outcome.target for outcome in right}) == len(right):
        near = [o for o in right if float(known[o.example] @ known[members[0].example]) >= ALIKE]
    return max(near, key=lambda outcome: float(known[outcome.example] @ known[members[0].example]), default=None)


def _typical(members: Sequence[Outcome], vectors: Vector) -> list[Outcome]:
    """The members from the most typical one on, always followed by the one farthest from those before."""
    order = [int((vectors @ vectors.sum(axis=0)).argmax())]
    closest = vectors @ vectors[order[0]]
    while len(order) < len(members):
        closest[order] = np.inf
        order.append(int(closest.argmin()))
        closest = np.maximum(closest, vectors @ vectors[order[-1]])
    return [members[index] for index in order]
