"""Cuts one file of examples at random into splits, stratified by class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from protocols.errors import DataError
from protocols.task import Example, KindName

LEAST = 3
"""Fewest validation and test examples; with fewer, a difference is all or nothing."""


def cut(
    examples: Sequence[Example], shares: Mapping[str, float], rng: Random, kind: KindName = "generation"
) -> dict[str, tuple[Example, ...]]:
    """Splits in the proportions of `shares` (each > 0) of the distinct inputs, rounded, as far as the classes allow.

    Every class (see `classes`) is in the first split, and in every split if it has as many distinct inputs as there
    are splits: iterative stratification (Sechidis et al. 2011), the rarest class first. Examples with equal inputs
    go into the same split; within a split the order is kept.
    """
    groups = _groups(examples, kind)
    rng.shuffle(groups)
    drawing = _Drawing(groups, shares)
    while (rarest := drawing.rarest()) is not None:
        for group in drawing.of(rarest):
            drawing.put(group, drawing.choose(group, rarest))
    for group in list(drawing.left):
        drawing.put(group, drawing.choose(group, None))
    return {
        name: tuple(examples[index] for index in sorted(index for group in drawn for index in group.places))
        for name, drawn in drawing.drawn.items()
    }


def check_cut(splits: Mapping[str, Sequence[Example]], shares: Mapping[str, float], kind: KindName) -> None:
    """:raises DataError: too few examples: the first split is empty, or another has fewer than `LEAST`."""
    sizes = {name: len(examples) for name, examples in splits.items()}
    first, *others = sizes
    if sizes[first] and all(sizes[name] >= LEAST for name in others):
        return
    left = ", ".join(f"{size} for {name}" for name, size in sizes.items())
    total, whole = sum(sizes.values()), sum(shares.values())
    known = {one for examples in splits.values() for example in examples for one in classes(example, kind)}
    among = f" of {len(known)} classes" if known else ""
    needed = [math.ceil(LEAST * whole / shares[name] - 1e-9) for name in others]
    least = max(total + 1, len(known) + LEAST * len(others), *needed)
    raise DataError(
        f"{total} examples{among} are too few to be cut into three splits: that leaves {left}, and {first} needs one "
        f"of each class, the others {LEAST} each; give {least} or more (hundreds, for differences that mean "
        "something), or name the three splits yourself"
    )


def classes(example: Example, kind: KindName) -> Collection[str]:
    """The classes of a target: its label or labels, or the types of its entities; none for other kinds of task."""
    match kind, example.target:
        case "classification" | "ordinal", str() | int() | float() as label:
            return {str(label)}
        case "multilabel", list() | tuple() as labels:
            return set(map(str, labels))
        case "ner", Mapping() as entities:
            return {str(name) for name in entities}
        case _:
            return ()


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """The indices of examples with equal inputs, and their classes."""

    places: tuple[int, ...]
    classes: tuple[str, ...]


class _Drawing:
    """The state of the cutting: the groups `left`, those `drawn` for each split, and how many each split still lacks
    of its share, by class and in total (None)."""

    def __init__(self, groups: Sequence[_Group], shares: Mapping[str, float]) -> None:
        self.left = dict.fromkeys(groups)
        self.drawn: dict[str, list[_Group]] = {name: [] for name in shares}
        self._shares, whole = shares, sum(shares.values())
        self._of: dict[str, list[_Group]] = {}
        for group in groups:
            for one in group.classes:
                self._of.setdefault(one, []).append(group)
        self._open = Counter({one: len(having) for one, having in self._of.items()})
        self._lacks: dict[str, dict[str | None, float]] = {}
        self._has: dict[str, set[str]] = {name: set() for name in shares}
        end, share = 0, 0.0
        for name, part in shares.items():
            share += part
            start, end = end, round(len(groups) * share / whole)
            self._lacks[name] = {one: count * part / whole for one, count in self._open.items()} | {None: end - start}

    def rarest(self) -> str | None:
        """The class with the fewest groups left; None if no group with a class is left."""
        return min((one for one, count in self._open.items() if count), key=lambda one: self._open[one], default=None)

    def of(self, one: str) -> list[_Group]:
        """The remaining groups of a class."""
        return [group for group in self._of[one] if group in self.left]

    def choose(self, group: _Group, one: str | None) -> str:
        """The split for a group of the class `one`: the first split if it has not all classes of the group; else a
        split without this class; else the split that lacks most of it. If none lacks a whole group, the split that
        lacks the greatest part of its total share."""
        first, *_ = self.drawn
        if not self._has[first].issuperset(group.classes):
            return first
        without = [name for name in self.drawn if one is not None and one not in self._has[name]]
        if without:
            return without[0]
        lacks = {name: self._lacks[name][one] for name in self.drawn}
        most = max(lacks.values())
        if most >= 1:
            return max(lacks, key=lambda name: lacks[name])
        lacking = [name for name, lack in lacks.items() if lack > 0 or most <= 0]
        return max(lacking, key=lambda name: self._lacks[name][None] / self._shares[name])

    def put(self, group: _Group, split: str) -> None:
        """Put a group into a split."""
        del self.left[group]
        self.drawn[split].append(group)
        self._has[split].update(group.classes)
        self._open.subtract(group.classes)
        for one in (None, *group.classes):
            self._lacks[split][one] -= 1


def _groups(examples: Sequence[Example], kind: KindName) -> list[_Group]:
    alike: dict[object, list[int]] = {}
    for index, example in enumerate(examples):
        alike.setdefault(frozenset(example.inputs.items()), []).append(index)
    return [
        _Group(tuple(places), tuple(sorted({one for place in places for one in classes(examples[place], kind)})))
        for places in alike.values()
    ]
