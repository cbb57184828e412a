"""One file of examples cut at random into splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from protocols.task import Example


def cut(examples: Sequence[Example], shares: Mapping[str, float], rng: Random) -> dict[str, tuple[Example, ...]]:
    """Splits in the proportions of `shares` (each > 0), to the nearest distinct input.

    Examples with equal inputs come into one split; within a split the order stays.
    """
    groups: dict[object, list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault(frozenset(example.inputs.items()), []).append(index)
    drawn = list(groups.values())
    rng.shuffle(drawn)
    splits, total, start, share = {}, sum(shares.values()), 0, 0.0
    for name, part in shares.items():
        share += part
        end = round(len(drawn) * share / total)
        splits[name] = tuple(examples[index] for index in sorted(i for group in drawn[start:end] for i in group))
        start = end
    return splits
