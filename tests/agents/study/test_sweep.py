"""A sweep: what it writes, what its searches share, what it goes on with, and what ends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from agents import foreground
from agents.archive.ends import INTERRUPTED
from agents.directory.run_directory import RESULT
from agents.results.result import Result
from agents.run.search import Run
from agents.study.engine import InThisProcess, Search
from agents.study.grid import Cell, load_grid, merge
from agents.study.sweep import RESULTS, Row, Sweep
from protocols.errors import AuthenticationFailed, ConfigError
from protocols.messages import Assignment, Envelope
from tests.small_task import write_task
from tests.wire_server import Fault, WireServer

pytestmark = pytest.mark.anyio
SETTINGS = '[settings.msgd.search]\nselector = "msgd"\n[settings.uniform.search]\nselector = "uniform"\n'
KEY = {"OPENAI_API_KEY": "sk-test-0123456789"}


async def unattended(cell: Cell, run: Run) -> Result:
    return await run.search()


def around(attend: Callable[[Cell, Run], AbstractAsyncContextManager[None]]) -> Search:
    """A search with `attend` entered meanwhile."""

    async def search(cell: Cell, run: Run) -> Result:
        async with attend(cell, run):
            return await run.search()

    return search


def write_grid(folder: Path, sweep: str = "seeds = [0, 1]", settings: str = SETTINGS) -> Path:
    write_task(folder / "task")
    path = folder / "grid.toml"
    sweep = f'[sweep]\ntasks = ["task/small.toml"]\ndirectory = "{folder}/out"\n{sweep}\n'
    path.write_text(sweep + settings, encoding="utf-8")
    return path


async def finish(path: Path, *settings: str, environ: dict[str, str] | None = None) -> list[Row]:
    """The rows of a sweep that nobody watches, in the order in which they ended."""
    engine = InThisProcess(environ or {}, unattended)
    sweep = Sweep(load_grid(path, settings), environ or {}, engine, lambda row: None)
    await sweep.run()
    assert [orjson.loads(line) for line in lines(path)] == [as_json(row) for row in sweep.rows]
    return sweep.rows


def lines(path: Path) -> list[bytes]:
    return (path.parent / "out" / RESULTS).read_bytes().splitlines()


def as_json(row: Row) -> Any:
    return orjson.loads(orjson.dumps(row))


def directories(path: Path) -> set[str]:
    """The names of the run directories."""
    return {p.name for p in (path.parent / "out").iterdir() if p.is_dir()}


async def test_a_sweep_whose_width_follows_from_other_settings_is_not_made_twice(tmp_path: Path) -> None:
    """Four assignments make a search narrow, which is no other configuration."""
    path = write_grid(tmp_path)
    search = {"assignments": 4, "operators": ["few_shot"], "critique": 12, "prefer": "best", "shrink": 0}
    write_task(tmp_path / "task", tables={"search": search})
    async with WireServer(lambda turns: "parcel") as server:
        settings = ("models.default=openai/m", f"providers.openai.base_url={server.openai_url}")
        rows = {row.cell: as_json(row) for row in await finish(path, *settings, environ=KEY)}
        made = server.stats.calls
        again = {row.cell: as_json(row) for row in await finish(path, *settings, environ=KEY)}
        assert server.stats.calls == made
    assert again == rows
    assert all(row["error"] is None for row in rows.values())


async def test_every_cell_is_run_once_and_those_without_a_result_go_on(tmp_path: Path) -> None:
    path = write_grid(tmp_path)
    rows = await finish(path)
    cells = {f"small.{setting}.{seed}" for setting in ("msgd", "uniform") for seed in (0, 1)}
    assert {row.cell for row in rows} == directories(path) == cells
    for row in rows:
        assert row.result == orjson.loads((Path(row.directory) / RESULT).read_bytes())
        assert row.result is not None
        assert (row.result["random_seed"], row.error) == (row.seed, None)
    (tmp_path / "out" / "small.uniform.1" / RESULT).unlink()
    (tmp_path / "out" / RESULTS).unlink()
    again = {row.cell: row for row in await finish(path)}
    for row in rows:
        if row.cell != "small.uniform.1":
            assert as_json(again[row.cell]) == as_json(row)
    finished = {row.cell: row for row in rows}["small.uniform.1"].result
    resumed = again["small.uniform.1"].result
    assert finished is not None
    assert resumed is not None
    assert (resumed["best"], resumed["test"]) == (finished["best"], finished["test"])
    assert directories(path) == cells


async def test_searches_share_replies_and_one_limiter(tmp_path: Path) -> None:
    """No example is asked twice with one prompt, whichever search comes to it."""
    path = write_grid(tmp_path, "searches = 4\nseeds = [0, 1]")
    async with WireServer(lambda turns: "parcel") as server:
        settings = ("models.default=openai/m", f"providers.openai.base_url={server.openai_url}")
        few = ("providers.openai.concurrency=3", 'search.operators=["few_shot"]')
        rows = await finish(path, *settings, *few)
        asked = Counter(call.raw for call in server.received if call.body.get("temperature") == 0)
    results = [row.result for row in rows if row.result is not None]
    assert len(results) == 4
    assert set(asked.values()) == {1}
    assert sum(sum(result["calls"].values()) for result in results) == server.stats.calls
    assert server.stats.most_in_flight <= 3


async def test_a_cell_that_fails_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    async with WireServer(lambda turns: "parcel") as server:
        server.faults.extend([Fault(status=422)] * 100)
        broken = '[settings.broken]\nmodels.default = "openai/m"\n'
        path = write_grid(tmp_path, settings=f'{SETTINGS}{broken}providers.openai.base_url = "{server.openai_url}"\n')
        rows = await finish(path)
        failed = {row.cell: row for row in rows if row.error}
        assert failed.keys() == {"small.broken.0", "small.broken.1"}
        assert all(row.error and row.error["type"] == "RunFailed" for row in failed.values())
        server.faults.clear()
        assert all(row.result for row in await finish(path))


async def test_a_bad_key_ends_the_sweep_when_all_use_it(tmp_path: Path) -> None:
    path = write_grid(tmp_path, "searches = 1\nseeds = [0, 1, 2]")
    async with WireServer(lambda turns: "parcel") as server:
        server.faults.extend([Fault(status=401, body=b'{"error": {"message": "wrong key"}}')] * 1000)
        settings = ("models.default=openai/m", f"providers.openai.base_url={server.openai_url}")
        with pytest.raises(AuthenticationFailed):
            await finish(path, *settings, environ=KEY)
    assert directories(path) == {"small.msgd.0"}


async def test_a_sweep_that_was_stopped_is_finished_by_the_next(tmp_path: Path) -> None:
    path = write_grid(tmp_path, "searches = 2")

    @asynccontextmanager
    async def stop_at_once(cell: Cell, run: Run) -> AsyncIterator[None]:
        async def observe(envelope: Envelope) -> None:
            if isinstance(envelope.message, Assignment):
                await sweep.stop(INTERRUPTED)

        run.bus.tap(observe)
        yield

    ended: list[Row] = []
    sweep = Sweep(load_grid(path), {}, InThisProcess({}, around(stop_at_once)), ended.append)
    await sweep.run()
    assert (sweep.rows, ended, lines(path)) == ([], [], [])
    assert len(await finish(path)) == 2


@pytest.mark.parametrize(
    ("sweep", "settings", "expected"),
    [
        ("seed = [1]", "", "unknown key sweep.seed; did you mean sweep.seeds?"),
        ("seeds = [1, 1]", "", "two seeds are the same"),
        ("", "[settings.'../up'.search]\nwidth = 1\n", "letters, digits"),
        ("", "[settings.a.search]\nwith = 1\n", "did you mean search.width?"),
        ("", '[settings.a.models]\ndefault = "openai/m"\n', "set OPENAI_API_KEY"),
        ("", '[settings.a.task]\ntrain = "nowhere.jsonl"\n', "nowhere.jsonl"),
    ],
)
async def test_what_cannot_be_run_is_refused_before_anything_is_written(
    tmp_path: Path, sweep: str, settings: str, expected: str
) -> None:
    path = write_grid(tmp_path, sweep, settings)
    with pytest.raises(Exception, match=expected.replace(".", r"\.").replace("?", r"\?")):
        await finish(path)
    assert not (tmp_path / "out").exists()


async def test_results_of_another_configuration_are_not_taken_for_those_of_this(tmp_path: Path) -> None:
    path = write_grid(tmp_path)
    await finish(path)
    before = lines(path)
    with pytest.raises(ConfigError, match=r"another configuration \(search\)"):
        await finish(path, "search.width=2")
    assert lines(path) == before


@pytest.mark.parametrize("terminal", [True, False])
async def test_a_person_sees_every_cell(tmp_path: Path, terminal: bool) -> None:
    shown = StringIO()
    console = Console(file=shown, force_terminal=terminal, width=120, height=30)
    swept = await foreground.sweep(load_grid(write_grid(tmp_path)), {}, console, 0)
    rows, whole = swept.rows, swept.whole
    assert whole
    assert [row.cell for row in rows] == ["small.msgd.0", "small.uniform.0", "small.msgd.1", "small.uniform.1"]
    for row in rows:
        assert row.cell in shown.getvalue()
    assert all((Path(row.directory) / "log.jsonl").stat().st_size for row in rows)


def test_settings_go_over_a_task_table_by_table() -> None:
    below = {"search": {"width": 1, "seed": 2}, "task": {"name": "a"}}
    assert merge(below, {"search": {"width": 3}}) == {"search": {"width": 3, "seed": 2}, "task": {"name": "a"}}
