"""Rows, which every reader yields, and how files are opened so that what is wrong with them is a DataError."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import orjson

from protocols.errors import DataError

BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: its line, or its number where the source has no lines. Both count from 1."""

    file: str
    number: int
    is_line: bool = True

    def error(self, reason: str) -> DataError:
        """What is wrong here."""
        if self.is_line:
            return DataError(reason, file=self.file, line=self.number)
        return DataError(f"row {self.number}: {reason}", file=self.file)


@dataclass(frozen=True, slots=True)
class Row:
    """One record as its reader found it, values unchecked."""

    place: Place
    values: Mapping[str, Any]


Rows: TypeAlias = Generator[Row, None, None]


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes.

    :raises DataError: it cannot be opened, or reading it fails.
    """
    try:
        file = path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unreadable(error, path) from None
    with file:
        try:
            yield file
        except OSError as error:
            raise _unreadable(error, path) from None


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line with its number and its end; lines end at LF. A byte order mark is dropped.

    :raises DataError: it cannot be read, or a line is not UTF-8.
    """
    with opened(path) as file:
        start = 0
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise _not_utf8(path, start + error.start, number) from None
            start += len(line)
            yield number, text.removeprefix(BOM) if number == 1 else text


def json_lines(path: Path) -> Rows:
    """The object on each line that is not blank.

    :raises DataError: see `text_lines`; a line is no JSON object.
    """
    for number, line in text_lines(path):
        if line.strip():
            yield Row(*_object(parse_json(line, path, number), Place(str(path), number)))


def json_document(path: Path) -> object:
    """The one JSON value that a file holds.

    :raises DataError: it cannot be read, is not UTF-8 or not JSON.
    """
    with opened(path) as file:
        data = file.read()
    try:
        text = data.decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error.start, data.count(b"\n", 0, error.start) + 1) from None
    return parse_json(text, path)


def json_rows(items: list[object], path: Path) -> Rows:
    """The objects of a JSON array.

    :raises DataError: one is no object.
    """
    for number, item in enumerate(items, start=1):
        yield Row(*_object(item, Place(str(path), number, is_line=False)))


def parse_json(text: str, path: Path, line: int | None = None) -> object:
    """The value of `text`, which is `line` of the file, or all of it.

    :raises DataError: it is not JSON, or nested deeper than the parser goes (1,024 levels).
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        where = line or error.lineno
        hint = ""
        if line is None and error.lineno > 1 and text.lstrip()[:1] == "{" and "content" in error.msg:
            hint = '; if every line is an object of its own, set format = "jsonl"'
        reason = f"not JSON: {error.msg} at column {error.colno}{hint}"
        raise DataError(reason, file=str(path), line=where) from None


def extra(module: str, name: str, what: str, file: str) -> Any:
    """An optional dependency.

    :raises DataError: it is not installed; the line says which extra brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise DataError(f'{what} need an extra: pip install "promptflow-agents[{name}]"', file=file) from None


def _object(item: object, place: Place) -> tuple[Place, Mapping[str, Any]]:
    if not isinstance(item, dict):
        raise place.error("expected an object, such as one with input and target")
    return place, item


def _unreadable(error: OSError | ValueError, path: Path) -> DataError:
    return DataError(f"cannot read the examples: {getattr(error, 'strerror', None) or error}", file=str(path))


def _not_utf8(path: Path, byte: int, line: int) -> DataError:
    return DataError(f"not UTF-8 at byte {byte}", file=str(path), line=line)
