"""Caps over all searches of a sweep or a study."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from pathlib import Path
from random import Random

import orjson
import pytest
from anyio import to_thread

from agents.directory.run_directory import BEST_PROMPT, JOURNAL, RECORD, RESULT
from agents.study.engine import InThisProcess
from agents.study.grid import load_grid
from agents.study.spent import covered
from agents.study.study import load_study
from agents.study.sweep import Row, Sweep
from memory.journals.reading import read_spent
from protocols.errors import ConfigError
from tests.agents.run.test_resume import Executioner
from tests.agents.study import sweeping
from tests.agents.study.test_sweep import KEY, lines, unattended, write_grid
from tests.small_task import write_task
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
PRICE = "providers.'openai/m'.price={ input = 100, output = 100 }"


def asking(server: WireServer) -> tuple[str, ...]:
    return ("models.default=openai/m", f"providers.openai.base_url={server.openai_url}")


async def sweep(path: Path, *settings: str) -> Sweep:
    work = Sweep(load_grid(path, settings), KEY, InThisProcess(KEY, unattended), lambda row: None)
    await work.run()
    return work


def journalled(path: Path) -> int:
    """The calls of all searches, by their journals."""
    journals = (path.parent / "out").glob(f"*/{JOURNAL}")
    return sum(account.calls for journal in journals for account in read_spent(journal))


def result_of(directory: Path) -> Mapping[str, object]:
    result: Mapping[str, object] = orjson.loads((directory / RESULT).read_bytes())
    return result


@pytest.mark.parametrize(("calls", "searches"), [(60, 1), (90, 2), (130, 4)])
async def test_no_more_calls_than_the_cap_and_a_raised_cap_goes_on(tmp_path: Path, calls: int, searches: int) -> None:
    """What the cap has ended has its best prompt and whole report, what did not begin is no failure, and the same
    command does nothing more."""
    more = f"searches = {searches}\nseeds = [0, 1, 2, 3]\nbudget = {{ calls = %s }}"
    path = write_grid(tmp_path, more % calls)
    async with WireServer(lambda turns: f"parcel {len(str(turns)) % 3}") as server:
        first = await sweep(path, *asking(server))
        assert server.stats.calls == journalled(path) <= calls
        names = {cell.name for cell in first.grid.cells}
        begun = {name for name in names if (tmp_path / "out" / name / RECORD).exists()}
        assert 0 < len(begun) < 8
        over = {row.cell for row in first.rows}
        cut = begun - over
        assert not any(row.error for row in first.rows)
        assert len(lines(path)) == len(first.rows)
        assert f"{8 - len(begun)} of 8 searches did not begin" in first.shortfall
        assert first.shortfall.endswith("raise sweep.budget.calls and give the command again")
        for name in cut:
            directory = tmp_path / "out" / name
            if (directory / RESULT).exists():
                result = result_of(directory)
                assert result["stopped_by"] == "budget: calls of sweep"
                assert result["test"] is not None
                assert result["test_missing"] is None
                assert (directory / BEST_PROMPT).exists()
        made = server.stats.calls
        again = await sweep(path, *asking(server))
        assert (server.stats.calls, {row.cell for row in again.rows}) == (made, over)
        assert again.shortfall == first.shortfall
        write_grid(tmp_path, more % 5000)
        last = await sweep(path, *asking(server))
        assert server.stats.calls == journalled(path) <= 5000
    assert {row.cell for row in last.rows} == names
    assert last.shortfall == ""
    assert {row.result["stopped_by"] for row in last.rows if row.result} == {"assignments"}


@pytest.mark.parametrize("budget", ["calls = 120", "tokens = 25_000"])
async def test_the_cap_holds_for_all_calls_of_processes_that_were_killed(tmp_path: Path, budget: str) -> None:
    """Also for those in flight when they were; the server keeps the books."""
    path = write_grid(tmp_path, f"searches = 3\nseeds = [0, 1]\nbudget = {{ {budget} }}")
    executioner = Executioner(Random(0))
    async with WireServer(lambda turns: "parcel", delay=executioner) as server:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([sweeping.__name__])
        for gap in (20, 30, 0):
            executioner.left = gap
            executioner.process = process = context.Process(target=sweeping.sweep, args=(path, asking(server), KEY))
            process.start()
            await to_thread.run_sync(process.join)
            assert process.exitcode == (-9 if gap else 0)
        last = await sweep(path, *asking(server))
        assert last.budget is not None
        used = {"calls": server.stats.calls, "tokens": server.stats.input_tokens + server.stats.output_tokens}
        [(cap, limit)] = last.budget.limits.items()
        assert limit / 2 < used[cap] <= limit
        assert last.shortfall
        assert server.stats.calls <= journalled(path)


async def test_dollars_are_never_exceeded_and_half_is_told(tmp_path: Path) -> None:
    path = write_grid(tmp_path, "searches = 3\nseeds = [0, 1]\nbudget = { dollars = 2.0, tokens = 1_000_000 }")
    told = list[str]()
    async with WireServer(lambda turns: "parcel") as server:
        settings = (*asking(server), PRICE)
        work = Sweep(load_grid(path, settings), KEY, InThisProcess(KEY, unattended), lambda row: None)
        assert work.budget is not None
        work.budget.watch(lambda notice: told.append(str(notice)))
        await work.run()
        assert work.budget.calls == server.stats.calls
        assert 1.0 < work.budget.spent.dollars <= 2.0
    assert told[0].startswith("50% of the budget of the sweep is used: 1.")
    assert "raise sweep.budget.dollars" in work.shortfall


async def test_a_cap_that_cannot_be_kept_or_is_too_small_is_refused(tmp_path: Path) -> None:
    unpriced = write_grid(tmp_path, "budget = { dollars = 2.0 }")
    with pytest.raises(ConfigError, match="the price of openai/m is not known"):
        await sweep(unpriced, "models.default=openai/m", "providers.openai.base_url=http://127.0.0.1:9")
    small = write_grid(tmp_path, "budget = { calls = 20 }")
    with pytest.raises(ConfigError, match=r"sweep\.budget\.calls = 20 is too small: .* take 30"):
        await sweep(small)
    wrong = write_grid(tmp_path, "budget = { euros = 2.0 }")
    with pytest.raises(ConfigError, match=r"unknown key sweep\.budget\.euros"):
        load_grid(wrong)
    assert not (tmp_path / "out").exists()


async def test_a_study_has_a_budget_too(tmp_path: Path) -> None:
    write_task(tmp_path)
    path = tmp_path / "study.toml"
    table = f'[study]\ntasks = ["small.toml"]\nseeds = 3\nsearches = 2\ndirectory = "{tmp_path}/out"\n'
    arms = '[arms.no-critic]\nwithout = ["critic"]\n'
    path.write_text(f"{table}budget = {{ calls = 120, minutes = 600 }}\n{arms}", encoding="utf-8")
    ended = list[Row]()
    work = Sweep(load_study(path), {}, InThisProcess({}, unattended), ended.append)
    await work.run()
    assert work.budget is not None
    assert work.budget.calls <= 120
    assert work.shortfall.endswith("raise study.budget.calls and give the command again")
    assert all(row.error is None for row in ended)


def test_the_time_of_searches_at_once_counts_once() -> None:
    assert covered([(0, 10), (5, 12), (20, 21), (6, 7)]) == 13
