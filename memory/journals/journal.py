"""The run journal: every envelope that crossed the bus, append-only, in the order in which they were handed in, and
every call to a model that was paid for."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple, Protocol

from memory.journals.exchanges import MOST_BYTES, Exchange, pack
from memory.journals.in_flight import Begun, InFlight, left_behind, open_in_flight
from memory.journals.message_codec import Writer
from memory.journals.schema import (
    INSERT,
    INSERT_CALL,
    INSERT_EXCHANGE,
    INSERT_NOTE,
    INSERT_PART,
    LOST,
    REPLACE_NOTE,
    SCHEMA,
)
from memory.storage.database import Batch, Database, Value, open_database
from protocols.concurrency.threads import in_thread
from protocols.messages import Envelope
from protocols.model import Usage
from protocols.wrappers.recorded import Call


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
