"""The list of runs: every run is in it once with its figures, and nothing that lies about ends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from agents.archive.ends import INTERRUPTED
from agents.beside.listing import Listed, list_runs, listed
from agents.config.configuration import load
from agents.directory.run_directory import CONFIGURATION, JOURNAL, LOCK, LOG, RECORD, RESULT
from agents.run.opening import open_run
from agents.views.beside import show_runs
from memory.storage.sqlite import claimed
from protocols.errors import ConfigError
from tests.small_task import write_task

pytestmark = pytest.mark.anyio


@pytest.fixture
async def finished(tmp_path: Path) -> Path:
    config = load(write_task(tmp_path / "task"), ["search.assignments=1"])
    async with open_run(config, {}, tmp_path / "runs" / "first") as opened:
        await opened.search()
    return tmp_path / "runs" / "first"


def begun(directory: Path, moment: float) -> None:
    record = orjson.loads((directory / RECORD).read_bytes())
    (directory / RECORD).write_bytes(orjson.dumps({**record, "begun": moment}))


async def test_a_finished_run_has_the_figures_of_its_result(finished: Path) -> None:
    result = orjson.loads((finished / RESULT).read_bytes())
    [run] = list_runs(finished.parent)
    assert (run.state, run.task, run.model) == ("finished", "small", "embedded")
    assert (run.first, run.best) == (result["test"]["first"], result["test"]["best"])
    assert run.interval == tuple(result["test"]["best_score"]["interval"])
    assert (run.tokens, run.dollars) == (result["length"]["best"], result["dollars"])
    assert list_runs(finished) == [run]


async def test_the_newest_are_first_and_those_of_sweeps_are_there(finished: Path) -> None:
    top = finished.parent
    for moment, place in ((3.0, "sweep/home.default.0"), (2.0, "study/home.no-critic.1"), (4.0, "last")):
        shutil.copytree(finished, top / place)
        begun(top / place, moment)
    begun(finished, 1.0)
    names = [Path(run.directory).relative_to(top).as_posix() for run in list_runs(top)]
    assert names == ["last", "sweep/home.default.0", "study/home.no-critic.1", "first"]


async def test_the_state_is_told_by_what_is_there(finished: Path) -> None:
    assert listed(finished).state == "finished"
    result = orjson.loads((finished / RESULT).read_bytes())
    (finished / RESULT).write_bytes(orjson.dumps({**result, "stopped_by": INTERRUPTED}))
    assert listed(finished).state == "stopped"
    (finished / RESULT).unlink()
    assert listed(finished).state == "stopped"
    (finished / LOG).write_bytes(orjson.dumps({"event": "run failed", "reason": "no\nkey"}) + b"\n")
    failed = listed(finished)
    assert (failed.state, failed.reason, failed.validation is not None) == ("failed", "no key", True)
    with claimed(finished / LOCK) as mine:
        assert mine
        assert listed(finished).state == "running"


def without(file: Path, key: str) -> None:
    """Cut a key out of a JSON file."""
    content = orjson.loads(file.read_bytes())
    del content[key]
    file.write_bytes(orjson.dumps(content))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no record": lambda run: (run / RECORD).unlink(),
    "torn record": lambda run: (run / RECORD).write_bytes(b"{"),
    "another release": lambda run: (run / RECORD).write_bytes(b'{"version": 99}'),
    "no configuration": lambda run: (run / CONFIGURATION).unlink(),
    "torn configuration": lambda run: (run / CONFIGURATION).write_bytes(b'{"task": 3}'),
    "torn result": lambda run: (run / RESULT).write_bytes(b'{"test": 3}'),
    "a list for a result": lambda run: (run / RESULT).write_bytes(b"[]"),
    "a result without its end": lambda run: without(run / RESULT, "stopped_by"),
    "a result without its best": lambda run: without(run / RESULT, "best"),
    "a record without its beginning": lambda run: without(run / RECORD, "begun"),
    "a configuration without its task": lambda run: without(run / CONFIGURATION, "task"),
    "torn journal": lambda run: (run / JOURNAL).write_bytes(b"no database at all" * 99),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_run_is_a_line_and_no_end(finished: Path, damage: str) -> None:
    shutil.copytree(finished, finished.parent / "damaged")
    DAMAGES[damage](finished.parent / "damaged")
    if damage == "torn journal":  # it is read where there is no result
        (finished.parent / "damaged" / RESULT).unlink()
    good, bad = list_runs(finished.parent)
    assert (good.state, bad.state) == ("finished", "unreadable")
    assert bad.reason
    assert "\n" not in bad.reason
    console = Console(width=200, record=True, quiet=True)
    show_runs(console, [good, bad])


def test_the_names_of_runs_are_whole_where_room_is_short() -> None:
    """They are what the next command is given."""
    names = [f"runs/a-task-of-ours-{n}" for n in range(2)]
    shown = StringIO()
    console = Console(width=120, file=shown)
    show_runs(console, [Listed(name, "finished", "a task of ours " * 3, "openai/gpt-5-mini") for name in names])
    assert all(name in shown.getvalue() for name in names)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160, 250])
def test_names_of_models_are_broken_at_their_parts_or_left_out(width: int) -> None:
    """And a line is no longer than the terminal."""
    models = ["openai/gpt-5-mini + anthropic/claude-haiku-4-5-20251001 + openai/llama-v3p1-405b-instruct", "local/x"]
    runs = [
        Listed(f"runs/a-{n}", "finished", "tickets of 2026", name, 0.5, 0.6, (0.5, 0.7), 0.7, 412, 1.2, 1.7e9)
        for n, name in enumerate(models)
    ]
    shown = StringIO()
    show_runs(Console(width=width, file=shown), runs)
    header, *lines = shown.getvalue().splitlines()
    assert all(len(line.rstrip()) <= width for line in (header, *lines))
    assert all(run.directory in shown.getvalue() for run in runs)
    assert ("begun" in header) == ("2023-11-1" in shown.getvalue())
    if "model" in header:
        start, end = header.index("model"), header.index("state")
        told = "".join(line[start:end] for line in lines)
        assert told.replace(" ", "") == "".join(models).replace(" ", "")
        broken = [line[start:end].strip() for line in lines if line[start:end].strip()]
        assert all(part.endswith(("/", "-", "+")) for part in broken[:-2]), broken


async def test_a_foreign_folder_is_a_line_once(finished: Path) -> None:
    (finished.parent / "notes" / "deep" / "deeper").mkdir(parents=True)
    (finished.parent / "a file").write_text("x", encoding="utf-8")
    good, foreign = list_runs(finished.parent)
    assert (Path(foreign.directory).name, foreign.state, foreign.reason) == ("notes", "unreadable", "no run")
    assert good.state == "finished"


def test_no_folder_is_refused_and_an_empty_one_is_empty(tmp_path: Path) -> None:
    assert list_runs(tmp_path) == []
    with pytest.raises(ConfigError, match="no folder"):
        list_runs(tmp_path / "nowhere")


async def test_a_bug_of_ours_is_not_taken_for_a_damaged_run(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(directory: Path) -> None:
        raise KeyError("a name that is misspelled")

    monkeypatch.setattr("agents.beside.listing.read_result", buggy)
    with pytest.raises(KeyError):
        listed(finished)
