"""Rooms on the machine of the command: plain objects, each in an actor of its own, and how searches reach them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import ray
from anyio import CancelScope
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from agents.books.books import open_books
from agents.books.shipments import Heard, Opened, Shipment
from memory.remote.caches import Ask, CacheFile, Caches, Put
from memory.remote.claims import Answer
from memory.remote.memories import Job, Memories, MemoryFile
from protocols.budget.amount import Amount
from protocols.budget.purse import Answer as Granted
from protocols.budget.purse import Authority, Keeper, Standing
from protocols.errors import PromptFlowError, StorageFailed
from protocols.model import Reply
from protocols.text import one_line

CLOSING = 10.0
"""Seconds that a room has to close its files."""
Opening = Callable[[], AbstractAsyncContextManager[Any]]


class Room:
    """An async actor around what `opening` opens. Ray starts it anew if its process ends, and repeats the calls that
    were under way; what it serves takes a repeated call for the same."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._served: Any = None
        self._ready, self._closing, self._closed = anyio.Event(), anyio.Event(), anyio.Event()
        self._calls, self._last = set[CancelScope](), anyio.Event()
        self._failed: PromptFlowError | None = None

    async def serve(self) -> None:
        """Open what is served, and close it after `close`, with no call under way."""
        try:
            async with self._opening() as self._served:
                self._ready.set()
                await self._closing.wait()
                for scope in self._calls:
                    scope.cancel()
                if self._calls:
                    await self._last.wait()
        except PromptFlowError as error:
            self._failed = error
        finally:
            self._ready.set()
            self._closed.set()

    async def close(self) -> None:
        """Close what is served."""
        self._closing.set()
        await self._closed.wait()

    async def call(self, method: str, arguments: Sequence[Any]) -> Any:
        """The outcome of a method; an error of ours is a value, since Ray would wrap one that is raised."""
        await self._ready.wait()
        if self._failed is not None:
            return self._failed
        with CancelScope() as scope:
            if not self._closing.is_set():
                self._calls.add(scope)
                try:
                    return await getattr(self._served, method)(*arguments)
                except PromptFlowError as error:
                    return error
                finally:
                    self._calls.discard(scope)
                    if self._closing.is_set() and not self._calls:
                        self._last.set()
        return StorageFailed("is closed, for the command has ended", file=type(self._served).__name__)


class BooksRoom(Room):
    """Run directories: `agents.books.books.Books`."""


class CacheRoom(Room):
    """Reply caches: `memory.remote.caches.Caches`."""


class MemoryRoom(Room):
    """Memories: `memory.remote.memories.Memories`."""


class PurseRoom(Room):
    """Caps over all searches: `protocols.budget.purse.Keeper`."""


class Reached:
    """The other side of a `Room`: calls its methods from another process."""

    def __init__(self, name: str, actor: Any) -> None:
        self._name, self._actor = name, actor

    async def call(self, method: str, *arguments: Any) -> Any:
        """:raises PromptFlowError: as the method.
        :raises StorageFailed: the room cannot be reached.
        """
        try:
            outcome = await self._actor.call.remote(method, arguments)
        except RayError as error:
            raise StorageFailed(f"cannot be reached: {one_line(str(error), 200)}", file=self._name) from None
        if isinstance(outcome, PromptFlowError):
            raise outcome
        return outcome


class ReachedBooks(Reached):
    """`agents.books.shipments.Head` over Ray."""

    async def open(self, directory: str) -> Opened:
        opened: Opened = await self.call("open", directory)
        return opened

    async def write(self, directory: str, incarnation: int, number: int, shipments: Sequence[Shipment]) -> None:
        await self.call("write", directory, incarnation, number, shipments)

    async def commands(self, directory: str, incarnation: int, after: int) -> Heard:
        heard: Heard = await self.call("commands", directory, incarnation, after)
        return heard

    async def close(self, directory: str, incarnation: int) -> None:
        await self.call("close", directory, incarnation)


