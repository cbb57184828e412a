"""Does the selector learn? `python -m benchmarks.learning --out FOLDER`.

Searches every task with every selector, on the embedded model, and follows the best validation value against the
task model's calls. Printed for each selector: the final value of its mean curve over the seeds, and the calls that
this curve takes to reach the final value of uniform's, as a share of uniform's calls, for each task and as the median
over them; in brackets the quartiles of a bootstrap over the seeds. The test splits are not read. Writes
`learning.jsonl` (one line for each run, its curve in it) and `learning.png`.

Tasks are folders that hold `train.jsonl`, `validation.jsonl` and `test.jsonl` of a classification task.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import orjson

from agents.config.catalogue import OPERATORS, SELECTORS
from benchmarks.searches import (
    TICKETS,
    Arm,
    Array,
    Share,
    Trace,
    bootstrapped,
    curves,
    grid,
    panels,
    parser,
    ratio,
    searched,
)

Row = tuple[str, bool]
"""A selector, with or without memory."""


def by_row(traces: Sequence[Trace], points: Array) -> dict[Row, dict[str, Array]]:
    """For each selector, with and without memory, and each task its curves, shape (seeds, points)."""
    rows: dict[Row, dict[str, Array]] = {}
    for trace in traces:
        arm = trace.arm
        rows.setdefault((arm.selector, arm.memory), {})[arm.task] = np.empty(0)
    for (selector, memory), tasks in rows.items():
        for task in tasks:
            mine = [t for t in traces if (t.arm.task, t.arm.selector, t.arm.memory) == (task, selector, memory)]
            tasks[task] = curves(mine, points)
    return rows


def share(mine: Mapping[str, Array], uniform: Mapping[str, Array], tasks: Sequence[str], points: Array) -> Share:
    """The calls to reach uniform's final value over uniform's own, the median over `tasks`."""

    def measure(seeds: npt.NDArray[np.int64]) -> float:
        others = [uniform[task][seeds] for task in tasks]
        return median(
            ratio(mine[task][seeds], other, float(other[:, -1].mean()), points)
            for task, other in zip(tasks, others, strict=True)
        )

    return bootstrapped(measure, len(uniform[tasks[0]]))


def show(rows: Mapping[Row, Mapping[str, Array]], points: Array) -> None:
    """The table."""
    tasks = list(next(iter(rows.values())))
    print(f"{'selector':16}{'memory':8}" + "".join(f"{Path(task).name:>28}" for task in tasks) + f"{'median':>24}")
    for (selector, memory), mine in rows.items():
        uniform = rows["uniform", memory]
        cells = [f"{mine[task][:, -1].mean():.3f}, {share(mine, uniform, [task], points)}" for task in tasks]
        line = "".join(f"{cell:>28}" for cell in [*cells])
        print(f"{selector:16}{'on' if memory else 'off':8}{line}{share(mine, uniform, tasks, points)!s:>24}")


def main(options: argparse.Namespace) -> None:
    """Run the arms, seeds outermost, so that what is there at any time is balanced."""
    tasks = [str(folder.resolve()) for folder in options.tasks or [TICKETS]]
    memories = {"on": [True], "off": [False], "both": [True, False]}[options.memory]
    arms = [
        Arm(task, selector, seed, options.calls, options.width, memory, operators=tuple(options.operators))
        for seed in range(options.first_seed, options.first_seed + options.seeds)
        for task in tasks
        for selector in dict.fromkeys(["uniform", *options.selectors])
        for memory in memories
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    traces = []
    with ProcessPoolExecutor(options.processes) as pool, (options.out / "learning.jsonl").open("wb") as file:
        for trace in pool.map(searched, arms):
            traces.append(trace)
            file.write(orjson.dumps(asdict(trace)) + b"\n")
            file.flush()
    points = grid(options.calls)
    rows = by_row(traces, points)
    show(rows, points)
    named = [
        {f"{name}, memory {'on' if memory else 'off'}": mine[task] for (name, memory), mine in rows.items()}
        for task in tasks
    ]
    panels([Path(task).name for task in tasks], named, points, options.out / "learning.png")


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("tasks", nargs="*", type=Path, help="folders of tasks; examples/tickets without one")
    options.add_argument("--selectors", nargs="+", default=list(SELECTORS))
    options.add_argument("--operators", nargs="+", default=list(OPERATORS), help="all ten without it")
    options.add_argument("--memory", choices=["on", "off", "both"], default="on")
    main(options.parse_args())
