"""The run journal: every envelope that crossed the bus, append-only, in the order in which they were handed in, and
every call to a model that was paid for."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson

from memory.journals.exchanges import MOST_BYTES, Exchange, pack, unpack
from memory.journals.in_flight import Begun, InFlight, left_behind, open_in_flight
from memory.journals.message_codec import Reader, Writer
from memory.storage.database import Batch, Database, Value, open_database
from memory.storage.sqlite import Schema, reading
from protocols.budget.ledger import Account
from protocols.concurrency.threads import in_thread
from protocols.errors import PromptError, StorageFailed
from protocols.messages import SHRINK, Envelope, Message
from protocols.model import Usage
from protocols.wrappers.recorded import Call

EXCHANGED = (
    """CREATE TABLE exchange (
        place INTEGER PRIMARY KEY, assignment INTEGER NOT NULL, about TEXT NOT NULL, content BLOB NOT NULL)""",
    "CREATE INDEX exchanged ON exchange (assignment, about)",
)
SCHEMA = Schema(
    "journal",
    14,
    (
        """CREATE TABLE journal (
            place INTEGER PRIMARY KEY, id INTEGER UNIQUE, cause INTEGER, sender TEXT, recipient TEXT,
            time REAL NOT NULL, type TEXT NOT NULL, assignment INTEGER, payload TEXT NOT NULL, worked REAL)""",
        "CREATE INDEX told ON journal (assignment)",
        "CREATE TABLE part (number INTEGER PRIMARY KEY, content TEXT NOT NULL)",
        """CREATE TABLE call (
            place INTEGER PRIMARY KEY, time REAL NOT NULL, assignment INTEGER,
            role TEXT NOT NULL, model TEXT NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL,
            cached INTEGER NOT NULL, written INTEGER NOT NULL, seconds REAL NOT NULL, error TEXT, worked REAL,
            estimated INTEGER NOT NULL DEFAULT 0, number INTEGER)""",
        "CREATE INDEX made ON call (assignment)",
        "CREATE TABLE note (name TEXT PRIMARY KEY, content BLOB NOT NULL)",
        *EXCHANGED,
    ),
    migrations={
        **dict.fromkeys(range(2, 6), ()),
        6: (
            "ALTER TABLE journal ADD COLUMN worked REAL",
            "ALTER TABLE call ADD COLUMN worked REAL",
            "ALTER TABLE call ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE call ADD COLUMN number INTEGER",
        ),
        **dict.fromkeys(range(7, 12), ()),
        12: EXCHANGED,
        13: (),
    },
)
"""3 brought the commands of a person, 4 the faults of observers, 5 ancestors, 6 what is filled for each input. 7
brought what a cap has cut short, what was left unanswered of a minibatch, what is too long for a window, which
replies could not be read or had no text; how long the run had worked when a row was written; the numbers of calls, by
which those are known that were begun and did not end; and which tokens are estimates. 8 brought the forms of
sections. 9 brought the Critic's diagnosis and its doubts, what was tried, drafts, and which training examples a
candidate shares with its parent; the phase that shrinks the result, and what replies took; the aims of a search.
10 told partners only to operators that combine, and the best score to all, and wrote a diagnosis once. 11 brought the
steps of programs, 12 the swaps of their prompts, 13 what was asked and answered, 14 edits that wait for a
person.

