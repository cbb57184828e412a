"""Filling the template lines of an instruction from records.

A slot is bound to a key of the records by name. `<Key>` goes through the key's values, a group of records each;
`<words of Key>` becomes the words that set the group apart from the other groups: log-odds with a Dirichlet prior
(Monroe, Colaresi & Quinn 2008, "Fightin' Words", eq. 22).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from protocols.providers.embedded.features import UNSPACED, fold, joined, words
from protocols.providers.embedded.reading import Record, slots

OUTER, INNER = 40, 3  # groups of the first slot, and of each slot inside
WORDS = 10  # words of a slot that names no number
PRIOR = 1.0  # pseudo-count of each word, in the group and outside


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot bound to `key`; `count` is 0 for the key's values, else the number of words to write."""

    start: int
    end: int
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class Filled:
    """Lines made from one group, and for each a pattern that tells the same line with other words."""

    lines: tuple[str, ...]
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """`boost`: how much more a (folded) word weighs. `noise`: a sample's random number, 0 without a temperature."""

    boost: Mapping[str, float]
    noise: Callable[[], float]


def bound_slots(line: str, keys: Sequence[str]) -> list[Slot]:
    """The slots of a line that speak of one of `keys`."""
    bound = []
    for start, end, wording in slots(line):
        plain = [_stem(word) for word in words(wording)]
        for key in sorted(keys, key=len, reverse=True):
            parts = [_stem(word) for word in words(key)]
            if parts and plain == parts:
                bound.append(Slot(start, end, key, 0))
            elif parts and any(plain[i : i + len(parts)] == parts for i in range(len(plain))):
                number = next((int(word) for word in plain if word.isdecimal() and len(word) < 4), WORDS)
                bound.append(Slot(start, end, key, max(1, number)))
            else:
                continue
            break
    return bound


def _stem(word: str) -> str:
    folded = fold(word)
    return folded[:-1] if len(folded) > 3 and folded.endswith("s") else folded


def fill(lines: Sequence[str], records: Sequence[Record], weights: Weights, most: int = OUTER) -> list[Filled]:
    """The template `lines` once for each group, the groups with most records first and values taken in turn."""
    keys = list(dict.fromkeys(key for record in records for key, _ in record.fields))
    bound = [bound_slots(line, keys) for line in lines]
    used = list(dict.fromkeys(slot.key for row in bound for slot in row))
    pools = _pools(records, used)
    levels = list(dict.fromkeys(slot.key for row in bound for slot in row if not slot.count))
    groups = islice(_groups(levels, pools, pools, {}, weights, most), most * INNER)
    counted = dict.fromkeys(slot.key for row in bound for slot in row if slot.count)
    said = {key: [_said(record, key) for record in pools[key]] for key in counted}
    return [_write(lines, bound, values, held, said, weights) for values, held in groups]


Pools = Mapping[str, Sequence[Record]]
Said = tuple[int, Sequence[tuple[str, str]]]
"""The identity of a record, and the words of one of its values, folded and as they are."""


def _said(record: Record, key: str) -> Said:
    return id(record), [(fold(word), word) for word in words(record.get(key) or "")]


def _pools(records: Sequence[Record], used: Sequence[str]) -> dict[str, Sequence[Record]]:
    """For each key, the records that answer for it: those that hold all keys that occur together with it."""
    pools: dict[str, Sequence[Record]] = {}
    for key in used:
        holding = [record for record in records if record.get(key) is not None]
        together = [other for other in used if any(record.get(other) is not None for record in holding)]
        whole = [record for record in holding if all(record.get(other) is not None for other in together)]
        pools[key] = whole or holding
    return pools


def _groups(
    levels: Sequence[str], pools: Pools, everything: Pools, values: dict[str, str], weights: Weights, most: int
) -> Iterator[tuple[dict[str, str], Pools]]:
    """Every combination of values of the levels, with the records left for each key."""
    if not levels:
        yield values, pools
        return
    level, rest = levels[0], levels[1:]
    for value in _values(pools[level], level, weights)[:most]:
        left = {
            key: [r for r in pool if r.get(level) == value] if everything[key] == everything[level] else pool
            for key, pool in pools.items()
        }
        yield from _groups(rest, left, everything, {**values, level: value}, weights, INNER)


def _values(pool: Sequence[Record], key: str, weights: Weights) -> list[str]:
    """The distinct values, those of most records first; of equals, those that share least with the ones before."""
    held: dict[str, set[tuple[str, str]]] = {}
    count: Counter[str] = Counter()
    for record in pool:
        value = record.get(key) or ""
        if value:
            count[value] += 1
            held.setdefault(value, set()).update(pair for pair in record.fields if pair[0] != key)
    worth = {value: np.log1p(number) + weights.noise() for value, number in count.items()}
    chosen: list[str] = []
    seen: Counter[tuple[str, str]] = Counter()
    while worth and len(chosen) < OUTER:
        best = max(worth, key=lambda value: worth[value] - 0.5 * max((seen[pair] for pair in held[value]), default=0))
        del worth[best]
        seen.update(held[best])
        chosen.append(best)
    return chosen


def _write(
    lines: Sequence[str],
    bound: Sequence[Sequence[Slot]],
    values: Mapping[str, str],
    held: Pools,
    said: Mapping[str, Sequence[Said]],
    weights: Weights,
) -> Filled:
    written, patterns = [], []
    for line, row in zip(lines, bound, strict=True):
        text, pattern, position = "", "", 0
        for slot in row:
            literal = line[position : slot.start]
            if slot.count:
                found = distinctive(held[slot.key], said[slot.key], weights)[: slot.count]
                part, shape = joined(found), "(.*)"
            else:
                part = values[slot.key]
                shape = re.escape(part)
            text, pattern, position = text + literal + part, pattern + re.escape(literal) + shape, slot.end
        written.append(text + line[position:])
        patterns.append(pattern + re.escape(line[position:]))
    return Filled(tuple(written), tuple(patterns))


def distinctive(group: Sequence[Record], said: Sequence[Said], weights: Weights) -> list[str]:
    """The words that the group has `said` more than the others, most telling first, as first written."""
    written: dict[str, str] = {}
    inside, outside = Counter[str](), Counter[str]()
    members = set(map(id, group))
    for record, found in said:
        if record not in members:
            outside.update(folded for folded, _ in found)
            continue
        for folded, word in found:
            inside[folded] += 1
            written.setdefault(folded, word)
    here, there = sum(inside.values()) + PRIOR * len(inside), sum(outside.values()) + PRIOR * len(inside)
    scores = {}
    for word, count in inside.items():
        ours, theirs = count + PRIOR, outside[word] + PRIOR
        rest, more = max(here - ours, PRIOR), max(there - theirs, PRIOR)  # a group may have no other word
        odds = np.log(ours / rest) - np.log(theirs / more)
        z = float(odds / np.sqrt(1 / ours + 1 / theirs))
        scores[word] = z * weights.boost.get(word, 1.0) + weights.noise()
    best = sorted(scores, key=lambda word: -scores[word])
    return _apart([written[word] for word in best if scores[word] > 0 or not outside])


def _apart(found: Sequence[str]) -> list[str]:
    """Without bigrams of unspaced scripts that continue a better one."""
    kept: list[str] = []
    for word in found:
        unspaced = UNSPACED.match(word)
        if not unspaced or not any(word[0] == other[-1] or word[-1] == other[0] for other in kept):
            kept.append(word)
    return kept
