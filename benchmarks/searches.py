"""Searches on the embedded model, followed by their task-model calls, and what is read from their curves."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import numpy as np
import numpy.typing as npt

from agents.config.catalogue import OPERATORS
from agents.config.configuration import Configuration, build
from agents.history.progress import Progress
from agents.run.opening import open_run
from protocols.messages import Envelope

Array = npt.NDArray[np.float64]

TICKETS = Path(__file__).resolve().parent.parent / "examples" / "tickets"
POINTS = 400
RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Arm:
    """One search: the folder of its task, with `train.jsonl`, `validation.jsonl` and `test.jsonl`; `memory`: whether
    experiences are recalled and kept, in the run directory, or in `file`, which outlives it. `calls` of all models
    are its budget, `width` its assignments in flight."""

    task: str
    selector: str
    seed: int
    calls: int
    width: int
    memory: bool = True
    file: str | None = None
    operators: tuple[str, ...] = tuple(OPERATORS)


@dataclass(frozen=True, slots=True)
class Trace:
    """How it went: task-model calls at which the best validation value rose, and to what."""

    arm: Arm
    calls: tuple[int, ...]
    values: tuple[float, ...]


def searched(arm: Arm) -> Trace:
    """One search; the test split is not read."""
    return anyio.run(_search, arm, backend_options={"use_uvloop": sys.platform != "win32"})


async def _search(arm: Arm) -> Trace:
    progress, at, values = Progress(), list[int](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        async with open_run(configuration(arm), {}, Path(folder) / "run") as run:
            accounts = [run.ledger.account(role, "embedded") for role in ("task", "credit")]

            async def follow(envelope: Envelope) -> None:
                ending = progress.follow(envelope)
                if ending is not None and ending.best and ending.value is not None:
                    at.append(sum(account.calls for account in accounts))
                    values.append(ending.value)

            run.bus.tap(follow)
            await run.train()
    return Trace(arm, tuple(at), tuple(values))


def configuration(arm: Arm) -> Configuration:
    """All settings that are not the arm's are the defaults."""
    splits = ("train", "validation", "test")
    search = {
        "seed": arm.seed,
        "selector": arm.selector,
        "operators": arm.operators,
        "assignments": 100_000,
        "width": arm.width,
    }
    table = {
        "task": {"name": Path(arm.task).name, **{split: f"{split}.jsonl" for split in splits}},
        "models": {"default": "embedded"},
        "search": search,
        "memory": {"read": arm.memory, "write": arm.memory, "path": arm.file},
        "budget": {"calls": arm.calls},
    }
    return build(table, Path(arm.task))


def grid(calls: int) -> Array:
    """Where curves are read, in calls, shape (POINTS,)."""
    return np.linspace(0, calls, POINTS)


def curves(traces: Sequence[Trace], points: Array) -> Array:
    """The best validation value of each trace at each point, shape (traces, points)."""
    places = [np.searchsorted(trace.calls, points, side="right") - 1 for trace in traces]
    return np.stack([np.array(t.values)[np.maximum(at, 0)] for t, at in zip(traces, places, strict=True)])


def reach(rising: Array, value: float, points: Array) -> float:
    """The calls at which a curve first reaches `value`; infinite if it does not."""
    reached = np.flatnonzero(rising >= value - 1e-9)
    return float(points[reached[0]]) if len(reached) else float("inf")


@dataclass(frozen=True, slots=True)
class Share:
    """Calls as a share of others' calls, and the quartiles of its bootstrap over the seeds; infinite where the value
    is not reached."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        value, low, high = (f"{each:.0%}" if np.isfinite(each) else "-" for each in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})"


Measure = Callable[[npt.NDArray[np.int64]], float]


def bootstrapped(measure: Measure, seeds: int) -> Share:
    """A measure of all seeds, with its quartiles over RESAMPLES samples of them, the same for every measure."""
    rng = np.random.default_rng(0)
    drawn = [measure(rng.integers(seeds, size=seeds)) for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, [0.25, 0.75], method="nearest")
    return Share(measure(np.arange(seeds)), float(low), float(high))


def ratio(mine: Array, others: Array, value: float, points: Array) -> float:
    """The calls that the mean of some curves takes to reach `value`, over those of others, who reach it; infinite
    where it does not, 1 where the first prompt has that value. Shapes (seeds, points)."""
    taken, needed = reach(mine.mean(axis=0), value, points), reach(others.mean(axis=0), value, points)
    return taken / needed if needed else 1.0


def panels(titles: Sequence[str], lines: Sequence[Mapping[str, Array]], points: Array, path: Path) -> None:
    """A figure: one panel a title, in it a line with its standard error for each named array of curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(titles), 3.5), layout="constrained")
    for axes, title, named in zip(figure.subplots(1, len(titles), squeeze=False)[0], titles, lines, strict=True):
        for name, values in named.items():
            mean, error = values.mean(axis=0), values.std(axis=0) / max(1, len(values) - 1) ** 0.5
            [line] = axes.plot(points, mean, label=name, linewidth=1.2)
            axes.fill_between(points, mean - error, mean + error, color=line.get_color(), alpha=0.15)
        axes.set(title=title, xlabel="task-model calls")
    figure.axes[0].set_ylabel("best validation value, mean over seeds")
    figure.axes[-1].legend(fontsize="small")
    figure.savefig(path, dpi=120)


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks of searches have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seeds", type=int, default=10)
    made.add_argument("--first-seed", type=int, default=0)
    made.add_argument("--calls", type=int, default=8_000, help="the budget of one search, of all models")
    made.add_argument("--width", type=int, default=8, help="assignments in flight")
    made.add_argument("--processes", type=int, default=1)
    made.add_argument("--out", type=Path, required=True, help="the folder of the results")
    return made
