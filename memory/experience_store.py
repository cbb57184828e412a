"""A file of experiences and their vectors: SQLite, and a FAISS index in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from memory.experience import Ending, Experience, Where
from memory.index import Index
from memory.storage.database import Database, Row, Value, open_database
from memory.storage.sqlite import Schema
from protocols.embedding import Vector
from protocols.errors import MemoryMismatch, StorageFailed

Origin = tuple[str, int]
"""The run and the assignment that an experience comes from."""
COLUMNS = tuple(column.name for column in fields(Experience))
BATCH = 4096
"""Rows read at a time into the index: 4 MB of vectors of dimension 256."""

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


class VectorStore(Protocol):
    """What a search uses of stored experiences: an `ExperienceStore`, or one on another machine. A vector has shape
    (dimension,) and norm 1, or 0. All methods raise StorageFailed if the store cannot be used."""

    async def add(self, experience: Experience, vector: Vector, origin: Origin | None) -> int:
        """Store an experience, durable on return, and return its new id. An experience of the same origin that is
        stored already stays, and its id is returned."""

    async def remembered(self, run: str) -> frozenset[int]:
        """The assignments of this run whose experiences are stored."""

    async def search(self, vector: Vector, k: int, where: Where) -> list[tuple[Experience, float]]:
        """The `k` experiences most similar to `vector` among those that pass `where`, and their similarities, best
        first. Fewer if fewer pass. Experiences that any process stored before the call are included."""

    async def nearest(self, wanted: Sequence[tuple[Vector, Where]], each: int) -> list[Experience]:
        """The `each` most similar experiences for each vector among those that pass its filter, without duplicates,
        in the order of ids."""

    async def tried(self, task: str, section: str, before: str, after: str, model: str) -> Mapping[Ending, int]:
        """How often exactly this edit had each outcome, with this task model or one that was not recorded."""


class ExperienceStore:
    """The experiences of every run that used this file. Other processes may append to it at the same time."""

    def __init__(self, database: Database, dimension: int) -> None:
        self._database = database
        self._index = Index(dimension)  # touched only by jobs of the database, one at a time

    async def add(self, experience: Experience, vector: Vector, origin: Origin | None) -> int:
        """See `VectorStore`."""
        sql = f"{INSERT} ON CONFLICT (run, assignment) DO UPDATE SET run = run RETURNING id"
        [(number,)] = await self._database.write(sql, [*_row(experience, vector), *(origin or (None, None))])
        return int(number)

    async def add_all(self, experiences: Sequence[Experience], vectors: Sequence[Vector]) -> None:
        """Store all experiences, or none if that fails; durable on return.

        :raises StorageFailed: they could not be written.
        """
        rows = [[*_row(e, vector), None, None] for e, vector in zip(experiences, vectors, strict=True)]
        await self._database.write_many((INSERT, rows))

    async def remembered(self, run: str) -> frozenset[int]:
        """See `VectorStore`."""
        rows = await self._database.read("SELECT assignment FROM experience WHERE run = ?", (run,))
        return frozenset(number for (number,) in rows)

    async def search(self, vector: Vector, k: int, where: Where) -> list[tuple[Experience, float]]:
        """See `VectorStore`."""
        return await self._database.work(partial(self._search, vector, k, where))

    async def nearest(self, wanted: Sequence[tuple[Vector, Where]], each: int) -> list[Experience]:
        """See `VectorStore`."""
        return await self._database.work(partial(self._nearest, wanted, each))

    async def tried(self, task: str, section: str, before: str, after: str, model: str) -> Mapping[Ending, int]:
        """See `VectorStore`."""
        return dict(await self._database.read(TRIED, (task, section, before, after, model)))

    async def contents(self) -> list[Row]:
        """Every experience as a row of its fields without the id.

        :raises StorageFailed: the file cannot be read.
        """
        return await self._database.read(f"SELECT {CONTENT} FROM experience ORDER BY id")

    async def count(self) -> int:
        """The number of experiences."""
        [(number,)] = await self._database.read("SELECT count(*) FROM experience")
        return int(number)

    def _nearest(
        self, wanted: Sequence[tuple[Vector, Where]], each: int, connection: sqlite3.Connection
    ) -> list[Experience]:
        self._catch_up(connection)
        found = {number for vector, where in wanted for number, _ in self._index.search(vector, each, where)}
        select = f"SELECT {', '.join(COLUMNS)} FROM experience WHERE id = ?"
        return [Experience(*row) for number in sorted(found) for row in connection.execute(select, (number,))]

    def _search(
        self, vector: Vector, k: int, where: Where, connection: sqlite3.Connection
    ) -> list[tuple[Experience, float]]:
        """Runs in the database's thread, so that neither a long search nor catching up blocks the event loop."""
        self._catch_up(connection)
        nearest = self._index.search(vector, k, where)
        select = f"SELECT {', '.join(COLUMNS)} FROM experience WHERE id = ?"
        # No row if another process has deleted it meanwhile.
        return [
            (Experience(*row), similarity)
            for number, similarity in nearest
            for row in connection.execute(select, (number,))
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


def _row(experience: Experience, vector: Vector) -> list[Value]:
    """The columns of an experience and its vector, without its origin."""
    return [*(getattr(experience, column) for column in COLUMNS[:-1]), vector.astype("<f4").tobytes()]


@asynccontextmanager
async def open_experiences(path: Path, embedder: str, dimension: int) -> AsyncIterator[ExperienceStore]:
    """Open or create a file of experiences. `embedder`, `dimension`: of the embedder that makes the vectors.

    :raises MemoryMismatch: it was made with another embedder, whose vectors cannot be compared with this one's, or
        the file is no memory of this version.
    :raises StorageFailed: the file cannot be used.
    """
    async with open_database(path, SCHEMA) as database:
        ours = (embedder, dimension)
        await database.write("INSERT OR IGNORE INTO embedder (only, name, dimension) VALUES (1, ?, ?)", ours)
        [made] = await database.read("SELECT name, dimension FROM embedder")
        if made != ours:
            raise MemoryMismatch(
                f"made with the embedder {made[0]} (dimension {made[1]}), not {ours[0]} (dimension {ours[1]}); "
                "set that embedder, or give another path to begin a new memory",
                file=str(path),
            )
        yield ExperienceStore(database, dimension)
