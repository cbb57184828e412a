"""What share of an account's minute several processes use that share its limits, by the server's own books.

    python -m benchmarks.sharing                        # 1, 2 and 3 processes, 600 requests a minute
    python -m benchmarks.sharing --processes 2 --alone  # each with the whole limit for itself, as without the sharing

Each process keeps --callers calls waiting for --seconds. "fullest": the most that the server let in within any 60 s;
"used": within the last minute; "refused": calls that were over the limit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import anyio
import orjson

from agents.commands.console import drive
from agents.models.accounts import Accounts
from agents.models.quotas import QuotaFiles
from benchmarks.throughput import request
from benchmarks.wire import MODEL, server
from protocols.errors import RateLimited
from protocols.pacing.limits import Limits
from protocols.providers.catalogue import ModelSettings, identify, open_model
from protocols.providers.transport.http import open_transport
from protocols.wrappers.limited import LimitedModel

MINUTE = 60.0


async def flood(url: str, caches: str, requests: int, seconds: float, callers: int) -> None:
    """One process."""
    accounts, settings = Accounts(QuotaFiles({"XDG_CACHE_HOME": caches}, print)), ModelSettings(base_url=f"{url}/v1")
    async with accounts.sharing(), open_transport() as transport:
        limiter = accounts.limiter(identify(MODEL, settings, {}), Limits(64, requests))
        model = LimitedModel(open_model(MODEL, settings, {}, transport), limiter, urgent=False)

        async def call() -> None:
            number = 0
            while True:
                number += 1
                try:
                    await model.complete(request(number))
                except RateLimited:
                    continue

        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks:
                for _ in range(callers):
                    tasks.start_soon(call)


def counts(url: str) -> dict[str, int]:
    """The server's books."""
    with urlopen(f"{url}/counts") as answer:
        found: dict[str, int] = orjson.loads(answer.read())
    return found


def measure(processes: int, requests: int, seconds: float, callers: int, alone: bool) -> str:
    """A line of the table."""
    with server("--latency", "0.5", "--requests", str(requests)) as url, tempfile.TemporaryDirectory() as caches:
        started = []
        for number in range(processes):
            place = str(Path(caches, str(number) if alone else "shared"))
            words = [url, place, str(requests), str(seconds), str(callers)]
            started.append(subprocess.Popen([sys.executable, "-m", "benchmarks.sharing", "--flood", *words]))
        time.sleep(seconds - MINUTE)
        before = counts(url)
        time.sleep(MINUTE)
        after = counts(url)
        for process in started:
            process.wait()
    fullest, used = after["most_calls_in_a_minute"], after["answered"] - before["answered"]
    return f"{processes:>9}{fullest / requests:>9.1%}{used / requests:>8.1%}{after['refused']:>9}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--requests", type=int, default=600, help="of the account a minute")
    parser.add_argument("--seconds", type=float, default=135.0)
    parser.add_argument("--callers", type=int, default=32, help="of each process")
    parser.add_argument("--alone", action="store_true", help="share nothing")
    parser.add_argument("--flood", nargs=5, help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.flood:
        url, caches, *figures = o.flood
        drive(partial(flood, url, caches, int(figures[0]), float(figures[1]), int(figures[2])))
    else:
        print("processes  fullest    used  refused")
        for each in o.processes:
            print(measure(each, o.requests, o.seconds, o.callers, o.alone), flush=True)
