"""Failures, put together by what was wrong with the answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agents.prompting.requests import show_inputs
from protocols.embedding import Vector
from protocols.messages import Outcome

ALIKE = 0.4
"""The least cosine of two inputs that are alike."""
Embed = Callable[[str], Vector]
"""From a text to its vector, shape (dimension,), L2 norm 1 (or 0)."""


@dataclass(frozen=True, slots=True)
class Group:
    """Failures that share their commonest `mistake`, the most typical input first, each next one as unlike those
    before it as there is; and the example nearest to the first that came out `right`, of those with an answer that
    was expected or given here, if there is one that no larger group has."""

    mistake: str
    members: tuple[Outcome, ...]
    right: Outcome | None = None


def grouped(outcomes: Sequence[Outcome], embed: Embed) -> list[Group]:
    """The failures among some outcomes, the largest group first.

    What counts as the mistake of one that made several is the commonest over all.
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
    """Answers that hardly recur are no pair that could be confused: then the inputs must be alike."""
    said = {answer for member in members for answer in (member.target, member.answer)}
    near = [outcome for outcome in right if outcome.target in said]
    if not near and len({outcome.target for outcome in right}) == len(right):
        near = [o for o in right if float(known[o.example] @ known[members[0].example]) >= ALIKE]
    return max(near, key=lambda outcome: float(known[outcome.example] @ known[members[0].example]), default=None)


def _typical(members: Sequence[Outcome], vectors: Vector) -> list[Outcome]:
    """From the most typical one on, always the one that is farthest from those taken."""
    order = [int((vectors @ vectors.sum(axis=0)).argmax())]
    closest = vectors @ vectors[order[0]]
    while len(order) < len(members):
        closest[order] = np.inf
        order.append(int(closest.argmin()))
        closest = np.maximum(closest, vectors @ vectors[order[-1]])
    return [members[index] for index in order]
