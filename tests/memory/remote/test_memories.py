"""The memory of the head gives what the same file gives here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.experience import Where
from memory.opening import LocalStores, Stores
from memory.remote.caches import Caches
from memory.remote.memories import Memories
from memory.remote.stores import RemoteStores
from memory.store import Memory
from protocols.embedding import HashedNgrams
from protocols.errors import MemoryMismatch, StorageFailed
from tests.memory.helpers import directory
from tests.memory.remote.wire import WiredCaches, WiredMemories
from tests.memory.strategies import texts
from tests.memory.test_store import EXPERIENCE, experiences, wheres

pytestmark = pytest.mark.anyio
calls = st.one_of(
    st.tuples(st.just("remember"), experiences, st.none() | st.tuples(st.sampled_from("ab"), st.integers(0, 3))),
    st.tuples(st.just("recall"), texts, st.integers(0, 5), wheres),
    st.tuples(st.just("nearest"), st.lists(st.tuples(texts, wheres), max_size=3), st.integers(1, 3)),
    st.tuples(st.just("tried"), st.sampled_from("ab"), texts, texts, texts),
    st.tuples(st.just("remembered"), st.sampled_from("ab")),
)


def remote(head: Memories, name: str) -> RemoteStores:
    return RemoteStores(WiredCaches(Caches()), WiredMemories(head), name)


async def made(memory: Memory, steps: list[tuple[object, ...]]) -> list[object]:
    """What these calls return, one after the other."""
    return [await getattr(memory, str(name))(*given) for name, *given in steps]


@settings(deadline=None, max_examples=30)
@given(steps=st.lists(calls, max_size=12))
async def test_what_a_remote_memory_returns_is_what_a_file_returns(steps: list[tuple[object, ...]]) -> None:
    with directory() as path:
        head = Memories()
        kinds: dict[str, Stores] = {"here": LocalStores(), "there": remote(head, "one")}
        found = []
        for name, stores in kinds.items():
            async with stores.memory(path / name, HashedNgrams(64)) as memory:
                found.append(await made(memory.measured_with("model"), steps))
        assert found[0] == found[1]
        assert head._opened.values == []


async def test_many_searches_use_one_memory_and_share_trips(tmp_path: Path) -> None:
    head = Memories()
    wires = [WiredMemories(head) for _ in range(3)]

    async def search(number: int) -> None:
        stores = RemoteStores(WiredCaches(Caches()), wires[number], f"search {number}")
        async with stores.memory(tmp_path / "memory.db", HashedNgrams(64)) as memory:

            async def work(place: int) -> None:
                mine = replace(EXPERIENCE, operator=f"{number} {place}")
                stored = await memory.remember(mine, (str(number), place))
                [recalled] = await memory.recall("x", 9, Where(operators=frozenset({mine.operator})))
                assert recalled.experience == replace(mine, id=stored)

            async with anyio.create_task_group() as tasks:
                for place in range(20):
                    tasks.start_soon(work, place)
            assert await memory.remembered(str(number)) == frozenset(range(20))

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(search, number)
    assert all(wire.trips < 12 for wire in wires)  # 43 calls
    assert head._opened.values == []


async def test_errors_of_the_head_are_those_of_a_file(tmp_path: Path) -> None:
    head, path = Memories(), tmp_path / "memory.db"
    async with remote(head, "one").memory(path, HashedNgrams(64)):
        with pytest.raises(MemoryMismatch, match="made with the embedder") as caught:
            async with remote(head, "two").memory(path, HashedNgrams(32)):
                pass
        assert caught.value.file == str(path)
    async with remote(head, "three").memory(path, HashedNgrams(64)) as memory:
        await head.forget("three")
        with pytest.raises(StorageFailed, match="three was given up"):
            await memory.remembered("a")
    assert head._opened.values == []
