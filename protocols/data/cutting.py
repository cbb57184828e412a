"""One file of examples cut at random into splits, each of which has what the whole has."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from protocols.errors import DataError
from protocols.task import Example, KindName

LEAST = 3
"""Validation and test examples: on fewer, a difference is all or nothing."""


def cut(
    examples: Sequence[Example], shares: Mapping[str, float], rng: Random, kind: KindName = "generation"
) -> dict[str, tuple[Example, ...]]:
    """Splits in the proportions of `shares` (each > 0), to the nearest distinct input, but as the classes need them.

    Every class (see `classes`) is in the first split, and in each of them if it has as many distinct inputs as there
    are splits: iterative stratification (Sechidis et al. 2011), the rarest class first. Examples with equal inputs
    come into one split; within a split the order stays.
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
    """:raises DataError: there were too few examples to cut: the first split has none, or another less than LEAST."""
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
    """What training must have seen of a target: its label, or the types of its entities; nothing for other kinds."""
    match kind, example.target:
        case "classification", str() | int() as label:
            return {str(label)}
        case "ner", Mapping() as entities:
            return {str(name) for name in entities}
        case _:
            return ()


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """The places of examples whose inputs are equal, and their classes."""

    places: tuple[int, ...]
    classes: tuple[str, ...]


class _Drawing:
    """Groups that are being drawn: what is left, what each split has, and what it lacks of its share, by class and in
    all (None)."""

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
        """The class of which the fewest groups are left; None when none is."""
        return min((one for one, count in self._open.items() if count), key=lambda one: self._open[one], default=None)

    def of(self, one: str) -> list[_Group]:
        """The groups of a class that are left."""
        return [group for group in self._of[one] if group in self.left]

    def choose(self, group: _Group, one: str | None) -> str:
        """The split for a group of that class: the first one if that lacks any class of the group, or one that has
        none of the class, or else that which lacks most of it; where none lacks a whole group, that which lacks the
        greatest part of its share in all."""
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
        """Draw a group."""
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
