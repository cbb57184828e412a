"""Maintenance of a memory file: statistics, export to JSON lines and import, and pruning."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import anyio
import orjson

from memory.experience import Experience
from memory.experience_store import CONTENT, SCHEMA
from memory.storage.database import open_database
from memory.storage.sqlite import reading
from memory.store import LocalMemory
from protocols.errors import ConfigError, DataError
from protocols.files.text_files import read_text
from protocols.messages import FailureKind
from protocols.prompt import KINDS

DAY = 86_400.0
NAMES = tuple(field.name for field in fields(Experience) if field.name != "id")
TEXTS = ("task", "section", "operator", "before", "after", "gradient", "model")
SINCE = {"model": ""}
"""Defaults of the fields that exports of earlier releases lack."""
CHOICES = {"kind": KINDS, "outcome": ("survived", "lost", "declined", *get_args(FailureKind))}
MEANS = "count(*), avg(outcome = 'survived'), avg(reward), avg(evidence)"


@dataclass(frozen=True, slots=True)
class Group:
    """Statistics of one group of experiences: `survived` is a share, `reward` and `evidence` are means."""

    count: int
    survived: float
    reward: float
    evidence: float


@dataclass(frozen=True, slots=True)
class Stats:
    """The contents of a memory. `size`: bytes of the file; `oldest` and `newest`: Unix seconds, None if empty."""

    path: str
    size: int
    embedder: str | None
    dimension: int | None
    count: int
    oldest: float | None
    newest: float | None
    tasks: Mapping[str, Group]
    operators: Mapping[str, Group]
    kinds: Mapping[str, Group]
    outcomes: Mapping[str, int]


def stats(path: Path) -> Stats:
    """:raises StorageFailed, MemoryMismatch: the file cannot be read, or is no memory."""
    with reading(path, SCHEMA) as connection:

        def groups(column: str) -> dict[str, Group]:
            rows = connection.execute(f"SELECT {column}, {MEANS} FROM experience GROUP BY {column} ORDER BY {column}")
            return {row[0]: Group(*row[1:]) for row in rows}

        made = connection.execute("SELECT name, dimension FROM embedder").fetchone() or (None, None)
        count, *span = connection.execute("SELECT count(*), min(time), max(time) FROM experience").fetchone()
        outcomes = dict(connection.execute("SELECT outcome, count(*) FROM experience GROUP BY outcome ORDER BY 1"))
        by = {f"{column}s": groups(column) for column in ("task", "operator", "kind")}
    return Stats(
        path=str(path),
        size=path.stat().st_size,
        embedder=made[0],
        dimension=made[1],
        count=count,
        oldest=span[0],
        newest=span[1],
        outcomes=outcomes,
        **by,
    )


def export(path: Path) -> Iterator[bytes | None]:
    """A line of JSON for each experience, in the order of ids, without ids and vectors; None for an experience in a
    damaged part of the file.

    :raises StorageFailed, MemoryMismatch: the file cannot be read at all, or is no memory.
    """
    with reading(path, SCHEMA) as connection:
        last = 0
        try:
            for number, *row in connection.execute(f"SELECT id, {CONTENT} FROM experience ORDER BY id"):
                yield _line(row)
                last = number
        except sqlite3.DatabaseError:
            [(end,)] = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'experience'")
            for number in range(last + 1, end + 1):
                yield from _readable(connection, number)


def read_experiences(path: Path, numbers: Sequence[int]) -> list[Experience]:
    """The experiences with these ids; ids that the memory does not hold are passed over.

    :raises StorageFailed, MemoryMismatch: the file cannot be read, or is no memory.
    """
    found = []
    with reading(path, SCHEMA) as connection:
        for number in numbers:
            rows = connection.execute(f"SELECT {CONTENT} FROM experience WHERE id = ?", (number,))
            found += [Experience(**dict(zip(NAMES, row, strict=True)), id=number) for row in rows]
    return found


def _readable(connection: sqlite3.Connection, number: int) -> list[bytes | None]:
    """The line of this experience as one item, [None] if it cannot be read, [] if it does not exist."""
    try:
        rows = connection.execute(f"SELECT {CONTENT} FROM experience WHERE id = ?", (number,))
        return [_line(row) for row in rows]
    except sqlite3.DatabaseError:
        return [None]


def _line(row: Sequence[object]) -> bytes:
    return orjson.dumps(dict(zip(NAMES, row, strict=True))) + b"\n"


def read_lines(path: Path) -> list[Experience]:
    """Read a file that `export` wrote.

    :raises DataError: with file, line and reason.
    """
    experiences = []
    for number, line in enumerate(read_text(path, DataError, "the experiences").split("\n"), start=1):
        if line.strip():
            try:
                experiences.append(_experience(orjson.loads(line)))
            except orjson.JSONDecodeError as error:
                raise DataError(f"not JSON: {error.msg}", file=str(path), line=number) from None
            except ValueError as error:
                raise DataError(str(error), file=str(path), line=number) from None
    return experiences


async def take_in(memory: LocalMemory, experiences: list[Experience]) -> int:
    """Store the experiences that the memory does not hold yet, all of them or none; returns their number.

    Two experiences are the same if all fields but the id are equal.
    """
    known = {_key(row) for row in await memory.contents()}
    new: dict[bytes, Experience] = {}
    for experience in experiences:
        key = _key(tuple(getattr(experience, name) for name in NAMES))
        if key not in known:
            new.setdefault(key, experience)
    await memory.remember_all(list(new.values()))
    return len(new)


async def prune(
    path: Path,
    now: float,
    older_than: float | None = None,
    below_evidence: int | None = None,
    keep: int | None = None,
) -> dict[str, int]:
    """Delete experiences that are older than `older_than` days, have less evidence than `below_evidence`, or are not
    among the `keep` newest; returns the number deleted, by operator. `now`: Unix seconds. Processes that have the
    memory open notice.

    :raises ConfigError: no condition is given, or there is no such file.
    :raises StorageFailed, MemoryMismatch: the file cannot be written, or is no memory.
    """
    conditions: dict[str, float] = {}
    if older_than is not None:
        conditions["time < ?"] = now - older_than * DAY
    if below_evidence is not None:
        conditions["evidence < ?"] = below_evidence
    if keep is not None:
        conditions["id NOT IN (SELECT id FROM experience ORDER BY time DESC, id DESC LIMIT ?)"] = keep
    if not conditions:
        raise ConfigError("say what to prune: --older-than, --below-evidence or --keep")
    if not await anyio.Path(path).is_file():
        raise ConfigError("there is no such memory", file=str(path))
    async with open_database(path, SCHEMA) as database:
        sql = f"DELETE FROM experience WHERE {' OR '.join(conditions)} RETURNING operator"
        gone: dict[str, int] = {}
        for (operator,) in await database.write(sql, list(conditions.values())):
            gone[operator] = gone.get(operator, 0) + 1
    return dict(sorted(gone.items()))


def _key(row: tuple[Any, ...]) -> bytes:
    return orjson.dumps(row)


def _experience(row: object) -> Experience:
    """:raises ValueError: the row is no experience; says why."""
    if not isinstance(row, dict):
        raise ValueError("expected an object")
    row = {**SINCE, **row}
    for wrong, names in (("missing", set(NAMES) - row.keys()), ("unknown", row.keys() - set(NAMES))):
        if names:
            raise ValueError(f"{wrong}: {', '.join(sorted(names))}")
    _check_values(row)
    return Experience(**{**row, "reward": float(row["reward"]), "time": float(row["time"])})


def _check_values(row: Mapping[str, Any]) -> None:
    for name in TEXTS:
        if not isinstance(row[name], str):
            raise ValueError(f"{name} is a text")
    for name, choices in CHOICES.items():
        if row[name] not in choices:
            raise ValueError(f"{name} is one of {', '.join(choices)}")
    for name, least in (("evidence", 0), ("cost", -(2**63))):
        if type(row[name]) is not int or not least <= row[name] < 2**63:
            raise ValueError(f"{name} is a whole number{' from 0 on' if least == 0 else ''}")
    for name in ("reward", "time"):
        if type(row[name]) not in (int, float) or not math.isfinite(row[name]):
            raise ValueError(f"{name} is a number")
