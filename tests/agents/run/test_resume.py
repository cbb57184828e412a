"""A run that is killed goes on where it was: nothing that was paid for is lost, and nothing is decided otherwise."""

from __future__ import annotations

import multiprocessing
import platform
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random
from typing import Any

import anyio.lowlevel
import pytest
from anyio import to_thread

from agents.archive.history import REMEMBERED
from agents.directory.run_directory import CACHE, JOURNAL, MEMORY, RESULT, read_document
from agents.history.replay import replay
from agents.ring.controller import Controller
from memory.journals.reading import read_calls, read_journal
from memory.journals.schema import LOST
from protocols.files import prompt_file
from protocols.messages import FIRST, SHRINK, Assignment, Critique, Envelope, Failure, Resumed
from protocols.model import ChatMessage, Request
from protocols.wrappers.cached import request_key
from tests.agents.run import searching
from tests.agents.run.searching import Fault
from tests.agents.run.test_search import check_journal, write_task
from tests.wire.formats import conversation
from tests.wire_server import Call, WireServer
from tests.world import FIRST_PROMPT, TASK, answer

pytestmark = pytest.mark.anyio
KILLS = 25


@dataclass
class Executioner:
    """Counts the calls that arrive, and kills the process that makes them when the number has come."""

    rng: Random
    process: ForkServerProcess | None = None
    left: int = 0
    most: int = 3

    async def __call__(self) -> None:
        self.left -= 1
        if self.left == 0 and self.process is not None:
            for _ in range(self.rng.randrange(20)):  # not always on the arrival of a call
                await anyio.lowlevel.checkpoint()
            self.process.kill()
        for _ in range(self.rng.randrange(self.most + 1)):
            await anyio.lowlevel.checkpoint()


@dataclass
class Lineage:
    """The processes that one run took, what the server counted for each, and what was durable after it."""

    calls: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


def start(*arguments: object, work: Callable[..., None] = searching.search) -> ForkServerProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([searching.__name__])
    process = context.Process(target=work, args=arguments)
    process.start()
    return process


def durable(directory: Path) -> dict[bytes, str]:
    """The keys of the replies that are on disk, with their scopes."""
    if not (directory / CACHE).exists():
        return {}
    with closing(sqlite3.connect(directory / CACHE)) as connection:
        return dict(connection.execute("SELECT key, scope FROM reply").fetchall())


async def searched(
    folder: Path,
    directory: Path,
    gaps: Sequence[int],
    seed: int,
    width: int = 1,
    assignments: int = 16,
    task: Sequence[str] = ("openai/some-model",),
) -> Lineage:
    """One run that is killed after each of so many calls, and then let live. `task`: the task's models."""
    executioner, lineage = Executioner(Random(seed)), Lineage()
    async with WireServer(answer, delay=executioner, keep=10_000) as server:
        for gap in [*gaps, 0]:
            before, calls = durable(directory), server.stats.calls
            executioner.left = gap
            executioner.process = process = start(
                folder, server.openai_url, width, assignments, directory, None, None, task
            )
            await to_thread.run_sync(process.join)
            assert process.exitcode == (-9 if gap else 0)
            made = server.stats.calls - calls
            lineage.calls.append(made)
            lineage.lost.append(made - (len(durable(directory)) - len(before)))
            check_not_asked_again(list(server.received)[len(server.received) - made :], before)
    return lineage


def check_not_asked_again(calls: Sequence[Call], before: dict[bytes, str]) -> None:
    """None of the evaluations' requests was answered on disk by the same model."""
    for call in calls:
        if call.body.get("temperature") == 0:
            turns = tuple(ChatMessage(speaker, text) for speaker, text in conversation(call.body))  # type: ignore[arg-type]
            request = Request(turns, 0.0, int(str(call.body["max_tokens"])))
            scopes = {scope for scope in before.values() if str(call.body["model"]) in scope}
            assert scopes or not before
            assert not any(request_key(scope, request) in before for scope in scopes)


def folder_of(tmp_path: Path) -> Path:
    write_task(tmp_path / "task", {"train": TASK.train, "validation": TASK.validation, "test": TASK.test})
    prompt_file.save(FIRST_PROMPT, tmp_path / "task" / "prompt.txt")
    return tmp_path / "task"


