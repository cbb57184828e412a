from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from memory.experience import EVERYWHERE, Experience, Where, situation
from memory.experience_store import BATCH, COLUMNS
from memory.index import Index
from memory.store import open_memory
from protocols.embedding import HashedNgrams, Vector
from protocols.errors import MemoryMismatch, StorageFailed
from protocols.prompt import Kind
from tests.memory.helpers import directory
from tests.memory.strategies import texts

pytestmark = pytest.mark.anyio
TASKS, OPERATORS, KINDS, ENDINGS = ("a", "b", "類"), ("merge", "rag"), ("task", "format"), ("survived", "lost")
EXPERIENCE = Experience("a", "intro", "task", "merge", "old", "new", "be brief", 0.5, 30, 900, "survived", 1.5)


def some(values: tuple[str, ...]) -> st.SearchStrategy[frozenset[str] | None]:
    return st.none() | st.frozensets(st.sampled_from((*values, "absent")))


labels = st.tuples(*map(st.sampled_from, (OPERATORS, KINDS, ENDINGS)))
wheres = st.builds(Where, some(OPERATORS), some(KINDS), some(ENDINGS))
experiences = st.builds(
    Experience,
    st.sampled_from(TASKS),
    texts,
    st.sampled_from(KINDS),
    st.sampled_from(OPERATORS),
    texts,
    texts,
    texts,
    st.floats(-1, 1),
    st.integers(0, 2**53),
    st.integers(0, 2**53),
    st.sampled_from(ENDINGS),
    st.floats(0, 1e10),
)


def meets(where: Where, label: tuple[str, ...]) -> bool:
    wanted = (where.operators, where.kinds, where.outcomes)
    return all(want is None or value in want for want, value in zip(wanted, label, strict=True))


@settings(deadline=None)
@given(data=st.data(), rows=st.lists(labels, max_size=50), k=st.integers(0, 60), where=wheres, cut=st.integers(0, 50))
def test_search_is_brute_force(
    data: st.DataObject, rows: list[tuple[str, ...]], k: int, where: Where, cut: int
) -> None:
    """Small whole numbers: products are exact, and ties many."""
    vectors = data.draw(hnp.arrays(np.float32, (len(rows), 8), elements=st.integers(-2, 2)))
    query = data.draw(hnp.arrays(np.float32, (8,), elements=st.integers(-2, 2)))
    ids, index = [2 * place + 1 for place in range(len(rows))], Index(8)
    for part in (slice(0, cut), slice(cut, None)):
        if ids[part]:
            index.add(ids[part], rows[part], vectors[part])
    found = index.search(query, k, where)
    exact = {number: float(v @ query) for number, v, row in zip(ids, vectors, rows, strict=True) if meets(where, row)}
    assert [value for _, value in found] == sorted(exact.values(), reverse=True)[:k]
    assert len({number for number, _ in found}) == len(found)
    assert all(exact[number] == value for number, value in found)
    assert index.last == (ids[-1] if ids else 0)


@settings(deadline=None, max_examples=40)
@given(kept=st.lists(experiences, max_size=12), query=texts, k=st.integers(0, 15), where=wheres)
async def test_recall_is_brute_force_and_outlives_the_process(
    kept: list[Experience], query: str, k: int, where: Where
) -> None:
    embedder, stored = HashedNgrams(64), {}
    with directory() as path:
        async with open_memory(path / "memory.db", embedder) as memory:
            for experience in kept:
                number = await memory.remember(experience)
                stored[number] = replace(experience, id=number)
            first = await memory.recall(query, k, where)
            assert await memory.count() == len(kept)
        async with open_memory(path / "memory.db", embedder) as memory:
            assert await memory.recall(query, k, where) == first
    exact = {
        number: float(embedder.vector(situation(e.kind, e.gradient, e.before)) @ embedder.vector(query))
        for number, e in stored.items()
        if meets(where, (e.operator, e.kind, e.outcome))
    }
    assert len(stored) == len(kept)
    assert [recalled.similarity for recalled in first] == pytest.approx(
        sorted(exact.values(), reverse=True)[:k], abs=1e-5
    )
    for recalled in first:
        assert recalled.experience == stored[recalled.experience.id]
        assert recalled.similarity == pytest.approx(exact[recalled.experience.id], abs=1e-5)


async def test_the_likeliest_edit_comes_first(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "memory.db", HashedNgrams()) as memory:
        about = ("answer with the label only", "explain what each department does", "回答は日本語で")
        numbers = [await memory.remember(replace(EXPERIENCE, gradient=gradient)) for gradient in about]
        for number, gradient in zip(numbers, about, strict=True):
            best, *others = await memory.recall(situation("task", f"{gradient} (t1, t-22)", "old"), 3)
            assert best.experience.id == number
            assert best.similarity == pytest.approx(1)
            assert all(other.similarity < 0.9 for other in others)


async def test_many_tasks_remember_and_recall_at_once(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "memory.db", HashedNgrams(64)) as memory:

        async def work(place: int) -> None:
            number = await memory.remember(replace(EXPERIENCE, operator=str(place)))
            [recalled] = await memory.recall("x", 9, Where(operators=frozenset({str(place)})))
            assert recalled.experience == replace(EXPERIENCE, operator=str(place), id=number)

        async with anyio.create_task_group() as group:
            for place in range(100):
                group.start_soon(work, place)
        assert await memory.count() == 100


