"""Rows as a search needs them: a copy of a data file without what cannot be used, if there is any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from agents.beginning.columns import Column, Row, as_text, flat, present, unpacked
from agents.beginning.guess import Guess
from protocols.data import raw_rows
from protocols.data.mapping import NO_ID
from protocols.task import KindName
from protocols.text import fold


@dataclass
class Copied:
    """The rows of one file in the form `{"input": ..., "target": ..., "id": ...}`, as JSON lines. `left_out`: how
    many rows are not in the copy, by the reason; `changed`: what else differs, in words; `rows`: of the copy."""

    rows: int = 0
    lines: list[bytes] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)

    @property
    def needed(self) -> bool:
        """Whether the file cannot be used as it is."""
        return bool(self.left_out or self.changed)


def copied(path: Path, guess: Guess, names: Mapping[str, str], spellings: Mapping[str, str]) -> Copied:
    """All rows of a file, checked and put right. `names`: the input field of each column; `spellings`: see
    `spellings_of`.

    A row without an answer, or without any input, is left out. Missing inputs become empty texts, numbers texts,
    JSON in cells what it says, and labels that differ only in case or spaces the most frequent of them.

    :raises DataError: the file cannot be read.
    """
    made = Copied()
    with closing(raw_rows(path)) as rows:
        for row in rows:
            values = flat(row.values)
            if reason := _unusable(values, guess):
                made.left_out[reason] += 1
                continue
            made.rows += 1
            example = _example(values, guess, names, spellings, made.changed)
            made.lines.append(orjson.dumps(example, default=as_text) + b"\n")
    return made


def unique_ids(path: Path, column: str) -> bool:
    """Whether no id occurs twice in a file.

    :raises DataError: the file cannot be read.
    """
    seen: set[str] = set()
    with closing(raw_rows(path)) as rows:
        for row in rows:
            value = present(flat(row.values).get(column))
            if value is None:
                continue
            if isinstance(value, bool | float | list | dict) or str(value) in seen:
                return False
            seen.add(str(value))
    return True


def _unusable(values: Row, guess: Guess) -> str:
    """The reason why a row cannot be an example; "" if it can."""
    answer = values.get(guess.target.name)
    if (answer if guess.separator else present(answer)) is None:  # an empty cell of a list is the empty list
        return f"nothing in {guess.target.name}"
    if all(present(values.get(column.name)) is None for column in guess.inputs):
        return f"nothing in {' and '.join(column.name for column in guess.inputs)}"
    return ""


def _example(
    values: Row, guess: Guess, names: Mapping[str, str], spellings: Mapping[str, str], changed: Counter[str]
) -> Mapping[str, Any]:
    inputs = {}
    for column in guess.inputs:
        given = values.get(column.name)
        inputs[names[column.name]] = value = _input(given, column)
        if value != given:
            changed[_said_of(column, given)] += 1
    given = values[guess.target.name]
    target = as_target(given, guess.kind, guess.target.packed)
    if guess.kind == "classification":
        target = spellings.get(str(target), target)
    if target != given or type(target) is not type(given):
        changed[_said(given, guess)] += 1
    example: dict[str, Any] = {"input": inputs, "target": target}
    if guess.id not in (None, NO_ID) and (identity := present(values.get(guess.id))) is not None:
        example["id"] = str(identity)
    return example


def _said_of(column: Column, given: Any) -> str:
    if given is None:
        return f"an empty text where {column.name} is missing"
    return f"{column.name} as {'turns' if column.form == 'turns' else 'a text'}"


def _said(given: Any, guess: Guess) -> str:
    if guess.target.packed:
        return f"{guess.target.name} as the JSON that its cells hold"
    if isinstance(given, str):
        return f"one spelling for those of {guess.target.name} that differ in case or spaces alone"
    return f"{guess.target.name} as a text"


def _input(value: Any, column: Column) -> Any:
    """The value of an input field: a text, or turns."""
    if value is None:
        return [] if column.form == "turns" else ""
    if isinstance(value, str):
        return unpacked(value) if column.form == "turns" else value
    return value if column.form == "turns" else as_text(value)


def as_target(value: Any, kind: KindName, packed: bool = False) -> Any:
    """A value as an answer of this kind."""
    value = unpacked(value) if packed else value
    if isinstance(value, bool):
        return as_text(value) if kind in ("classification", "reasoning", "reading") else value
    if kind == "classification" and isinstance(value, float):
        return str(int(value) if value.is_integer() else value)
    if (kind == "reading" and isinstance(value, int | float)) or not isinstance(
        value, str | int | float | list | dict
    ):
        return as_text(value)
    return value.strip() if kind == "classification" and isinstance(value, str) else value


def spellings_of(paths: Iterable[Path], guess: Guess) -> dict[str, str]:
    """The label to write for each label that differs from a more frequent one, in any of the files, in case or spaces
    alone; none if answers are no single labels."""
    found: Counter[str] = Counter()
    for path in paths if guess.kind == "classification" else ():
        with closing(raw_rows(path)) as rows:
            for row in rows:
                if (value := present(flat(row.values).get(guess.target.name))) is not None:
                    found[str(as_target(value, "classification", guess.target.packed))] += 1
    return dict(_alike(found))


def _alike(found: Counter[str]) -> Iterator[tuple[str, str]]:
    chosen: dict[str, str] = {}
    for label, _ in found.most_common():
        if (usual := chosen.setdefault(fold(label), label)) != label:
            yield label, usual
