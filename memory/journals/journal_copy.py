"""The journal of a run that works on another machine, which sends what it has committed and which calls it begins."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from memory.journals.in_flight import Begun, InFlight, left_behind, open_in_flight
from memory.journals.journal import begun_file, lost_calls
from memory.journals.schema import INSERT_CALL, SCHEMA, WRITES
from memory.storage.database import Batch
from memory.storage.sqlite import file_errors, open_file, reading
from protocols.errors import StorageFailed

CACHE_KIB = 256
"""SQLite's page cache for each journal, since a head may hold a thousand; rows are only added at the end."""
NUMBER = -2
"""The place of a call's number among the parameters of `INSERT_CALL`."""


class JournalCopy:
    """Writes what the run sends; for one thread at a time. What comes over a wire is refused unless it is one of
    `WRITES`, word for word."""

    def __init__(self, path: Path, writer: sqlite3.Connection, in_flight: InFlight) -> None:
        self._path, self._writer, self._in_flight = path, writer, in_flight
        self._flying: set[int] = set()

    def write(self, batches: Sequence[Batch]) -> None:
        """Run the statements in one transaction; committed on return.

        :raises StorageFailed: it cannot be written, or is no write of a journal; nothing of it is in the file.
        """
        for sql, _ in batches:
            if sql not in WRITES:
                raise StorageFailed(
                    f"refuses {sql[:60]!r}, which writes to no journal of this release; "
                    "use the same release on all machines",
                    file=str(self._path),
                )
        try:
            with file_errors(self._path):
                self._run(batches)
        except (sqlite3.Error, TypeError, ValueError, OverflowError) as error:
            raise StorageFailed(f"refuses a row: {error}", file=str(self._path)) from error
        for sql, rows in batches:
            if sql == INSERT_CALL:
                self._end(rows)

    def begin(self, call: Begun) -> None:
        """Record a call that is about to be sent; the record outlives the process on return.

        :raises StorageFailed: it cannot be written, or is no call.
        """
        number, time, assignment, role, model, tokens = call
        whole = all(type(value) is int for value in (number, tokens)) and isinstance(assignment, int | None)
        if not (whole and type(time) in (int, float) and type(role) is type(model) is str) or number in self._flying:
            raise StorageFailed(f"refuses {tuple(call)!r}, which is no new call", file=str(self._path))
        self._in_flight.begin(call)
        self._flying.add(number)

    def _run(self, batches: Sequence[Batch]) -> None:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            for sql, rows in batches:
                self._writer.executemany(sql, rows)
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    def _end(self, rows: Sequence[Sequence[object]]) -> None:
        for row in rows:
            number = row[NUMBER]
            if isinstance(number, int) and number in self._flying:
                self._flying.discard(number)
                self._in_flight.end(number)


@contextmanager
def open_copy(path: Path) -> Iterator[JournalCopy]:
    """Open or create a journal that another machine fills. Calls that were begun and not ended are ended as
    `open_journal` ends them.

    :raises MemoryMismatch: the file is no journal, or one of another version.
    :raises StorageFailed: a file cannot be used.
    """
    beside = begun_file(path)
    writer, reader = open_file(path, SCHEMA)
    reader.close()
    with closing(writer), file_errors(path):
        writer.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        if begun := left_behind(beside):
            writer.execute("BEGIN IMMEDIATE")
            writer.executemany(INSERT_CALL, lost_calls(writer, begun))
            writer.execute("COMMIT")
        with open_in_flight(beside) as in_flight:
            yield JournalCopy(path, writer, in_flight)


def image_of(path: Path) -> bytes:
    """The content of a journal as one file, with what is in its log.

    :raises MemoryMismatch, StorageFailed: as `reading`.
    """
    with reading(path, SCHEMA) as connection:
        return connection.serialize()
