"""A full disk is a full disk, wherever it is met and however many groups of tasks it is wrapped in: one line."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from agents.commands.console import exit_codes
from agents.config.configuration import load
from agents.operators.operator import Context
from agents.results.result import Result
from agents.ring.team import only
from agents.run.opening import open_run
from agents.study.engine import InThisProcess
from agents.study.grid import load_grid
from agents.study.sweep import Sweep
from memory.journals.schema import SCHEMA
from memory.storage.sqlite import open_file, storage_failed
from protocols.errors import BusError, ConfigError, ConnectionFailed, RunFailed, StorageFailed, storage_failure
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task
from tests.guard import python_path
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[1]
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "some.file")
FAILED = StorageFailed("the disk is full", file="some.file")
CONNECTION = ConnectionFailed("gone", model="m")

ENDS: dict[str, tuple[BaseException, int, str]] = {
    "storage": (FAILED, 1, "some.file: the disk is full"),
    "storage in a group": (ExceptionGroup("", [FAILED]), 1, "some.file: the disk is full"),
    "in groups": (ExceptionGroup("", [ExceptionGroup("", [FAILED])]), 1, "some.file: the disk is full"),
    "beside others": (ExceptionGroup("", [CONNECTION, FAILED]), 1, "some.file: the disk is full"),
    "beside a bug": (ExceptionGroup("", [ValueError(), ExceptionGroup("", [FAILED])]), 1, "the disk is full"),
    "as it is met": (FULL, 1, "some.file: cannot be written (No space left on device); make room"),
    "as it is met, in a group": (ExceptionGroup("", [FULL]), 1, "some.file: cannot be written"),
    "a quota": (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "f"), 1, "f: cannot be written"),
    "a file that may not grow": (OSError(errno.EFBIG, os.strerror(errno.EFBIG), "f"), 1, "f: cannot be written"),
    "nobody says where": (OSError(errno.ENOSPC, "full"), 1, "standard output: cannot be written"),
    "beside a cancelled task": (BaseExceptionGroup("", [KeyboardInterrupt(), FAILED]), 1, "the disk is full"),
    "another of ours in a group": (ExceptionGroup("", [ConfigError("no such key")]), 2, "no such key"),
    "a model's in a group": (ExceptionGroup("", [CONNECTION]), 1, "m: gone"),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_command_ends_in_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    error, code, says = ENDS[name]
    with pytest.raises(typer.Exit) as caught, exit_codes(as_json=False):
        raise error
    said = capsys.readouterr().err
    assert caught.value.exit_code == code
    assert says in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "bug",
    [ValueError("ours"), BusError("ours"), ExceptionGroup("", [ValueError("ours")]), OSError(errno.EBADF, "ours")],
)
def test_a_bug_is_a_traceback(bug: Exception) -> None:
    with pytest.raises(type(bug)) as caught, exit_codes(as_json=False):
        raise bug
    assert caught.value is bug


def test_of_several_a_full_disk_is_what_the_others_come_of() -> None:
    group = ExceptionGroup("", [CONNECTION, ExceptionGroup("", [ValueError(), FULL])])
    found = only(group)
    assert isinstance(found, StorageFailed)
    assert found.__cause__ is FULL
    assert only(ExceptionGroup("", [CONNECTION, ValueError()])) is CONNECTION
    assert storage_failure(ExceptionGroup("", [CONNECTION])) is None


# In a search


class Writes:
    """An operator of a user's that writes files of its own, in a group of tasks or not."""

    name = "writes"
    error: Exception = FULL

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        return ["definitions"]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        raise Writes.error


@pytest.mark.parametrize("error", [FULL, ExceptionGroup("", [FULL]), ExceptionGroup("", [FAILED])])
@pytest.mark.parametrize("mode", ["fail", "skip"])
async def test_an_agent_that_meets_it_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, mode: str
) -> None:
    """Also where an agent's exceptions are to be skipped: the next assignment would meet it again."""
    monkeypatch.setitem(sys.modules, "tests.test_full_disk", sys.modules[__name__])
    monkeypatch.setattr(Writes, "error", error)
    operators = ["search.operators=['tests.test_full_disk:Writes']", f"search.on_agent_error={mode}"]
    async with open_run(load(write_task(tmp_path / "task"), operators), {}, tmp_path / "run") as run:
        with pytest.raises(StorageFailed, match=r"some\.file"):
            await run.search()


async def test_the_file_of_commands_that_finds_no_room_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    async with open_run(load(write_task(tmp_path / "task")), {}, tmp_path / "run") as run:
        monkeypatch.setattr(Path, "touch", full)
        with pytest.raises(StorageFailed, match=r"commands\.jsonl: cannot be written .* make room"):
            await run.search()


async def test_what_ended_a_search_is_not_hidden_by_a_prompt_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise StorageFailed("the disk is full", file=str(path))

    async with open_run(load(write_task(tmp_path / "task")), {}, tmp_path / "run") as run:

        async def fail(envelope: object) -> None:
            if run.controller.issued == 3:
                raise RunFailed("for a reason of its own")

        run.bus.tap(fail)
        monkeypatch.setattr("agents.run.search.write", full)
        with pytest.raises(RunFailed, match="a reason of its own"):
            await run.search()


