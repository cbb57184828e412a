"""Ray against one process: the same results, limits and caps over nodes, killed nodes, and what two workers gain.

    python -m benchmarks.cluster [--part same,kills,head,client,cap,window,ratio] [--kills 10] [--seed 0]

A head and three nodes on this machine, and the wire server of the tests. Prints a table; every row says what was
asked for, what was measured, and whether it holds. The part window takes about six minutes, each other one to three.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import chdir
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

import anyio
import orjson
from anyio import to_thread
from rich.console import Console
from rich.table import Table

from agents.study.grid import Grid, load_grid
from agents.study.sweep import Row
from tests.agents.cluster.rig import (
    DECIDED,
    Nodes,
    Swept,
    answer,
    asking,
    cluster_of,
    decided,
    free_port,
    here,
    on_ray,
    write_grid,
)
from tests.wire_server import Weather, WireServer

ROOT = Path(__file__).resolve().parent.parent
NODES, CORES = 3, 2
SEEDS = "seeds = [0, 1, 2, 3, 4, 5]\nsearches = 6"
"""Twelve cells: two settings, six seeds."""
MINUTE = 300
"""Requests a minute, of the part window."""
METRIC = """
import math
import time


def heavy(example, answer):
    until = time.process_time() + 0.01
    while time.process_time() < until:
        math.factorial(200)
    return 1.0 if answer == example.target else 0.0
