"""Adds examples that came later to the splits of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from protocols.data.cutting import LEAST, cut
from protocols.task import Example, KindName

Examples = tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Added:
    """`splits`: with the new examples at their ends. `new`: those of each split. `known`: examples left out because
    an earlier one has the same inputs and target; `conflicts`: left out because an earlier one, the second of the
    pair, has the same inputs and another target."""

    splits: Mapping[str, Examples]
    new: Mapping[str, Examples]
    known: Examples
    conflicts: tuple[tuple[Example, Example], ...]


def add(
    splits: Mapping[str, Examples], more: Sequence[Example], name: str, rng: Random, kind: KindName = "generation"
) -> Added:
    """Cut the examples `more` in the proportions of the splits, and put them behind these. If they are too few for
    LEAST in validation and in test, none of them goes to test. An id that is taken gets `name` before it."""
    there = {frozenset(one.inputs.items()): one for examples in splits.values() for one in examples}
    taken = {one.id for examples in splits.values() for one in examples}
    fresh: list[Example] = []
    known: list[Example] = []
    conflicts: list[tuple[Example, Example]] = []
    for one in more:
        earlier = there.setdefault(frozenset(one.inputs.items()), one)
        if earlier is one:
            fresh.append(replace(one, id=_free(one.id, name, taken)))
            taken.add(fresh[-1].id)
        elif earlier.target == one.target:
            known.append(one)
        else:
            conflicts.append((one, earlier))
    new = _cut(fresh, {split: len(examples) for split, examples in splits.items()}, rng, kind)
    return Added(
        {split: (*examples, *new[split]) for split, examples in splits.items()}, new, tuple(known), tuple(conflicts)
    )


def _cut(fresh: Sequence[Example], shares: Mapping[str, int], rng: Random, kind: KindName) -> dict[str, Examples]:
    whole = cut(fresh, shares, rng, kind)
    if all(len(whole[name]) >= LEAST for name in ("validation", "test")):
        return whole
    return {**cut(fresh, {name: n for name, n in shares.items() if name != "test"}, rng, kind), "test": ()}


def _free(identity: str, name: str, taken: set[str]) -> str:
    """An id that is not taken yet."""
    while identity in taken:
        identity = f"{name}-{identity}"
    return identity
