"""Measurements that are kept as they are made, a line of JSON each, so that the same command goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import orjson

from protocols.errors import InputError


class Measured(Protocol):
    """A row. `settings`: what rows must share to be compared."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """By name."""


R = TypeVar("R", bound=Measured)


def append(path: Path, row: object) -> None:
    """Write one row, a dataclass, at the end, with the line end that makes it whole."""
    with path.open("ab") as file:
        file.write(orjson.dumps(row) + b"\n")


def read(path: Path, parse: Callable[[Mapping[str, Any]], R]) -> list[R]:
    """The rows of a file; none where there is no file. The piece of a row that a killed process leaves at the end is
    cut off.

    :raises InputError: `parse` takes another line for no row.
    """
    if not path.exists():
        return []
    whole, end, _ = path.read_bytes().rpartition(b"\n")
    if (whole + end) != path.read_bytes():
        path.write_bytes(whole + end)
    rows = []
    for number, line in enumerate((whole + end).splitlines(), start=1):
        try:
            rows.append(parse(orjson.loads(line)))
        except (ValueError, KeyError, TypeError):
            raise InputError("this line is no row of the benchmark", file=str(path), line=number) from None
    return rows


def check(rows: Sequence[Measured], settings: Mapping[str, object], path: Path, option: str) -> None:
    """:raises InputError: a row was measured with other settings; `option` names another place for others."""
    for row in rows:
        if others := [name for name, value in settings.items() if row.settings.get(name) != value]:
            said = ", ".join(f"{name} = {row.settings.get(name)}" for name in others)
            raise InputError(f"the rows there were measured with {said}; use another {option}", file=str(path))