class ReachedCaches(Reached):
    """`memory.remote.caches.CacheHead` over Ray."""

    async def ask(
        self, cache: CacheFile, name: str, asked: Sequence[Ask], released: Sequence[bytes]
    ) -> tuple[Answer, ...]:
        answers: tuple[Answer, ...] = await self.call("ask", cache, name, asked, released)
        return answers

    async def put(self, cache: CacheFile, name: str, puts: Sequence[Put]) -> tuple[Reply | Exception | None, ...]:
        stored: tuple[Reply | Exception | None, ...] = await self.call("put", cache, name, puts)
        return stored

    async def news(self, cache: CacheFile, name: str, waiting: Sequence[int]) -> tuple[tuple[int, Answer], ...]:
        news: tuple[tuple[int, Answer], ...] = await self.call("news", cache, name, waiting)
        return news

    async def leave(self, cache: CacheFile, name: str) -> None:
        await self.call("leave", cache, name)

    async def forget(self, name: str) -> None:
        """See `Caches.forget`."""
        await self.call("forget", name)


class ReachedMemories(Reached):
    """`memory.remote.memories.MemoryHead` over Ray."""

    async def do(self, memory: MemoryFile, name: str, jobs: Sequence[Job[Any]]) -> tuple[Any, ...]:
        outcomes: tuple[Any, ...] = await self.call("do", memory, name, jobs)
        return outcomes

    async def leave(self, memory: MemoryFile, name: str) -> None:
        await self.call("leave", memory, name)

    async def forget(self, name: str) -> None:
        """See `Memories.forget`."""
        await self.call("forget", name)


class ReachedPurse(Reached):
    """`protocols.budget.purse.Purse` over Ray."""

    async def exchange(self, member: str, standing: Standing) -> Granted:
        granted: Granted = await self.call("exchange", member, standing)
        return granted

    async def news(self, member: str, version: int) -> Granted:
        granted: Granted = await self.call("news", member, version)
        return granted

    async def leave(self, member: str, spent: Amount) -> None:
        await self.call("leave", member, spent)

    async def spent(self) -> Amount:
        """What all members have spent, as far as they have told."""
        spent: Amount = await self.call("spent")
        return spent


class TellingKeeper(Keeper):
    """A purse that also tells what was spent."""

    async def spent(self) -> Amount:
        """See `Authority.spent`."""
        return self.authority.spent


@dataclass(frozen=True, slots=True)
class Rooms:
    """The rooms of one command, as its processes reach them. `purse` None: there are no caps over all searches."""

    books: ReachedBooks
    caches: ReachedCaches
    memories: ReachedMemories
    purse: ReachedPurse | None

    async def forget(self, incarnation: str) -> None:
        """A process is gone: what it claims is free, and what it still asks is refused."""
        for room in (self.caches, self.memories):
            await room.forget(incarnation)


@asynccontextmanager
async def opened_rooms(within: Path, authority: Authority | None) -> AsyncIterator[Rooms]:
    """The rooms of a sweep in the folder `within`, which end with the block or with the command. `authority`: over
    the caps of the sweep, if it has any."""
    async with AsyncExitStack() as stack:
        books = await stack.enter_async_context(_room(BooksRoom, partial(open_books, within)))
        caches = await stack.enter_async_context(_room(CacheRoom, partial(_closing, Caches)))
        memories = await stack.enter_async_context(_room(MemoryRoom, partial(_closing, Memories)))
        purse: ReachedPurse | None = None
        if authority is not None:
            # Started anew it would not know what it has granted, and could grant it twice: its end ends the sweep.
            keeping = _room(PurseRoom, partial(_keeping, authority.pack()), restarts=0)
            purse = ReachedPurse("the budget", await stack.enter_async_context(keeping))
        yield Rooms(
            ReachedBooks("the run directories", books),
            ReachedCaches("the reply cache", caches),
            ReachedMemories("the memory", memories),
            purse,
        )


@asynccontextmanager
async def _keeping(packed: bytes) -> AsyncIterator[TellingKeeper]:
    yield TellingKeeper(Authority.unpack(packed))


@asynccontextmanager
async def _closing(kind: Callable[[], Any]) -> AsyncIterator[Any]:
    async with aclosing(kind()) as opened:
        yield opened


@asynccontextmanager
async def _room(kind: type[Room], opening: Opening, restarts: int = -1) -> AsyncIterator[Any]:
    """A room on the node of this command. Yields its actor."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "scheduling_strategy": here, "max_restarts": restarts, "max_task_retries": -1}
    made = ray.remote(kind).options(**options)
    actor: Any = made.remote(opening)
    served = actor.serve.remote()
    try:
        yield actor
    finally:
        with anyio.move_on_after(CLOSING, shield=True):
            await actor.close.remote()
            await served
        ray.kill(actor)
