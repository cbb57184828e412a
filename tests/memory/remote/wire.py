"""The head in the same process, behind a wire that pickles everything and may be cut."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import anyio
from anyio.lowlevel import checkpoint

from memory.remote.caches import Ask, CacheFile, CacheHead, Put
from memory.remote.claims import Answer
from memory.remote.memories import Job, MemoryFile, MemoryHead
from protocols.errors import StorageFailed
from protocols.model import Reply

T = TypeVar("T")


def copied(value: T) -> T:
    """What arrives in another process."""
    return cast("T", pickle.loads(pickle.dumps(value)))  # noqa: S301 - made here


class Wire:
    """Calls of a process to the head. `cut`: none arrives any more. `repeats`: so many of the next trips are made
    twice, because the first answer is lost. `trips` counts them all, without news."""

    def __init__(self) -> None:
        self.cut = False
        self.repeats = self.trips = 0

    async def trip(self, call: Callable[..., Awaitable[T]], *given: Any) -> T:
        self.trips += 1
        outcome = await self.crossed(call, *given)
        if self.repeats:
            self.repeats -= 1
            outcome = await self.crossed(call, *given)
        return outcome

    async def crossed(self, call: Callable[..., Awaitable[T]], *given: Any) -> T:
        await checkpoint()
        if self.cut:
            raise StorageFailed("the head is gone", file="head")
        try:
            outcome = copied(await call(*copied(given)))
        except Exception as error:
            raise copied(error) from None
        if self.cut:
            raise StorageFailed("the head is gone", file="head")
        await checkpoint()
        return outcome


class WiredCaches(Wire):
    """A `CacheHead`."""

    def __init__(self, head: CacheHead) -> None:
        super().__init__()
        self._head = head
        self._listening: anyio.CancelScope | None = None
        self.open = anyio.Event()
        """Replies arrive at the head once this is set."""
        self.open.set()

    def beat(self) -> None:
        """The call for news that is out, if any, returns without what it would have brought."""
        if self._listening:
            self._listening.cancel()

    async def ask(
        self, cache: CacheFile, name: str, asked: Sequence[Ask], released: Sequence[bytes]
    ) -> tuple[Answer, ...]:
        return await self.trip(self._head.ask, cache, name, asked, released)

    async def put(self, cache: CacheFile, name: str, puts: Sequence[Put]) -> tuple[Reply | Exception | None, ...]:
        await self.open.wait()
        return await self.trip(self._head.put, cache, name, puts)

    async def news(self, cache: CacheFile, name: str, waiting: Sequence[int]) -> tuple[tuple[int, Answer], ...]:
        with anyio.CancelScope() as self._listening:
            return await self.crossed(self._head.news, cache, name, waiting)
        return ()

    async def leave(self, cache: CacheFile, name: str) -> None:
        await self.trip(self._head.leave, cache, name)


class WiredMemories(Wire):
    """A `MemoryHead`."""

    def __init__(self, head: MemoryHead) -> None:
        super().__init__()
        self._head = head

    async def do(self, memory: MemoryFile, name: str, jobs: Sequence[Job[Any]]) -> tuple[Any, ...]:
        return await self.trip(self._head.do, memory, name, jobs)

    async def leave(self, memory: MemoryFile, name: str) -> None:
        await self.trip(self._head.leave, memory, name)
