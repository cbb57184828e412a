"""Is experience worth recycling? `python -m benchmarks.recycling --data FOLDER --out FOLDER`.

For each pair (A, B): msgd_rl searches A for `--first-calls` and keeps its memory; then it searches B with no memory
of before, with A's, and with A's poisoned: all rewards turned round, what survived called lost and what was lost
survived. Uniform searches B, too. The value to reach is uniform's final one on B, of its mean curve over the seeds,
or that of the search with no memory of before if it is lower.

Printed: the task-model calls to reach it, of the search with no memory as a share of uniform's, and of those with A's
memory as shares of the former; in brackets the quartiles of a bootstrap over the seeds; and the medians over the
pairs. Where two curves cross hangs on a few searches, so beside it stands their distance: how far the best validation
value is ahead of the search with no memory, on average over all calls, in what that one gains by its end, with the
standard error over the seeds. The test splits are not read. Writes `recycling.jsonl` (one line for each run, its
curve in it) and `recycling.png`.

Related are pairs in which the words of a short text tell one of several topics or intents: what makes the labels of
one known (worked examples, words of each label) should in the other. Unrelated: `subj` asks how a sentence is meant,
not what it speaks of, and has two labels.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import anyio
import numpy as np
import numpy.typing as npt
import orjson

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
from memory.experience import Ending, Experience
from memory.store import open_memory
from protocols.embedding import HashedNgrams

RELATED = (("banking77", "tickets"), ("snips", "tickets"), ("tickets", "snips"), ("snips", "thucnews"))
UNRELATED = (("subj", "snips"), ("subj", "thucnews"))
TURNED: Mapping[Ending, Ending] = {"survived": "lost", "lost": "survived"}
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Recycled:
    """A search of the second task, with what the first one's left: "uniform" and "empty" had nothing of it."""

    first: str
    second: str
    memory: str
    trace: Trace


def measured(seed: int, data: Path, calls: int, first_calls: int, width: int) -> list[Recycled]:
    """All searches of one seed; those of a task without a memory are made once, and are as far as `calls` what they
    would be if they ended there."""
    plain: dict[str, tuple[Trace, Trace]] = {}
    found: list[Recycled] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in dict.fromkeys(name for pair in (*RELATED, *UNRELATED) for name in pair):
            arm = Arm(str(place(name, data)), "uniform", seed, calls, width)
            first = replace(arm, selector="msgd_rl", calls=first_calls, file=f"{folder}/{name}.sqlite")
            plain[name] = searched(arm), searched(first)
            anyio.run(poison, Path(folder, f"{name}.sqlite"), Path(folder, f"{name}-poisoned.sqlite"))
        for first_task, second in (*RELATED, *UNRELATED):
            found += [
                Recycled(first_task, second, memory, trace)
                for memory, trace in zip(("uniform", "empty"), plain[second], strict=True)
            ]
            for memory, suffix in (("kept", ""), ("poisoned", "-poisoned")):
                copy = shutil.copy(f"{folder}/{first_task}{suffix}.sqlite", f"{folder}/{first_task}-{second}{suffix}")
                trace = searched(Arm(str(place(second, data)), "msgd_rl", seed, calls, width, file=copy))
                found.append(Recycled(first_task, second, memory, trace))
    return found


def place(name: str, data: Path) -> Path:
    """The folder of a task."""
    return TICKETS if name == TICKETS.name else (data / name).resolve()


async def poison(source: Path, target: Path) -> None:
    """A memory with all rewards turned round, and what they say of the ending."""
    async with open_memory(source, HashedNgrams()) as memory:
        kept = [Experience(*row) for row in await memory.contents()]
    turned = [replace(e, reward=-e.reward, outcome=TURNED.get(e.outcome, e.outcome)) for e in kept]
    async with open_memory(target, HashedNgrams()) as memory:
        await memory.remember_all(turned)


Curves = Mapping[str, Array]


def needed(pair: Curves, memory: str, than: str, seeds: npt.NDArray[np.int64], points: Array) -> float:
    """The calls to reach the value that all reach who must, as a share of another's."""
    value = min(float(pair[name][seeds, -1].mean()) for name in ("uniform", "empty"))
    return ratio(pair[memory][seeds], pair[than][seeds], value, points)


def share(pairs: Sequence[Curves], memory: str, than: str, points: Array) -> Share:
    """The median over pairs."""

    def measure(seeds: npt.NDArray[np.int64]) -> float:
        return median(needed(pair, memory, than, seeds, points) for pair in pairs)

    return bootstrapped(measure, len(pairs[0]["uniform"]))


def lead(pairs: Sequence[Curves], memory: str) -> str:
    """How far ahead of the search with no memory, the mean over pairs and its standard error."""
    ahead = np.mean([_lead(pair[memory], pair["empty"]) for pair in pairs], axis=0)
    return f"{ahead.mean():+.2f} ({ahead.std() / max(1, len(ahead) - 1) ** 0.5:.2f})"


def _lead(mine: Array, empty: Array) -> Array:
    gained = empty[:, -1].mean() - empty[:, 0].mean()
    return np.asarray((mine.mean(axis=1) - empty.mean(axis=1)) / gained)


def show(found: Mapping[Pair, Curves], points: Array) -> None:
    """The table."""
    columns = (("empty", "uniform"), ("kept", "empty"), ("poisoned", "empty"))
    print(
        f"{'':20}"
        + "".join(f"{f'{mine}, of {than}':>24}" for mine, than in columns)
        + f"{'ahead: kept':>16}{'poisoned':>16}"
    )
    for title, pairs in (("related", RELATED), ("unrelated", UNRELATED)):
        rows = [(f"{first} to {second}", [found[first, second]]) for first, second in pairs]
        for name, chosen in (*rows, (f"{title}, all", [found[pair] for pair in pairs])):
            shares = "".join(f"{share(chosen, *column, points)!s:>24}" for column in columns)
            print(f"{name:20}{shares}" + "".join(f"{lead(chosen, memory):>16}" for memory in ("kept", "poisoned")))


def collected(runs: Sequence[Recycled], points: Array) -> Iterator[tuple[Pair, Curves]]:
    """For each pair its curves by memory, shape (seeds, points)."""
    for pair in (*RELATED, *UNRELATED):
        mine = [run for run in runs if (run.first, run.second) == pair]
        names = dict.fromkeys(run.memory for run in mine)
        yield pair, {name: curves([run.trace for run in mine if run.memory == name], points) for name in names}


def main(options: argparse.Namespace) -> None:
    """Seed by seed, so that what is there at any time is balanced."""
    options.out.mkdir(parents=True, exist_ok=True)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    runs: list[Recycled] = []
    with ProcessPoolExecutor(options.processes) as pool, (options.out / "recycling.jsonl").open("wb") as file:
        limits = {"calls": options.calls, "first_calls": options.first_calls, "width": options.width}
        for found in pool.map(partial(measured, data=options.data, **limits), seeds):
            runs += found
            file.writelines(orjson.dumps(asdict(run)) + b"\n" for run in found)
            file.flush()
    points = grid(options.calls)
    by_pair = dict(collected(runs, points))
    show(by_pair, points)
    titles = [f"{first} to {second}" for first, second in by_pair]
    panels(titles, list(by_pair.values()), points, options.out / "recycling.png")


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--data", type=Path, required=True, help="the folder of the tasks but tickets")
    options.add_argument(
        "--first-calls", type=int, default=20_000, help="the budget of a search whose memory is kept"
    )
    main(options.parse_args())
