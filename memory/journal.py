"""The run journal: every envelope that crossed the bus, append-only, in the order in which it was handed in, and
every call to a model that was paid for."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from memory.database import Database, Value, open_database
from memory.parts import Reader, Writer
from memory.sqlite import Schema, Synchronous, reading
from protocols.errors import PromptError, StorageFailed
from protocols.messages import Envelope, Message
from protocols.model import Usage
from protocols.wrappers.ledger import Account

SCHEMA = Schema(
    "journal",
    7,
    (
        """CREATE TABLE journal (
            place INTEGER PRIMARY KEY, id INTEGER UNIQUE, cause INTEGER, sender TEXT, recipient TEXT,
            time REAL NOT NULL, type TEXT NOT NULL, assignment INTEGER, payload TEXT NOT NULL)""",
        "CREATE INDEX told ON journal (assignment)",
        "CREATE TABLE part (number INTEGER PRIMARY KEY, content TEXT NOT NULL)",
        """CREATE TABLE call (
            place INTEGER PRIMARY KEY, time REAL NOT NULL, assignment INTEGER,
            role TEXT NOT NULL, model TEXT NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL,
            cached INTEGER NOT NULL, written INTEGER NOT NULL, seconds REAL NOT NULL, error TEXT)""",
        "CREATE INDEX made ON call (assignment)",
        "CREATE TABLE note (name TEXT PRIMARY KEY, content BLOB NOT NULL)",
    ),
    migrations=dict.fromkeys(range(2, 7), ()),
)
"""3 brought the commands of a person, 4 the faults of observers, 5 ancestors, 6 what is filled for each input,
7 which replies could not be read or had no text.

A change of the messages is a new version, too: what is in a journal must be read as it was meant."""
COLUMNS = "id, cause, sender, recipient, time, type, assignment, payload"
INSERT = f"INSERT INTO journal ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
SELECT = f"SELECT {COLUMNS} FROM journal"
CALL = "time, assignment, role, model, input, output, cached, written, seconds, error"


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt at a model, for an assignment (None: the held-out report), that ended at `time` (Unix seconds).

    `seconds` until the reply; `error`: what came instead of one.
    """

    time: float
    assignment: int | None
    role: str
    model: str
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    error: str | None = None


class Journal:
    """Takes envelopes and calls of any number of tasks at once."""

    def __init__(self, database: Database, parts: int) -> None:
        self._database, self._writer = database, Writer(parts)
        self._taps: list[Callable[[Call], None]] = []

    def tap(self, observer: Callable[[Call], None]) -> None:
        """Tell `observer` of every call once it is durable."""
        self._taps.append(observer)

    async def append(self, envelope: Envelope) -> None:
        """Durable on return. Ids are distinct, texts valid Unicode, numbers finite.

        :raises StorageFailed: it could not be written.
        """
        e = envelope
        payload, parts = self._writer.encode(e.message)
        number = getattr(e.message, "assignment", None)
        row = (e.id, e.cause, e.sender, e.to, e.time, type(e.message).__name__, number, payload)
        await self._database.write_many(("INSERT INTO part VALUES (?, ?)", list(parts.values())), (INSERT, [row]))
        self._writer.kept(parts)

    async def called(self, call: Call) -> None:
        """Keep a call, durable on return.

        :raises StorageFailed: it could not be written.
        """
        usage = call.usage
        tokens = (usage.input, usage.output, usage.cached, usage.written)
        sql = f"INSERT INTO call ({CALL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        made = (call.time, call.assignment, call.role, call.model)
        await self._database.insert(sql, (*made, *tokens, call.seconds, call.error))
        for observe in self._taps:
            observe(call)

    async def keep(self, notes: Mapping[str, bytes]) -> None:
        """Keep what the run begins with, by name, all of it or nothing; durable on return.

        :raises StorageFailed: it could not be written.
        """
        await self._database.write_many(("INSERT INTO note VALUES (?, ?)", list(notes.items())))


