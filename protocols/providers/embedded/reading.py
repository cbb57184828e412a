"""Reads a prompt: finds keyed lines, records, the cue and the template, without prior knowledge of any."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from protocols.providers.embedded.features import fold

_KEYED = re.compile(
    r"^\s*(?P<bullet>(?:[-*•·–]|\(?\d{1,3}[.)、])\s*)?"
    r"(?P<open>[\"'`“「*]{0,3})(?P<key>[^\s:：<>{}\[\]\"'`“”「」*][^:：<>{}\[\]\"`“”「」*]{0,59}?)(?P<close>[\"'`”」*]{0,3})"
    r"\s*(?P<mark>[:：](?=\s|$|[\"'`“「*])|：|(?<=\s)(?:[-–—=→]|=>|->)(?=\s)|(?<=[\"'`”」])(?=\s))\s*(?P<value>.*)$"
)
_BULLET = re.compile(r"^\s*(?:[-*•·–]|\(?\d{1,3}[.)、])\s+(?P<item>\S.*)$")
_SLOT = re.compile(r"<(?P<angle>[^<>/=\n]{1,80})>|\[(?P<square>[^\[\]<>\n]{1,80})\]")
_LETTER = re.compile(r"[^\W\d_]")
_KEY_WORDS = 6


@dataclass(frozen=True, slots=True)
class Keyed:
    """A line `key: value` (or `- key - value`, `"key" means value`)."""

    key: str
    value: str
    bulleted: bool
    colon: bool


@dataclass(frozen=True, slots=True)
class Record:
    """Consecutive `key: value` lines with recurring keys; values may span lines. `line`: number of its last line."""

    fields: tuple[tuple[str, str], ...]
    line: int

    def get(self, key: str) -> str | None:
        """The value of `key`, ignoring case; None if there is none."""
        wanted = fold(key)
        return next((value for name, value in self.fields if name == key or fold(name) == wanted), None)

    def text(self, without: str = "") -> str:
        """The values, except those of the key `without`."""
        return "\n".join(value for name, value in self.fields if not without or fold(name) != fold(without))


@dataclass(frozen=True, slots=True)
class Step:
    """A slot of a template: the literal text before it, its wording, and the literal text after it."""

    before: str
    slot: str
    after: str


def keyed(line: str) -> Keyed | None:
    """Read one line as `key: value`; None if it is not one."""
    match = _KEYED.match(line[:2000])
    if match is None or not _LETTER.search(match["key"]) or len(match["key"].split()) > _KEY_WORDS:
        return None
    value = line[match.start("value") :].strip()
    colon = match["mark"][:1] in (":", "：")
    return Keyed(match["key"].strip(), value, match["bullet"] is not None, colon)


def bullet_item(line: str) -> str | None:
    """The text after a bullet or a number at the start of a line; None without one."""
    match = _BULLET.match(line)
    return match["item"].strip() if match else None


def slots(line: str) -> list[tuple[int, int, str]]:
    """The slots `<...>` and `[...]` in a line as (start, end, wording); tags and numbers are no slots."""
    found: list[tuple[int, int, str]] = []
    if "<" not in line and "[" not in line:
        return found
    for match in _SLOT.finditer(line):
        wording = match["angle"] or match["square"] or ""
        if _LETTER.search(wording):
            found.append((match.start(), match.end(), wording.strip()))
    return found


def record_keys(lines: Iterable[str], asked: Collection[str], names: Collection[str]) -> set[str]:
    """The folded keys of records: those of the question (`asked`), and those that occur with several values.

    `names` are never keys of records, because a prompt may define each of its answers twice.
    """
    values: dict[str, set[str]] = {}
    for line in lines:
        found = keyed(line)
        if found and found.colon and not found.bulleted and found.value:
            values.setdefault(fold(found.key), set()).add(found.value)
    return {key for key, seen in values.items() if (len(seen) > 1 or key in asked) and key not in names}


def read_records(lines: Sequence[str], keys: Collection[str]) -> tuple[list[Record], list[int]]:
    """The records in `lines`, and the numbers of the lines outside records."""
    records: list[Record] = []
    free: list[int] = []
    fields: list[list[str]] = []
    closed = True
    for number, line in enumerate([*lines, ""]):
        found = keyed(line)
        is_field = found is not None and found.colon and not found.bulleted and fold(found.key) in keys
        held = {fold(name) for name, _ in fields}
        if (is_field and found and fold(found.key) in held) or number == len(lines):
            if fields:
                records.append(Record(tuple((name, value.strip()) for name, value in fields), number - 1))
            fields, closed = [], True
        if is_field and found:
            fields.append([found.key, found.value])
            closed = False
        elif not line.strip():
            closed = closed or len(fields) >= min(2, len(keys))
        elif closed or not fields:
            free.append(number)
        else:
            fields[-1][1] += "\n" + line.strip()
    return records, free


def template(lines: Sequence[str]) -> tuple[list[Step], set[int]]:
    """The steps of the last run of template lines (`Key: <slot>` or only a slot, also quoted in a sentence), and the
    numbers of all template lines."""
    runs: list[list[Step]] = []
    numbers = set()
    previous = -2
    for number, line in enumerate(lines):
        steps = _steps(line) if len(line) < 400 else []
        if not steps:
            continue
        if number - previous > 1:
            runs.append([])
        runs[-1].extend(steps)
        numbers.add(number)
        previous = number
    return (runs[-1] if runs else []), numbers


def _steps(line: str) -> list[Step]:
    steps = []
    position = 0
    for start, end, wording in slots(line):
        before = re.sub(r"^[\s\"'`“「]*(?:[-*•]\s+)?", "", line[position:start])
        heads = list(
            re.finditer(r"(?:^|[\"'`“「:：.,，。;]\s*|\b(?=\w))((?:[^\s:：\"'`“「.,，。;]+ ?){1,4}[:：]\s*)$", before)
        )
        after = re.match(r"[\"'`”」.。]*\s*$", line[end:])
        if heads:
            steps.append(Step(heads[0][1].lstrip(), wording, ""))
        elif not before.strip() and after and position == 0:
            steps.append(Step("", wording, ""))
        position = end
    return steps
