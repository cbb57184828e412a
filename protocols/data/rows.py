"""The rows that every reader yields, and functions that open files and report faults as `DataError`."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from protocols.errors import DataError
from protocols.files import text_files as files


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a row: its line, or its number if the source has no lines. Both count from 1."""

    file: str
    number: int
    is_line: bool = True

    def error(self, reason: str) -> DataError:
        """A `DataError` at this position."""
        if self.is_line:
            return DataError(reason, file=self.file, line=self.number)
        return DataError(f"row {self.number}: {reason}", file=self.file)


@dataclass(frozen=True, slots=True)
class Row:
    """One record as the reader found it, with unchecked values."""

    place: Place
    values: Mapping[str, Any]


Rows: TypeAlias = Generator[Row, None, None]


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open the file for its bytes; a gzip file is unpacked.

    :raises DataError: the file cannot be opened, or reading it fails.
    """
    with files.opened(path, DataError, "the examples", unpack=True) as file:
        yield file


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line with its number, line end included; lines end at LF. A byte order mark is dropped.

    :raises DataError: the file cannot be read, or a line is not UTF-8.
    """
    with opened(path) as file:
        files.look(file, path, DataError)
        start = 0
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise files.not_utf8(start + error.start, path, DataError, number) from None
            start += len(line)
            yield number, text.removeprefix(files.BOM) if number == 1 else text


def json_lines(path: Path) -> Rows:
    """The JSON object on each line that is not blank.

    :raises DataError: see `text_lines`, or a line is not a JSON object.
    """
    for number, line in text_lines(path):
        if line.strip():
            yield Row(*_object(parse_json(line, path, number), Place(str(path), number)))


def json_document(path: Path) -> object:
    """The file's content as one JSON value.

    :raises DataError: the file cannot be read, or is not UTF-8 or not JSON.
    """
    with opened(path) as file:
        return parse_json(files.decode(file, path, DataError), path)


def json_rows(items: list[object], path: Path) -> Rows:
    """The objects of a JSON array.

    :raises DataError: an item is not an object.
    """
    for number, item in enumerate(items, start=1):
        yield Row(*_object(item, Place(str(path), number, is_line=False)))


def parse_json(text: str, path: Path, line: int | None = None) -> object:
    """The JSON value of `text`, which is line `line` of the file, or the whole file if None.

    :raises DataError: the text is not JSON, or nested deeper than the parser allows (1,024 levels).
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        hint = ""
        if line is None and error.lineno > 1 and text.lstrip()[:1] == "{" and "content" in error.msg:
            hint = '; if every line is an object of its own, set format = "jsonl"'
        elif line == 1:
            hint = _other_format(text)
        reason = f"not JSON: {error.msg} at column {error.colno}{hint}"
        raise DataError(reason, file=str(path), line=line or error.lineno) from None


def _other_format(text: str) -> str:
    """A hint at the right format of a file whose first line `text` is not JSON."""
    if text.lstrip()[:1] in ("{", "["):
        return '; if the file is one JSON document and not an object a line, set format = "json" under [task]'
    return '; a file is JSON lines unless its suffix or format under [task] says otherwise, such as format = "csv"'


def extra(module: str, name: str, what: str, file: str) -> Any:
    """Import an optional dependency.

    :raises DataError: it is not installed; the message names the extra that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise DataError(f'{what} need an extra: pip install "promptflow-agents[{name}]"', file=file) from None


def _object(item: object, place: Place) -> tuple[Place, Mapping[str, Any]]:
    if not isinstance(item, dict):
        array = place.is_line and isinstance(item, list)
        hint = '; if the file is one JSON array, set format = "json" under [task]' if array else ""
        raise place.error(f"expected an object, such as one with input and target{hint}")
    return place, item