@pytest.mark.parametrize("error", [FAILED, FULL])
async def test_a_sweep_raises_it_itself(tmp_path: Path, error: Exception) -> None:
    write_task(tmp_path / "task")
    grid = tmp_path / "grid.toml"
    grid.write_text(f'[sweep]\ntasks = ["task/small.toml"]\nseeds = [0, 1]\ndirectory = "{tmp_path}/out"\n')

    async def search(*_: object) -> Result:
        raise error

    with pytest.raises(StorageFailed, match=r"some\.file"):
        await Sweep(load_grid(grid, []), {}, InThisProcess({}, search), lambda row: None).run()


@pytest.mark.parametrize(
    ("name", "blocks", "files", "full"),
    [
        ("SQLITE_FULL", 9, 9, True),
        ("SQLITE_IOERR_SHMSIZE", 0, 9, True),  # the index of a log finds no room
        ("SQLITE_IOERR_WRITE", 0, 9, True),
        ("SQLITE_CANTOPEN", 9, 0, True),  # no more files
        ("SQLITE_IOERR_WRITE", 9, 9, False),
        ("SQLITE_CANTOPEN", 9, 9, False),
    ],
)
def test_whatever_sqlite_calls_it(
    monkeypatch: pytest.MonkeyPatch, name: str, blocks: int, files: int, full: bool
) -> None:
    disk = SimpleNamespace(f_bavail=blocks, f_frsize=2**20, f_files=99, f_favail=files)
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    error = sqlite3.OperationalError("x")
    error.sqlite_errorname = name
    assert ("the disk is full" in str(storage_failed(error, Path("a.sqlite")))) == full


# On a disk that is full


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Any]:
    """Makes a small disk, at `tmp_path / "disk"`."""
    place = tmp_path / "disk"
    place.mkdir()

    def make(options: str) -> Path:
        if not shutil.which("mount"):
            pytest.skip("nothing can be mounted here")
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True
        ).returncode:
            pytest.skip("nothing can be mounted here")
        return place

    yield make
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


def command(folder: Path, *arguments: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": python_path(ROOT)}
    streams.setdefault("stdout", subprocess.PIPE)
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments],
        cwd=folder, env=environ, text=True, stderr=subprocess.PIPE, **streams,
    )  # fmt: skip


def check_one_line(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("promptflow: "), done.stderr
    assert "room" in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("pages", range(4, 60, 4))
def test_a_file_that_found_no_room_is_created_once_there_is_some(tmp_path: Path, disk: Any, pages: int) -> None:
    place = disk(f"size={4 * pages}k")
    path = place / "journal.sqlite"
    with suppress(StorageFailed):
        for connection in open_file(path, SCHEMA):
            connection.close()
    assert not [file.name for file in place.iterdir() if file.name.startswith(".")]
    subprocess.run(["mount", "-o", "remount,size=10m", str(place)], check=True)
    writer, reader = open_file(path, SCHEMA)
    assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    for connection in (writer, reader):
        connection.close()


OPTIONS = ("size=16k", "size=120k", "size=320k", "size=10m,nr_inodes=12", "size=10m,nr_inodes=18")


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("what", ["search", "search --watch", "sweep"])
def test_a_disk_that_fills_up_at_any_point(tmp_path: Path, disk: Any, what: str, options: str) -> None:
    place, config = disk(options), write_task(tmp_path / "task", tables={"search": {"assignments": 20, "width": 3}})
    grid = tmp_path / "grid.toml"
    grid.write_text(f'[sweep]\ntasks = ["task/small.toml"]\nseeds = [0, 1]\ndirectory = "{place}/out"\n')
    arguments: Sequence[str] = ("sweep", str(grid))
    if what != "sweep":
        arguments = (*what.split()[:1], str(config), *what.split()[1:], "--out", str(place / "run"))
    check_one_line(command(tmp_path, *arguments))


LOOKS = {
    "show": ("show", "run"),
    "show --json": ("show", "run", "--json"),
    "report": ("report", "run", "--format", "md"),
    "evaluate": ("evaluate", "run/best_prompt.txt", "task/small.toml"),
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
async def test_standard_output_on_a_full_disk(tmp_path: Path) -> None:
    async with open_run(load(write_task(tmp_path / "task")), {}, tmp_path / "run") as run:
        await run.search()
    for arguments in LOOKS.values():
        full = os.open("/dev/full", os.O_WRONLY)
        done = command(tmp_path, *arguments, stdout=full)
        os.close(full)
        check_one_line(done)
        assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("name", ["saved.jsonl", "page.html", "page.md"])
async def test_what_is_asked_for_beside_the_run_finds_no_room(tmp_path: Path, disk: Any, name: str) -> None:
    async with open_run(load(write_task(tmp_path / "task")), {}, tmp_path / "run") as run:
        await run.search()
    out = str(disk("size=1m,nr_inodes=1") / name)
    asked = {
        "saved.jsonl": ("memory", "export", "run", out),
        "page.html": ("report", "run", "--out", out),
        "page.md": ("report", "run", "--format", "md", "--out", out),
    }
    done = command(tmp_path, *asked[name])
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1
