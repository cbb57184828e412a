"""The memory: experiences in SQLite, retrieved by similarity."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np

from memory.experience import EVERYWHERE, Ending, Experience, Recalled, Where, situation
from memory.index import Index
from memory.storage.database import Database, Row, Value, open_database
from memory.storage.sqlite import Schema
from protocols.embedding import Embedder, Vector
from protocols.errors import MemoryMismatch, StorageFailed

COLUMNS = tuple(column.name for column in fields(Experience))
BATCH = 4096
"""Rows read at a time into the index: 4 MB of vectors of dimension 256."""
EMBEDDED = 64
"""Texts embedded at a time."""

CONTENT = ", ".join(COLUMNS[:-1])
# A run that was killed after writing its journal and before its memory stores experiences again when it resumes: the
# index keeps each only once.
ORIGIN = "CREATE UNIQUE INDEX origin ON experience (run, assignment)"
SCHEMA = Schema(
    "memory",
    4,
    (
        """CREATE TABLE experience (
            id INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT NOT NULL, section TEXT NOT NULL, kind TEXT NOT NULL,
            operator TEXT NOT NULL, outcome TEXT NOT NULL, reward REAL NOT NULL, evidence INTEGER NOT NULL,
            cost INTEGER NOT NULL, time REAL NOT NULL, vector BLOB NOT NULL,
            before TEXT NOT NULL, after TEXT NOT NULL, gradient TEXT NOT NULL, run TEXT, assignment INTEGER,
            model TEXT NOT NULL DEFAULT '')""",
        """CREATE TABLE embedder (
            only INTEGER PRIMARY KEY CHECK (only = 1), name TEXT NOT NULL, dimension INTEGER NOT NULL,
            deletions INTEGER NOT NULL DEFAULT 0)""",
        # Finds an edit without a second copy of its texts.
        "CREATE INDEX edit ON experience (task, section, length(after), length(before))",
        # Tells every process with an index in memory that the index holds deleted experiences.
        """CREATE TRIGGER deletion AFTER DELETE ON experience
            BEGIN UPDATE embedder SET deletions = deletions + 1; END""",
        ORIGIN,
    ),
    {
        2: (
            "ALTER TABLE experience ADD COLUMN run TEXT",
            "ALTER TABLE experience ADD COLUMN assignment INTEGER",
            ORIGIN,
        ),
        3: ("ALTER TABLE experience ADD COLUMN model TEXT NOT NULL DEFAULT ''",),
    },
)
INSERT = f"INSERT INTO experience ({CONTENT}, vector, run, assignment) VALUES ({', '.join('?' * len(COLUMNS))}, ?, ?)"
TRIED = """SELECT outcome, count(*) FROM experience WHERE task = ?1 AND section = ?2 AND length(after) = length(?4)
    AND length(before) = length(?3) AND before = ?3 AND after = ?4 AND ?5 IN (model, '') GROUP BY outcome"""


class Memory:
    """Experiences of every run that used this file. Other processes may append to it at the same time. `model`: the
    task model of the run that uses it, "" outside a run."""

    def __init__(self, database: Database, embedder: Embedder) -> None:
        self._database = database
        self._embedder = embedder
        self._index = Index(embedder.dimension)  # touched only by jobs of the database, one at a time
        self.model = ""

    def through(self, embedder: Embedder) -> Memory:
        """The same file with another embedder of the same name and dimension: the wrappers around the embedding model
        may not exist yet when the file is opened."""
        memory = Memory(self._database, embedder)
        memory.model = self.model
        return memory

    def measured_with(self, model: str) -> Memory:
        """The same file and index for a run with this task model: new experiences are marked with it, and `tried`
        counts only edits measured with it or with an unknown model."""
        memory = copy(self)
        memory.model = model
        return memory

    async def remember(self, experience: Experience, origin: tuple[str, int] | None = None) -> int:
        """Store an experience, durable on return, and return its new id.

        `origin`: the run and the assignment that it comes from. An experience of the same origin that is stored
        already stays, and its id is returned.

        :raises StorageFailed: it could not be written.
        :raises ModelError, BudgetExhausted: the embedding model failed.
        """
        [row] = await self._rows([experience])
        sql = f"{INSERT} ON CONFLICT (run, assignment) DO UPDATE SET run = run RETURNING id"
        [(number,)] = await self._database.write(sql, [*row, *(origin or (None, None))])
        return int(number)

    async def remembered(self, run: str) -> frozenset[int]:
        """The assignments of this run whose experiences are stored.

        :raises StorageFailed: the file cannot be read.
        """
        rows = await self._database.read("SELECT assignment FROM experience WHERE run = ?", (run,))
        return frozenset(number for (number,) in rows)

    async def remember_all(self, experiences: Sequence[Experience]) -> None:
        """Store all experiences, or none if that fails; durable on return.

        :raises StorageFailed: they could not be written.
        :raises ModelError, BudgetExhausted: the embedding model failed.
        """
        rows = []
        for start in range(0, len(experiences), EMBEDDED):
            rows += [[*row, None, None] for row in await self._rows(experiences[start : start + EMBEDDED])]
        await self._database.write_many((INSERT, rows))

    async def recall(self, query: str, k: int, where: Where = EVERYWHERE) -> list[Recalled]:
        """The `k` experiences most similar to `query` (see `situation`) among those that pass `where`, best first.

        Fewer if fewer pass. Experiences that any process stored before the call are included.

        :raises StorageFailed: the file cannot be read.
        :raises ModelError, BudgetExhausted: the embedding model failed.
        """
        return await self._database.work(partial(self._recall, await self._embed(query), k, where))

    async def nearest(self, asked: Sequence[tuple[str, Where]], each: int) -> list[Experience]:
        """The `each` most similar experiences for each query (see `situation`) among those that pass its filter,
        without duplicates, in the order of ids.

        :raises StorageFailed: the file cannot be read.
        :raises ModelError, BudgetExhausted: the embedding model failed.
        """
        vectors = await self._embedder.embed([query for query, _ in asked])
        wanted = [(vector, where) for vector, (_, where) in zip(vectors, asked, strict=True)]
        return await self._database.work(partial(self._nearest, wanted, each))

    async def tried(self, task: str, section: str, before: str, after: str) -> Mapping[Ending, int]:
        """How often exactly this edit had each outcome, with this task model or one that was not recorded.

        :raises StorageFailed: the file cannot be read.
        """
        return dict(await self._database.read(TRIED, (task, section, before, after, self.model)))

    def is_theirs(self, experience: Experience) -> bool:
        """Whether the experience was measured with this run's task model; True if either model is not known."""
        return not (self.model and experience.model) or self.model == experience.model

    async def contents(self) -> list[Row]:
        """Every experience as a row of its fields without the id.

        :raises StorageFailed: the file cannot be read.
        """
        return await self._database.read(f"SELECT {CONTENT} FROM experience ORDER BY id")

    async def count(self) -> int:
        """The number of experiences."""
        [(number,)] = await self._database.read("SELECT count(*) FROM experience")
        return int(number)

    async def _embed(self, text: str) -> Vector:
        vector: Vector = (await self._embedder.embed([text]))[0]
        return vector

    async def _rows(self, experiences: Sequence[Experience]) -> list[list[Value]]:
        texts = [situation(e.kind, e.gradient, e.before) for e in experiences]
        vectors = (await self._embedder.embed(texts)).astype("<f4")
        known = [e if e.model or not self.model else replace(e, model=self.model) for e in experiences]
        return [
            [*(getattr(experience, column) for column in COLUMNS[:-1]), vector.tobytes()]
            for experience, vector in zip(known, vectors, strict=True)
        ]

    def _nearest(
        self, wanted: Sequence[tuple[Vector, Where]], each: int, connection: sqlite3.Connection
    ) -> list[Experience]:
        self._catch_up(connection)
        found = {number for vector, where in wanted for number, _ in self._index.search(vector, each, where)}
        select = f"SELECT {', '.join(COLUMNS)} FROM experience WHERE id = ?"
        return [Experience(*row) for number in sorted(found) for row in connection.execute(select, (number,))]

    def _recall(self, vector: Vector, k: int, where: Where, connection: sqlite3.Connection) -> list[Recalled]:
        """Runs in the database's thread, so that neither a long search nor catching up blocks the event loop."""
        self._catch_up(connection)
        nearest = self._index.search(vector, k, where)
        select = f"SELECT {', '.join(COLUMNS)} FROM experience WHERE id = ?"
        # No row if another process has deleted it meanwhile.
        return [
            Recalled(experience, similarity, self.is_theirs(experience))
            for number, similarity in nearest
            for experience in (Experience(*row) for row in connection.execute(select, (number,)))
        ]

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        """Index the experiences that any process has stored since: ids rise in the order of commits. After a
        deletion, index all that are left."""
        [(deletions,)] = connection.execute("SELECT deletions FROM embedder")
        if deletions != self._index.deletions:
            self._index.clear()
            self._index.deletions = deletions
        cursor = connection.execute(
            "SELECT id, operator, kind, outcome, vector FROM experience WHERE id > ? ORDER BY id",
            (self._index.last,),
        )
        size = 4 * self._index.dimension
        while rows := cursor.fetchmany(BATCH):
            for row in rows:
                if len(row[-1]) != size:
                    raise StorageFailed(
                        f"experience {row[0]} is damaged; restore a copy", file=str(self._database.path)
                    )
            vectors = np.frombuffer(b"".join(row[-1] for row in rows), "<f4").reshape(len(rows), -1)
            self._index.add([row[0] for row in rows], [row[1:-1] for row in rows], vectors.astype(np.float32))


@asynccontextmanager
async def open_memory(path: Path, embedder: Embedder) -> AsyncIterator[Memory]:
    """Open or create a memory.

    :raises MemoryMismatch: it was made with another embedder, whose vectors cannot be compared with this one's, or
        the file is no memory of this version.
    :raises StorageFailed: the file cannot be used.
    """
    async with open_database(path, SCHEMA) as database:
        ours = (embedder.name, embedder.dimension)
        await database.write("INSERT OR IGNORE INTO embedder (only, name, dimension) VALUES (1, ?, ?)", ours)
        [made] = await database.read("SELECT name, dimension FROM embedder")
        if made != ours:
            raise MemoryMismatch(
                f"made with the embedder {made[0]} (dimension {made[1]}), not {ours[0]} (dimension {ours[1]}); "
                "set that embedder, or give another path to begin a new memory",
                file=str(path),
            )
        yield Memory(database, embedder)
