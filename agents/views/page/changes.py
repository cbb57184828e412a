"""The differences of two prompts, section by section, in bounded time for any length."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from protocols.files.prompt_file import readable
from protocols.prompt import Prompt, Section
from protocols.text import printable

Json = dict[str, Any]
MATCHED = 2_000
"""Most lines of both texts together that are matched, since the time may grow with the product of their numbers."""
LONGEST = 20_000
"""Most characters of a text in a report; the journal has whole texts."""


def changes(before: Prompt | None, after: Prompt, most: int | None = None) -> list[Json]:
    """The change of each section, in the order of `after`, then removed sections. `most`: most characters of a text.

    `lines` are [mark, text]: kept (`=`), removed (`-`) and added (`+`).
    """
    old, new = _sections(before or ()), _sections(after)
    moved = [name for name in new if name in old] != [name for name in old if name in new]
    rows = []
    for name in [*new, *(name for name in old if name not in new)]:
        section, left, right = new.get(name) or old[name], _text(old, name, most), _text(new, name, most)
        rows.append(
            {
                "section": name,
                "kind": section.kind,
                "change": _change(before is not None, old.get(name), new.get(name)),
                "lines": lines(left, right),
            }
        )
    return [{"section": "*", "kind": "order", "change": "moved", "lines": _order(old, new)}, *rows] if moved else rows


def lines(before: str, after: str) -> list[list[str]]:
    """The lines of both texts as [mark, line], with the marks of `changes`."""
    left, right = before.split("\n") if before else [], after.split("\n") if after else []
    if before == after or len(left) + len(right) > MATCHED:
        same = before == after
        return [["=" if same else "-", line] for line in left] + ([] if same else [["+", line] for line in right])
    found: list[list[str]] = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        found += [["=" if tag == "equal" else "-", line] for line in left[a:b]]
        found += [] if tag == "equal" else [["+", line] for line in right[c:d]]
    return found


def fit(text: str, most: int | None = None) -> str:
    """`text` made printable, cut at `most` characters."""
    if most is None or len(text) <= most:
        return printable(text)
    return f"{printable(text[:most])}\n[… {len(text) - most:,} characters more]"


def _sections(sections: Iterable[Section]) -> dict[str, Section]:
    return {section.name: section for section in sections}


def _text(sections: dict[str, Section], name: str, most: int | None) -> str:
    return fit(readable(sections[name]), most) if name in sections else ""


def _change(compared: bool, before: Section | None, after: Section | None) -> str:
    if before is None or after is None:
        return "" if not compared else "added" if before is None else "removed"
    return "same" if before == after else "changed"


def _order(old: dict[str, Section], new: dict[str, Section]) -> list[list[str]]:
    return [["-", ", ".join(old)], ["+", ", ".join(new)]]