def found(directory: Path) -> dict[str, Any]:
    """A result but for what it took."""
    result = read_document(directory / RESULT)
    assert result is not None
    return {
        key: value
        for key, value in result.items()
        if key not in ("calls", "saved", "tokens", "estimated", "roles", "seconds")
    }


def decisions(directory: Path) -> list[Envelope]:
    return [
        replace(envelope, id=0, cause=None, time=0.0)
        for envelope in read_journal(directory / JOURNAL, (Assignment, Critique))
    ]


def check_memory(directory: Path) -> None:
    """Every outcome that is to be remembered is, once: not those of cuts, which are no operator's."""
    endings = [
        e.message for e in read_journal(directory / JOURNAL, (Critique, Failure)) if e.to == Controller.address
    ]
    ended = {m.assignment for m in endings if isinstance(m, Critique) and m.assignment != FIRST}
    ended |= {m.assignment for m in endings if isinstance(m, Failure) and m.kind in REMEMBERED}
    made = [e.message for e in read_journal(directory / JOURNAL, (Assignment,))]
    ended -= {m.assignment for m in made if isinstance(m, Assignment) and m.operator == SHRINK}
    with closing(sqlite3.connect(directory / MEMORY)) as connection:
        rows = connection.execute("SELECT assignment FROM experience").fetchall()
    assert sorted(number for (number,) in rows) == sorted(ended)


def check_books(directory: Path, lineage: Lineage, at_once: int) -> None:
    """What is paid twice was in flight at a kill, and all that the server counted is on record, with what a kill kept
    from being sent."""
    assert all(0 <= lost <= at_once for lost in lineage.lost[:-1])
    assert lineage.lost[-1] == 0
    recorded = len(list(read_calls(directory / JOURNAL)))
    result = read_document(directory / RESULT)
    assert result is not None
    assert sum(result["calls"].values()) == recorded
    assert sum(lineage.calls) <= recorded <= sum(lineage.calls) + KILLS * at_once
    assert sum(isinstance(e.message, Resumed) for e in read_journal(directory / JOURNAL)) <= KILLS
    check_memory(directory)


async def not_looked_at(event: object) -> None:
    pass


