"""Tells a first row that is an example from one that names the columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from protocols.answers.numbers import is_number
from protocols.data.values.names import ANSWERS, ASIDE, INPUTS, words_in
from protocols.text import one_line, tokens

KNOWN = frozenset(ANSWERS) | INPUTS | ASIDE | {"name"}
WORDS_OF_A_NAME = 3
"""A cell of more words is not called a name for one of them."""
LONG_WORDS, LONG = 6, 60
"""A text is long from so many words on; where nothing else tells, one of so many characters has to be among them."""
FEW_ROWS = 20
"""In fewer rows a label need not stand twice to recur."""
SENTENCE = re.compile(r"\s.*[.!?。！？]$|[。！？]$", re.DOTALL)
SHAPES = (
    re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\b.*|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}\b.*"),
    re.compile(r"https?://\S+"),
    re.compile(r"\S+@\S+\.\w+"),
    re.compile(r"[\[{].*[\]}]", re.DOTALL),
)
"""A date, an address, an e-mail address, JSON: what a name of a column hardly is."""
Found = Literal["recurs", "typed", "long", "like", "known", "name", "empty"]


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell of the first row. `count`: how often it stands in the column below."""

    text: str
    found: Found
    count: int


def doubt(first: Sequence[str], below: Sequence[Sequence[str]]) -> str:
    """The reason why the `first` row of a table looks like an example and not like names of columns; "" if it may be
    names. `below`: the rows that follow, or the first of them.

    A single sign is not enough, since names can be questions, years or a value that the column has; so a name that is
    known, such as `text` or `gold_label`, clears the whole row, and other cells have to fit their columns.
    """
    rows = [row for row in below if [*row] != [*first]]
    columns = [[row[place].strip() for row in rows if place < len(row)] for place in range(len(first))]
    cells = [_cell(text.strip(), [one for one in column if one]) for text, column in zip(first, columns, strict=True)]
    found = [cell.found for cell in cells]
    counting = _counting([cell.text for cell in cells if cell.text]) or _counting(
        [cell.text for cell in cells if cell.found == "typed"]
    )
    if not rows or "known" in found or counting:
        return ""
    fit = "name" not in found and any(one != "empty" for one in found)
    signs = sum(
        2 if cell.found == "recurs" and _is_number(cell.text) else cell.found in ("recurs", "typed") for cell in cells
    )
    if "recurs" in found and (fit or "long" in found or signs > 1):
        recurs = max((cell for cell in cells if cell.found == "recurs"), key=lambda cell: cell.count)
        times = "once" if recurs.count == 1 else f"{recurs.count:,} times"
        return f"{one_line(recurs.text, 40)!r} stands in its column {times} more"
    text = next((cell.text for cell in cells if cell.found == "long"), "")
    if text and ("typed" in found or (fit and "like" not in found and max(len(c.text) for c in cells) >= LONG)):
        return f"{one_line(text, 40)!r} is a text like those below it"
    return ""


def _counting(texts: Sequence[str]) -> bool:
    """Whether these are numbers that go up by one, as those of columns without names, or as years."""
    numbers = [int(text) for text in texts if text.isdecimal() and len(text) < LONG]
    return len(texts) == len(numbers) > 1 and all(b == a + 1 for a, b in pairwise(numbers))


def _is_number(text: str) -> bool:
    return len(text) < LONG and is_number(text)


def _cell(text: str, column: Sequence[str]) -> _Cell:
    count = column.count(text)
    return _Cell(text, _found(text, column, count), count)


def _found(text: str, column: Sequence[str], count: int) -> Found:
    if not text:
        return "empty"
    closed = 2 * len(set(column)) <= len(column) or len(column) < FEW_ROWS
    if closed and count >= (1 if len(column) < FEW_ROWS else 2):
        return "recurs"
    if len(text.split()) <= WORDS_OF_A_NAME and words_in(text) & KNOWN:
        return "known"
    kinds: Sequence[Callable[[str], object]] = (_is_number, *(shape.fullmatch for shape in SHAPES))
    for is_one in kinds:
        if column and 20 * sum(bool(is_one(one)) for one in column) >= 19 * len(column):
            return "typed" if is_one(text) else "known"  # a word above numbers or dates is their name
    words, usual = len(tokens(text)), sorted(len(tokens(one)) for one in column)
    like = bool(usual) and usual[len(usual) // 20] <= words <= 2 * usual[-1]
    if like and (words >= LONG_WORDS or SENTENCE.search(text)) and 2 * len(set(column)) > len(column):
        return "long"
    return "like" if like else "name"
