"""The memory of the head, as a search on another machine uses it: vectors are made here, and compared there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar, cast

from anyio import CancelScope

from memory.experience import Ending, Experience, Where
from memory.experience_store import Origin
from memory.remote.memories import Add, Job, MemoryFile, MemoryHead, Nearest, Remembered, Search, Tried, packed
from memory.store import Memory
from protocols.concurrency.grouping import Grouping
from protocols.embedding import Embedder, Vector
from protocols.errors import StorageFailed

T = TypeVar("T")


class RemoteVectorStore:
    """A `VectorStore` of the head. Calls that are made while others are under way share the next trip."""

    def __init__(self, head: MemoryHead, memory: MemoryFile, name: str) -> None:
        self._head, self._memory, self._name = head, memory, name
        self._jobs = Grouping[Job[Any], Any](self._trip)

    async def add(self, experience: Experience, vector: Vector, origin: Origin | None) -> int:
        """See `VectorStore`."""
        return await self._do(Add(experience, packed(vector), origin))

    async def remembered(self, run: str) -> frozenset[int]:
        """See `VectorStore`."""
        return await self._do(Remembered(run))

    async def search(self, vector: Vector, k: int, where: Where) -> list[tuple[Experience, float]]:
        """See `VectorStore`."""
        return await self._do(Search(packed(vector), k, where))

    async def nearest(self, wanted: Sequence[tuple[Vector, Where]], each: int) -> list[Experience]:
        """See `VectorStore`."""
        return await self._do(Nearest(tuple((packed(vector), where) for vector, where in wanted), each))

    async def tried(self, task: str, section: str, before: str, after: str, model: str) -> Mapping[Ending, int]:
        """See `VectorStore`."""
        return await self._do(Tried(task, section, before, after, model))

    async def _do(self, job: Job[T]) -> T:
        outcome = await self._jobs.do(job)
        if isinstance(outcome, Exception):
            raise outcome
        return cast("T", outcome)

    async def _trip(self, jobs: list[Job[Any]]) -> Sequence[Any]:
        return await self._head.do(self._memory, self._name, tuple(jobs))


@asynccontextmanager
async def open_remote_memory(head: MemoryHead, path: str, embedder: Embedder, name: str) -> AsyncIterator[Memory]:
    """Use a memory of the head as the process `name`.

    :raises MemoryMismatch, StorageFailed: it cannot be used.
    """
    memory = MemoryFile(path, embedder.name, embedder.dimension)
    await head.do(memory, name, ())
    try:
        yield Memory(RemoteVectorStore(head, memory, name), embedder)
    finally:
        with CancelScope(shield=True), suppress(StorageFailed):
            await head.leave(memory, name)
