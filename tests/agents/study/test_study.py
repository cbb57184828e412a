"""A study: what its arms are, that its searches know nothing of each other, and what becomes of those that fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from agents import foreground
from agents.directory.run_directory import MEMORY
from agents.run.opening import open_run
from agents.study.effects import Effect, effects, measured
from agents.study.grid import Cell, Grid
from agents.study.study import BASELINE, load_study
from agents.study.sweep import RESULTS, Row
from protocols.errors import ConfigError
from tests.small_task import write_task
from tests.wire_server import Fault, WireServer

pytestmark = pytest.mark.anyio
QUIET = Console(quiet=True)
ARMS = '[arms.no-critic]\nwithout = ["critic"]\n[arms.uniform.search]\nselector = "uniform"\n'


def write_study(folder: Path, arms: str = ARMS, study: str = "seeds = 2", tables: str = "") -> Path:
    """The file of a study of the small task; `tables` go to the task's configuration."""
    config = write_task(folder / "task")
    with config.open("a", encoding="utf-8") as file:
        file.write(tables)
    path = folder / "study.toml"
    head = f'[study]\ntasks = ["task/small.toml"]\ndirectory = "{folder}/out"\n{study}\n'
    path.write_text(head + arms, encoding="utf-8")
    return path


def cell(grid: Grid, setting: str) -> Cell:
    return next(cell for cell in grid.cells if cell.setting == setting)


async def finish(grid: Grid) -> list[Row]:
    swept = await foreground.sweep(grid, {}, QUIET, 0)
    rows, whole = swept.rows, swept.whole
    assert whole
    return list(rows)


def test_the_baseline_is_the_task_and_every_arm_has_its_seeds(tmp_path: Path) -> None:
    grid = load_study(write_study(tmp_path, study="seeds = 3"), ["search.assignments=4"])
    assert [(c.setting, c.seed) for c in grid.cells] == [
        (arm, seed) for seed in range(3) for arm in (BASELINE, "no-critic", "uniform")
    ]
    for mine in grid.cells:
        search = mine.configuration.search
        assert (search.seed, search.assignments) == (mine.seed, 4)
        assert search.selector.use == ("uniform" if mine.setting == "uniform" else "msgd_rl")
        assert mine.configuration.agents.criticises == (mine.setting != "no-critic")
    assert not grid.one_memory


def test_an_arm_goes_over_what_is_set_for_the_tasks(tmp_path: Path) -> None:
    grid = load_study(write_study(tmp_path), ["search.selector=ucb"])
    chosen = {mine.setting: mine.configuration.search.selector.use for mine in grid.cells}
    assert chosen == {BASELINE: "ucb", "no-critic": "ucb", "uniform": "uniform"}


def test_what_is_set_for_an_operator_goes_with_it(tmp_path: Path) -> None:
    tables = '[models.proposers]\nfew_shot = "embedded"\nself_reflection = "embedded"\n'
    tables += "[budget.operators.few_shot]\ncalls = 9\n"
    grid = load_study(write_study(tmp_path, '[arms.less]\nwithout = ["few_shot", "memory"]', tables=tables))
    less, baseline = cell(grid, "less").configuration, cell(grid, BASELINE).configuration
    assert less.search_operators == tuple(one for one in baseline.search_operators if one.use != "few_shot")
    assert [*less.models.proposers] == ["self_reflection"]
    assert not less.budget.operators
    assert baseline.budget.operators
    assert (less.memory.read, less.memory.write) == (False, False)


