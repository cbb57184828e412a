"""A text that holds a list, as its items: what can be put into another order without losing anything."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

MARK = re.compile(r"(?:[-*•·]|\d+[.)])[ \t]+")
"""What a line of a list begins with."""


@dataclass(frozen=True, slots=True)
class Item:
    """What stands in a list after its mark. `answer`: the one that it names first; "" for none."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Itemised:
    """A text that holds a list: what stands before it, the `marks` of its lines, and its items."""

    head: str
    marks: Sequence[str]
    items: Sequence[Item]

    def of(self, items: Sequence[Item]) -> str:
        """The text with its items in this order."""
        lines = [f"{mark}{item.text}" for mark, item in zip(self.marks, items, strict=True)]
        return "\n".join([self.head] * bool(self.head) + lines)


def itemised(text: str, known: Collection[str]) -> Itemised:
    """The items of a text: a line that is not indented and has a mark, or that begins with an answer, begins one;
    what follows it belongs to it. `known`: the answers that there are."""
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
    """Any of the answers, the longest first, that is no part of a longer word; scripts without spaces have no such
    parts."""
    longest = sorted((re.escape(answer) for answer in known if answer), key=len, reverse=True)
    return re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(longest)})(?![A-Za-z0-9_])") if longest else None
