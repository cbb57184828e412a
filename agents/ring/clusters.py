"""Failures, put together by the kind of mistake and by what the inputs are like."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agents.prompting.requests import show_inputs
from protocols.embedding import Vector
from protocols.messages import Outcome

ALIKE = 0.4
"""The least cosine to a cluster's first member."""

FIRST_LOOK = 4
"""Examples of each cluster that are shown before more of any other."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """`size` failures of one kind; `shown` are some of them, the first as the most typical."""

    size: int
    shown: tuple[Outcome, ...]


def cluster(failed: Sequence[Outcome], most: int, embed: Callable[[str], Vector]) -> list[Cluster]:
    """The clusters, largest first, with at most `most` >= 1 examples shown in all.

    Of one cluster are those whose commonest mistake, counted over all failures, is the same, and whose inputs are
    alike. Each shows `FIRST_LOOK` examples, from the largest on, then what room is left goes to further ones in the
    same order. `embed`: a text's vector, shape (dimension,), L2 norm 1 (or 0).
    """
    common = Counter(mistake for outcome in failed for mistake in outcome.mistakes)
    kinds: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in failed:
        kinds[max(sorted(outcome.mistakes), key=common.__getitem__, default="")].append(outcome)
    groups = sorted((g for members in kinds.values() for g in _alike(members, embed)), key=len, reverse=True)
    counts = [0] * len(groups)
    for limit in (FIRST_LOOK, most):
        for number, group in enumerate(groups):
            room = most - sum(counts)
            counts[number] += min(room, min(limit, len(group)) - counts[number])
    return [Cluster(len(group), tuple(group[:n])) for group, n in zip(groups, counts, strict=True) if n]


def _alike(members: Sequence[Outcome], embed: Callable[[str], Vector]) -> list[list[Outcome]]:
    """Leader clustering, from the most typical input on (Hartigan 1975, Clustering Algorithms)."""
    vectors = np.stack([embed(show_inputs(outcome.inputs)) for outcome in members])
    leaders: list[int] = []
    groups: list[list[Outcome]] = []
    for index in np.argsort(-(vectors @ vectors.sum(axis=0)), kind="stable"):
        near = vectors[leaders] @ vectors[index] if leaders else np.zeros(1)
        if leaders and near.max() >= ALIKE:
            groups[int(near.argmax())].append(members[index])
        else:
            leaders.append(int(index))
            groups.append([members[index]])
    return groups
