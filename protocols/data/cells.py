"""CSV as people's programs write it: with semicolons, spaces, unnamed columns, rows without anything."""

from __future__ import annotations

import csv
import difflib
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from protocols.data.mapping import Fields
from protocols.data.rows import Place, Row, Rows, text_lines

DELIMITERS = (",", ";", "\t", "|")
SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""A first line that tells Excel what parts the cells."""
LONGEST_CELL = 2**31 - 1


class Dialect(NamedTuple):
    """What parts the cells, and whether a space after that is left out."""

    delimiter: str
    spaced: bool


def read_cells(path: Path, fields: Fields, delimiter: str) -> Rows:
    """The rows under a header. Another delimiter is taken where a first line `sep=` says so, or where the header has
    the columns that there must be with that one alone. Rows of empty cells are left out, and so are columns without
    a name if they are empty, or count the rows from the left.

    :raises DataError: with file, line and reason.
    """
    with _long_cells():
        # A lone CR ends a row as well: so do files of old spreadsheets.
        lines = (part for _, line in text_lines(path) for part in re.split(r"(?<=\r)(?!\n)", line) if part)
        first, above = next(lines, ""), 0
        if said := SEPARATOR.fullmatch(first):
            dialect, first, above = Dialect(said[1], False), next(lines, ""), 1
        else:
            dialect = _dialect(first, fields, delimiter)
        rows = itertools.chain([first], lines)
        reader = csv.reader(rows, delimiter=dialect.delimiter, strict=True, skipinitialspace=dialect.spaced)
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_header(header, fields, Place(str(path), above + 1))
            place = Place(str(path), above + reader.line_num + 1)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield Row(place, _named(header, cells, place))
                place = Place(str(path), above + reader.line_num + 1)
        except csv.Error as error:
            raise Place(str(path), above + max(1, reader.line_num)).error(f"not CSV: {error}") from None


def _dialect(header: str, fields: Fields, usual: str) -> Dialect:
    """The first that finds the columns in the header, from the usual one on, or else that which finds the most."""
    found: dict[Dialect, list[str]] = {}
    for delimiter in dict.fromkeys((usual, *DELIMITERS)):
        with suppress(csv.Error, ValueError):  # a quote may end on another line
            [cells] = csv.reader([header], delimiter=delimiter, strict=True)
            spaced = len(cells) > 1 and all(cell.startswith(" ") for cell in cells[1:])
            found[Dialect(delimiter, spaced)] = [cell.strip(' "') for cell in cells]
    whole = [dialect for dialect, names in found.items() if set(fields.columns) <= set(names)]
    return whole[0] if whole else max(found, key=lambda one: len(found[one]), default=Dialect(usual, False))


def _check_header(header: Sequence[str], fields: Fields, place: Place) -> None:
    names = [name for name in header if name]
    if len(set(names)) < len(names):
        raise place.error(f"the header has a column twice: {', '.join(names)}"[:200])
    if missing := [column for column in fields.columns if column not in names]:
        there = ", ".join(names) or "nothing"
        nearest = difflib.get_close_matches(missing[0].lower(), [name.lower() for name in names], 1)
        like = next((name for name in names if [name.lower()] == nearest), names[-1] if names else "label")
        hint = f'say under [task.fields] which column is which, such as target = "{like}"'
        raise place.error(f"the header has no column {', '.join(missing)}; it has {there}"[:300] + f"; {hint}"[:200])


def _named(header: Sequence[str], cells: Sequence[str], place: Place) -> dict[str, str]:
    """The cells of a row by the names of their columns.

    :raises DataError: there are too few or too many, or one without a name holds something.
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
    """The limit of the csv module, 131,072 characters a cell, is of the process: it is set back afterwards."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)
