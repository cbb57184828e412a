"""Does a study find what was planted, and what does it cost? `python -m benchmarks.study`.

*Planted.* Two example tasks, on the embedded model, with a ring whose one good operator writes down what the critic
says (benchmarks/planted.py). Two arms: in one that operator is made useless, in the other the critic is made wrong.
The study has the seeds 100 to 109; the truth is the same difference over other seeds, from 1000 on, four times as
many. Printed for each arm, over both tasks and on each: what the study says, what the truth is, and whether the
study's interval contains it. The truth is an estimate too, so that an interval that is right 95 times of 100 contains
it a little less often. *Redrawn*: of 2,000 studies, each of ten seeds drawn from those of the truth, the share whose
interval contains the mean over all of these.

*Coverage.* The share of 95 % intervals that contain the true mean, for known laws of the differences, ten pairs in
each of one or two strata; beside it that of a percentile bootstrap, which was not taken (docs/decisions/study.md).

*Cost.* Calls that a local server of the wire format counts: of a study of four arms, and of the same searches one by
one with nothing shared. Nothing is timed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import anyio
import numpy as np
import numpy.typing as npt
import orjson
from rich.console import Console

from agents import foreground
from agents.run.opening import open_run
from agents.study.effects import Effect, effects, measured
from agents.study.grid import Grid
from agents.study.paired import difference
from agents.study.study import BASELINE, load_study
from agents.study.sweep import Row
from benchmarks.wire import MODEL, server, write_task

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PLANTED = """
[study]
tasks = [{tasks}]
seeds = [{seeds}]
searches = 2
directory = "{directory}"

[arms.useless-operator.search]
operators = ["benchmarks.planted:Useless"]

[arms.wrong-critic.agents]
critic = "benchmarks.planted:WrongCritic"
"""
COSTED = """
[study]
tasks = ["task.toml"]
seeds = 3
searches = 4
directory = "{directory}"

[arms.no-critic]
without = ["critic"]

[arms.no-memory]
without = ["memory"]

[arms.no-reflection]
without = ["self_reflection"]

[arms.uniform.search]
selector = "uniform"
"""
TASK = """
[task]
name = "benchmark"
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"

[prompt]
file = "prompt.txt"

[models]
default = "{model}"

[providers."{model}"]
base_url = "{url}/v1"

