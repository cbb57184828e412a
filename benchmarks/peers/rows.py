"""What was measured: one JSON line for each data set, seed and program, which is not measured again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from benchmarks.peers.endpoint import Account
from protocols.errors import InputError

Key = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Row:
    """`scores`: in [0, 1], of each test example, in the order of the split; `test` is their mean. `unread`: replies
    that no answer could be read from. `prompt`, `reply`: tokens of a request and of a reply to the test examples, on
    average. `seconds`: of the program alone. `settings`: what rows must share to be compared. `note`: what there is
    to say beside it. `error`: why there is no result, whose scores are then none; "" if there is one.
    """

    data: str
    seed: int
    program: str
    version: str
    settings: Mapping[str, object]
    test: float
    scores: Sequence[float]
    unread: int
    task: Account
    writer: Account
    prompt: float
    reply: float
    seconds: float
    note: Mapping[str, object]
    error: str = ""

    @property
    def key(self) -> Key:
        """What there is one row of."""
        return self.data, self.seed, self.program


def append(path: Path, row: Row) -> None:
    """Write one row at the end, with the line end that makes it whole."""
    with path.open("ab") as file:
        file.write(orjson.dumps(asdict(row)) + b"\n")


def read(path: Path) -> list[Row]:
    """The rows of a file; none where there is no file. The piece of a row that a killed process leaves at the end is
    cut off.

    :raises InputError: another line is no row.
    """
    if not path.exists():
        return []
    whole, end, _ = path.read_bytes().rpartition(b"\n")
    if (whole + end) != path.read_bytes():
        path.write_bytes(whole + end)
    rows = []
    for number, line in enumerate((whole + end).splitlines(), start=1):
        try:
            told = orjson.loads(line)
            accounts = {role: Account(**told[role]) for role in ("task", "writer")}
            rows.append(Row(**{**told, **accounts}))
        except (ValueError, KeyError, TypeError):
            raise InputError("this line is no row of the benchmark", file=str(path), line=number) from None
    return rows


def check(rows: Sequence[Row], settings: Mapping[str, object], path: Path) -> None:
    """:raises InputError: a row was measured with other settings."""
    for row in rows:
        if others := [name for name, value in settings.items() if row.settings.get(name) != value]:
            said = ", ".join(f"{name} = {row.settings.get(name)}" for name in others)
            raise InputError(f"the rows there were measured with {said}; use another --work", file=str(path))