@pytest.mark.timeout(300)
async def test_a_run_killed_at_25_points_finds_what_it_would_have_found(tmp_path: Path) -> None:
    folder, rng = folder_of(tmp_path), Random(5)
    whole = await searched(folder, tmp_path / "whole", [], 1)
    gaps = [rng.randint(1, 2 * whole.calls[0] // KILLS - 2) for _ in range(KILLS)]
    lineage = await searched(folder, tmp_path / "killed", gaps, 2)
    assert found(tmp_path / "killed") == found(tmp_path / "whole")
    assert decisions(tmp_path / "killed") == decisions(tmp_path / "whole")
    best = "best_prompt.txt"
    assert (tmp_path / "killed" / best).read_bytes() == (tmp_path / "whole" / best).read_bytes()
    check_journal(tmp_path / "killed", 16)
    check_books(tmp_path / "killed", lineage, at_once=searching.CONCURRENCY)
    critiques = [e.message for e in read_journal(tmp_path / "whole" / JOURNAL, (Critique,))]
    assert any(critique.credit for critique in critiques if isinstance(critique, Critique))


@pytest.mark.timeout(300)
async def test_a_run_of_two_models_killed_at_8_points_pays_for_nothing_twice(tmp_path: Path) -> None:
    folder, rng, both = folder_of(tmp_path), Random(5), ("openai/some-model", "openai/another")
    whole = await searched(folder, tmp_path / "whole", [], 1, assignments=6, task=both)
    gaps = [rng.randint(1, whole.calls[0] // 8 - 1) for _ in range(8)]
    lineage = await searched(folder, tmp_path / "killed", gaps, 2, assignments=6, task=both)
    ours, theirs = found(tmp_path / "killed"), found(tmp_path / "whole")
    spent = [[result["by_model"][name].pop("spent") for name in both] for result in (ours, theirs)]
    assert ours == theirs
    assert [each["calls"] > 0 for each in spent[0]] == [True, True]
    assert decisions(tmp_path / "killed") == decisions(tmp_path / "whole")
    check_books(tmp_path / "killed", lineage, at_once=searching.CONCURRENCY * len(both))


@pytest.mark.timeout(300)
async def test_a_wide_run_killed_at_25_points_keeps_its_books(tmp_path: Path) -> None:
    folder, rng = folder_of(tmp_path), Random(6)
    lineage = await searched(
        folder, tmp_path / "run", [rng.randint(1, 20) for _ in range(KILLS)], 3, width=8, assignments=40
    )
    check_journal(tmp_path / "run", 40)
    check_books(tmp_path / "run", lineage, at_once=8 * searching.CONCURRENCY)
    assert (await replay(tmp_path / "run", not_looked_at)).stopped_by == "assignments"


@pytest.mark.timeout(300)
async def test_a_cap_on_calls_holds_across_kills(tmp_path: Path) -> None:
    """A call is on record before it is sent: what was in flight at a kill counts, and is not made a second time."""
    folder, directory, cap = folder_of(tmp_path), tmp_path / "run", 150
    executioner = Executioner(Random(4))
    async with WireServer(answer, delay=executioner, keep=10_000) as server:
        for gap in [20, 31, 27, 0]:
            executioner.left = gap
            executioner.process = process = start(folder, server.openai_url, 8, 500, directory, None, cap)
            await to_thread.run_sync(process.join)
            assert process.exitcode == (-9 if gap else 0)
        counted = server.stats.calls
    result, calls = read_document(directory / RESULT), list(read_calls(directory / JOURNAL))
    assert result is not None
    assert result["stopped_by"] == "budget: calls"
    assert counted <= sum(result["calls"].values()) == len(calls) <= cap
    lost = [call.usage for call in calls if call.error == LOST]
    assert lost
    assert all(usage.input and usage.estimated for usage in lost)
    assert result["estimated"] == sum(call.usage.estimated for call in calls) >= len(lost)


async def broken_off(folder: Path, directory: Path, fault: Fault) -> str:
    """A run whose disk fails, and then works again for a second process, which ends it; what the first one said."""
    async with WireServer(answer, keep=10_000) as server:
        process = start(folder, server.openai_url, 1, 16, directory, fault)
        await to_thread.run_sync(process.join)
        file = directory.with_suffix(".error")
        said = file.read_text(encoding="utf-8") if file.exists() else ""
        assert process.exitcode == bool(said)
        before, calls = durable(directory), server.stats.calls
        process = start(folder, server.openai_url, 1, 16, directory)
        await to_thread.run_sync(process.join)
        assert process.exitcode == 0
        check_not_asked_again(list(server.received)[calls:], before)
    return said


async def check_nothing_is_lost(folder: Path, directory: Path) -> None:
    whole = await searched(folder, directory.with_name("whole"), [], 1)
    assert whole.lost == [0]
    assert found(directory) == found(directory.with_name("whole"))
    check_journal(directory, 16)
    check_memory(directory)


@pytest.mark.parametrize("room", [60_000, 180_000])
async def test_a_disk_that_fills_up_is_one_clear_error_and_loses_nothing(tmp_path: Path, room: int) -> None:
    """The operating system refuses what would make any file longer than `room` bytes."""
    folder, directory = folder_of(tmp_path), tmp_path / "run"
    said = await broken_off(folder, directory, Fault(room=room))
    assert said.startswith(f"StorageFailed: {directory}")
    assert "room" in said or "disk" in said
    assert len(said.splitlines()) == 1
    await check_nothing_is_lost(folder, directory)


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="refuses system calls of Linux")
@pytest.mark.parametrize("after", [2, 20])
async def test_a_disk_that_can_no_longer_be_written_is_one_clear_error_and_loses_nothing(
    tmp_path: Path, after: int
) -> None:
    folder, directory = folder_of(tmp_path), tmp_path / "run"
    said = await broken_off(folder, directory, Fault(read_only=True, after=after))
    assert said.startswith(f"StorageFailed: {directory}")
    assert "disk" in said
    assert len(said.splitlines()) == 1
    await check_nothing_is_lost(folder, directory)


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="refuses system calls of Linux")
@pytest.mark.parametrize("after", [2, 20])
async def test_syncs_that_fail_lose_nothing(tmp_path: Path, after: int) -> None:
    """A commit waits for no sync: what is in the log outlives the process, and the error comes with the first file
    that must be whole, or never."""
    folder, directory = folder_of(tmp_path), tmp_path / "run"
    said = await broken_off(folder, directory, Fault(no_sync=True, after=after))
    assert not said or (said.startswith(f"StorageFailed: {directory}") and len(said.splitlines()) == 1)
    await check_nothing_is_lost(folder, directory)
