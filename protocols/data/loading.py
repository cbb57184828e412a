"""Loads the examples of a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from protocols.data import cells
from protocols.data.checks import check_file
from protocols.data.formats import PUBLISHED, Format, format_of
from protocols.data.huggingface import SCHEME, read_huggingface
from protocols.data.mapping import Fields, example
from protocols.data.published import read_cluener, read_squad, read_thucnews
from protocols.data.rows import Rows
from protocols.data.tables import read_csv, read_json, read_jsonl, read_parquet, read_tsv
from protocols.data.values.pictures import Pictures
from protocols.errors import DataError
from protocols.task import Example

READERS: Mapping[Format, Callable[[Path, Fields], Rows]] = {
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_csv,
    "tsv": read_tsv,
    "parquet": read_parquet,
    "cluener": read_cluener,
    "thucnews": read_thucnews,
    "squad": read_squad,
}


@dataclass(frozen=True, slots=True)
class Source:
    """The source of examples: a path, or `hf:owner/name` (see `Reference`).

    `format`: None for what `format_of` finds.
    """

    location: str
    format: Format | None = None
    fields: Fields = field(default_factory=Fields)


def load_examples(source: Source, split: str) -> tuple[Example, ...]:
    """The examples of one source, in its order; an example without an id gets `<split>-<line or row>`.

    :raises DataError: the source cannot be used; with the file, the line or row, and the reason.
    """
    rows, fields = rows_of(source, split)
    examples, places = [], []
    hub = source.location.startswith(SCHEME)
    pictures = Pictures(Path() if hub else Path(source.location).parent)
    with closing(rows):
        for row in rows:
            examples.append(example(row, fields, split, pictures))
            places.append(row.place)
    if not examples:
        raise DataError(f"the {split} split is empty: the file holds no example", file=source.location)
    check_file(examples, places)
    return tuple(examples)


def doubt_of_header(source: Source) -> DataError | None:
    """What to do about a table whose first row looks like an example, which would be lost; None for any other file.

    :raises DataError: the file cannot be read.
    """
    path = Path(source.location)
    chosen = None if source.location.startswith(SCHEME) else source.format or format_of(path)
    delimiter = {"csv": ",", "tsv": "\t"}.get(chosen or "")
    return cells.doubt_of_header(path, source.fields, delimiter) if delimiter else None


def raw_rows(path: Path) -> Rows:
    """The rows of a file as they are there, whatever its columns are called.

    :raises DataError: the file cannot be read; with the line or row, and the reason.
    """
    return READERS[format_of(path)](path, _AnyColumns())


class _AnyColumns(Fields):
    """No column is required."""

    @property
    def columns(self) -> list[str]:
        return []


def rows_of(source: Source, split: str) -> tuple[Rows, Fields]:
    """The unchecked rows of a source, and the fields by which they are examples.

    :raises DataError: the file cannot be read, or its format has fields of its own, and others are given.
    """
    if source.location.startswith(SCHEME):
        return read_huggingface(source.location, source.fields, split), source.fields
    path = Path(source.location)
    chosen = source.format or format_of(path)
    rows = READERS[chosen](path, source.fields)
    if chosen not in PUBLISHED:
        return rows, source.fields
    if source.fields != Fields(labels=source.fields.labels if chosen == "thucnews" else ()):
        raise DataError(f"the format {chosen} knows its own fields; remove [task.fields]", file=source.location)
    return rows, Fields()