async def test_more_than_one_batch_is_caught_up(tmp_path: Path) -> None:
    path, embedder = tmp_path / "memory.db", HashedNgrams(8)
    async with open_memory(path, embedder) as memory:
        await memory.remember(EXPERIENCE)
        with closing(sqlite3.connect(path)) as connection, connection:
            columns = ", ".join((*COLUMNS[:-1], "vector"))
            connection.execute(
                f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {BATCH + 5})"
                f" INSERT INTO experience ({columns}) SELECT {columns} FROM experience, n"
            )
        assert len(await memory.recall("x", 2 * BATCH)) == BATCH + 6 == await memory.count()


PEER = """
import anyio, pathlib, sys
from dataclasses import replace
from memory.experience import Where
from memory.store import open_memory
from protocols.embedding import HashedNgrams, Vector
from tests.memory.test_store import EXPERIENCE
path, name = sys.argv[1:]
async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    async with open_memory(pathlib.Path(path), HashedNgrams(64)) as memory:
        async def remember(writer):
            for place in range(10):
                number = await memory.remember(replace(EXPERIENCE, task=name, after=f"{writer} {place}"))
                assert number in [r.experience.id for r in await memory.recall("x", 10_000)]
        async with anyio.create_task_group() as group:
            for writer in range(5):
                group.start_soon(remember, writer)
        print("done", flush=True)
        sys.stdin.readline()
        seen = await memory.recall("x", 10_000)
        print(*[f"{r.experience.id}:{r.experience.task}:{r.experience.after}" for r in seen], sep="|", flush=True)
anyio.run(main)
"""


def test_two_processes_append_at_once_and_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    peers = [
        subprocess.Popen(
            [sys.executable, "-c", PEER, str(path), name], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in ("a", "b")
    ]

    def everyone(says: str) -> list[str]:
        lines = []
        for peer in peers:
            assert peer.stdin
            assert peer.stdout
            lines.append(peer.stdout.readline().strip())
            assert lines[-1].startswith(says)
        for peer in peers:
            assert peer.stdin
            peer.stdin.write("go\n")
            peer.stdin.flush()
        return lines

    everyone("ready")
    everyone("done")
    seen = [set(peer.communicate()[0].strip().split("|")) for peer in peers]
    assert [peer.returncode for peer in peers] == [0, 0]
    wanted = {f"{task}:{writer} {place}" for task in "ab" for writer in range(5) for place in range(10)}
    assert seen[0] == seen[1]
    assert len(seen[0]) == 100
    assert {line.partition(":")[2] for line in seen[0]} == wanted


class Renamed(HashedNgrams):
    """The same vectors under another name."""

    def __init__(self) -> None:
        super().__init__(64)
        self.name = "another"


@pytest.mark.parametrize("other", [Renamed, lambda: HashedNgrams(32)])
async def test_another_embedder_is_refused(tmp_path: Path, other: Callable[[], HashedNgrams]) -> None:
    path = tmp_path / "memory.db"
    async with open_memory(path, HashedNgrams(64)) as memory:
        await memory.remember(EXPERIENCE)
    with pytest.raises(MemoryMismatch) as caught:
        async with open_memory(path, other()):
            pass
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert HashedNgrams(64).name in line
    assert other().name in line
    assert len(line.splitlines()) == 1
    async with open_memory(path, HashedNgrams(64)) as memory:
        assert await memory.count() == 1


async def test_a_damaged_vector_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    async with open_memory(path, HashedNgrams(64)) as memory:
        await memory.remember(EXPERIENCE)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE experience SET vector = x'00'")
        with pytest.raises(StorageFailed, match="experience 1 is damaged") as caught:
            await memory.recall("x", 1)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_a_reward_is_finite(reward: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        replace(EXPERIENCE, reward=reward)


def clustered(count: int, seed: int, dimension: int = 16) -> Vector:
    """Unit vectors about 40 centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(40, dimension))
    vectors = centres[rng.integers(0, 40, count)] + 0.4 * rng.normal(size=(count, dimension))
    unit: Vector = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


@pytest.mark.parametrize("kinds", [None, frozenset({"task"}), frozenset({"format"})])
def test_lists_find_what_comparing_all_finds(kinds: frozenset[Kind] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grown past the limit and again past where the lists are made anew, few probes; "format" is rare."""
    monkeypatch.setattr("memory.index.PROBES", 180)
    monkeypatch.setattr("memory.index.FEW", 50)
    monkeypatch.setattr("memory.index.EXACT", 200)
    count, k = 3000, 8
    vectors, queries, where = clustered(count, 1), clustered(200, 2), Where(kinds=kinds)
    rows = [("merge", "format" if n % 100 == 7 else "task", "lost") for n in range(count)]
    index = Index(16)
    meet = np.array([kinds is None or row[1] in kinds for row in rows])
    for start in range(0, count, 500):
        part = slice(start, start + 500)
        index.add(range(start + 1, start + 501), rows[part], vectors[part])
        index.search(queries[0], k, where)
    hits = 0
    for query in queries:
        found = index.search(query, k, where)
        wanted = np.argsort(-np.where(meet, vectors @ query, -np.inf))[:k] + 1
        assert len(found) == k
        for number, value in found:
            assert value == pytest.approx(float(vectors[number - 1] @ query), abs=2e-3)
            assert kinds is None or rows[number - 1][1] in kinds
        hits += len({number for number, _ in found} & set(wanted.tolist()))
    assert hits / (k * len(queries)) >= 0.95
    everything = index.search(queries[0], count, EVERYWHERE)
    assert sorted(number for number, _ in everything) == list(range(1, count + 1))
