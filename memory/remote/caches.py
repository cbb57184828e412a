"""The head's side of the reply caches: SQLite as it is, and claims around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from anyio import Event, move_on_after

from memory.remote.claims import Answer, Claims
from memory.remote.opened import Opened, outcomes, refused
from memory.storage.cache import ReplyCache, as_stored, open_cache
from protocols.model import Reply
from protocols.pacing.clock import loop_time

BEAT = 10.0
"""Seconds after which `news` returns without any, so that its next call shows that the process lives."""
SILENT = 3 * BEAT
"""Seconds without a call after which a process counts as gone, and its claims end: its machine may be dead, and all
others may be waiting for what it had claimed."""


@dataclass(frozen=True, slots=True)
class CacheFile:
    """A reply cache of the head, named by its `path`. `most_bytes`, `alone`: see `open_cache`; who opens it first
    decides."""

    path: str
    most_bytes: int
    alone: bool


class Ask(NamedTuple):
    """A question for the reply to the request with this key. Its number is new among those of its process."""

    question: int
    key: bytes


class Put(NamedTuple):
    """A reply to store, as `as_stored` gives it."""

    key: bytes
    scope: str
    reply: Reply


class CacheHead(Protocol):
    """The reply caches of the head, as a process on another machine sees them. `name`: the process, unique among all
    that ever use the head. A call that is repeated because its answer was lost does no harm.

    All methods raise StorageFailed if the cache or the head cannot be used, or the process was forgotten.
    """

    async def ask(
        self, cache: CacheFile, name: str, asked: Sequence[Ask], released: Sequence[bytes]
    ) -> tuple[Answer, ...]:
        """Answer each question at once: with the reply, "send" (the process holds the claim now), or "wait". Then end
        the claims and questions of the process for the keys in `released`.

        :raises MemoryMismatch: the file is no reply cache, or one of another version.
        """

    async def put(self, cache: CacheFile, name: str, puts: Sequence[Put]) -> tuple[Reply | Exception | None, ...]:
        """Store replies, durable on return, and end the claims on their keys. For each the reply that is stored, if
        another may have been first, or the error. What a process has paid for is stored though it was forgotten."""

    async def news(self, cache: CacheFile, name: str, waiting: Sequence[int]) -> tuple[tuple[int, Answer], ...]:
        """Answers to questions that were told to wait, as soon as there is one, and () after `BEAT` seconds.

        `waiting`: the questions whose answers the process waits for when it calls. One call at a time for each
        process, as long as it uses the cache: a process that asks nothing for `SILENT` seconds loses its claims.
        """

    async def leave(self, cache: CacheFile, name: str) -> None:
        """The process does not use the cache any more."""


class SharedReplies:
    """One reply cache for many processes, at most one of which sends a request at a time."""

    def __init__(self, cache: ReplyCache, clock: Callable[[], float]) -> None:
        self._cache, self._clock = cache, clock
        self._claims = Claims()
        self._sleeping: dict[str, Event] = {}

    @property
    def is_free(self) -> bool:
        """Whether no process uses it."""
        return not self._claims.claimants

    async def ask(self, name: str, asked: Sequence[Ask], released: Sequence[bytes]) -> tuple[Answer, ...]:
        """See `CacheHead`."""
        self._hear(name)
        answers: dict[int, Answer] = {}
        for question, key in asked:
            answers[question] = self._cache.recent(key) or self._claims.ask(name, question, key)
        # The claim comes first, so that of many who ask at once one looks into the file.
        mine = [key for question, key in asked if answers[question] == "send"]
        try:
            found = await self._cache.find_many(mine)
        except BaseException:
            self._end(name, mine)
            raise
        for question, key in asked:
            answers[question] = found.get(key, answers[question])
        for key, reply in found.items():
            self._claims.answered(key, reply)
        self._end(name, released)
        return tuple(answers[question] for question, _ in asked)

    async def put(self, puts: Sequence[Put]) -> tuple[Reply | Exception | None, ...]:
        """See `CacheHead`."""
        return tuple(await outcomes([partial(self._put, put) for put in puts]))

    async def news(self, name: str, waiting: Sequence[int]) -> tuple[tuple[int, Answer], ...]:
        """See `CacheHead`."""
        self._hear(name)
        if news := self._claims.news(name, waiting):
            return news
        awake = self._sleeping[name] = Event()
        with move_on_after(BEAT):
            await awake.wait()
        return self._claims.news(name, ())

    def leave(self, name: str) -> None:
        """See `CacheHead`."""
        self._claims.forget(name)
        self._wake()

    async def _put(self, put: Put) -> Reply | None:
        first = await self._cache.keep(*put)
        self._claims.answered(put.key, first or as_stored(put.reply))
        self._wake()
        return first

    def _end(self, name: str, keys: Sequence[bytes]) -> None:
        for key in keys:
            self._claims.end(name, key)
        self._wake()

    def _hear(self, name: str) -> None:
        """Note that a process lives, and forget those of whom nothing was heard for `SILENT` seconds."""
        now = self._clock()
        self._claims.hear(name, now)
        for gone in self._claims.silent(now - SILENT):
            self._claims.forget(gone)
        self._wake()

    def _wake(self) -> None:
        while self._claims.told:
            if awake := self._sleeping.pop(self._claims.told.pop(), None):
                awake.set()


class Caches:
    """The reply caches of the head by their paths, each open while a process uses it."""

    def __init__(self, clock: Callable[[], float] = loop_time) -> None:
        self._clock = clock
        self._opened = Opened[SharedReplies](lambda shared: shared.is_free)
        self._forgotten: set[str] = set()

    async def ask(
        self, cache: CacheFile, name: str, asked: Sequence[Ask], released: Sequence[bytes]
    ) -> tuple[Answer, ...]:
        """See `CacheHead`."""
        async with self._using(cache, name) as shared:
            return await shared.ask(name, asked, released)

    async def put(self, cache: CacheFile, name: str, puts: Sequence[Put]) -> tuple[Reply | Exception | None, ...]:
        """See `CacheHead`."""
        async with self._opened.using(cache.path, partial(self._open, cache)) as shared:
            return await shared.put(puts)

    async def news(self, cache: CacheFile, name: str, waiting: Sequence[int]) -> tuple[tuple[int, Answer], ...]:
        """See `CacheHead`."""
        async with self._using(cache, name) as shared:
            return await shared.news(name, waiting)

    async def leave(self, cache: CacheFile, name: str) -> None:
        """See `CacheHead`."""
        async with self._using(cache, name) as shared:
            shared.leave(name)

    async def forget(self, name: str) -> None:
        """The process is gone: its claims end, and what it still asks is refused."""
        self._forgotten.add(name)
        for shared in self._opened.values:
            shared.leave(name)
        await self._opened.close_free()

    async def aclose(self) -> None:
        """Close all files; no call may be under way."""
        await self._opened.aclose()

    @asynccontextmanager
    async def _using(self, cache: CacheFile, name: str) -> AsyncIterator[SharedReplies]:
        async with self._opened.using(cache.path, partial(self._open, cache)) as shared:
            if name in self._forgotten:
                raise refused(name, cache.path)
            yield shared

    @asynccontextmanager
    async def _open(self, cache: CacheFile) -> AsyncIterator[SharedReplies]:
        async with open_cache(Path(cache.path), cache.most_bytes, alone=cache.alone) as opened:
            yield SharedReplies(opened, self._clock)
