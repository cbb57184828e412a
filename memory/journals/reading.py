"""Reads a run journal, also while the run is writing it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from memory.journals.exchanges import Exchange, unpack
from memory.journals.in_flight import left_behind
from memory.journals.journal import begun_file, lost_calls
from memory.journals.message_codec import Reader
from memory.journals.schema import (
    CALL,
    CUT,
    ISSUED,
    SCHEMA,
    SELECT,
    SPENT,
)
from memory.storage.database import Value
from memory.storage.sqlite import reading
from protocols.budget.ledger import Account
from protocols.errors import PromptError, StorageFailed
from protocols.messages import SHRINK, Envelope, Message
from protocols.model import Usage
from protocols.wrappers.recorded import Call


def read_journal(
    path: Path, kinds: tuple[type[Message], ...] = (), assignment: int | None = None, *, brief: bool = False
) -> Iterator[Envelope]:
    """The envelopes in the order of the journal, read lazily; the run may still be writing.

    `kinds`: only messages of these classes; `assignment`: only messages of this assignment. `brief`: outcomes and
    partners are left empty.

    :raises MemoryMismatch: the file is no journal, or one of another version.
    :raises StorageFailed: it is not there, or damaged.
    """
    conditions: dict[str, list[Value]] = {}
    if kinds:
        conditions[f"type IN ({', '.join('?' * len(kinds))})"] = [kind.__name__ for kind in kinds]
    if assignment is not None:
        conditions["assignment = ?"] = [assignment]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    with reading(path, SCHEMA) as connection:
        reader = Reader(lambda number: part(connection, number), brief)
        rows = connection.execute(f"{SELECT}{where} ORDER BY place", [v for vs in conditions.values() for v in vs])
        for row in rows:
            yield envelope_of(row, reader, path)


def envelope_of(row: Sequence[Any], reader: Reader, path: Path) -> Envelope:
    """Decode one row with the columns of `SELECT`.

    :raises StorageFailed: it cannot be read.
    """
    number, cause, sender, to, moment, name, _, payload = row
    try:
        return Envelope(number, cause, sender, to, moment, reader.decode(name, payload))
    except (KeyError, TypeError, ValueError, PromptError) as error:
        raise StorageFailed(f"message {number} ({name}) cannot be read: {error!r}", file=str(path)) from error


def read_calls(path: Path, assignment: int | None = None) -> Iterator[Call]:
    """The calls of one assignment or of all, in the order in which they ended.

    :raises MemoryMismatch, StorageFailed: as `read_journal`.
    """
    where, values = ("", []) if assignment is None else (" WHERE assignment = ?", [assignment])
    with reading(path, SCHEMA) as connection:
        for row in connection.execute(f"SELECT {CALL} FROM call{where} ORDER BY place", values):
            moment, number, role, model, *usage, seconds, error = row
            yield Call(moment, number, role, model, Usage(*usage), seconds, error)


def read_exchanges(path: Path, assignment: int, about: str | None = None) -> Iterator[tuple[str, list[Exchange]]]:
    """What was asked and answered for a candidate, as it was kept: (split or role, exchanges), in order. An
    evaluation that was cut off and repeated is there twice. `about`: only this split or role.

    :raises MemoryMismatch, StorageFailed: as `read_journal`.
    """
    where, values = ("", [assignment]) if about is None else (" AND about = ?", [assignment, about])
    with reading(path, SCHEMA) as connection:
        sql = f"SELECT about, content FROM exchange WHERE assignment = ?{where} ORDER BY place"
        for name, content in connection.execute(sql, values):
            yield name, list(unpack(content, str(path)))


def read_notes(path: Path) -> dict[str, bytes]:
    """The run's notes by name.

    :raises MemoryMismatch, StorageFailed: as `read_journal`.
    """
    with reading(path, SCHEMA) as connection:
        return dict(connection.execute("SELECT name, content FROM note"))


@dataclass(frozen=True, slots=True)
class Durable:
    """The state of a run according to its journal. `last`: the highest id of an envelope; `resumed`: the id of the
    last `Resumed`, 0 if there is none. `assignments`: the number made for operators. `seconds`: see `worked`.
    `accounts`: by role and model."""

    last: int
    resumed: int
    assignments: int
    seconds: float
    accounts: tuple[Account, ...]


def read_durable(path: Path) -> Durable:
    """:raises MemoryMismatch, StorageFailed: as `read_journal`."""
    with reading(path, SCHEMA) as connection:
        rows = connection.execute(f"{SPENT} GROUP BY role, model ORDER BY min(place)")
        accounts = tuple(account_of(row) for row in rows)
        [(last,)] = connection.execute("SELECT ifnull(max(id), 0) FROM journal")
        [(issued,)] = connection.execute(ISSUED)
        [(cut,)] = connection.execute(CUT, (f"proposer/{SHRINK}",))
        [(resumed,)] = connection.execute("SELECT ifnull(max(id), 0) FROM journal WHERE type = 'Resumed'")
        seconds = worked(connection)
    return Durable(last, resumed, issued - cut, seconds, accounts)


def read_spent(path: Path) -> tuple[Account, ...]:
    """What a run has spent, by role and model, with the calls that its last process left in flight, as `open_journal`
    will count them.

    :raises MemoryMismatch, StorageFailed: as `read_journal`.
    """
    with reading(path, SCHEMA) as connection:
        accounts = [account_of(row) for row in connection.execute(f"{SPENT} GROUP BY role, model")]
        begun = left_behind(begun_file(path))
        for _, _, role, model, *usage, seconds, _, _, _ in lost_calls(connection, begun) if begun else ():
            accounts.append(account_of((role, model, 1, 1, *usage, seconds)))
    return tuple(accounts)


def read_processes(path: Path) -> list[tuple[float, float]]:
    """When processes worked on a run, in Unix seconds: the beginning of each by the system clock, and its end, which
    is as much later as it worked.

    :raises MemoryMismatch, StorageFailed: as `read_journal`.
    """
    with reading(path, SCHEMA) as connection:
        began = [
            (time - (so_far or 0.0), 0.0)
            for table in ("journal", "call")
            for time, so_far in connection.execute(f"SELECT time, worked FROM {table} ORDER BY place LIMIT 1")
        ]
        resumed = connection.execute("SELECT time, payload FROM journal WHERE type = 'Resumed' ORDER BY place")
        starts = (
            [min(began), *((time, float(orjson.loads(payload)["seconds"])) for time, payload in resumed)]
            if began
            else []
        )
        ends = [*(seconds for _, seconds in starts[1:]), worked(connection)]
    return [(time, time + end - seconds) for (time, seconds), end in zip(starts, ends, strict=False)]


def account_of(row: Sequence[Any]) -> Account:
    """The account of one role and model from a row with the columns of `SPENT`."""
    role, model, calls, failed, *tokens, seconds = row
    return Account(role, model, calls, failed, usage=Usage(*tokens), seconds=seconds)


def worked(connection: sqlite3.Connection) -> float:
    """The working time of a run up to its last record, in seconds: over all of its processes, without pauses and the
    time between processes, and independent of changes of the system clock."""
    told = [
        seconds
        for table in ("journal", "call")
        for (seconds,) in connection.execute(
            f"SELECT worked FROM {table} WHERE worked IS NOT NULL ORDER BY place DESC LIMIT 1"
        )
    ]
    return max(told) if told else _by_the_clock(connection)


def _by_the_clock(connection: sqlite3.Connection) -> float:
    """An estimate for a journal of an earlier release: the time that the last process began with, plus the span of
    its records without pauses."""
    rows = (
        connection.execute("SELECT id, time, payload FROM journal WHERE type = 'Resumed' ORDER BY place DESC LIMIT 1")
        .fetchall() or connection.execute("SELECT 0, time, NULL FROM journal ORDER BY place LIMIT 1").fetchall()
    )  # fmt: skip
    resumed, begun, payload = rows[0] if rows else (0, 0.0, None)
    before = orjson.loads(payload)["seconds"] if payload else 0.0
    ended = max(
        time
        for table in ("journal", "call")
        for (time,) in connection.execute(f"SELECT time FROM {table} ORDER BY place DESC LIMIT 1").fetchall()
        or [(begun,)]
    )
    told = connection.execute(
        "SELECT type, time FROM journal WHERE type IN ('Pause', 'Continue') AND id > ? ORDER BY place", (resumed,)
    ).fetchall()
    return float(before + max(0.0, ended - begun - _paused(told, ended)))


def _paused(told: Sequence[tuple[str, float]], ended: float) -> float:
    """Seconds that a process was paused, from the types and times of its Pause and Continue messages."""
    seconds, since = 0.0, None
    for kind, time in [*told, ("Continue", ended)]:
        if kind == "Pause":
            since = time if since is None else since
        elif since is not None:
            seconds, since = seconds + time - since, None
    return seconds


def part(connection: sqlite3.Connection, number: int) -> str:
    """The JSON of a part, a value that several messages share.

    :raises KeyError: there is no such part.
    """
    row = connection.execute("SELECT content FROM part WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise KeyError(f"part {number}")
    return str(row[0])
