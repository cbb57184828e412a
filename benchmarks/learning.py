"""Does the selector learn? `python -m benchmarks.learning --out FOLDER`.

Searches every task with every selector, on the embedded model, and follows the best validation value against the
task model's calls. Printed for each selector: the calls that its mean curve over the seeds takes to reach the final
value of uniform's mean curve, as a share of uniform's calls, for each task and as the median over them. The test
splits are not read. Writes `learning.jsonl` (one line for each run, its curve in it) and `learning.png`.

Tasks are folders that hold `train.jsonl`, `validation.jsonl` and `test.jsonl` of a classification task.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import anyio
import numpy as np
import numpy.typing as npt
import orjson

from agents.runs.catalogue import OPERATORS
from agents.runs.configuration import Configuration, build
from agents.runs.search import open_run
from agents.views.progress import Progress
from protocols.messages import Envelope

TICKETS = Path(__file__).resolve().parent.parent / "examples" / "tickets"
SELECTORS = ("uniform", "round_robin", "epsilon_greedy", "ucb", "thompson", "msgd", "msgd_rl")
POINTS = 200


@dataclass(frozen=True, slots=True)
class Arm:
    """One search: which task, selector and seed, with or without memory, and which operators."""

    task: str
    selector: str
    seed: int
    memory: bool
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """How it went: task-model calls at which the best validation value rose, and to what."""

    arm: Arm
    calls: tuple[int, ...]
    values: tuple[float, ...]


async def search(arm: Arm, calls: int) -> Trace:
    """One search on a budget of `calls`; the test split is not read."""
    progress, at, values = Progress(), [], []
    with tempfile.TemporaryDirectory() as folder:
        async with open_run(configuration(arm, calls), {}, Path(folder) / "run") as run:
            account = run.ledger.account("task", "embedded")

            async def follow(envelope: Envelope) -> None:
                ending = progress.follow(envelope)
                if ending is not None and ending.best and ending.value is not None:
                    at.append(account.calls)
                    values.append(ending.value)

            run.bus.tap(follow)
            await run.team.run(run.first)
    return Trace(arm, tuple(at), tuple(values))


def configuration(arm: Arm, calls: int) -> Configuration:
    """All settings that are not the arm's are the defaults."""
    splits = ("train", "validation", "test")
    table = {
        "task": {"name": Path(arm.task).name, **{split: f"{split}.jsonl" for split in splits}},
        "search": {"seed": arm.seed, "selector": arm.selector, "assignments": 100_000, "operators": arm.operators},
        "memory": {"read": arm.memory, "write": arm.memory},
        "budget": {"calls": calls},
    }
    return build(table, Path(arm.task))


def searched(arm: Arm, calls: int) -> Trace:
    """One search in a process of its own."""
    return anyio.run(search, arm, calls, backend_options={"use_uvloop": sys.platform != "win32"})


def curve(traces: Sequence[Trace], grid: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The best validation value at each point of `grid`, mean over traces, shape (points,)."""
    rows = []
    for trace in traces:
        places = np.searchsorted(trace.calls, grid, side="right") - 1
        rows.append(np.array(trace.values)[np.maximum(places, 0)])
    return np.asarray(np.mean(rows, axis=0))


def reach(rising: npt.NDArray[np.float64], value: float, grid: npt.NDArray[np.float64]) -> float:
    """The calls at which a curve first reaches `value`; infinite if it does not."""
    reached = np.flatnonzero(rising >= value - 1e-9)
    return float(grid[reached[0]]) if len(reached) else float("inf")


def show(traces: Sequence[Trace], grid: npt.NDArray[np.float64]) -> None:
    """The table: for each arm, its final value by task and its calls to reach uniform's final value."""
    tasks = list(dict.fromkeys(trace.arm.task for trace in traces))
    arms = list(dict.fromkeys((trace.arm.selector, trace.arm.memory) for trace in traces))
    curves = {
        (task, *arm): curve([t for t in traces if (t.arm.task, t.arm.selector, t.arm.memory) == (task, *arm)], grid)
        for task in tasks
        for arm in arms
    }
    print(f"{'selector':16}{'memory':8}" + "".join(f"{Path(task).name:>22}" for task in tasks) + f"{'median':>9}")
    for selector, memory in arms:
        shares, cells = [], []
        for task in tasks:
            baseline = curves[task, "uniform", memory]
            mine = curves[task, selector, memory]
            shares.append(reach(mine, float(baseline[-1]), grid) / reach(baseline, float(baseline[-1]), grid))
            cells.append(
                f"{mine[-1]:.3f}, {shares[-1]:.0%} of calls" if np.isfinite(shares[-1]) else f"{mine[-1]:.3f}, -"
            )
        middle = median(shares)
        print(
            f"{selector:16}{'on' if memory else 'off':8}"
            + "".join(f"{cell:>22}" for cell in cells)
            + (f"{middle:>9.0%}" if np.isfinite(middle) else f"{'-':>9}")
        )


def draw(traces: Sequence[Trace], grid: npt.NDArray[np.float64], path: Path) -> None:
    """One panel a task, one line an arm."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tasks = list(dict.fromkeys(trace.arm.task for trace in traces))
    figure, panels = pyplot.subplots(1, len(tasks), figsize=(4 * len(tasks), 3.5), squeeze=False)
    for panel, task in zip(panels[0], tasks, strict=True):
        for arm in dict.fromkeys((t.arm.selector, t.arm.memory) for t in traces):
            mine = [t for t in traces if t.arm.task == task and (t.arm.selector, t.arm.memory) == arm]
            panel.plot(grid, curve(mine, grid), label=f"{arm[0]}, memory {'on' if arm[1] else 'off'}")
        panel.set_title(Path(task).name)
        panel.set_xlabel("task-model calls")
    panels[0][0].set_ylabel("best validation value, mean over seeds")
    panels[0][-1].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main(options: argparse.Namespace) -> None:
    """Run the arms, seeds outermost, so that what is there at any time is balanced."""
    tasks = [str(folder.resolve()) for folder in options.tasks or [TICKETS]]
    memories = {"on": [True], "off": [False], "both": [True, False]}[options.memory]
    arms = [
        Arm(task, selector, seed, memory, tuple(options.operators))
        for seed in range(options.seeds)
        for task in tasks
        for selector in options.selectors
        for memory in memories
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    traces = []
    with ProcessPoolExecutor(options.processes) as pool, (options.out / "learning.jsonl").open("wb") as file:
        for trace in pool.map(partial(searched, calls=options.calls), arms):
            traces.append(trace)
            file.write(orjson.dumps(asdict(trace)) + b"\n")
            file.flush()
    grid = np.linspace(0, options.calls, POINTS)
    show(traces, grid)
    draw(traces, grid, options.out / "learning.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", type=Path, help="folders of tasks; examples/tickets without one")
    parser.add_argument("--selectors", nargs="+", default=list(SELECTORS))
    parser.add_argument("--operators", nargs="+", default=list(OPERATORS), help="all ten without it")
    parser.add_argument("--memory", choices=["on", "off", "both"], default="on")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    main(parser.parse_args())