"""
Line = tuple[str, str, str, bool]


async def briefly() -> None:
    """The latency of the server."""
    await anyio.sleep(0.02)


def grid_in(place: Path, port: int, sweep: str = SEEDS, *settings: str) -> Grid:
    """The grid, in the working directory `place`."""
    place.mkdir()
    os.chdir(place)
    return load_grid(write_grid(Path("."), sweep), (*asking(port), *settings))


def results(directory: Path) -> dict[str, object]:
    """What each search of a sweep decided, from its file."""
    rows = map(orjson.loads, (directory / "results.jsonl").read_bytes().splitlines())
    return {row["cell"]: {key: row["result"][key] for key in DECIDED} for row in rows}


def paid(rows: Sequence[Row]) -> int:
    return sum(sum(row.result["calls"].values()) for row in rows if row.result)


def same(cluster: Nodes, folder: Path) -> list[Line]:
    """A sweep of twelve cells, in one process and on three nodes, at width 1."""
    results = []
    for name in ("one", "many"):
        (folder / name).mkdir()
        os.chdir(folder / name)
        grid = load_grid(write_grid(Path("."), SEEDS))
        rows = here(grid) if name == "one" else on_ray(cluster.address, grid).rows
        results.append([decided(row) for row in rows])
    equal = sum(a == b for a, b in zip(*results, strict=True))
    return [("same results as in one process", "12 of 12 cells", f"{equal} of {len(results[0])}", equal == 12)]


class Killer:
    """Kills a node of the cluster, and starts another, whenever the server has answered one of `at` calls."""

    def __init__(self, cluster: Nodes, at: Sequence[int], rng: Random) -> None:
        self._cluster, self._left, self._rng, self._calls = cluster, [*at], rng, count(1)
        self._wake = anyio.Event()
        self.done = 0

    def answer(self, turns: Sequence[tuple[str, str]]) -> str:
        if self._left and next(self._calls) >= self._left[0]:
            self._left.pop(0)
            self._wake.set()
        return answer(turns)

    async def kill(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            await to_thread.run_sync(self._cluster.kill, self._rng)
            self._cluster.add()
            self.done += 1


def kills(cluster: Nodes, folder: Path, number: int, seed: int) -> list[Line]:
    """The sweep undisturbed, and with nodes killed at random."""
    rng, swept, done = Random(seed), list[Swept](), 0
    for name in ("calm", "storm"):
        before = swept[-1].served if swept else None
        at = sorted(rng.sample(range(20, before.calls * 3 // 4), number)) if before else []
        port, killer = free_port(), Killer(cluster, at, rng)
        grid = grid_in(folder / name, port)
        serve = partial(WireServer, killer.answer, delay=briefly, port=port)
        swept.append(on_ray(cluster.address, grid, {}, killer.kill, serve))
        done = killer.done
    calm, storm = swept
    found = {row.cell: decided(row) for row in storm.rows if row.result}
    equal = sum(decided(row) == found.get(row.cell) for row in calm.rows)
    if equal < len(calm.rows):
        Console().print(storm.said)
    assert calm.served is not None
    assert storm.served is not None
    lost, most = paid(storm.rows) - storm.served.calls, storm.served.most_in_flight * number
    again = storm.served.calls - calm.served.calls
    return [
        (f"nodes killed, of {number}", f"{number}", f"{done}", done == number),
        ("the same results", "12 of 12 cells", f"{equal} of 12", equal == 12),
        ("calls on the books, but not at the server", f"0 to {most}", f"{lost}", 0 <= lost <= most),
        ("more calls at the server than undisturbed", f"at most {most}", f"{again}", again <= most),
    ]


async def command(
    port: int, cluster: Nodes, fatal: int | None = None, address: str = ""
) -> tuple[CompletedProcess[bytes], int]:
    """The command of the sweep, as a process in the working directory, and how many calls its server has counted. The
    head of the cluster is killed at the call `fatal`. `address`: "" for that of a node."""
    wake, number = anyio.Event(), count(1)

    def counted(turns: Sequence[tuple[str, str]]) -> str:
        if next(number) == fatal:
            wake.set()
        return answer(turns)

    async def kill() -> None:
        await wake.wait()
        await to_thread.run_sync(cluster.kill_head)

    line = [sys.executable, os.fspath(ROOT / "run.py"), "sweep", "grid.toml", "--engine", "ray"]
    line += [
        "--address",
        address or cluster.address,
        *(part for setting in asking(port) for part in ("--set", setting)),
    ]
    async with WireServer(counted, delay=briefly, port=port) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(kill)
        done = await anyio.run_process(line, check=False, env={**os.environ, "OPENAI_API_KEY": "none"})
        tasks.cancel_scope.cancel()
    return done, server.stats.calls


def head(cluster: Nodes, folder: Path, seed: int) -> list[Line]:
    """The sweep undisturbed; and with the head of a cluster of its own killed while it works, then given again."""
    port, other = free_port(), free_port()
    grid = grid_in(folder / "undisturbed", port)
    done, calls = anyio.run(command, port, cluster)
    undisturbed = results(grid.directory)
    grid_in(folder / "headless", other)
    with cluster_of(2, CORES) as short:
        cut, before = anyio.run(command, other, short, Random(seed).randrange(calls // 10, calls // 2))
    again, after = anyio.run(command, other, cluster)
    equal = sum(undisturbed.get(cell) == found for cell, found in results(grid.directory).items())
    exits = [ended.returncode for ended in (done, cut, again)]
    last = cut.stderr.decode().strip().rpartition("\n")[2]
    more, most = before + after - calls, 4 * grid.searches
    return [
        ("exit codes: undisturbed, cut, given again", "0, 1, 0", ", ".join(map(str, exits)), exits == [0, 1, 0]),
        ("the last line of the one that was cut", "one of ours", last, b"Traceback" not in cut.stderr),
        ("the same results", "12 of 12 cells", f"{equal} of 12", equal == 12),
        ("more calls at the server than undisturbed", f"at most {most}", f"{more}", more <= most),
    ]


def client(cluster: Nodes, folder: Path) -> list[Line]:
    """The sweep as a command on a node of the cluster; and as one that reaches it from outside, through `ray://`."""
    found, said = list[dict[str, object]](), b""
    for name, address in (("node", ""), ("outside", cluster.outside)):
        port = free_port()
        grid = grid_in(folder / name, port)
        done, _ = anyio.run(command, port, cluster, None, address)
        found.append(results(grid.directory))
        said = done.stderr
    equal = sum(found[0].get(cell) == each for cell, each in found[1].items())
    strange = [line for line in said.decode().splitlines() if "Traceback" in line or "Error" in line]
    return [
        ("the same results through ray://", "12 of 12 cells", f"{equal} of 12", equal == 12),
        ("lines of errors that are not ours", "0", f"{len(strange)}", not strange),
    ]


def cap(cluster: Nodes, folder: Path, most: int = 400) -> list[Line]:
    """A cap on the calls of the whole sweep."""
    port = free_port()
    grid = grid_in(folder / "cap", port, f"{SEEDS}\nbudget = {{ calls = {most} }}")
    swept = on_ray(cluster.address, grid, serve=lambda: WireServer(answer, delay=briefly, port=port))
    assert swept.served is not None
    calls = swept.served.calls
    return [("calls of a sweep with a cap", f"at most {most}", f"{calls}", calls <= most)]


def window(cluster: Nodes, folder: Path) -> list[Line]:
    """A limit of requests a minute, kept by all nodes together.

    A minute begins with any call. The median minute leaves out the start and the end, when not all nodes have work.
    """
    port, times = free_port(), list[float]()

    def timed(turns: Sequence[tuple[str, str]]) -> str:
        times.append(time.monotonic())
        return answer(turns)

    settings = (f"providers.openai.requests_per_minute={MINUTE}", "search.assignments=60")
    grid = grid_in(folder / "window", port, SEEDS.replace("searches = 6", "searches = 4"), *settings)
    weather = Weather(requests=MINUTE)
    swept = on_ray(cluster.address, grid, serve=lambda: WireServer(timed, weather=weather, port=port))
    assert swept.served is not None
    minutes = [
        bisect_right(times, begun + 60) - index for index, begun in enumerate(times) if begun + 60 <= times[-1]
    ]
    fullest, usual, least = max(minutes), median(minutes), 0.9 * MINUTE
    return [
        ("calls refused for the rate limit", "0", f"{swept.served.refused}", swept.served.refused == 0),
        ("calls of the fullest minute", f"at most {MINUTE}", f"{fullest}", fullest <= MINUTE),
        ("calls of the median minute", f"at least {least:g}", f"{usual:g}", usual >= least),
    ]


def ratio(cluster: Nodes, folder: Path) -> list[Line]:
    """A metric that takes 10 ms of CPU for each answer: one process, and two workers."""
    place = folder / "ratio"
    place.mkdir()
    os.chdir(place)
    Path("heavy.py").write_text(METRIC, encoding="utf-8")
    sys.path.append(os.fspath(place))
    path = write_grid(Path("."), "seeds = [0, 1, 2, 3]\nsearches = 2")
    seconds = []
    for name in ("one", "two"):
        grid = load_grid(path, ("task.metric=heavy:heavy", "search.assignments=30", f"task.name={name}"))
        grid = Grid(Path(name), 2, grid.cells)
        begun = time.monotonic()
        here(grid) if name == "one" else on_ray(cluster.address, grid)
        seconds.append(time.monotonic() - begun)
    gain = seconds[0] / seconds[1]
    shown = f"{seconds[0]:.1f} s / {seconds[1]:.1f} s = {gain:.2f}"
    return [("one process / Ray with two workers, CPU-bound metric", "(2 at most)", shown, True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="same,kills,head,client,cap,window,ratio")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    parts: dict[str, Callable[[Nodes, Path], list[Line]]] = {
        "same": same,
        "kills": lambda cluster, folder: kills(cluster, folder, asked.kills, asked.seed),
        "head": lambda cluster, folder: head(cluster, folder, asked.seed),
        "client": client,
        "cap": cap,
        "window": window,
        "ratio": ratio,
    }
    table, root = Table("what", "wanted", "measured", "holds"), Path.cwd()
    with TemporaryDirectory(prefix="pf-") as name, chdir(root), cluster_of(NODES, CORES, free_port()) as cluster:
        for part in asked.part.split(","):
            for what, wanted, measured, holds in parts[part](cluster, Path(name)):
                table.add_row(what, wanted, measured, "yes" if holds else "NO")
                Console().print(f"{part}: {what}: {measured}")
            os.chdir(root)
    Console().print(table)


if __name__ == "__main__":
    main()
