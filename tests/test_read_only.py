"""Every command that looks back, on a run directory that may not be written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from agents.config.configuration import load
from agents.directory.run_directory import JOURNAL
from agents.run.opening import open_run
from tests.guard import python_path
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[1]
Forbid = Callable[[Path], AbstractContextManager[None]]

COMMANDS = {
    "show": ("show", "run"),
    "show --json": ("show", "run", "--json"),
    "trace": ("trace", "run"),
    "blame": ("blame", "run"),
    "replay": ("replay", "run"),
    "diff": ("diff", "run/first_prompt.txt", "run"),
    "report": ("report", "run"),
    "report --out": ("report", "run", "--out", "here.html"),
    "report --format md": ("report", "run", "--format", "md"),
    "evaluate": ("evaluate", "run/best_prompt.txt", "task/small.toml"),
    "memory stats": ("memory", "stats", "run"),
    "watch": (),
    "memory export": ("memory", "export", "run", "saved.jsonl"),
}
SCRIPT = """
import json, sys
from pathlib import Path
import anyio
from typer.testing import CliRunner
from agents.views.page.feed import Feed
from run import app

async def watch():
    feed = Feed(Path("run"))
    feed.finish()
    await feed.follow()
    assert (await anext(feed.changes()))["figures"]
    assert await feed.detail(0)

said = {}
for name, arguments in json.load(sys.stdin).items():
    if name == "watch":
        anyio.run(watch)
        continue
    done = CliRunner().invoke(app, arguments)
    said[name] = done.exit_code, done.stderr, repr(done.exception)
json.dump(said, sys.stdout)
"""
Said = dict[str, tuple[int, str, str]]
"""The exit code of each command, its standard error, and what it raised."""


def run_in(folder: Path, commands: Mapping[str, Sequence[str]], before: Sequence[str]) -> Said:
    """Run the commands in one process that `before` starts."""
    environ = {**os.environ, "PYTHONPATH": python_path(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*before, sys.executable, "-c", SCRIPT], cwd=folder, env=environ, text=True, capture_output=True,
        input=json.dumps(commands),
    )  # fmt: skip
    assert not done.returncode, done.stderr
    said: Said = json.loads(done.stdout)
    return said


@contextmanager
def mounted(folder: Path) -> Iterator[None]:
    """The run directory as a medium that cannot be written."""
    run = folder / "run"
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root may mount")
    mount = ["mount", "--bind", str(run), str(run)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(run)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(run)], check=True)


@contextmanager
def protected(folder: Path) -> Iterator[None]:
    """By the permissions of the directory and of all that is in it."""
    run = folder / "run"
    for path in (*run.iterdir(), run):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path in (run, *run.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)


PLAIN = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner")
"""Has root keep to permissions."""
WAYS = {"mounted": (mounted, ()), "protected": (protected, PLAIN if os.geteuid() == 0 else ())}
LEFT = ("ended", "killed", "killed, without -shm")
"""How the process left its databases: with all in one file, or with a log beside it."""


async def prepared(tmp_path: Path, left: str) -> Path:
    """A folder with a task and a run, in which the reader may write but for the run."""
    folder = tmp_path / "work"
    async with open_run(load(write_task(folder / "task")), {}, folder / "made") as run:
        await run.search()
        if left != "ended":
            shutil.copytree(folder / "made", folder / "run")
    if left == "ended":
        shutil.copytree(folder / "made", folder / "run")
    assert (folder / "run" / f"{JOURNAL}-wal").exists() == (left != "ended")
    if left.endswith("-shm"):
        for path in (folder / "run").glob("*-shm"):
            path.unlink()
    return folder


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> tuple[Forbid, Sequence[str]]:
    forbid, before = WAYS[request.param]
    if before and not shutil.which(before[0]):
        pytest.skip("root cannot be kept out here")
    return forbid, before


@pytest.mark.parametrize("left", LEFT)
async def test_whoever_looks_back_writes_nothing(
    tmp_path: Path, way: tuple[Forbid, Sequence[str]], left: str
) -> None:
    (forbid, before), folder = way, await prepared(tmp_path, left)
    there = {path.name: path.read_bytes() for path in (folder / "run").glob("*")}
    with forbid(folder):
        said = run_in(folder, COMMANDS, before)
    assert {name: done for name, done in said.items() if done[0]} == {}
    assert "may not be written" in said["report"][1]
    assert (folder / "run-report.html").stat().st_size > 10_000
    assert {path.name: path.read_bytes() for path in (folder / "run").glob("*")} == there


async def test_whoever_would_write_is_told_in_one_line(tmp_path: Path, way: tuple[Forbid, Sequence[str]]) -> None:
    (forbid, before), folder = way, await prepared(tmp_path, "ended")
    commands = {
        "search": ("search", "task/small.toml", "--out", "run", "--set", "search.assignments=9"),
        "report": ("report", "run", "--out", "run/page.html"),
        "ctl": ("ctl", "run", "stop"),
        "import": ("memory", "import", "run", "saved.jsonl"),
        "prune": ("memory", "prune", "run", "--keep", "1"),
    }
    (folder / "saved.jsonl").touch()
    with forbid(folder):
        said = run_in(folder, commands, before)
    for name, (code, line, raised) in said.items():
        assert code in (1, 2), (name, line, raised)
        assert len(line.splitlines()) == 1, (name, line, raised)
