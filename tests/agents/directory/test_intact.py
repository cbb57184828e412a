"""A run directory that has lost a part of itself: it says which, and nobody is asked and paid anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.config.configuration import Configuration
from agents.directory.run_directory import (
    BEST_PROMPT,
    CACHE,
    CONFIGURATION,
    FIRST_PROMPT,
    JOURNAL,
    LOCK,
    MEMORY,
    PRICES,
    RECORD,
    RESULT,
)
from agents.results.finished import finished
from agents.run.opening import open_run
from protocols.errors import MemoryMismatch, StorageFailed
from tests.agents.run.test_reasons import configured, searched
from tests.wire_server import WireServer
from tests.world import answer

pytestmark = pytest.mark.anyio
Damage = Callable[[Path], object]


def without(*names: str) -> Damage:
    def damage(directory: Path) -> None:
        for name in names:
            for path in (directory / name, directory / f"{name}-wal", directory / f"{name}-shm"):
                path.unlink(missing_ok=True)

    return damage


def only(*names: str) -> Damage:
    """Whatever else was there is gone."""

    def damage(directory: Path) -> None:
        for path in directory.iterdir():
            if path.name not in (*names, LOCK):
                path.unlink()

    return damage


def cut(name: str, size: int) -> Damage:
    return lambda directory: (directory / name).write_bytes((directory / name).read_bytes()[:size])


DAMAGED: dict[str, tuple[Damage, str, str]] = {
    "no journal": (without(JOURNAL), JOURNAL, "is gone, and run.json, .* are there"),
    "no journal, no result": (without(JOURNAL, RESULT), JOURNAL, "is gone"),
    "no journal, no memory": (without(JOURNAL, MEMORY), JOURNAL, "is gone"),
    "the memory and the record": (only(RECORD, MEMORY, CONFIGURATION, FIRST_PROMPT), JOURNAL, "is gone"),
    "the result and the record": (only(RECORD, RESULT, CONFIGURATION, FIRST_PROMPT), JOURNAL, "is gone"),
    "the prices and the record": (only(RECORD, PRICES, CONFIGURATION, FIRST_PROMPT), JOURNAL, "is gone"),
    "the record alone": (only(RECORD), CONFIGURATION, "is gone"),
    "an empty journal": (cut(JOURNAL, 0), JOURNAL, "is empty"),
    "half a journal": (cut(JOURNAL, 5000), JOURNAL, "damaged"),
    "no configuration": (without(CONFIGURATION), CONFIGURATION, "is gone"),
    "an empty configuration": (cut(CONFIGURATION, 0), CONFIGURATION, "gone or empty"),
    "no first prompt": (without(FIRST_PROMPT), FIRST_PROMPT, "is gone"),
    "no record": (without(RECORD), RECORD, "no run.json"),
    "no record, no result": (without(RECORD, RESULT, BEST_PROMPT), RECORD, "no run.json"),
    "no record, nor a configuration": (without(RECORD, CONFIGURATION), RECORD, "no run.json"),
}


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in directory.iterdir() if path.suffix in (".sqlite", ".json", ".txt")
    }


async def check_refused(configuration: Configuration, directory: Path, file: str, says: str) -> None:
    before = contents(directory)
    with pytest.raises((StorageFailed, MemoryMismatch), match=says) as caught:
        await searched(configuration, directory)
    said = str(caught.value)
    assert file in said
    assert "copy" in said
    assert len(said.splitlines()) == 1
    assert contents(directory) == before


@pytest.mark.parametrize("name", DAMAGED)
async def test_a_run_that_lost_a_part_says_so_and_asks_nobody(tmp_path: Path, name: str) -> None:
    damage, file, says = DAMAGED[name]
    async with WireServer(answer) as server:
        configuration = configured(tmp_path / "task", server.openai_url, {}, assignments=2)
        await searched(configuration, tmp_path / "run")
        asked = server.stats.calls
        damage(tmp_path / "run")
        await check_refused(configuration, tmp_path / "run", file, says)
        assert server.stats.calls == asked
    if says != "damaged":  # what is found in a file is found by who opens it
        with pytest.raises((StorageFailed, MemoryMismatch), match=says):
            finished(configuration, tmp_path / "run")


@pytest.mark.parametrize(("kept", "says"), [(MEMORY, "lacks assignment"), (CACHE, "lacks .* calls")])
async def test_a_journal_without_the_end_of_its_log_is_found_out(tmp_path: Path, kept: str, says: str) -> None:
    """As a copy leaves it that takes the databases and not what SQLite has beside them."""
    async with WireServer(answer) as server:
        configuration = configured(tmp_path / "task", server.openai_url, {}, assignments=4)
        async with open_run(configuration, {}, tmp_path / "run") as run:
            await run.search()
            shutil.copytree(tmp_path / "run", tmp_path / "copy")  # as a kill would leave it
        assert (tmp_path / "copy" / f"{JOURNAL}-wal").exists()
        (tmp_path / "copy" / f"{JOURNAL}-wal").unlink()
        (tmp_path / "copy" / RESULT).unlink()
        without(MEMORY if kept == CACHE else CACHE)(tmp_path / "copy")
        asked = server.stats.calls
        await check_refused(configuration, tmp_path / "copy", JOURNAL, says)
        assert server.stats.calls == asked


@pytest.mark.parametrize("left", [(), (CONFIGURATION,), (CONFIGURATION, FIRST_PROMPT)])
async def test_a_run_that_was_killed_before_it_began_begins(tmp_path: Path, left: tuple[str, ...]) -> None:
    """Nothing was asked before the journal was there."""
    async with WireServer(answer) as server:
        configuration = configured(tmp_path / "task", server.openai_url, {}, assignments=1)
        await searched(configuration, tmp_path / "run")
        only(*left, *((RECORD,) if len(left) == 2 else ()))(tmp_path / "run")
        assert finished(configuration, tmp_path / "run") is None
        assert (await searched(configuration, tmp_path / "run")).stopped_by == "assignments"


async def test_what_can_be_made_again_is(tmp_path: Path) -> None:
    """The memory from the journal; the cache and the prices as they are needed."""
    async with WireServer(answer) as server:
        configuration = configured(tmp_path / "task", server.openai_url, {}, assignments=3)
        before = await searched(configuration, tmp_path / "run")
        without(MEMORY, CACHE, PRICES, BEST_PROMPT)(tmp_path / "run")
        assert finished(configuration, tmp_path / "run") is not None
        more = configured(tmp_path / "task", server.openai_url, {}, assignments=4)
        result = await searched(more, tmp_path / "run")
    assert (before.assignments, result.assignments) == (3, 4)
