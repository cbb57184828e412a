"""What recall costs: `python -m benchmarks.recall`.

Prompt edits made from the words of examples/tickets (edits.py) are embedded and remembered; other edits' situations
are asked for, k = 8, one thread, one at a time. Printed for each size: seconds to embed and store, and seconds of the
first recall, which reads the file and builds the index (in a thread); then p50 and p99 in milliseconds of a search of
the index, of a search among one kind of section, and of the whole of Memory.recall; recall@8 against comparing all
(a neighbour as similar as the eighth counts); and, while the recalls ran, the longest gaps between two turns of a
task that only yields, which is how long the event loop was held, beside those of an idle loop on this machine. The
process is set up as the command line's is.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import anyio
import anyio.lowlevel
import numpy as np
import numpy.typing as npt
from anyio import to_thread

from agents.commands.console import drive
from benchmarks.edits import Edits
from memory.experience import EVERYWHERE, Where, situation
from memory.index import Index
from memory.store import open_memory
from protocols.embedding import HashedNgrams, Vector

K, BATCH, IDLE_SECONDS = 8, 10_000, 2.0
Times = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spans:
    """Seconds by the clock, and of the CPU time of the thread, in which what else is running has no part."""

    wall: Times
    cpu: Times


@dataclass(frozen=True, slots=True)
class Row:
    """One size. Times in seconds."""

    size: int
    stored: float
    built: float
    search: Spans
    filtered: Spans
    recall: Times
    found: float
    idle: Spans
    gaps: Spans


async def gaps(body: Callable[[], Awaitable[object]]) -> Spans:
    """Seconds between the turns of a task that only yields, while `body` runs: by the clock, and of the thread's CPU
    time, which leaves out what other processes and threads took."""
    turns = array("d")  # no objects for the garbage collector

    async def beat() -> None:
        while True:
            turns.append(time.perf_counter())
            turns.append(time.thread_time())
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        await body()
        tasks.cancel_scope.cancel()
    wall, cpu = np.diff(np.array(turns).reshape(-1, 2), axis=0).T
    return Spans(wall, cpu)


async def timed(calls: list[Callable[[], Awaitable[object]]]) -> Times:
    """Seconds of each call, one after the other."""
    seconds = []
    for call in calls:
        began = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - began)
    return np.array(seconds)


def searched(index: Index, vectors: Vector, where: Where) -> tuple[Spans, list[list[float]]]:
    """How long each search took, and the similarities that it found."""
    seconds, found = [], []
    for vector in vectors:
        began, cpu = time.perf_counter(), time.thread_time()
        nearest = index.search(vector, K, where)
        seconds.append((time.perf_counter() - began, time.thread_time() - cpu))
        found.append([value for _, value in nearest])
    return Spans(*np.array(seconds).T), found


def eighth(path: Path, vectors: Vector) -> Vector:
    """Shape (len(vectors),): the similarity of the eighth nearest to each, by comparing all that the file holds."""
    best: Vector = np.full((len(vectors), K), -np.inf, np.float32)
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT vector FROM experience")
        while part := rows.fetchmany(BATCH):
            block = np.frombuffer(b"".join(row[0] for row in part), np.float32).reshape(len(part), -1)
            best = np.partition(np.concatenate([best, vectors @ block.T], axis=1), -K, axis=1)[:, -K:]
    least: Vector = best.min(axis=1)
    return least


async def one(size: int, queries: int, path: Path) -> Row:
    """Fill a memory, then ask."""
    edits, texts = Edits(1).many(size), [situation(e.kind, e.gradient, e.before) for e in Edits(2).many(queries)]
    async with open_memory(path, HashedNgrams()) as memory:
        began = time.perf_counter()
        while part := list(islice(edits, BATCH)):
            await memory.remember_all(part)
        stored = time.perf_counter() - began
        began = time.perf_counter()
        await memory.recall("x", K)
        built = time.perf_counter() - began
        idle = await gaps(partial(anyio.sleep, IDLE_SECONDS))
        vectors = await HashedNgrams().embed(texts)
        least = await to_thread.run_sync(eighth, path, vectors)
        search, found = await to_thread.run_sync(searched, memory._file._index, vectors, EVERYWHERE)
        kind = Where(kinds=frozenset({"definitions"}))
        filtered, _ = await to_thread.run_sync(searched, memory._file._index, vectors, kind)
        recall = await timed([partial(memory.recall, text, K) for text in texts])
        held = await gaps(partial(timed, [partial(memory.recall, text, K) for text in texts]))
    share = np.mean([np.mean(np.array(values) >= low - 1e-4) for values, low in zip(found, least, strict=True)])
    return Row(size, stored, built, search, filtered, recall, float(share), idle, held)


def show(row: Row) -> None:
    """One size."""
    print(f"\n{row.size:,} experiences: stored in {row.stored:,.1f} s, first recall {row.built:,.1f} s")
    whole = Spans(row.recall, np.zeros(0))
    for name, spans in (("index", row.search), ("index, one kind", row.filtered), ("Memory.recall", whole)):
        print(f"  {name:16} ms: {percentiles(spans, 50, 99)}")
    print(f"  recall@{K} {row.found:.3f}")
    for name, spans in (("idle loop", row.idle), ("while recalling", row.gaps)):
        print(f"  {name:16} gaps, ms: {percentiles(spans, 99.9, 100)}", flush=True)


def percentiles(spans: Spans, *wanted: float) -> str:
    """By the clock and in CPU time, in milliseconds."""
    parts = []
    for unit, times in (("clock", spans.wall), ("CPU", spans.cpu)):
        if len(times):
            figures = (f"p{share:g} {np.percentile(times, share) * 1e3:.2f}" for share in wanted)
            parts.append(f"{unit} {', '.join(figures)}")
    return "; ".join(parts)


async def main(sizes: list[int], queries: int) -> None:
    """Every size in a memory of its own."""
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            show(await one(size, queries, Path(folder) / "memory.sqlite"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=1000)
    arguments = parser.parse_args()
    drive(partial(main, arguments.sizes, arguments.queries))