@pytest.mark.parametrize(
    ("arms", "study", "tables", "expected"),
    [
        ("", "", "", "arms: "),
        (
            '[arms.a]\nwithout = ["critics"]',
            "",
            "",
            "'critics' is not critic, memory or one of describe, few_shot, self_reflec",
        ),
        ('[arms.a]\nwithout = "critic"', "", "", "arms.a.without: give a list of names"),
        ('[arms.a]\nwithout = ["few_shot"]\nsearch.operators = ["few_shot"]', "", "", "no operator is left"),
        ("[arms.a.search]\nselector = 'msgd_rl'", "", "", "arms.a changes nothing of any task"),
        ("[arms.baseline.search]\nwidth = 1", "", "", "arms.baseline: that is the tasks as they stand"),
        ("[arms.a.search]\nwidht = 1", "", "", "with arms.a of"),
        ("[arms.'a/b'.search]\nwidth = 1", "", "", "letters, digits"),
        (ARMS, "seeds = 1", "", "study.seeds"),
        (ARMS, "seeds = true", "", "study.seeds"),
        (ARMS, "seeds = [3, 3]", "", "two seeds are the same"),
        (ARMS, "seed = 3", "", "did you mean study.seeds?"),
        (ARMS, "", '[memory]\npath = "m.sqlite"', "leave memory.path out"),
    ],
)
def test_what_is_no_study_is_refused(tmp_path: Path, arms: str, study: str, tables: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_study(write_study(tmp_path, arms, study, tables))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_past_that_nobody_adds_to_may_be_shared(tmp_path: Path) -> None:
    assert load_study(write_study(tmp_path, tables='[memory]\npath = "m.sqlite"\nwrite = false\n'))


async def test_a_search_of_a_study_is_the_search_alone_and_together_they_cost_less(tmp_path: Path) -> None:
    """Nothing leaks from one to another: not by memory, not by the cache. The server counts by itself."""
    settings = ["search.width=1", "search.operators=['few_shot', 'self_reflection']", "models.default=openai/m"]
    async with WireServer(lambda turns: "parcel") as server:
        settings.append(f"providers.openai.base_url={server.openai_url}")
        grid = load_study(write_study(tmp_path), settings)
        rows = await finish(grid)
        together = server.stats.calls
        assert sum(sum(row.result["calls"].values()) for row in rows if row.result) == together
        for row, mine in zip(rows, grid.cells, strict=True):
            assert (Path(row.directory) / MEMORY).exists()
            async with open_run(mine.configuration, {}, tmp_path / "alone" / mine.name) as run:
                alone = await run.search()
            assert row.result is not None
            assert row.result["best"]["value"] == alone.best.value
            assert row.result["assignments"] == alone.assignments
            assert measured(row)["calls"] == sum(alone.calls.values()) + alone.saved.calls
        assert together < (server.stats.calls - together) * 0.7
    assert not (tmp_path / "out" / MEMORY).exists()


async def test_a_failed_search_is_left_out_with_its_pair_and_counted(tmp_path: Path) -> None:
    async with WireServer(lambda turns: "parcel") as server:
        server.faults.extend([Fault(status=422)] * 1000)
        arms = f'{ARMS}[arms.broken]\nmodels.default = "openai/m"\nproviders.openai.base_url = "{server.openai_url}"'
        grid = load_study(write_study(tmp_path, arms, "seeds = 3"), ["search.assignments=1"])
        rows = await finish(grid)
    by_arm = {(e.arm, e.measure): e for e in effects(grid.cells, rows)}
    for measure in ("test", "validation", "calls", "seconds"):
        broken = by_arm["broken", measure]
        assert (broken.pairs, broken.excluded, broken.difference) == (0, 3, None)
        assert broken.verdict == "too few pairs"
        assert by_arm["uniform", measure].pairs == 3


async def test_another_arm_takes_nothing_but_its_own_searches_and_another_meaning_is_refused(tmp_path: Path) -> None:
    path = write_study(tmp_path, '[arms.uniform.search]\nselector = "uniform"\n')
    before = await finish(load_study(path))
    with path.open("a", encoding="utf-8") as file:
        file.write('[arms.ucb.search]\nselector = "ucb"\n')
    rows = await finish(load_study(path))
    assert [row for row in rows if row.setting != "ucb"] == before
    assert len((tmp_path / "out" / RESULTS).read_bytes().splitlines()) == len(rows) == 6
    path.write_text(path.read_text(encoding="utf-8").replace('"ucb"', '"thompson"'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"small\.ucb\.0 has a result of another configuration \(search\)"):
        await finish(load_study(path))


def row(grid: Grid, setting: str, seed: int, test: float | None, dollars: float | None = 1.0) -> Row:
    result = {
        "test": None if test is None else {"best_score": {"value": test, "n": 9}},
        "best": {"value": 0.5},
        "calls": {"task": 10},
        "saved": {"calls": seed, "dollars": 0.5},
        "dollars": dollars,
        "seconds": 1.0,
    }
    return Row(f"small.{setting}.{seed}", "small", setting, seed, "", result)


def found(grid: Grid, rows: list[Row]) -> dict[tuple[str, str], Effect]:
    return {(effect.arm, effect.measure): effect for effect in effects(grid.cells, rows)}


def test_effects_are_differences_of_pairs(tmp_path: Path) -> None:
    """Whatever the seeds have in common goes out; what is not known is left out and not 0."""
    grid = load_study(write_study(tmp_path, study="seeds = 4"))
    level, gain = [0.1, 0.9, 0.4, 0.7], [0.05, 0.07, 0.06, 0.08]
    rows = [row(grid, BASELINE, seed, level[seed]) for seed in range(4)]
    rows += [row(grid, "uniform", seed, level[seed] + gain[seed], dollars=None) for seed in range(4)]
    rows += [row(grid, "no-critic", seed, level[seed] if seed else None) for seed in range(3)]
    there = found(grid, rows)
    uniform, silent = there["uniform", "test"], there["no-critic", "test"]
    assert uniform.difference == pytest.approx(0.065)
    assert uniform.interval is not None
    assert 0.04 < uniform.interval[0] < 0.065 < uniform.interval[1] < 0.09
    assert uniform.verdict == "higher"
    assert (silent.pairs, silent.excluded, silent.verdict) == (2, 2, "the same in every pair")
    assert (there["uniform", "dollars"].pairs, there["uniform", "dollars"].verdict) == (0, "too few pairs")
    assert there["no-critic", "dollars"].baseline == 1.5
    assert there["uniform", "calls"].value == 10 + 1.5
    assert {effect.corrected is None for effect in there.values() if effect.measure != "test"} == {True}


def test_what_is_nothing_once_corrected_is_said_to_be_that() -> None:
    effect = Effect("a", None, "test", 10, 0, 0.1, 0.2, 0.1, (0.01, 0.19), 0.03, 0.03)
    assert effect.verdict == "higher"
    assert replace(effect, corrected=0.09).verdict == "includes 0, corrected"
    assert replace(effect, interval=(-0.01, 0.2), p=0.08).verdict == "includes 0"
    assert replace(effect, difference=-0.1, interval=(-0.19, -0.01)).verdict == "lower"


PLANTED = """
[arms.useless.search]
operators = ["benchmarks.planted:Useless"]
[arms.wrong-critic.agents]
critic = "benchmarks.planted:WrongCritic"
"""


async def test_what_is_planted_is_found(tmp_path: Path) -> None:
    """A small version of benchmarks/study.py: the truth is that of more and other seeds."""
    settings = ["search.operators=['benchmarks.planted:Obedient', 'benchmarks.planted:Useless']"]
    settings += ["search.assignments=6", "search.width=2", "search.critique=6"]  # what fails differs by the seed
    told = []
    for name, seeds in (("study", range(60, 65)), ("truth", range(200, 208))):
        grid = load_study(write_study(tmp_path / name, PLANTED, f"seeds = {list(seeds)}"), settings)
        told.append(found(grid, await finish(grid)))
    for arm in ("useless", "wrong-critic"):
        study, truth = (each[arm, "test"] for each in told)
        assert study.interval is not None
        assert truth.difference is not None
        assert study.interval[0] <= truth.difference <= study.interval[1]
        assert truth.difference < 0
    assert told[0]["useless", "test"].verdict == "lower"