A change of the messages is a new version, too: entries must be read with the meaning that they were written with."""
COLUMNS = "id, cause, sender, recipient, time, type, assignment, payload"
INSERT = f"INSERT INTO journal ({COLUMNS}, worked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
SELECT = f"SELECT {COLUMNS} FROM journal"
CALL = "time, assignment, role, model, input, output, cached, written, estimated, seconds, error"
INSERT_CALL = f"INSERT INTO call ({CALL}, number, worked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
SPENT = """SELECT role, model, count(*), sum(error IS NOT NULL), sum(input), sum(output), sum(cached), sum(written),
    sum(estimated), sum(seconds) FROM call"""
"""Selects the columns that `account_of` reads; used with GROUP BY role, model."""
INSERT_EXCHANGE = "INSERT INTO exchange (assignment, about, content) VALUES (?, ?, ?)"
INSERT_PART = "INSERT INTO part VALUES (?, ?)"
INSERT_NOTE = "INSERT INTO note VALUES (?, ?)"
REPLACE_NOTE = "INSERT OR REPLACE INTO note VALUES (?, ?)"
WRITES = frozenset({INSERT, INSERT_CALL, INSERT_EXCHANGE, INSERT_PART, INSERT_NOTE, REPLACE_NOTE})
"""All statements that write to a journal."""
CUT = "SELECT count(*) FROM journal WHERE type = 'Assignment' AND recipient = ?"
ISSUED = "SELECT ifnull(max(assignment), 0) FROM journal WHERE type NOT IN ('Accept', 'Reject')"
"""The number of assignments; a person may have named one that was never issued."""
LOST = "Lost"
"""The `error` of a call whose process ended before the call did."""


class Replica(Protocol):
    """Where a journal is kept a second time, on another machine. Both methods return once it is durable there, and
    raise StorageFailed if it cannot be."""

    async def committed(self, batches: Sequence[Batch]) -> None:
        """Run these statements, see `WRITES`, in order."""

    async def begun(self, call: Begun) -> None:
        """Record a call that is about to be sent."""


class Last(NamedTuple):
    """How far a journal has come: the highest numbers of a part and of a call, and the bytes of all exchanges."""

    part: int
    call: int
    exchanged: int


class Journal:
    """Records envelopes and calls, from any number of tasks at once. `worked` gives the working time of the run over
    all of its processes, in seconds of a monotonic clock; it is stored with every row. None: not measured. `replica`:
    what is durable is durable there, too."""

    def __init__(
        self,
        database: Database,
        in_flight: InFlight,
        last: Last,
        worked: Callable[[], float] | None = None,
        replica: Replica | None = None,
    ) -> None:
        self._database, self._in_flight, self._writer = database, in_flight, Writer(last.part)
        self._numbers, self._clock, self._exchanged = count(last.call + 1), worked, last.exchanged
        self._replica, self._unconfirmed = replica, dict[int, Begun]()
        self._taps: list[Callable[[Call], None]] = []

    @property
    def _worked(self) -> float | None:
        return self._clock() if self._clock else None

    def tap(self, observer: Callable[[Call], None]) -> None:
        """Pass every call to `observer` once it is durable."""
        self._taps.append(observer)

    async def append(self, envelope: Envelope) -> None:
        """Record an envelope, durable on return. Ids are distinct, texts valid Unicode, numbers finite.

        :raises StorageFailed: it could not be written.
        """
        e = envelope
        payload, parts = self._writer.encode(e.message)
        number = getattr(e.message, "assignment", None)
        row = (e.id, e.cause, e.sender, e.to, e.time, type(e.message).__name__, number, payload, self._worked)
        await self._database.write_many((INSERT_PART, list(parts.values())), (INSERT, [row]))
        self._writer.kept(parts)

    def begin(self, time: float, assignment: int | None, role: str, model: str, tokens_in: int) -> int:
        """Record a call that is about to be sent; the record outlives the process on return. `tokens_in`: estimated
        input tokens. If neither `called` nor `withdraw` follows, the call is `LOST` when the journal is opened again.

        :returns: its number, for `called`.
        :raises StorageFailed: it could not be written.
        """
        call = Begun(next(self._numbers), time, assignment, role, model, tokens_in)
        self._in_flight.begin(call)
        if self._replica is not None:
            self._unconfirmed[call.number] = call
        return call.number

    @property
    def confirm(self) -> Callable[[int], Awaitable[None]] | None:
        """Waits until a call that was begun is recorded in the replica; None if there is no replica."""
        return None if self._replica is None else self._confirm

    async def _confirm(self, number: int) -> None:
        assert self._replica is not None, "only a journal with a replica confirms"
        await self._replica.begun(self._unconfirmed.pop(number))

    async def called(self, call: Call, number: int | None = None) -> None:
        """Record a call that has ended, with its number from `begin`; durable on return.

        :raises StorageFailed: it could not be written.
        """
        await self._database.insert(INSERT_CALL, row_of(call, number, self._worked))
        if number is not None:  # not reached if cancelled during the write, which may still be on its way
            self._in_flight.end(number)
        for observe in self._taps:
            observe(call)

    async def exchanged(self, assignment: int, about: str, exchanges: Sequence[Exchange]) -> None:
        """Keep what was asked and answered for a candidate; durable on return. `about`: a split, or the role that
        asked. Nothing more is kept once a run has `MOST_BYTES`.

        :raises StorageFailed: it could not be written.
        """
        if not exchanges or self._exchanged >= MOST_BYTES:
            return
        content = await in_thread(pack, exchanges)
        self._exchanged += len(content)
        await self._database.write_many((INSERT_EXCHANGE, [(assignment, about, content)]))

    async def keep(self, notes: Mapping[str, bytes]) -> None:
        """Store the notes that the run begins with, by name, all of them or none; durable on return.

        :raises StorageFailed: it could not be written.
        """
        await self._database.write_many((INSERT_NOTE, list(notes.items())))

    async def learned(self, name: str, content: bytes) -> None:
        """Store a note that the run has learned, replacing an earlier note of this name; durable on return.

        :raises StorageFailed: it could not be written.
        """
        await self._database.write_many((REPLACE_NOTE, [(name, content)]))

    async def fetched(self, calls: Sequence[Call], name: str, content: bytes) -> None:
        """Record the calls of a batch and what is now known of it, both or neither; durable on return.

        :raises StorageFailed: it could not be written.
        """
        rows = [row_of(call, None, self._worked) for call in calls]
        await self._database.write_many((INSERT_CALL, rows), (REPLACE_NOTE, [(name, content)]))
        for call in calls:
            for observe in self._taps:
                observe(call)


@asynccontextmanager
async def open_journal(
    path: Path, worked: Callable[[], float] | None = None, replica: Replica | None = None
) -> AsyncIterator[Journal]:
    """Open or create a journal, for the one process that writes it; `worked` and `replica` as `Journal` takes them.
    Calls that an earlier process has begun and not ended are ended: they may have been billed, and count for the
    caps, with an output as long as the role's mean.

    :raises MemoryMismatch: the file is no journal, or one of another version.
    :raises StorageFailed: a file cannot be used.
    """
    begun_in = begun_file(path)
    async with open_database(path, SCHEMA, replica.committed if replica else None) as database:
        if begun := await in_thread(left_behind, begun_in):
            lost = await database.work(lambda connection: lost_calls(connection, begun))
            await database.write_many((INSERT_CALL, lost))
        [(parts,)] = await database.read("SELECT ifnull(max(number), 0) FROM part")
        [(calls,)] = await database.read("SELECT ifnull(max(number), 0) FROM call")
        [(exchanged,)] = await database.read("SELECT ifnull(sum(length(content)), 0) FROM exchange")
        with open_in_flight(begun_in) as in_flight:
            last = Last(parts, max([calls, *(call.number for call in begun)]), exchanged)
            yield Journal(database, in_flight, last, worked, replica)


def begun_file(path: Path) -> Path:
    """The file of the calls in flight, beside the journal."""
    return path.with_name(f"{path.name}-begun")


def row_of(call: Call, number: int | None, worked: float | None = None) -> Sequence[Value]:
    """The row of a call for `INSERT_CALL`. `worked`: see `Journal`."""
    usage = call.usage
    tokens = (usage.input, usage.output, usage.cached, usage.written, usage.estimated)
    return (call.time, call.assignment, call.role, call.model, *tokens, call.seconds, call.error, number, worked)


def lost_calls(connection: sqlite3.Connection, begun: Sequence[Begun]) -> list[Sequence[Value]]:
    """The rows of the calls that did not end, with the latest time on record or their own if that is later."""
    numbers = ", ".join(str(call.number) for call in begun)
    ended = {number for (number,) in connection.execute(f"SELECT number FROM call WHERE number IN ({numbers})")}
    sql = "SELECT role, model, CAST(avg(output) AS INTEGER) FROM call WHERE error IS NULL GROUP BY role, model"
    outputs = {(role, model): output for role, model, output in connection.execute(sql)}
    times = [
        time
        for table in ("journal", "call")
        for (time,) in connection.execute(f"SELECT time FROM {table} ORDER BY place DESC LIMIT 1")
    ]
    return [
        row_of(
            Call(
                time=max([call.time, *times]),
                assignment=call.assignment,
                role=call.role,
                model=call.model,
                usage=Usage(call.input, outputs.get((call.role, call.model), 0), estimated=1),
                error=LOST,
            ),
            call.number,
        )
        for call in begun
        if call.number not in ended
    ]


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
