"""The head's side of the memories: SQLite and FAISS as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from memory.experience import Ending, Experience, Where
from memory.experience_store import ExperienceStore, Origin, VectorStore, open_experiences
from memory.remote.opened import Opened, outcomes, refused
from protocols.embedding import Vector

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A memory of the head, named by its `path`, and the embedder that makes its vectors."""

    path: str
    embedder: str
    dimension: int


class Job(Protocol[R_co]):
    """One call of a method of `VectorStore`, as a value. Vectors are `packed`."""

    async def on(self, store: VectorStore) -> R_co:
        """Make the call."""


@dataclass(frozen=True, slots=True)
class Add:
    """`VectorStore.add`."""

    experience: Experience
    vector: bytes
    origin: Origin | None

    async def on(self, store: VectorStore) -> int:
        """See `Job`."""
        return await store.add(self.experience, unpacked(self.vector), self.origin)


@dataclass(frozen=True, slots=True)
class Remembered:
    """`VectorStore.remembered`."""

    run: str

    async def on(self, store: VectorStore) -> frozenset[int]:
        """See `Job`."""
        return await store.remembered(self.run)


@dataclass(frozen=True, slots=True)
class Search:
    """`VectorStore.search`."""

    vector: bytes
    k: int
    where: Where

    async def on(self, store: VectorStore) -> list[tuple[Experience, float]]:
        """See `Job`."""
        return await store.search(unpacked(self.vector), self.k, self.where)


@dataclass(frozen=True, slots=True)
class Nearest:
    """`VectorStore.nearest`."""

    wanted: tuple[tuple[bytes, Where], ...]
    each: int

    async def on(self, store: VectorStore) -> list[Experience]:
        """See `Job`."""
        return await store.nearest([(unpacked(vector), where) for vector, where in self.wanted], self.each)


@dataclass(frozen=True, slots=True)
class Tried:
    """`VectorStore.tried`."""

    task: str
    section: str
    before: str
    after: str
    model: str

    async def on(self, store: VectorStore) -> Mapping[Ending, int]:
        """See `Job`."""
        return await store.tried(self.task, self.section, self.before, self.after, self.model)


def packed(vector: Vector) -> bytes:
    """A vector as bytes: little-endian floats of 32 bits."""
    return vector.astype("<f4").tobytes()


def unpacked(vector: bytes) -> Vector:
    """The vector."""
    return np.frombuffer(vector, "<f4").astype(np.float32)


class MemoryHead(Protocol):
    """The memories of the head, as a process on another machine sees them. `name`: the process, unique among all that
    ever use the head. An `Add` without an origin that is repeated because its answer was lost is stored twice.

    All methods raise StorageFailed if the memory or the head cannot be used, or the process was forgotten.
    """

    async def do(self, memory: MemoryFile, name: str, jobs: Sequence[Job[Any]]) -> tuple[Any, ...]:
        """The outcome of each job, in order: what it returns, or its error.

        :raises MemoryMismatch: the file is no memory, or one of another version or embedder.
        """

    async def leave(self, memory: MemoryFile, name: str) -> None:
        """The process does not use the memory any more."""


@dataclass(slots=True)
class _SharedStore:
    """A memory, and the processes that use it."""

    store: ExperienceStore
    names: set[str] = field(default_factory=set)


class Memories:
    """The memories of the head by their paths, each open while a process uses it."""

    def __init__(self) -> None:
        self._opened = Opened[_SharedStore](lambda shared: not shared.names)
        self._forgotten: set[str] = set()

    async def do(self, memory: MemoryFile, name: str, jobs: Sequence[Job[Any]]) -> tuple[Any, ...]:
        """See `MemoryHead`."""
        async with self._using(memory) as shared:
            if name in self._forgotten:
                raise refused(name, memory.path)
            shared.names.add(name)
            return tuple(await outcomes([partial(job.on, shared.store) for job in jobs]))

    async def leave(self, memory: MemoryFile, name: str) -> None:
        """See `MemoryHead`."""
        async with self._using(memory) as shared:
            shared.names.discard(name)

    async def forget(self, name: str) -> None:
        """The process is gone: what it still asks is refused."""
        self._forgotten.add(name)
        for shared in self._opened.values:
            shared.names.discard(name)
        await self._opened.close_free()

    async def aclose(self) -> None:
        """Close all files; no call may be under way."""
        await self._opened.aclose()

    @asynccontextmanager
    async def _using(self, memory: MemoryFile) -> AsyncIterator[_SharedStore]:
        # Another embedder opens the file again, which is refused there.
        async with self._opened.using(f"{memory}", partial(self._open, memory)) as shared:
            yield shared

    @asynccontextmanager
    async def _open(self, memory: MemoryFile) -> AsyncIterator[_SharedStore]:
        async with open_experiences(Path(memory.path), memory.embedder, memory.dimension) as store:
            yield _SharedStore(store)
