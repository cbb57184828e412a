"""One SQLite file for many tasks: statements gather while a thread works, and one thread hop serves all of them.

A commit costs a thread hop and a write to the log however many statements it holds, so statements share it (group
commit, see `Grouping`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from anyio import CancelScope, CapacityLimiter, to_thread

from memory.storage.sqlite import Schema, is_of_the_file, open_file, raised
from protocols.concurrency.grouping import Grouping

Value = None | int | float | str | bytes
Row = tuple[Any, ...]
"""One row as sqlite3 gives it: values of type `Value`."""
Batch = tuple[str, Sequence[Sequence[Value]]]
"""A statement, and the parameters of each time that it is run."""
Ship = Callable[[Sequence[Batch]], Awaitable[None]]
"""Takes what was committed to another machine; its exceptions reach all whose writes it took."""
T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]


@dataclass(frozen=True, slots=True)
class Insert:
    """An insert that can be batched with others of the same statement."""

    sql: str
    row: Sequence[Value]

    def __call__(self, connection: sqlite3.Connection) -> bool:
        """Insert this row alone; returns whether it was inserted."""
        return connection.execute(self.sql, self.row).rowcount == 1

    @property
    def batches(self) -> Sequence[Batch]:
        """What is written."""
        return ((self.sql, (self.row,)),)


@dataclass(frozen=True, slots=True)
class Returning:
    """A statement whose rows are returned."""

    sql: str
    parameters: Sequence[Value]

    def __call__(self, connection: sqlite3.Connection) -> list[Row]:
        """Run it."""
        return connection.execute(self.sql, self.parameters).fetchall()

    @property
    def batches(self) -> Sequence[Batch]:
        """What is written."""
        return ((self.sql, (self.parameters,)),)


@dataclass(frozen=True, slots=True)
class Batches:
    """Statements of one transaction, each for many rows."""

    batches: Sequence[Batch]

    def __call__(self, connection: sqlite3.Connection) -> None:
        """Run them, in order."""
        for sql, rows in self.batches:
            connection.executemany(sql, rows)


Write = Insert | Returning | Batches


class Database:
    """An open file: one connection that writes and one that reads, each serving a group at a time.

    `ship`: gets what a group has committed, in an order that leads to the same tables; a write returns once it has.
    """

    def __init__(
        self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection, ship: Ship | None = None
    ) -> None:
        self.path = path
        self._writes = _Lane(path, lambda jobs: _commit(writer, jobs), ship)
        self._reads = _Lane(path, lambda jobs: [_attempt(reader, job) for job in jobs])

    async def write(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Run one statement in a transaction; committed on return. Returns the rows of its RETURNING clause.

        Statements commit in the order of the calls. A caller that is cancelled meanwhile leaves its statement
        behind: it is still committed.

        :raises StorageFailed: the file cannot be written, and nothing of this statement is in it.
        """
        return await self._writes.run(Returning(sql, parameters))

    async def insert(self, sql: str, row: Sequence[Value]) -> bool:
        """Insert one row with a statement that may skip conflicts (ON CONFLICT DO NOTHING); committed on return.

        Rows of one statement that are committed together are inserted as one batch, which costs a third less than
        `write`.

        :returns: True if the row was certainly inserted; False if any row of its batch was skipped.
        :raises StorageFailed: the file cannot be written, and the row is not in it.
        """
        return await self._writes.run(Insert(sql, row))

    async def write_many(self, *batches: Batch) -> None:
        """Run each batch's statement for each of its rows, in order and in one transaction; committed on return.

        :raises StorageFailed: the file cannot be written, and nothing of these rows is in it.
        """
        await self._writes.run(Batches(batches))

    async def read(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Run one query. It sees every write, of any process, that returned before the call.

        :raises StorageFailed: the file cannot be read.
        """
        return await self.work(lambda connection: connection.execute(sql, parameters).fetchall())

    async def work(self, job: Job[T]) -> T:
        """Run `job` in the reader's thread, one at a time: for queries, and for work too long for the event loop.

        :raises StorageFailed: the file cannot be read.
        """
        return await self._reads.run(job)

    async def idle(self) -> None:
        """Wait until all statements and jobs so far are done."""
        await self._writes.idle()
        await self._reads.idle()


@asynccontextmanager
async def open_database(path: Path, schema: Schema, ship: Ship | None = None) -> AsyncIterator[Database]:
    """Open or create a file; leaving the block waits for what is under way and closes it. `ship`: see `Database`.

    :raises MemoryMismatch: the file is something else, or of another version.
    :raises StorageFailed: it cannot be used.
    """
    connections = await to_thread.run_sync(open_file, path, schema)
    database = Database(path, *connections, ship)
    try:
        yield database
    finally:
        with CancelScope(shield=True):
            await database.idle()
            for connection in connections:
                await to_thread.run_sync(connection.close)


class _Lane:
    """Runs jobs in the order of arrival, a group at a time, in a thread."""

    def __init__(self, path: Path, execute: Callable[[list[Job[Any]]], list[Any]], ship: Ship | None = None) -> None:
        self._path, self._execute, self._ship = path, execute, ship
        self._groups = Grouping[Job[Any], Any](self._work)
        self._thread = CapacityLimiter(1)  # our own: never queues behind other users of threads

    async def run(self, job: Job[T]) -> T:
        """Returns or raises what `job` does.

        :raises StorageFailed: the file cannot be used.
        """
        outcome = await self._groups.do(job)
        if isinstance(outcome, Exception):
            raised(outcome, self._path)
        return cast("T", outcome)

    async def idle(self) -> None:
        """Wait until every group so far is done."""
        await self._groups.idle()

    async def _work(self, jobs: list[Job[Any]]) -> list[Any]:
        outcomes = await to_thread.run_sync(self._execute, jobs, limiter=self._thread)
        if self._ship is not None and (written := _written(jobs, outcomes)):
            await self._ship(written)
        return outcomes


def _written(jobs: Sequence[Job[Any]], outcomes: Sequence[Any]) -> list[Batch]:
    """What the jobs have committed, in order. An `Insert` was run after the others of its group, which leads to other
    rows only where both write to one table."""
    ended = zip(jobs, outcomes, strict=True)
    done = [job for job, outcome in ended if isinstance(job, Write) and not isinstance(outcome, Exception)]
    ordered = sorted(done, key=lambda job: isinstance(job, Insert))
    return [batch for job in ordered for batch in job.batches]


def _attempt(connection: sqlite3.Connection, job: Job[Any]) -> Any:
    try:
        return job(connection)
    except Exception as error:
        return error


def _commit(connection: sqlite3.Connection, jobs: list[Job[Any]]) -> list[Any]:
    """Run all jobs in one transaction; if a statement is at fault, each in its own, so that it fails alone."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = _execute(connection, jobs)
        connection.execute("COMMIT")
    except Exception as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if len(jobs) == 1 or is_of_the_file(error):
            return [error] * len(jobs)
        return [outcome for job in jobs for outcome in _commit(connection, [job])]
    return outcomes


def _execute(connection: sqlite3.Connection, jobs: list[Job[Any]]) -> list[Any]:
    """Run the jobs that are no `Insert` in order, then the rows of each statement in order."""
    outcomes: list[Any] = [None] * len(jobs)
    rows: dict[str, dict[int, Sequence[Value]]] = {}
    for place, job in enumerate(jobs):
        if isinstance(job, Insert):
            rows.setdefault(job.sql, {})[place] = job.row
        else:
            outcomes[place] = job(connection)
    for sql, batch in rows.items():
        all_new = connection.executemany(sql, batch.values()).rowcount == len(batch)
        for place in batch:
            outcomes[place] = all_new
    return outcomes
