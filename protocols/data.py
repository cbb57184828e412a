"""Reading examples from JSONL and CSV files, and refusing what would make a score meaningless."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from protocols.errors import DataError
from protocols.task import Example


def load_examples(path: Path) -> tuple[Example, ...]:
    """The examples of one file: `.csv`, `.tsv`, or JSON lines for any other suffix.

    JSON lines are `{"input": {field: text}, "target": ..., "id": ...}`; a CSV has a header with a `target`
    column, an optional `id` column, and one column for each input field. An example without an id gets `line-N`.

    :raises DataError: with file, line and reason.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        raise DataError(f"cannot read the examples: {error.strerror}", file=str(path)) from None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"not UTF-8 at byte {error.start}", file=str(path), line=line) from None
    delimiter = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower())
    rows = _csv_rows(text, delimiter, path) if delimiter else _jsonl_rows(text, path)
    examples = []
    for line, row in rows:
        try:
            examples.append(_example(row, line))
        except ValueError as error:
            raise DataError(str(error), file=str(path), line=line) from None
    _check_file(examples, path)
    return tuple(examples)


def check_splits(splits: Mapping[str, tuple[Example, ...]]) -> None:
    """Refuse an empty split, an id or an input that is in two splits.

    :raises DataError: with up to five of the ids at fault.
    """
    for name, examples in splits.items():
        if not examples:
            raise DataError(f"the {name} split is empty")
    _check_overlap(splits, "id", lambda example: example.id)
    _check_overlap(splits, "input", lambda example: tuple(sorted(example.inputs.items())))


def check_labels(splits: Mapping[str, tuple[Example, ...]]) -> None:
    """Refuse targets that are no labels, and labels of another split that the train split lacks.

    :raises DataError: with the labels and up to five of the ids at fault.
    """
    for name, examples in splits.items():
        odd = [e.id for e in examples if not isinstance(e.target, str | int) or not str(e.target).strip()]
        if odd:
            raise DataError(
                f"the {name} split has targets that are no labels (a label is a text that is not empty, or a whole "
                f'number): ids {_some(odd)}; for other targets set task.kind = "open"'
            )
    known = {str(example.target) for example in splits["train"]}
    for name, examples in splits.items():
        strange = [example for example in examples if str(example.target) not in known]
        if strange:
            labels = _some(sorted({str(example.target) for example in strange}))
            ids = _some([example.id for example in strange])
            raise DataError(f"the {name} split has labels that the train split lacks: {labels} (ids {ids})")


def _jsonl_rows(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise DataError(f"not JSON: {error.msg} at column {error.colno}", file=str(path), line=number) from None
        if not isinstance(row, dict):
            raise DataError("expected an object with input and target", file=str(path), line=number)
        yield number, row


def _csv_rows(text: str, delimiter: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        if "target" not in header or len(set(header)) < len(header):
            raise DataError("the header needs a target column and no column twice", file=str(path), line=1)
        line = reader.line_num + 1
        for cells in reader:
            if cells and len(cells) != len(header):
                raise DataError(f"{len(cells)} cells where the header has {len(header)}", file=str(path), line=line)
            if cells:
                row = dict(zip(header, cells, strict=True))
                yield (
                    line,
                    {
                        "id": row.pop("id", None),
                        "target": row.pop("target"),
                        "input": row,
                    },
                )
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"not CSV: {error}", file=str(path), line=reader.line_num) from None


def _example(row: Mapping[str, Any], line: int) -> Example:
    if unknown := set(row) - {"id", "input", "target"}:
        raise ValueError(f"unknown key {_some(sorted(unknown))}; an example has input, target and id")
    if "target" not in row:
        raise ValueError("no target")
    inputs = row.get("input")
    if not isinstance(inputs, dict) or not inputs:
        raise ValueError('input must be an object of texts, such as {"text": "..."}')
    for field, value in inputs.items():
        if not isinstance(value, str):
            raise ValueError(f"input field {field} is not a text")
    identity = row.get("id")
    if identity is not None and not isinstance(identity, str | int):
        raise ValueError("id must be a text or a whole number")
    return Example(str(identity) if identity not in (None, "") else f"line-{line}", inputs, row["target"])


def _check_file(examples: list[Example], path: Path) -> None:
    twice = [identity for identity, count in Counter(e.id for e in examples).items() if count > 1]
    if twice:
        raise DataError(f"duplicate ids: {_some(twice)}", file=str(path))
    odd = [e.id for e in examples if set(e.inputs) != set(examples[0].inputs)]
    if odd:
        fields = ", ".join(sorted(examples[0].inputs))
        raise DataError(f"the first example has the fields {fields}; others do not: ids {_some(odd)}", file=str(path))


def _check_overlap(splits: Mapping[str, tuple[Example, ...]], what: str, key: Callable[[Example], object]) -> None:
    seen: dict[object, tuple[str, str]] = {}
    for name, examples in splits.items():
        shared = [(e.id, seen[key(e)]) for e in examples if key(e) in seen and seen[key(e)][0] != name]
        if shared:
            other = shared[0][1][0]
            pairs = [mine if mine == theirs else f"{mine} = {theirs}" for mine, (_, theirs) in shared]
            raise DataError(f"the {name} and {other} splits share an {what}: ids {_some(pairs)}")
        seen.update({key(e): (name, e.id) for e in examples})


def _some(items: list[str], most: int = 5) -> str:
    rest = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + rest
