"""Finds JSON objects and lists in any text, and compares them.

A leaf is a text, a number, true, false, null, or an empty object or list. Its path names the keys that lead to it,
and has `[]` for a member of a list, in whatever place: `items[].price`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from protocols.answers.framing import unwrapped
from protocols.task import Json
from protocols.text import fold

_DECODER = json.JSONDecoder(strict=False)
_BEGINS = re.compile(r"\{\s*[\"}]")
_BEGINS_EITHER = re.compile(r"\{\s*[\"}]|\[\s*[\"\]{\d-]")
_BEGINS_LIST = re.compile(r"\[\s*(?:[\"\]{\[\d-]|true\b|false\b|null\b)")
_INSIDE = re.compile(r"(?:\"\s*:|[}\]\"\d]\s*,|\[)\s*\Z")
"""What stands before a value that is part of another one."""
_NEAR = 40
_MOST_BROKEN = 1_000
"""The search ends after this many failed attempts, each of which may take time linear in the text's length."""


def placed(text: str) -> Iterator[tuple[int, int, Mapping[str, Json]]]:
    """The outermost JSON objects in a text, in order, each as (start, end, object)."""
    return _placed(text, _BEGINS)


def values(text: str) -> Iterator[tuple[int, int, Json]]:
    """The outermost JSON objects and lists in a text, in order, each as (start, end, value)."""
    return _placed(text, _BEGINS_EITHER)


def structure(value: Json) -> Json:
    """An object or a list, or the one that a text is as a whole, in a fence or without; None for anything else."""
    if not isinstance(value, str):
        return value if isinstance(value, Mapping | list | tuple) else None
    if "{" not in value and "[" not in value:
        return None
    bare = unwrapped(value).strip()
    found = next(_placed(bare, _BEGINS if bare.startswith("{") else _BEGINS_LIST), None)
    return found[2] if found and found[:2] == (0, len(bare)) else None


def is_structured(target: Json) -> bool:
    """Whether a target, or the JSON that its text is, is an object or a list that holds objects or lists, and so no
    list of accepted answers."""
    found = structure(target)
    nested = isinstance(found, list | tuple) and any(isinstance(one, Mapping | list | tuple) for one in found)
    return nested or isinstance(found, Mapping)


def structure_like(wanted: Json, answer: Json) -> Json:
    """The object or list that an answer is as a whole. Else of a text the last object, if an object is `wanted`, or
    the last list; None without one, if the last one is broken or was cut off, and for a part of a broken one."""
    if (whole := structure(answer)) is not None or not isinstance(answer, str):
        return whole
    begins = _BEGINS if isinstance(wanted, Mapping) else _BEGINS_LIST
    found, end, opened = None, 0, False
    for start, stop, value in _placed(answer, begins):
        opened = opened or "{" in answer[end:start] or "[" in answer[end:start]
        if not (opened and _INSIDE.search(answer[max(0, start - _NEAR) : start])):
            found = value
        end = stop
    return None if begins.search(answer, end) else found


def _placed(text: str, begins: re.Pattern[str]) -> Iterator[tuple[int, int, Any]]:
    end = broken = 0
    for begin in begins.finditer(text):
        start = begin.start()
        if start < end:
            continue
        try:
            value, end = _DECODER.raw_decode(text, start)
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # raises for a lone surrogate
            yield start, end, value
        except (ValueError, RecursionError):
            broken += 1
        if broken > _MOST_BROKEN:
            return


MOST = 4_000
"""Lists with more pairs of unequal objects than this are compared in their order: each pair is compared whole."""


@dataclass(frozen=True, slots=True)
class LeafDifference:
    """A leaf that differs, or a value of another type. `wanted`: None if it is invented; `said`: None if missing."""

    kind: Literal["missing", "wrong", "invented"]
    path: str
    wanted: Json
    said: Json

    def __str__(self) -> str:
        name = self.path or "the answer"
        if self.kind == "wrong":
            return f"{name} is {_shown(self.said)}, expected {_shown(self.wanted)}"
        return f"{self.kind} {name}: {_shown(self.wanted if self.kind == 'missing' else self.said)}"


@dataclass(slots=True)
class Compared:
    """How many leaves are `right`, and those that differ."""

    right: int = 0
    differences: list[LeafDifference] = field(default_factory=list)

    def add(self, other: Compared) -> None:
        """Include the leaves of another part."""
        self.right += other.right
        self.differences += other.differences


