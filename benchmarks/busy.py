"""How busy a search keeps the calls that it is allowed, and what a barrier after each generation would cost it.

    python -m benchmarks.busy                     # 64 and 256 allowed, a median latency of 1 s: half an hour
    python -m benchmarks.busy --latency 0.1       # a tenth of that, on a machine with a core to spare

Latencies are log-normal with sigma 1; proposals are all better than their parents, or all worse. "work left": calls in
flight, divided by those allowed, from the first assignment to the last, on the books of the server; "all": from the
first prompt's first call until the last assignment has ended.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import anyio

from agents.runs.search import open_run
from benchmarks.wire import search_configuration, server
from protocols.messages import Assignment, Envelope, Finished

MEAN = math.exp(0.5)
"""Of a log-normal distribution with median 1 and sigma 1."""
CALLS = {"accepted": 250, "rejected": 33}
"""What one assignment takes, about."""


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


async def search(url: str, allowed: int, assignments: int, barrier: bool) -> Watch:
    """One search, watched."""
    watch = Watch(url, assignments)
    settings = {"assignments": assignments, "barrier": barrier}
    with tempfile.TemporaryDirectory() as name:
        configuration = search_configuration(url, allowed, Path(name), settings)
        async with open_run(configuration, {}, Path(name) / "run") as run:
            run.bus.tap(watch.observe)
            await watch.mark("begin")
            await run.team.run(run.first)  # without the held-out report, which is no part of it
    return watch


def compare(allowed: int, latency: float, proposals: str, calls: int) -> None:
    """A row of the table: the search as it is, and with the barrier. `calls`: of each, about."""
    assignments = max(2, calls // CALLS[proposals])
    watches = []
    for barrier in (False, True):
        with server("--latency", str(latency), "--sigma", "1", "--proposals", proposals) as url:
            work = partial(search, url, allowed, assignments, barrier)
            watches.append(anyio.run(work, backend_options={"use_uvloop": sys.platform != "win32"}))
    shares = [
        watch.between(*ends)[1] / allowed for watch in watches for ends in (("first", "last"), ("begin", "end"))
    ]
    seconds = [watch.between("begin", "end")[0] for watch in watches]
    figures = "".join(f"{share:>12.0%}" for share in shares) + "".join(f"{second:>10.0f}" for second in seconds)
    print(f"{allowed:>7}  {proposals:10}{assignments:>12}{figures}{seconds[1] / seconds[0]:>9.2f} x", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--allowed", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--latency", type=float, default=1.0, help="seconds, the median")
    parser.add_argument("--seconds", type=float, default=200.0, help="that a search without a barrier takes, about")
    o = parser.parse_args()
    print(f"{'':31}{'without a barrier':>24}{'with a barrier':>24}{'seconds':>20}")
    halves = f"{'work left':>12}{'all':>12}" * 2
    print(f"{'allowed':>7}  {'proposals':10}{'assignments':>12}{halves}{'without':>10}{'with':>10}{'ratio':>11}")
    for number in o.allowed:
        for kind in CALLS:
            compare(number, o.latency, kind, round(number * o.seconds / (o.latency * MEAN)))
