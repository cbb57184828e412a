from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.experience import EVERYWHERE, Experience, Where
from memory.store import open_memory
from memory.upkeep import DAY, NAMES, export, prune, read_lines, stats, take_in
from protocols.embedding import HashedNgrams
from protocols.errors import ConfigError, DataError, StorageFailed
from tests.memory.helpers import directory
from tests.memory.strategies import texts
from tests.memory.test_store import ENDINGS, EXPERIENCE

pytestmark = pytest.mark.anyio
experiences = st.builds(
    Experience,
    texts,
    texts,
    st.sampled_from(("task", "format")),
    texts,
    texts,
    texts,
    texts,
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(0, 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from((*ENDINGS, "rejected", "inapplicable")),
    st.floats(allow_nan=False, allow_infinity=False),
)


@settings(deadline=None, max_examples=40)
@given(kept=st.lists(experiences, max_size=8))
async def test_what_is_exported_and_imported_is_the_same(kept: list[Experience]) -> None:
    embedder = HashedNgrams(32)
    with directory() as path:
        async with open_memory(path / "a.db", embedder) as memory:
            for experience in kept:
                await memory.remember(experience)
        lines = [line for line in export(path / "a.db") if line is not None]
        assert len(lines) == len(kept)
        (path / "a.jsonl").write_bytes(b"".join(lines))
        read = read_lines(path / "a.jsonl")
        assert read == kept
        async with open_memory(path / "b.db", embedder) as memory:
            distinct = len(dict.fromkeys(lines))
            assert await take_in(memory, read) == distinct == await memory.count()
            assert await take_in(memory, read) == 0
        assert list(export(path / "b.db")) == list(dict.fromkeys(lines))


GOOD = {name: getattr(EXPERIENCE, name) for name in NAMES}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"[]", "an object"),
        (orjson.dumps({**GOOD, "more": 1}), "unknown: more"),
        (orjson.dumps({k: v for k, v in GOOD.items() if k != "after"}), "missing: after"),
        (orjson.dumps({**GOOD, "kind": "poem"}), "kind is one of"),
        (orjson.dumps({**GOOD, "outcome": []}), "outcome is one of"),
        (orjson.dumps({**GOOD, "evidence": -1}), "evidence is a whole number"),
        (orjson.dumps({**GOOD, "evidence": True}), "evidence is a whole number"),
        (orjson.dumps({**GOOD, "cost": 2**63}), "cost is a whole number"),
        (orjson.dumps({**GOOD, "reward": None}), "reward is a number"),
        (orjson.dumps({**GOOD, "before": 7}), "before is a text"),
        (orjson.dumps({**GOOD, "model": None}), "model is a text"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(orjson.dumps(GOOD) + b"\n\n" + line + b"\n")
    with pytest.raises(DataError, match=reason) as caught:
        read_lines(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert len(str(caught.value).splitlines()) == 1


async def test_deletions_are_noticed_by_whoever_has_the_memory_open(tmp_path: Path) -> None:
    path, now = tmp_path / "memory.db", time.time()
    async with open_memory(path, HashedNgrams(64)) as memory:
        numbers = [
            await memory.remember(replace(EXPERIENCE, evidence=n, time=now - n * DAY, operator=f"o{n % 2}"))
            for n in range(10)
        ]
        assert len(await memory.recall("x", 20)) == 10
        assert await prune(path, now, older_than=7.5) == {"o0": 1, "o1": 1}
        assert {item.experience.id for item in await memory.recall("x", 20)} == set(numbers[:8])
        assert await prune(path, now, below_evidence=2) == {"o0": 1, "o1": 1}
        newest = await memory.remember(replace(EXPERIENCE, evidence=9, time=now))
        assert newest > max(numbers)
        assert {item.experience.id for item in await memory.recall("x", 20)} == {*numbers[2:8], newest}
        assert await prune(path, now, keep=1) == {"o0": 3, "o1": 3}
        assert [item.experience.id for item in await memory.recall("x", 20)] == [newest]
        assert await prune(path, now, keep=0, below_evidence=0) == {"merge": 1}
        assert await memory.recall("x", 20) == []
        assert await prune(path, now, keep=0) == {}


async def test_prune_wants_a_condition_and_a_memory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="say what to prune"):
        await prune(tmp_path / "none.db", 0.0)
    with pytest.raises(ConfigError, match="no such memory"):
        await prune(tmp_path / "none.db", 0.0, keep=1)
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(StorageFailed):
        stats(tmp_path / "none.db")


async def test_stats(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    async with open_memory(path, HashedNgrams(64)) as memory:
        empty = stats(path)
        assert (empty.count, empty.oldest, dict(empty.operators)) == (0, None, {})
        await memory.remember_all(
            [
                replace(EXPERIENCE, operator="rag", reward=0.5, evidence=10),
                replace(EXPERIENCE, operator="rag", reward=-0.1, evidence=30, outcome="lost"),
                replace(EXPERIENCE, kind="format", reward=0.0, evidence=0, outcome="rejected"),
            ]
        )
    found = stats(path)
    assert (found.count, found.embedder, found.dimension) == (3, HashedNgrams(64).name, 64)
    assert found.outcomes == {"lost": 1, "rejected": 1, "survived": 1}
    rag = found.operators["rag"]
    assert (rag.count, rag.survived, rag.evidence) == (2, 0.5, 20)
    assert rag.reward == pytest.approx(0.2)
    assert {kind: group.count for kind, group in found.kinds.items()} == {"format": 1, "task": 2}


def test_what_an_earlier_release_exported_is_read(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_bytes(orjson.dumps({name: GOOD[name] for name in NAMES if name != "model"}))
    assert read_lines(tmp_path / "old.jsonl") == [EXPERIENCE]


async def test_an_edit_is_found_by_its_exact_texts(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "memory.db", HashedNgrams(64)) as memory:
        for outcome in ("lost", "lost", "rejected"):
            await memory.remember(replace(EXPERIENCE, before="老\0", after="新", outcome=outcome))
        edit = {"task": "a", "section": "intro", "before": "老\0", "after": "新"}
        assert await memory.tried(**edit) == {"lost": 2, "rejected": 1}
        for name in edit:
            assert await memory.tried(**{**edit, name: edit[name] + "x"}) == {}
        assert await memory.tried(**{**edit, "before": "老"}) == {}


async def test_the_nearest_to_several_are_found_once_each(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "memory.db", HashedNgrams(64)) as memory:
        await memory.remember_all([replace(EXPERIENCE, gradient=f"about number {n}") for n in range(30)])
        assert await memory.nearest([], 5) == []
        queries = ["task\nabout number 3\nold", "task\nabout number 17\nold"]
        found = await memory.nearest([(query, EVERYWHERE) for query in queries], 4)
        nowhere = Where(kinds=frozenset())
        assert await memory.nearest([(queries[0], nowhere)], 4) == []
        nearest = {item.experience.id for query in queries for item in await memory.recall(query, 4)}
        assert [experience.id for experience in found] == sorted(nearest)
