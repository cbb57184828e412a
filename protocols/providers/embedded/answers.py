"""Finds the answers that a prompt allows: values of its records, names that it defines, lists that it enumerates.

Each of these sets is a candidate. The set that the prompt supports best is chosen (it matches the cue or the
template, or other sets share its members), together with sets that overlap it. Other answers cannot be given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median_low
from typing import Literal

from protocols.providers.embedded.features import UNSPACED, fold, name_words, words
from protocols.providers.embedded.reading import Record, bullet_item, keyed, slots

LONGEST = 60  # characters of an answer
MOST = 512  # answers of one set
SETS = 256  # candidate sets that are compared at most: the first ones
_QUOTES = "\"'`“”‘’「」『』*"
_SEPARATOR = re.compile(
    r"\s*(?:[,，、;；|/]\s*(?:or|and|oder|und|ou|et)?\s+|[,，、;；|]\s*|\s+(?:or|and|oder|und|ou|et)\s+|\s+/\s+|[或和与及](?![\w]*[:：]))"
)
_CLAUSE = re.compile(r"[.。!！?？](?=\s|$|[^\x00-\x7f])|[()（）\[\]<>{}\n]|(?<=[:：])\s*")


@dataclass(slots=True)
class Names:
    """A candidate set of answers. `kind`: how it was written. `support`: the evidence of that kind alone. `header`:
    the text that announces it."""

    kind: Literal["values", "defined", "listed", "inline"]
    names: tuple[str, ...]
    support: float
    header: str = ""
    folded: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.folded = frozenset(fold(name) for name in self.names)


def find_answers(lines: Sequence[str], records: Sequence[Record], goal: str, key: str) -> tuple[str, ...]:
    """The distinct answers, () if the prompt names none.

    `lines`: the lines outside the records. `goal`: the wording of the cue and of the template's last slot. `key`: the
    records' key whose values are answers.
    """
    sets = _from_records(records, key) + _from_paragraphs(lines)
    sets += [names for line in lines for names in enumerations(line)]
    sets = list({(names.folded, names.header): names for names in sets}.values())[:SETS]
    sets = [names for names in sets if len(names.folded) >= 2 or names.support >= 3]
    if not sets:
        return ()
    best = max(sets, key=lambda names: (_support(names, sets, goal), len(names.names)))
    chosen: dict[str, str] = {}
    for names in [best, *(other for other in sets if _overlap(other, best))]:
        for name in names.names:
            chosen.setdefault(fold(name), name)
    return tuple(chosen.values())[:MOST]


def _overlap(left: Names, right: Names) -> bool:
    """Whether two sets share at least half of the smaller one."""
    shared = len(left.folded & right.folded)
    smaller = min(len(left.folded), len(right.folded))
    return shared * 2 >= smaller and shared >= min(2, smaller)


def _support(names: Names, sets: Sequence[Names], goal: str) -> float:
    kinds = {other.kind for other in sets if other.kind != names.kind and _overlap(names, other)}
    return names.support + 0.7 * len(kinds) + 1.5 * alike(names.header, goal)


def alike(header: str, goal: str) -> float:
    """1 if a word of one text begins with a word of the other (`department`, `Departments`), else 0."""
    left = [fold(word) for word in words(name_words(header)) if len(word) > 3 or UNSPACED.search(word)]
    right = [fold(word) for word in words(name_words(goal)) if len(word) > 3 or UNSPACED.search(word)]
    return float(any(a.startswith(b[:-1] if len(b) > 4 else b) or b.startswith(a) for a in left for b in right))


def _from_records(records: Sequence[Record], key: str) -> list[Names]:
    values = [value for record in records if (value := record.get(key)) and _is_name(value, 8)]
    return [Names("values", tuple(dict.fromkeys(values)), 3.0, key)] if values else []


def _from_paragraphs(lines: Sequence[str]) -> list[Names]:
    """Sets of defined names and of bulleted items, one for each run of such lines."""
    sets: list[Names] = []
    defined: list[str] = []
    listed: list[str] = []
    lists = 0
    header = ""

    def flush() -> None:
        nonlocal defined, listed, lists
        if len(defined) > 1:  # a single list among sentences holds the answers; the other lines are no definitions
            sets.append(Names("defined", tuple(dict.fromkeys(defined)), 0.5 if lists == 1 else 1.2, header))
        if len(listed) > 1:
            sets.append(Names("listed", tuple(dict.fromkeys(listed)), 1.2, header))
        defined, listed, lists = [], [], 0

    for line in [*lines, "."]:
        found, item = keyed(line), bullet_item(line)
        if found and found.value and _is_name(found.key, 5):
            defined.append(found.key)
            lists += any(names.support >= 1 for names in enumerations(line))
        elif item and _is_name(item.strip(_QUOTES + " .,;"), 5):
            listed.append(item.strip(_QUOTES + " .,;"))
        elif not line.strip():
            flush()
        else:
            flush()
            header = line.strip() if line.rstrip().endswith((":", "：")) else ""
    return sets


def enumerations(line: str) -> list[Names]:
    """The lists in running text: `Teams: a, b, c`, `one of a, b or c`, `a、b、c`."""
    if len(line) > 4000:
        return []
    line = " ".join(line.split())
    found = keyed(line)
    header = found.key if found else ""
    sets = []
    for clause in _CLAUSE.split(line):
        parts = [part.strip() for part in _SEPARATOR.split(clause)]
        if len(parts) < 2:
            continue
        whole = found is not None and clause.strip() == found.value.strip(" .。")
        names = _trim(parts, whole)
        if len(names) >= 2:
            sets.append(
                Names("inline", tuple(dict.fromkeys(names)), 1.0 if whole else 0.6 + 0.1 * (len(names) > 2), header)
            )
    for _, _, wording in slots(line):
        names = _trim([part.strip() for part in re.split(r"\s*[|/,]\s*", wording)], True)
        if len(names) >= 2:
            sets.append(Names("inline", tuple(names), 1.0, header))
    return sets


def _trim(parts: Sequence[str], whole: bool) -> list[str]:
    """The items of a list without the words of the sentence before the first and after the last item."""
    parts = [part for part in parts if part]
    quoted = [
        match[1] for part in parts for match in re.finditer(r"[\"`“「']([^\"`”」']{1,60})[\"`”」'](?!\w)", part)
    ]
    if len(quoted) >= 2:
        return quoted
    if len(parts) < 2:
        return []
    middle = parts[1:-1] if not whole else parts
    typical = median_low([_size(part) for part in middle]) if middle else (2 if UNSPACED.search(parts[0]) else 1)
    if not whole:
        parts = [_last(parts[0], typical), *middle, _first(parts[-1], typical)]
    names = [part.strip(_QUOTES + " .。,:：") for part in parts]
    return [name for name in names if name] if all(_is_name(name, 5) for name in names if name) else []


def _size(text: str) -> int:
    return len(text) if UNSPACED.fullmatch(text) else len(text.split())


def _last(text: str, size: int) -> str:
    run = re.search(rf"(?:{UNSPACED.pattern})$", text)
    return run[0][-size:] if run else " ".join(text.split()[-size:])


def _first(text: str, size: int) -> str:
    run = UNSPACED.match(text)
    return run[0][:size] if run else " ".join(text.split()[:size])


def _is_name(text: str, most_words: int) -> bool:
    if not text or len(text) > LONGEST or "\n" in text or not any(map(str.isalnum, text)):
        return False
    run = UNSPACED.search(text)
    return len(run[0]) <= 12 if run else len(text.split()) <= most_words