@asynccontextmanager
async def open_journal(path: Path, synchronous: Synchronous = "NORMAL") -> AsyncIterator[Journal]:
    """Open or create a journal.

    :raises MemoryMismatch: the file is no journal, or one of another version.
    :raises StorageFailed: the file cannot be used.
    """
    async with open_database(path, SCHEMA, synchronous) as database:
        [(parts,)] = await database.read("SELECT ifnull(max(number), 0) FROM part")
        yield Journal(database, parts)


def read_journal(
    path: Path, kinds: tuple[type[Message], ...] = (), assignment: int | None = None, *, brief: bool = False
) -> Iterator[Envelope]:
    """The envelopes in the order of the journal, read as they are asked for; the run may still be going on.

    `kinds`: those alone whose message is one of these; `assignment`: those alone that are of this one. `brief`:
    without scores, outcomes and partners, which are left empty.

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
    """The envelope in one row, of the columns of `SELECT`.

    :raises StorageFailed: it cannot be read.
    """
    number, cause, sender, to, moment, name, _, payload = row
    try:
        return Envelope(number, cause, sender, to, moment, reader.decode(name, payload))
    except (KeyError, TypeError, ValueError, PromptError) as error:
        raise StorageFailed(f"message {number} ({name}) cannot be read: {error!r}", file=str(path)) from error


def read_calls(path: Path, assignment: int | None = None) -> Iterator[Call]:
    """The calls in the order in which they ended, of one assignment or of all.

    :raises MemoryMismatch, StorageFailed: as `read_journal`.
    """
    where, values = ("", []) if assignment is None else (" WHERE assignment = ?", [assignment])
    with reading(path, SCHEMA) as connection:
        for row in connection.execute(f"SELECT {CALL} FROM call{where} ORDER BY place", values):
            moment, number, role, model, *usage, seconds, error = row
            yield Call(moment, number, role, model, Usage(*usage), seconds, error)


def read_notes(path: Path) -> dict[str, bytes]:
    """What was kept, by name.

    :raises MemoryMismatch, StorageFailed: as `read_journal`.
    """
    with reading(path, SCHEMA) as connection:
        return dict(connection.execute("SELECT name, content FROM note"))


@dataclass(frozen=True, slots=True)
class Durable:
    """What a journal says of the run so far. `last`: the highest id of an envelope, and `resumed` that of the last
    `Resumed`, 0 if there is none. `assignments` were made. `seconds`: how long the run has worked, without
    its pauses. `accounts`: by role and model."""

    last: int
    resumed: int
    assignments: int
    seconds: float
    accounts: tuple[Account, ...]


def read_durable(path: Path) -> Durable:
    """:raises MemoryMismatch, StorageFailed: as `read_journal`."""
    with reading(path, SCHEMA) as connection:
        accounts = tuple(
            Account(role, model, calls, failed, usage=Usage(*tokens), seconds=seconds)
            for role, model, calls, failed, *tokens, seconds in connection.execute(
                """SELECT role, model, count(*), sum(error IS NOT NULL), sum(input), sum(output), sum(cached),
                sum(written), sum(seconds) FROM call GROUP BY role, model ORDER BY min(place)"""
            )
        )
        [(last, made)] = connection.execute("SELECT ifnull(max(id), 0), ifnull(max(assignment), 0) FROM journal")
        rows = (
            connection.execute(
                "SELECT id, time, payload FROM journal WHERE type = 'Resumed' ORDER BY place DESC LIMIT 1"
            ).fetchall()
            or connection.execute("SELECT 0, time, NULL FROM journal ORDER BY place LIMIT 1").fetchall()
        )
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
    return Durable(last, resumed, made, before + max(0.0, ended - begun - paused(told, ended)), accounts)


def paused(told: Sequence[tuple[str, float]], ended: float) -> float:
    """Seconds of a process in which it was paused, by the types and times of what it was told."""
    seconds, since = 0.0, None
    for kind, time in [*told, ("Continue", ended)]:
        if kind == "Pause":
            since = time if since is None else since
        elif since is not None:
            seconds, since = seconds + time - since, None
    return seconds


def part(connection: sqlite3.Connection, number: int) -> str:
    """The JSON of a part.

    :raises KeyError: there is no such part.
    """
    row = connection.execute("SELECT content FROM part WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise KeyError(f"part {number}")
    return str(row[0])
