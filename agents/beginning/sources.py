"""The files of a task: one file that is cut, or a file for each split."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from agents.beginning.columns import Column, Row, columns_of, head
from protocols.data import Format, doubt_of_header, raw_rows
from protocols.data import Source as Rows
from protocols.data.formats import PUBLISHED, format_of, published_form
from protocols.errors import ConfigError, DataError

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing", "eval"),
}
"""What the files of the splits are called, but for their suffix."""


@dataclass(frozen=True, slots=True)
class Source:
    """`files`: by the keys of `[task]`: `data`, or the three splits. `columns`: of the first of them. `native`: its
    rows have the form `{"input": {...}, "target": ..., "id": ...}`. `published`: its form is that of a published data
    set, which has fields of its own. `doubt`: why a first row may be no header."""

    files: Mapping[str, Path]
    columns: tuple[Column, ...]
    native: bool = False
    published: Format | None = None
    doubt: DataError | None = None


def look(path: Path) -> Source:
    """Look at the beginning of a data file, or of the training file in a folder. A file that is called as a split is
    one of three if the other two stand beside it.

    :raises ConfigError: there is no such file, or a folder has no file for each split.
    :raises DataError: the file cannot be read.
    """
    files = _files(path)
    first = next(iter(files.values()))
    if published := _published(first):
        return Source(files, (), published=published)
    doubts = filter(None, (doubt_of_header(Rows(str(file))) for file in files.values()))
    return Source(files, tuple(columns_of(head(first))), _is_native(first), doubt=next(doubts, None))


def _files(path: Path) -> Mapping[str, Path]:
    if not path.exists():
        raise ConfigError(f"there is no file {path}; give a CSV, TSV, JSON, JSON lines or Parquet file of examples")
    if path.is_dir():
        if len(found := _splits(path)) == len(SPLITS):
            return found
        missing = " or ".join(name for name in SPLITS if name not in found)
        raise ConfigError(
            f"{path} is a folder without a file for {missing}; give one file, which is cut into three, or a folder "
            "with train, validation and test, such as train.csv"
        )
    beside = _splits(path.parent, path.suffix)
    return beside if len(beside) == len(SPLITS) and path in beside.values() else {"data": path}


def _splits(folder: Path, suffix: str | None = None) -> dict[str, Path]:
    """The files of the splits in a folder, all with this suffix if one is given."""
    there = sorted(path for path in folder.iterdir() if path.is_file() and suffix in (None, path.suffix))
    named = {path.name.partition(".")[0].lower(): path for path in there[::-1]}
    found = {split: next((named[name] for name in names if name in named), None) for split, names in SPLITS.items()}
    return {split: path for split, path in found.items() if path is not None}


def _published(path: Path) -> Format | None:
    """The format of a published data set that the file has."""
    form = format_of(path)
    return form if form in PUBLISHED else published_form(_first(path))


def _is_native(path: Path) -> bool:
    row = _first(path)
    return isinstance(row.get("input"), Mapping) and "target" in row and row.keys() <= {"input", "target", "id"}


def _first(path: Path) -> Row:
    with closing(raw_rows(path)) as rows:
        for row in islice(rows, 1):
            return row.values
    raise DataError("the file holds no example", file=str(path))
