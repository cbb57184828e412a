"""The memory: stored experiences, retrieved by similarity."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path

from memory.experience import EVERYWHERE, Ending, Experience, Recalled, Where, situation
from memory.experience_store import ExperienceStore, Origin, VectorStore, open_experiences
from memory.storage.database import Row
from protocols.embedding import Embedder, Vector

EMBEDDED = 64
"""Texts embedded at a time."""


class Memory:
    """Experiences of every run that used `store`, whose vectors `embedder` makes. `model`: the task model of the run
    that uses it, "" outside a run."""

    def __init__(self, store: VectorStore, embedder: Embedder) -> None:
        self._store, self._embedder = store, embedder
        self.model = ""

    def through(self, embedder: Embedder) -> Memory:
        """The same store with another embedder of the same name and dimension: the wrappers around the embedding
        model may not exist yet when the store is opened."""
        memory = copy(self)
        memory._embedder = embedder
        return memory

    def measured_with(self, model: str) -> Memory:
        """The same store for a run with this task model: new experiences are marked with it, and `tried` counts only
        edits measured with it or with an unknown model."""
        memory = copy(self)
        memory.model = model
        return memory

    async def remember(self, experience: Experience, origin: Origin | None = None) -> int:
        """Store an experience, durable on return, and return its new id. An experience of the same `origin` that is
        stored already stays, and its id is returned.

        :raises StorageFailed: it could not be written.
        :raises ModelError, BudgetExhausted: the embedding model failed.
        """
        [vector] = await self._vectors([experience])
        return await self._store.add(self._marked(experience), vector, origin)

    async def remembered(self, run: str) -> frozenset[int]:
        """The assignments of this run whose experiences are stored.

        :raises StorageFailed: the store cannot be read.
        """
        return await self._store.remembered(run)

    async def recall(self, query: str, k: int, where: Where = EVERYWHERE) -> list[Recalled]:
        """The `k` experiences most similar to `query` (see `situation`) among those that pass `where`, best first.

        Fewer if fewer pass. Experiences that any process stored before the call are included.

        :raises StorageFailed: the store cannot be read.
        :raises ModelError, BudgetExhausted: the embedding model failed.
        """
        [vector] = await self._embedder.embed([query])
        nearest = await self._store.search(vector, k, where)
        return [Recalled(experience, similarity, self.is_theirs(experience)) for experience, similarity in nearest]

    async def nearest(self, asked: Sequence[tuple[str, Where]], each: int) -> list[Experience]:
        """The `each` most similar experiences for each query (see `situation`) among those that pass its filter,
        without duplicates, in the order of ids.

        :raises StorageFailed: the store cannot be read.
        :raises ModelError, BudgetExhausted: the embedding model failed.
        """
        vectors = await self._embedder.embed([query for query, _ in asked])
        wanted = [(vector, where) for vector, (_, where) in zip(vectors, asked, strict=True)]
        return await self._store.nearest(wanted, each)

    async def tried(self, task: str, section: str, before: str, after: str) -> Mapping[Ending, int]:
        """How often exactly this edit had each outcome, with this task model or one that was not recorded.

        :raises StorageFailed: the store cannot be read.
        """
        return await self._store.tried(task, section, before, after, self.model)

    def is_theirs(self, experience: Experience) -> bool:
        """Whether the experience was measured with this run's task model; True if either model is not known."""
        return not (self.model and experience.model) or self.model == experience.model

    def _marked(self, experience: Experience) -> Experience:
        return experience if experience.model or not self.model else replace(experience, model=self.model)

    async def _vectors(self, experiences: Sequence[Experience]) -> Vector:
        return await self._embedder.embed([situation(e.kind, e.gradient, e.before) for e in experiences])


class LocalMemory(Memory):
    """A memory in a file of this machine, with what is done with all of it at once."""

    def __init__(self, store: ExperienceStore, embedder: Embedder) -> None:
        super().__init__(store, embedder)
        self._file = store

    async def remember_all(self, experiences: Sequence[Experience]) -> None:
        """Store all experiences, or none if that fails; durable on return.

        :raises StorageFailed: they could not be written.
        :raises ModelError, BudgetExhausted: the embedding model failed.
        """
        vectors: list[Vector] = []
        for start in range(0, len(experiences), EMBEDDED):
            vectors.extend(await self._vectors(experiences[start : start + EMBEDDED]))
        await self._file.add_all([*map(self._marked, experiences)], vectors)

    async def contents(self) -> list[Row]:
        """Every experience as a row of its fields without the id.

        :raises StorageFailed: the file cannot be read.
        """
        return await self._file.contents()

    async def count(self) -> int:
        """The number of experiences."""
        return await self._file.count()


@asynccontextmanager
async def open_memory(path: Path, embedder: Embedder) -> AsyncIterator[LocalMemory]:
    """Open or create a memory in a file.

    :raises MemoryMismatch, StorageFailed: see `open_experiences`.
    """
    async with open_experiences(path, embedder.name, embedder.dimension) as store:
        yield LocalMemory(store, embedder)
