"""The reply cache: an answered request is never paid for again, and a process never sends it twice at once."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import orjson
from anyio import Event, get_cancelled_exc_class

from memory.storage.bloom_filter import Sieve
from memory.storage.database import Database, Row, open_database
from memory.storage.sqlite import Schema, Synchronous
from protocols.model import ChatModel, Reply, Request, Usage

SCHEMA = Schema(
    "reply cache",
    3,
    (
        """CREATE TABLE reply (
            place INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, scope TEXT NOT NULL, time REAL NOT NULL,
            text TEXT NOT NULL, finish TEXT NOT NULL, model TEXT NOT NULL,
            input INTEGER NOT NULL, output INTEGER NOT NULL, cached INTEGER NOT NULL,
            written INTEGER NOT NULL, estimated INTEGER NOT NULL DEFAULT 0, instead TEXT)""",
    ),
    migrations={
        2: (
            "ALTER TABLE reply ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE reply ADD COLUMN instead TEXT",
        )
    },
)
COLUMNS = "text, finish, model, input, output, cached, written, estimated, instead"
# If two processes get a reply to the same request at once, both use the first that was stored.
INSERT = f"""INSERT INTO reply (key, scope, time, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO NOTHING"""
SELECT = f"SELECT {COLUMNS} FROM reply WHERE key = ?"
CHECKED = 64
"""Check the size of the file once per this many stored replies."""
# The oldest rows lie together at the beginning of the table, so deleting them frees whole pages. The size is tested
# where the bound is computed and not for each row, which would read a sixteenth of the rows to delete none.
EVICT = f"""DELETE FROM reply WHERE place < (
    SELECT CASE WHEN (pages.page_count - free.freelist_count) * size.page_size > ?
        THEN (SELECT min(place) + max({2 * CHECKED}, (max(place) - min(place)) / 16) FROM reply) END
    FROM pragma_page_count() pages, pragma_freelist_count() free, pragma_page_size() size)"""


class Flight:
    """A request in flight. The event is created only when a second caller waits, which is rare."""

    __slots__ = ("_landed",)

    def __init__(self) -> None:
        self._landed: Event | None = None

    async def wait(self) -> None:
        """Wait until the reply has arrived, or the request has failed."""
        self._landed = self._landed or Event()
        await self._landed.wait()

    def land(self) -> None:
        """Wake all waiters."""
        if self._landed:
            self._landed.set()


class ReplyCache:
    """Replies by key: the latest `recent` in memory, all of them in a file that several processes may share.

    The file holds `most_bytes` or little more: beyond that, the oldest sixteenth is deleted. Processes do not wait
    for each other, so a request that is in flight in two of them is paid for twice. `sieve`: a Bloom filter with the
    keys of a file that no other process writes to; a key that it does not hold is not looked up in the file.
    """

    def __init__(
        self, database: Database, recent: int = 8192, most_bytes: int = 2**30, sieve: Sieve | None = None
    ) -> None:
        self._database, self._sieve = database, sieve
        self._recent: OrderedDict[bytes, Row] = OrderedDict()
        self._bound, self._most_bytes = recent, most_bytes
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
        if self._sieve is not None and key not in self._sieve:
            return None
        rows = await self._database.read(SELECT, (key,))
        if not rows:
            return None
        self._hold(key, rows[0])
        return _reply(rows[0])

    async def keep(self, key: bytes, scope: str, reply: Reply) -> Reply | None:
        """Store a reply, durable on return. Returns the stored reply if another process may have been first; else
        None.

        :raises StorageFailed: it could not be written.
        """
        usage = reply.usage
        tokens = (usage.input, usage.output, usage.cached, usage.written, usage.estimated)
        row = (reply.text, reply.finish, reply.model, *tokens, reply.instead)
        if self._sieve is not None:
            self._sieve.add(key)
        try:
            new = await self._database.insert(INSERT, (key, scope, time.time(), *row))
        except get_cancelled_exc_class():
            self._hold(key, row)  # the write continues, and the request must not be sent again before it is done
            raise
        self._stored += 1
        if self._stored % CHECKED == 0:
            await self._database.write(EVICT, (self._most_bytes,))
        if not new and (first := await self.find(key)):
            return first
        self._hold(key, row)
        return None

    def _hold(self, key: bytes, row: Row) -> None:
        if len(self._recent) >= self._bound:
            self._recent.popitem(last=False)  # a plain dict would step over all deleted entries to its first key
        self._recent[key] = row


def _reply(row: Row) -> Reply:
    text, finish, model, *usage, instead = row
    return Reply(text, Usage(*usage), finish, latency=0.0, model=model, from_cache=True, instead=instead)


@asynccontextmanager
async def open_cache(
    path: Path, most_bytes: int = 2**30, synchronous: Synchronous = "NORMAL", *, alone: bool = False
) -> AsyncIterator[ReplyCache]:
    """Open or create a reply cache that holds about `most_bytes` at most. `alone`: no other process writes to it.

    :raises MemoryMismatch: the file is no reply cache, or one of another version.
    :raises StorageFailed: the file cannot be used.
    """
    async with open_database(path, SCHEMA, synchronous) as database:
        sieve = await database.work(_sieve) if alone else None
        yield ReplyCache(database, most_bytes=most_bytes, sieve=sieve)


def _sieve(connection: sqlite3.Connection) -> Sieve:
    sieve = Sieve()
    sieve.add_all(key for (key,) in connection.execute("SELECT key FROM reply"))
    return sieve


class CachedModel:
    """A wrapper that sends `model` only the requests whose replies `cache` does not hold.

    `scope` identifies everything besides the request that changes the reply (provider, base URL, model). Models that
    share a cache and a scope share replies, and never have the same request in flight twice. A failed call is not
    stored; callers that waited for it then try one after the other. `saved` is called for every reply from the cache.
    """

    def __init__(
        self, model: ChatModel, cache: ReplyCache, scope: str, saved: Callable[[Reply], None] = lambda reply: None
    ) -> None:
        self._model, self._cache, self._scope, self._saved = model, cache, scope, saved

    @property
    def name(self) -> str:
        """The name of the wrapped model."""
        return self._model.name

    async def complete(self, request: Request) -> Reply:
        """Answer from the cache (`from_cache`, latency 0, the usage of the original call), or ask, store and answer.

        :raises ModelError: the call failed.
        :raises BudgetExhausted: the call was refused before anything was sent.
        :raises StorageFailed: the cache cannot be used.
        """
        reply = await self._find_or_ask(request_key(self._scope, request), request)
        if reply.from_cache:
            self._saved(reply)
        return reply

    async def _find_or_ask(self, key: bytes, request: Request) -> Reply:
        flights = self._cache.flights
        while True:
            if reply := self._cache.recent(key):
                return reply
            if not (flight := flights.get(key)):
                break
            await flight.wait()
        flights[key] = flight = Flight()
        try:
            return await self._cache.find(key) or await self._ask(key, request)
        finally:
            del flights[key]
            flight.land()

    async def _ask(self, key: bytes, request: Request) -> Reply:
        reply = await self._model.complete(request)
        first = await self._cache.keep(key, self._scope, reply)
        if first is None:
            return reply
        return replace(reply, text=first.text, finish=first.finish, model=first.model, instead=first.instead)


def request_key(scope: str, request: Request) -> bytes:
    """32 bytes of BLAKE2b over the scope and the whole request: equal for equal requests and for no others."""
    turns = [(message.speaker, message.text) for message in request.messages]
    temperature = None if request.temperature is None else request.temperature + 0.0  # 0, 0.0 and -0.0 are one
    parts: list[object] = [scope, turns, temperature, request.max_tokens, request.sample]
    if request.parameters.key:
        parts.append(request.parameters.key)
    return hashlib.blake2b(orjson.dumps(parts), digest_size=32).digest()
