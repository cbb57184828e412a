"""How busy a search keeps the calls that it is allowed, and what a barrier after each generation would cost it.

    python -m benchmarks.busy                     # 64 and 256 allowed, a median latency of 1 s: half an hour
    python -m benchmarks.busy --latency 0.1       # a tenth of that, on a machine with a core to spare
    python -m benchmarks.busy --allowed 1024 --sigma 0 --seconds 40

Latencies are log-normal with sigma 1, or all the same; proposals are all better than their parents, or all worse.
"work left": calls in flight, divided by those allowed, from the first assignment to the last, on the books of the
server; "all": from the first prompt's first call until the last assignment has ended. The task is small, which makes
it hard to keep all calls busy; where a candidate takes several hundred calls (--validation, --critique), a barrier
costs less.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import anyio

from agents.run.opening import open_run
from benchmarks.wire import search_configuration, server
from protocols.messages import Assignment, Envelope, Finished

RACED = 24
"""Validation examples that a candidate which is always worse is asked before its race ends, about."""


@dataclass(frozen=True, slots=True)
class Moment:
    """`call_seconds`: the sum over all calls of how long they have been in flight, as the server counts it."""

    time: float
    call_seconds: float


class Watch:
    """Looks at the server's books when the search begins, issues its first and its last assignment, and ends."""

    def __init__(self, url: str, assignments: int) -> None:
        self._url, self._assignments = url, assignments
        self.moments: dict[str, Moment] = {}

    async def mark(self, name: str) -> None:
        async with aiohttp.ClientSession() as session, session.get(f"{self._url}/counts") as response:
            counts = await response.json()
        self.moments[name] = Moment(time.perf_counter(), counts["call_seconds"])

    async def observe(self, envelope: Envelope) -> None:
        """See a message of the bus."""
        match envelope.message:
            case Assignment(assignment=1):
                await self.mark("first")
            case Assignment(assignment=self._assignments):
                await self.mark("last")
            case Finished():
                await self.mark("end")
            case _:
                pass

    def between(self, begin: str, end: str) -> tuple[float, float]:
        """Seconds, and calls in flight on average."""
        a, b = self.moments[begin], self.moments[end]
        return b.time - a.time, (b.call_seconds - a.call_seconds) / (b.time - a.time)


@dataclass(frozen=True, slots=True)
class Setting:
    """`allowed` calls in flight, at a median `latency` in seconds with a `sigma`, and the task's sizes."""

    allowed: int
    latency: float
    sigma: float
    validation: int
    critique: int

    def assignments(self, proposals: str, seconds: float) -> int:
        """About as many as take so long without a barrier."""
        calls = 1 + (self.validation + self.critique + 1 if proposals == "accepted" else RACED)
        return round(self.allowed * seconds / (self.latency * math.exp(self.sigma**2 / 2)) / calls)


async def search(url: str, setting: Setting, assignments: int, barrier: bool) -> Watch:
    """One search, watched."""
    watch = Watch(url, assignments)
    settings = {"assignments": assignments, "barrier": barrier, "critique": setting.critique}
    with tempfile.TemporaryDirectory() as name:
        configuration = search_configuration(url, setting.allowed, Path(name), settings, setting.validation)
        async with open_run(configuration, {}, Path(name) / "run") as run:
            run.bus.tap(watch.observe)
            await watch.mark("begin")
            await run.team.run(run.opening)  # without the held-out report, which is no part of it
    return watch


def compare(setting: Setting, proposals: str, assignments: int) -> None:
    """A row of the table: the search as it is, and with the barrier."""
    watches = []
    for barrier in (False, True):
        with server(
            "--latency", str(setting.latency), "--sigma", str(setting.sigma), "--proposals", proposals
        ) as url:
            work = partial(search, url, setting, assignments, barrier)
            watches.append(anyio.run(work, backend_options={"use_uvloop": sys.platform != "win32"}))
    spans = (("first", "last"), ("begin", "end"))
    shares = [watch.between(*span)[1] / setting.allowed for watch in watches for span in spans]
    seconds = [watch.between("begin", "end")[0] for watch in watches]
    figures = "".join(f"{share:>12.0%}" for share in shares) + "".join(f"{second:>10.0f}" for second in seconds)
    print(
        f"{setting.allowed:>7}  {proposals:10}{assignments:>12}{figures}{seconds[1] / seconds[0]:>9.2f} x", flush=True
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--allowed", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--latency", type=float, default=1.0, help="seconds, the median")
    parser.add_argument("--sigma", type=float, default=1.0, help="0: every call takes the same time")
    parser.add_argument("--validation", type=int, default=64, help="examples")
    parser.add_argument("--critique", type=int, default=16, help="examples")
    parser.add_argument("--seconds", type=float, default=200.0, help="that a search without a barrier takes, about")
    o = parser.parse_args()
    print(f"{'':31}{'without a barrier':>24}{'with a barrier':>24}{'seconds':>20}")
    halves = f"{'work left':>12}{'all':>12}" * 2
    print(f"{'allowed':>7}  {'proposals':10}{'assignments':>12}{halves}{'without':>10}{'with':>10}{'ratio':>11}")
    for number in o.allowed:
        for kind in ("accepted", "rejected"):
            setting = Setting(number, o.latency, o.sigma, o.validation, o.critique)
            compare(setting, kind, setting.assignments(kind, o.seconds))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
