"""Splits a text that holds a list into items, so that they can be reordered without losing anything."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

MARK = re.compile(r"(?:[-*•·]|\d+[.)])[ \t]+")
"""The mark that begins an item of a list."""


@dataclass(frozen=True, slots=True)
class Item:
    """The text of an item after its mark. `answer`: the first answer that it names; "" for none."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Itemised:
    """A text that holds a list: the text before it (`head`), the `marks` of its items, and the items."""

    head: str
    marks: Sequence[str]
    items: Sequence[Item]

    def of(self, items: Sequence[Item]) -> str:
        """The text with its items in this order."""
        lines = [f"{mark}{item.text}" for mark, item in zip(self.marks, items, strict=True)]
        return "\n".join([self.head] * bool(self.head) + lines)


def itemised(text: str, known: Collection[str]) -> Itemised:
    """The items of a text. An unindented line with a mark, or a line that begins with an answer, begins an item; the
    lines after it belong to it. `known`: the possible answers."""
    answer = _pattern(known)
    head, marks, items = list[str](), list[str](), list[list[str]]()
    for line in text.split("\n"):
        mark = MARK.match(line)
        if mark or (answer and answer.match(line)):
            marks.append(mark[0] if mark else "")
            items.append([line[len(marks[-1]) :]])
        else:
            (items[-1] if items else head).append(line)
    named = ["\n".join(lines) for lines in items]
    first = [answer.search(item) if answer else None for item in named]
    return Itemised(
        "\n".join(head),
        marks,
        [Item(item, found[0] if found else "") for item, found in zip(named, first, strict=True)],
    )


def _pattern(known: Collection[str]) -> re.Pattern[str] | None:
    """A pattern for any of the answers, the longest first, outside of longer words; in scripts without spaces,
    answers match anywhere."""
    longest = sorted((re.escape(answer) for answer in known if answer), key=len, reverse=True)
    return re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(longest)})(?![A-Za-z0-9_])") if longest else None
