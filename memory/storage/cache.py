"""The reply cache: an answered request is never paid for again, and a process never sends it twice at once."""

from __future__ import annotations

import sqlite3
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, replace
from pathlib import Path
from typing import TypeVar

import orjson
from anyio import get_cancelled_exc_class

from memory.storage.database import Database, Row, open_database
from memory.storage.sqlite import Schema
from protocols.model import Reply, ToolCall, Usage
from protocols.wrappers.cached import Flight

SCHEMA = Schema(
    "reply cache",
    4,
    (
        """CREATE TABLE reply (
            place INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, scope TEXT NOT NULL, time REAL NOT NULL,
            text TEXT NOT NULL, finish TEXT NOT NULL, model TEXT NOT NULL,
            input INTEGER NOT NULL, output INTEGER NOT NULL, cached INTEGER NOT NULL,
            written INTEGER NOT NULL, estimated INTEGER NOT NULL DEFAULT 0, instead TEXT, calls TEXT)""",
    ),
    migrations={
        2: (
            "ALTER TABLE reply ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE reply ADD COLUMN instead TEXT",
        ),
        3: ("ALTER TABLE reply ADD COLUMN calls TEXT",),
    },
)
COLUMNS = "text, finish, model, input, output, cached, written, estimated, instead, calls"
# If two processes get a reply to the same request at once, both use the first that was stored.
INSERT = f"""INSERT INTO reply (key, scope, time, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO NOTHING"""
SELECT = f"SELECT {COLUMNS} FROM reply WHERE key = ?"
RECENT = 8192
"""Replies that are held in memory."""
CHECKED = 64
"""Check the size of the file once per this many stored replies."""
# The oldest rows lie together at the beginning of the table, so deleting them frees whole pages. The size is tested
# where the bound is computed and not for each row, which would read a sixteenth of the rows to delete none.
EVICT = f"""DELETE FROM reply WHERE place < (
    SELECT CASE WHEN (pages.page_count - free.freelist_count) * size.page_size > ?
        THEN (SELECT min(place) + max({2 * CHECKED}, (max(place) - min(place)) / 16) FROM reply) END
    FROM pragma_page_count() pages, pragma_freelist_count() free, pragma_page_size() size)"""

T = TypeVar("T")


class Recent(OrderedDict[bytes, T]):
    """The latest RECENT values that were held."""

    def hold(self, key: bytes, value: T) -> None:
        """Hold a value, in the place of the oldest if there is no room."""
        if len(self) >= RECENT:
            self.popitem(last=False)  # of a dict, the first key is behind all that were deleted
        self[key] = value


class ReplyCache:
    """Replies by key: the latest RECENT in memory, all of them in a file that several processes may share.

    The file holds `most_bytes` or little more: beyond, the sixteenth that was stored first goes. Of several processes
    each asks what it has not got, so that a request which is out in two of them is paid for twice. `keys`: those of a
    file that nobody else writes to. What is not among them is not looked for there, which saves every new request a
    hop to a thread: 10 of 30 µs of CPU time (256 calls in flight). A million keys are 0.1 GB.
    """

    def __init__(self, database: Database, most_bytes: int = 2**30, keys: set[bytes] | None = None) -> None:
        self._database, self._keys, self._most_bytes = database, keys, most_bytes
        self._recent = Recent[Row]()
        self._stored = 0
        self.flights: dict[bytes, Flight] = {}
        """The requests in flight, by key."""

    def recent(self, key: bytes) -> Reply | None:
        """The reply, if it is in memory."""
        row = self._recent.get(key)
        return _reply(row) if row else None

    async def find(self, key: bytes) -> Reply | None:
        """The reply, if it is in the file.

        :raises StorageFailed: the file cannot be read.
        """
        if self._keys is not None and key not in self._keys:
            return None
        rows = await self._database.read(SELECT, (key,))
        if not rows:
            return None
        self._recent.hold(key, rows[0])
        return _reply(rows[0])

    async def find_many(self, keys: Sequence[bytes]) -> Mapping[bytes, Reply]:
        """The replies to those of the keys that are in the file, in one trip to a thread.

        :raises StorageFailed: the file cannot be read.
        """
        if wanted := [key for key in keys if self._keys is None or key in self._keys]:
            rows = await self._database.work(
                lambda connection: {key: row for key in wanted for row in connection.execute(SELECT, (key,))}
            )
            for key, row in rows.items():
                self._recent.hold(key, row)
            return {key: _reply(row) for key, row in rows.items()}
        return {}

    async def keep(self, key: bytes, scope: str, reply: Reply) -> Reply | None:
        """Store a reply, durable on return. Returns the stored reply if another process may have been first; else
        None.

        :raises StorageFailed: it could not be written.
        """
        usage = reply.usage
        tokens = (usage.input, usage.output, usage.cached, usage.written, usage.estimated)
        calls = orjson.dumps([astuple(call) for call in reply.calls]).decode() if reply.calls else None
        row = (reply.text, reply.finish, reply.model, *tokens, reply.instead, calls)
        if self._keys is not None:
            self._keys.add(key)
        try:
            new = await self._database.insert(INSERT, (key, scope, time.time(), *row))
        except get_cancelled_exc_class():
            self._recent.hold(
                key, row
            )  # the write continues, and the request must not be sent again before it is done
            raise
        self._stored += 1
        if self._stored % CHECKED == 0:
            await self._database.write(EVICT, (self._most_bytes,))
        if not new and (first := await self.find(key)):
            return first
        self._recent.hold(key, row)
        return None

    async def release(self, key: bytes) -> None:
        """Nothing to do: only the flights of this process keep others from sending a request."""


def as_stored(reply: Reply) -> Reply:
    """A reply as the cache gives it."""
    return replace(reply, latency=0.0, from_cache=True, allowance=None)


def _reply(row: Row) -> Reply:
    text, finish, model, *usage, instead, packed = row
    calls = tuple(ToolCall(*call) for call in orjson.loads(packed)) if packed else ()
    return Reply(text, Usage(*usage), finish, latency=0.0, model=model, from_cache=True, instead=instead, calls=calls)


@asynccontextmanager
async def open_cache(path: Path, most_bytes: int = 2**30, *, alone: bool = False) -> AsyncIterator[ReplyCache]:
    """Open or create a reply cache that holds about `most_bytes` at most. `alone`: no other process writes to it.

    :raises MemoryMismatch: the file is no reply cache, or one of another version.
    :raises StorageFailed: the file cannot be used.
    """
    async with open_database(path, SCHEMA) as database:
        keys = await database.work(_keys) if alone else None
        yield ReplyCache(database, most_bytes, keys)


def _keys(connection: sqlite3.Connection) -> set[bytes]:
    return {key for (key,) in connection.execute("SELECT key FROM reply")}