def json_identity(value: Json, text: Callable[[str], str] = fold, in_order: bool = True) -> Hashable:
    """What two values have in common if and only if they are equal: numbers by value (1 and 1.0), true and false
    apart from numbers, texts after `text`, objects in any order of their keys, lists in their order or in any.

    :raises RecursionError: the value is nested too deeply.
    """
    match value:
        case bool():
            return "truth", value
        case str():
            return "text", text(value)
        case Mapping():
            return "object", frozenset((key, json_identity(one, text, in_order)) for key, one in value.items())
        case list() | tuple():
            members = tuple(json_identity(one, text, in_order) for one in value)
            return "list", members if in_order else frozenset(Counter(members).items())
        case int() | float() if math.isfinite(value):
            return "number", value
    return "other", repr(value)


def leaves(value: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Each leaf with its path.

    :raises RecursionError: the value is nested too deeply.
    """
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            yield from leaves(one, _under(path, key))
    elif isinstance(value, list | tuple) and value:
        for one in value:
            yield from leaves(one, f"{path}[]")
    else:
        yield path, value


def f1(said: Json, wanted: Json, compared: Compared) -> float:
    """2 × equal leaves / (leaves of both)."""
    return 2 * compared.right / (size(said) + size(wanted))


def size(value: Json) -> int:
    """The number of leaves, at least 1."""
    return sum(1 for _ in leaves(value))


def compare_json(said: Json, wanted: Json, path: str = "") -> Compared:
    """Compare all leaves. The order of a list does not count: equal members are paired first, then objects and lists,
    the most alike first, and what is left in its order.

    :raises RecursionError: one is nested too deeply.
    """
    if _any_order(said) == _any_order(wanted):
        return Compared(right=size(wanted))
    if isinstance(said, Mapping) and isinstance(wanted, Mapping):
        return _objects(said, wanted, path)
    if isinstance(said, list | tuple) and isinstance(wanted, list | tuple):
        return _lists(said, wanted, path)
    return Compared(differences=[LeafDifference("wrong", path, wanted, said)])


def _objects(said: Mapping[str, Json], wanted: Mapping[str, Json], path: str) -> Compared:
    found = Compared()
    for key, value in wanted.items():
        under = _under(path, key)
        found.add(compare_json(said[key], value, under) if key in said else _missing(value, under))
    for key, value in said.items():
        if key not in wanted:
            found.add(_invented(value, _under(path, key)))
    return found


def _lists(said: Sequence[Json], wanted: Sequence[Json], path: str) -> Compared:
    found, path = Compared(), f"{path}[]"
    pairs = _paired(said, wanted)
    left, lacking = (_others(side, [pair[n] for pair in pairs]) for n, side in enumerate((said, wanted)))
    pairs += zip(left, lacking, strict=False)
    for a, b in pairs:
        found.add(compare_json(said[a], wanted[b], path))
    for b in lacking[len(left) :]:
        found.add(_missing(wanted[b], path))
    for a in left[len(lacking) :]:
        found.add(_invented(said[a], path))
    return found


def _paired(said: Sequence[Json], wanted: Sequence[Json]) -> list[tuple[int, int]]:
    """The places of equal members, and of objects or lists that are alike."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for b in reversed(range(len(wanted))):
        places[_any_order(wanted[b])].append(b)
    pairs = [(a, there.pop()) for a, one in enumerate(said) if (there := places[_any_order(one)])]
    left = [a for a in _others(said, [a for a, _ in pairs]) if _is_nested(said[a])]
    lacking = [b for b in _others(wanted, [b for _, b in pairs]) if _is_nested(wanted[b])]
    if len(left) * len(lacking) > MOST:
        return pairs
    alike = {(a, b): f1(said[a], wanted[b], compare_json(said[a], wanted[b])) for a in left for b in lacking}
    free_said, free_wanted = set(left), set(lacking)
    for a, b in sorted(alike, key=lambda pair: -alike[pair]):
        if alike[a, b] and a in free_said and b in free_wanted:
            pairs.append((a, b))
            free_said.remove(a)
            free_wanted.remove(b)
    return pairs


def _any_order(value: Json) -> Hashable:
    return json_identity(value, in_order=False)


def _others(members: Sequence[Json], places: Sequence[int]) -> list[int]:
    """The other places."""
    taken = set(places)
    return [place for place in range(len(members)) if place not in taken]


def _missing(value: Json, path: str) -> Compared:
    return Compared(differences=[LeafDifference("missing", name, leaf, None) for name, leaf in leaves(value, path)])


def _invented(value: Json, path: str) -> Compared:
    return Compared(differences=[LeafDifference("invented", name, None, leaf) for name, leaf in leaves(value, path)])


def _under(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _is_nested(value: Json) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _shown(value: Json) -> str:
    """JSON in one line."""
    return json.dumps(value, ensure_ascii=False, default=str)