[search]
assignments = 12
operators = ["few_shot", "self_reflection", "short_instruction"]
"""
REDRAWN, DRAWN, SIMULATED = 2000, 10, 4000
Array = npt.NDArray[np.float64]
Law = Callable[[np.random.Generator, int], Array]
"""Draws so many differences whose mean is 0."""
LAWS: dict[str, Law] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "skewed (exponential)": lambda rng, n: rng.exponential(size=n) - 1,
    "heavy tails (t, 3 degrees)": lambda rng, n: rng.standard_t(3, size=n),
    "three values": lambda rng, n: rng.choice([-0.1, 0.0, 0.1], size=n),
    "half of them 0, others skewed": lambda rng, n: rng.choice([0.0, 1.0], n) * rng.exponential(size=n) - 0.5,
    "one in ten is not 0": lambda rng, n: rng.choice([0.0, 1.0], n, p=[0.9, 0.1]) - 0.1,
}


def planted(folder: Path, name: str, seeds: Sequence[int], assignments: int) -> tuple[Grid, Sequence[Row]]:
    """The study with these seeds; it goes on where the folder has some of it."""
    tasks = ", ".join(f'"{EXAMPLES / task}.toml"' for task in ("simulated", "bare"))
    file = folder / f"{name}.toml"
    text = PLANTED.format(tasks=tasks, seeds=", ".join(map(str, seeds)), directory=folder / name)
    file.write_text(text, encoding="utf-8")
    settings = (f"search.assignments={assignments}", 'search.operators=["benchmarks.planted:Obedient"]')
    grid = load_study(file, settings)
    return grid, run(grid)


def run(grid: Grid) -> Sequence[Row]:
    """The rows of a grid, all of which must have a result."""
    swept = anyio.run(partial(foreground.sweep, grid, {}, Console(stderr=True), 0))
    rows, whole = swept.rows, swept.whole
    if not whole or any(row.error for row in rows):
        sys.exit("a search failed or was stopped; the same command goes on")
    return rows


def tests(grid: Grid, rows: Sequence[Row]) -> list[Effect]:
    """The effects on the test value."""
    return [effect for effect in effects(grid.cells, rows) if effect.measure == "test"]


def redrawn(rows: Sequence[Row], arm: str, seed: int = 0) -> float:
    """The share of studies, of `DRAWN` seeds drawn from all, whose interval over all tasks has the mean over all."""
    values = {(row.task, row.setting, row.seed): measured(row)["test"] for row in rows}
    seeds = sorted({row.seed for row in rows})
    strata = [
        [values[task, arm, s] - values[task, BASELINE, s] for s in seeds]
        for task in dict.fromkeys(row.task for row in rows)
    ]
    truth = difference(strata).value
    return covered(lambda rng: [rng.choice(each, DRAWN) for each in strata], truth, REDRAWN, seed)


def covered(draw: Callable[[np.random.Generator], list[Array]], truth: float, times: int, seed: int) -> float:
    """The share of intervals that contain the truth."""
    rng = np.random.default_rng(seed)
    found = [difference([stratum.tolist() for stratum in draw(rng)]).interval for _ in range(times)]
    return float(np.mean([one is not None and one[0] <= truth <= one[1] for one in found]))


def _strata(law: Law, count: int, rng: np.random.Generator) -> list[Array]:
    return [law(rng, DRAWN) for _ in range(count)]


def bootstrapped(law: Law, strata: int, times: int, seed: int) -> float:
    """As `covered`, of the percentile bootstrap within strata, around a truth of 0."""
    rng, inside = np.random.default_rng(seed), 0
    for _ in range(times):
        drawn = _strata(law, strata, rng)
        means = np.mean([rng.choice(each, (1000, DRAWN)).mean(axis=1) for each in drawn], axis=0)
        low, high = np.quantile(means, [0.025, 0.975])
        inside += bool(low <= 0 <= high)
    return inside / times


def show_planted(study: Sequence[Effect], truth: Sequence[Effect], rows: Sequence[Row]) -> None:
    """One line an arm and scope."""
    print(f"{'arm':18}{'tasks':10}{'study':>9}{'its interval':>20}{'truth':>9}{'its interval':>20}  in it  redrawn")
    for one, other in zip(study, truth, strict=True):
        assert one.interval is not None
        assert other.difference is not None
        inside = "yes" if one.interval[0] <= other.difference <= one.interval[1] else "no"
        share = f"{redrawn(rows, one.arm):9.1%}" if one.task is None else ""
        values = _said(one) + _said(other)
        print(f"{one.arm:18}{one.task or 'both':10}{values}  {inside:5}{share}")


def _said(effect: Effect) -> str:
    low, high = effect.interval or (0.0, 0.0)
    return f"{effect.difference:>+9.3f}{f'{low:+.3f} to {high:+.3f}':>20}"


def show_coverage(times: int) -> None:
    """One line a law."""
    print(f"\n{'coverage':32}{'one task':>10}{'bootstrap':>11}{'two tasks':>11}{'bootstrap':>11}")
    for name, law in LAWS.items():
        shares = ""
        for strata in (1, 2):
            draw = partial(_strata, law, strata)
            shares += f"{covered(draw, 0.0, times, 1):>11.1%}{bootstrapped(law, strata, times // 4, 2):>11.1%}"
        print(f"{name:31}{shares}")


def calls(url: str) -> int:
    """That the server has counted."""
    with urlopen(f"{url}/counts") as reply:
        return int(orjson.loads(reply.read())["calls"])


async def _one_by_one(grid: Grid, folder: Path) -> None:
    for cell in grid.cells:
        async with open_run(cell.configuration, {}, folder / cell.name) as search:
            await search.search()


def show_cost(folder: Path) -> None:
    """Calls to the provider, as the server counts them."""
    with server("--proposals", "accepted") as url:
        write_task(folder)
        (folder / "task.toml").write_text(TASK.format(model=MODEL, url=url), encoding="utf-8")
        (folder / "costed.toml").write_text(COSTED.format(directory=folder / "costed"), encoding="utf-8")
        grid = load_study(folder / "costed.toml")
        run(grid)
        study = calls(url)
        anyio.run(_one_by_one, grid, folder / "alone")
        alone = calls(url) - study
    arms = len({cell.setting for cell in grid.cells})
    print(f"\ncalls that the server counted, {arms} arms with the baseline, {len(grid.cells)} searches:")
    print(f"the study {study:,}; the same searches one by one {alone:,}; the study as a share: {study / alone:.0%}")


def main(options: argparse.Namespace) -> None:
    """The three parts, in this order."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.out or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        study = tests(*planted(folder, "study", range(100, 110), options.assignments))
        grid, rows = planted(folder, "truth", range(1000, 1000 + options.truth), options.assignments)
        show_planted(study, tests(grid, rows), rows)
        show_coverage(options.simulated)
        with tempfile.TemporaryDirectory() as fresh:
            show_cost(Path(fresh))


if __name__ == "__main__":
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--assignments", type=int, default=6, help="of one search")
    made.add_argument("--truth", type=int, default=40, help="seeds that the truth is measured with")
    made.add_argument("--simulated", type=int, default=SIMULATED, help="intervals for each law")
    made.add_argument("--out", type=Path, help="where the searches are kept; a second run goes on with them")
    main(made.parse_args())
