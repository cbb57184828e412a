"""Reading a journal incrementally, during a run or after it: the entries since the last read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memory.journals.message_codec import Reader
from memory.journals.reading import account_of, envelope_of, part, worked
from memory.journals.schema import SCHEMA, SELECT, SPENT
from memory.storage.sqlite import reading
from protocols.budget.ledger import Account
from protocols.messages import Envelope

MOST = 2_000
"""Most envelopes per read."""


@dataclass(frozen=True, slots=True)
class News:
    """The new entries of a journal. `told`: envelopes, each with the total number of calls up to its time; `spent`:
    sums of the new calls by role and model. `more`: there are further entries to read. `seconds`: working time of the
    run up to its last entry, which is of the Unix time `recorded` (0 if there is none)."""

    told: Sequence[tuple[Envelope, int]]
    spent: Sequence[Account]
    more: bool
    seconds: float
    recorded: float


class JournalTail:
    """A reader that keeps its position. `news` is for one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        self._reader = Reader(lambda number: part(connection, number), brief=True)
        self._last = self._called = 0

    def news(self) -> News:
        """The entries since the last call, without outcomes and partners. Calls are included up to the last envelope
        read, and all of them once there are no more envelopes.

        :raises StorageFailed: the journal is damaged.
        """
        self._connection.execute("BEGIN")  # all queries see one state of the file
        try:
            sql = f"{SELECT.replace('SELECT', 'SELECT place,', 1)} WHERE place > ? ORDER BY place LIMIT ?"
            rows = self._connection.execute(sql, (self._last, MOST)).fetchall()
            told, called = [], self._called
            calls = self._calls()
            place, moment = next(calls)
            for self._last, *row in rows:
                envelope = envelope_of(row, self._reader, self._path)
                while moment <= envelope.time:
                    called = place
                    place, moment = next(calls)
                told.append((envelope, called))
            more = len(rows) == MOST
            spent = self._spent(called if more else None)
            return News(told, spent, more, worked(self._connection), self._recorded())
        finally:
            self._connection.execute("COMMIT")

    def _recorded(self) -> float:
        rows = [
            self._connection.execute(f"SELECT time FROM {table} ORDER BY place DESC LIMIT 1").fetchall()
            for table in ("journal", "call")
        ]
        return max((float(moment) for found in rows for (moment,) in found), default=0.0)

    def _calls(self) -> Iterator[tuple[int, float]]:
        """The places and times of the new calls, then (0, infinity) without end."""
        sql = "SELECT place, time FROM call WHERE place > ? ORDER BY place"
        yield from self._connection.execute(sql, (self._called,))
        while True:
            yield 0, float("inf")

    def _spent(self, until: int | None) -> list[Account]:
        """The sums of the new calls up to this place, or of all new calls."""
        if until is None:
            [(until,)] = self._connection.execute("SELECT ifnull(max(place), 0) FROM call")
        where = "WHERE place > ? AND place <= ? GROUP BY role, model ORDER BY min(place)"
        rows = self._connection.execute(f"{SPENT} {where}", (self._called, until))
        self._called = until
        return [account_of(row) for row in rows]


@contextmanager
def follow(path: Path) -> Iterator[JournalTail]:
    """Open a reader at the beginning of a journal.

    :raises MemoryMismatch: the file is no journal, or one of another version.
    :raises StorageFailed: it is not there, or damaged.
    """
    with reading(path, SCHEMA) as connection:
        yield JournalTail(connection, path)
