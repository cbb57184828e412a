"""Reads CSV as programs really write it: with semicolons, spaces, unnamed columns and empty rows."""

from __future__ import annotations

import csv
import difflib
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from protocols.data.formats import DELIMITERS
from protocols.data.mapping import NO_TARGET, Fields
from protocols.data.rows import Place, Row, Rows, text_lines
from protocols.data.values.headers import doubt
from protocols.errors import DataError

if TYPE_CHECKING:
    from _csv import Reader

SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""A first line that tells Excel the delimiter."""
LONGEST_CELL = 2**31 - 1
JUDGED = 500
SURE = 0.8
"""The least likeness of a column's name, in [0, 1], to be taken for a target that nobody has named."""
"""Most rows by which a header is judged."""


class Dialect(NamedTuple):
    """`delimiter` separates the cells; `spaced`: a space after it is dropped."""

    delimiter: str
    spaced: bool


def read_cells(path: Path, fields: Fields, delimiter: str) -> Rows:
    """The rows under a header. Another delimiter is used if a first line `sep=` names it, or if the header has the
    required columns only with it. Rows of empty cells are skipped, and so are unnamed columns that are empty, or that
    number the rows in the first column.

    :raises DataError: the file cannot be read; with file, line and reason.
    """
    with _long_cells():
        reader, above = _reader(path, fields, delimiter)
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_header(header, fields, Place(str(path), above + 1), reader)
            place = Place(str(path), above + reader.line_num + 1)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield Row(place, _named(header, cells, place))
                place = Place(str(path), above + reader.line_num + 1)
        except csv.Error as error:
            raise Place(str(path), above + max(1, reader.line_num)).error(f"not CSV: {error}") from None


def doubt_of_header(path: Path, fields: Fields, delimiter: str) -> DataError | None:
    """What to do about a first row that looks like an example; None if it looks like a header, or cannot be read.

    :raises DataError: the file cannot be read as text.
    """
    with _long_cells(), suppress(csv.Error):
        reader, above = _reader(path, fields, delimiter)
        header = [name.strip() for name in next(reader, [])]
        return _no_header(header, reader, Place(str(path), above + 1))
    return None


def _no_header(header: Sequence[str], below: Reader, place: Place) -> DataError | None:
    if not (reason := doubt(header, _some(below))):
        return None
    return place.error(
        f"the first row looks like an example and not like a header ({reason}), and would be lost; "
        "put a row with the names of the columns above it, such as text,target"
    )


def _reader(path: Path, fields: Fields, delimiter: str) -> tuple[Reader, int]:
    """A reader of the cells from the header on, and the number of lines above it."""
    # A lone CR ends a row too, as in files of old spreadsheets.
    lines = (part for _, line in text_lines(path) for part in re.split(r"(?<=\r)(?!\n)", line) if part)
    first, above = next(lines, ""), 0
    if said := SEPARATOR.fullmatch(first):
        dialect, first, above = Dialect(said[1], False), next(lines, ""), 1
    else:
        dialect = _dialect(first, fields, delimiter)
    rows = itertools.chain([first], lines)
    return csv.reader(rows, delimiter=dialect.delimiter, strict=True, skipinitialspace=dialect.spaced), above


def _some(reader: Reader) -> list[list[str]]:
    """The next rows that are not empty, up to `JUDGED`, or to one that is not CSV."""
    found: list[list[str]] = []
    with suppress(csv.Error):
        found.extend(cells for cells in itertools.islice(reader, JUDGED) if any(map(str.strip, cells)))
    return found


def _dialect(header: str, fields: Fields, usual: str) -> Dialect:
    """The first dialect, the usual one first, with which the header has the required columns; else, or if none is
    required, the one that gives the most columns."""
    found: dict[Dialect, list[str]] = {}
    for delimiter in dict.fromkeys((usual, *DELIMITERS)):
        with suppress(csv.Error, ValueError):  # a quoted cell may end on a later line
            [cells] = csv.reader([header], delimiter=delimiter, strict=True)
            spaced = len(cells) > 1 and all(cell.startswith(" ") for cell in cells[1:])
            found[Dialect(delimiter, spaced)] = [cell.strip(' "') for cell in cells]
    needed = set(fields.columns)
    whole = [dialect for dialect, names in found.items() if needed and needed <= set(names)]
    return whole[0] if whole else max(found, key=lambda one: len(found[one]), default=Dialect(usual, False))


def _check_header(header: Sequence[str], fields: Fields, place: Place, below: Reader) -> None:
    names = [name for name in header if name]
    missing = [column for column in fields.columns if column not in names]
    if (missing or len(set(names)) < len(names)) and (problem := _no_header(header, below, place)):
        raise problem
    if len(set(names)) < len(names):
        raise place.error(f"the header has a column twice: {', '.join(names)}"[:200])
    if missing:
        there = ", ".join(names) or "nothing"
        hint = f"say under [task.fields] which column is which, such as {_such_as(missing[0], names, fields)}"[:150]
        hint += f', or target = "{NO_TARGET}" for none' if "target" in missing else ""
        raise place.error(f"the header has no column {', '.join(missing)}; it has {there}"[:300] + f"; {hint}")


def _such_as(missing: str, names: Sequence[str], fields: Fields) -> str:
    """A line of the mapping in which a column that is there stands for a missing one: that of the nearest name. For a
    target that nobody has named it is rather the last that is no input, since a name means little."""
    free = [name for name in names if name not in fields.input.values()] or [*names]
    unnamed = fields.target is None and missing == "target"
    lower = {name.lower(): name for name in free}
    nearest = difflib.get_close_matches(missing.lower(), lower, 1, *([SURE] if unnamed else []))
    like = lower[nearest[0]] if nearest else free[-1] if free else "label"
    field = next((field for field, column in fields.input.items() if column == missing), "")
    if field:
        return f'input = {{ {field} = "{like}" }}'
    return f'{"id" if missing == fields.id else "target"} = "{like}"'


def _named(header: Sequence[str], cells: Sequence[str], place: Place) -> dict[str, str]:
    """The cells of a row by their columns' names.

    :raises DataError: there are too few or too many cells, or a cell of an unnamed column is not empty.
    """
    needed = max((number for number, name in enumerate(header, start=1) if name), default=0)
    if len(cells) < needed or any(cell.strip() for cell in cells[len(header) :]):
        hint = "; a text with a delimiter or a line end in it needs quotes around it"
        raise place.error(f"{len(cells)} cells where the header has {len(header)}{hint}")
    for number, (name, cell) in enumerate(zip(header, cells, strict=False), start=1):
        if not name and cell.strip() and not (number == 1 and cell.strip().isdecimal()):
            raise place.error(f"column {number} has no name in the header, and holds {cell[:40]!r} here; name it")
    return {name: cell for name, cell in zip(header, cells, strict=False) if name}


@contextmanager
def _long_cells() -> Iterator[None]:
    """Raise the csv module's limit of 131,072 characters per cell, and restore it, as it applies to the process."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)
