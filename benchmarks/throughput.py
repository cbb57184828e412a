"""Calls per second, CPU time per call and peak memory: the bare SDKs, a bare HTTP client, our adapter, all that
stands around it, and a whole search with journal, memory and reply cache.

    python -m benchmarks.throughput    # 1 to 1,024 in flight at 50 ms
    python -m benchmarks.throughput --latency 1 --in-flight 1024 --calls 150000 --seconds 150 --rounds 1

Against a wire server in a process of its own. Every row is measured in a process of its own as well, which is set up
as the command line's is: CPU time and memory are the client's alone. The rows take turns, --rounds times; each column
is its median. The bound is calls in flight divided by latency. "of aiohttp" compares with the bare aiohttp client of
the same round, the median again: calls/s, and CPU time per call.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import aiohttp
import anyio
import orjson

from agents.commands.console import drive
from agents.models.accounts import Accounts
from agents.models.quotas import QuotaFiles
from agents.models.stack import Models
from agents.run.opening import open_run
from benchmarks.wire import MODEL, SIZES, search_configuration, server
from memory.storage.cache import open_cache
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Ledger
from protocols.model import ChatMessage, Request
from protocols.providers.catalogue import ModelSettings, open_model
from protocols.providers.transport.http import open_transport
from tests.wire.answers import FIRST_SKILL, LABELS

Send = Callable[[int], Awaitable[object]]
BARE = "aiohttp and orjson"


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: calls made, wall and CPU seconds, and the process's largest size in MB."""

    calls: int
    wall: float
    cpu: float
    peak: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.wall

    @property
    def cpu_each(self) -> float:
        """CPU seconds a call."""
        return self.cpu / self.calls


def request(number: int) -> Request:
    """A distinct request of about 1 kB."""
    fixed = f"Skill: {FIRST_SKILL}. Choose the one label that fits the text: {', '.join(LABELS)}. "
    thought = "Think of the definitions. " * 30
    return Request((ChatMessage("system", fixed + thought), ChatMessage("user", f"Text: number {number}\nLabel:")))


def turns(number: int) -> list[dict[str, str]]:
    """The same as JSON."""
    return [{"role": turn.speaker, "content": turn.text} for turn in request(number).messages]


@asynccontextmanager
async def openai_sdk(url: str, width: int) -> AsyncIterator[Send]:
    """`create` on the aiohttp transport, which is the faster one."""
    import httpx2
    import openai  # here, since the memory of a row should be its own

    http = openai.DefaultAioHttpClient(limits=httpx2.Limits(max_connections=width, max_keepalive_connections=width))
    async with openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1", http_client=http, max_retries=0) as client:
        yield lambda n: client.chat.completions.create(model="benchmark", messages=turns(n))  # type: ignore[arg-type]


@asynccontextmanager
async def anthropic_sdk(url: str, width: int) -> AsyncIterator[Send]:
    """The same of the other SDK."""
    import anthropic
    import httpx2

    limits = httpx2.Limits(max_connections=width, max_keepalive_connections=width)
    http = anthropic.DefaultAioHttpClient(limits=limits)
    async with anthropic.AsyncAnthropic(api_key="none", base_url=url, http_client=http, max_retries=0) as client:

        def send(number: int) -> Awaitable[object]:
            system, user = turns(number)
            return client.messages.create(
                model="benchmark",
                max_tokens=1024,
                system=system["content"],
                messages=[user],  # type: ignore[list-item]
            )

        yield send


@asynccontextmanager
async def bare(url: str, width: int) -> AsyncIterator[Send]:
    """One pooled session, and the JSON read whole."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=width)) as session:

        async def send(number: int) -> object:
            body = orjson.dumps({"model": "benchmark", "messages": turns(number), "max_tokens": 1024})
            headers = {"Content-Type": "application/json"}
            async with session.post(f"{url}/v1/chat/completions", data=body, headers=headers) as response:
                return orjson.loads(await response.read())["choices"][0]["message"]["content"]

        yield send


@asynccontextmanager
async def adapter(url: str, width: int) -> AsyncIterator[Send]:
    """Ours, with nothing around it."""
    async with open_transport() as transport:
        model = open_model(MODEL, ModelSettings(base_url=f"{url}/v1"), {}, transport)
        yield lambda number: model.complete(request(number))


@asynccontextmanager
async def stack(url: str, width: int) -> AsyncIterator[Send]:
    """Reply cache, retry, limiter and ledger around it."""
    async with stacked(url, width, Accounts()) as send:
        yield send


@asynccontextmanager
async def sharing(url: str, width: int) -> AsyncIterator[Send]:
    """The same with a limiter that shares the account's limits with other processes, as every command does."""
    with tempfile.TemporaryDirectory() as caches:
        accounts = Accounts(QuotaFiles({"XDG_CACHE_HOME": caches}, print))
        async with accounts.sharing(), stacked(url, width, accounts) as send:
            yield send


@asynccontextmanager
async def stacked(url: str, width: int, accounts: Accounts) -> AsyncIterator[Send]:
    """The stack of a task's model."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configuration = search_configuration(url, width, folder, {})
        async with open_transport() as transport, open_cache(folder / "cache.sqlite", alone=True) as cache:
            ledger = Ledger(Caps(), {}, time.monotonic)
            model = Models(configuration, {}, transport, ledger, accounts).of("task", cache)
            yield lambda number: model.complete(request(number))


SUBJECTS = {
    "openai SDK": openai_sdk,
    "anthropic SDK": anthropic_sdk,
    BARE: bare,
    "our adapter": adapter,
    "our stack": stack,
    "our stack, sharing": sharing,
}
RING = "the whole ring"


async def in_flight(numbers: range, width: int, send: Send) -> None:
    """One call for each of the numbers, `width` of them at a time."""
    todo = iter(numbers)

    async def work() -> None:
        for number in todo:
            await send(number)

    async with anyio.create_task_group() as tasks:
        for _ in range(width):
            tasks.start_soon(work)


async def measured(body: Callable[[], Awaitable[int]]) -> Row:
    """The body once; it says how many calls it made."""
    wall, cpu = time.perf_counter(), time.process_time()
    calls = await body()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Row(calls, wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


async def measure(subject: str, url: str, width: int, calls: int) -> Row:
    """One row; connections are opened while it is measured."""
    if subject == RING:
        return await ring(url, width, calls)
    async with SUBJECTS[subject](url, width) as send:

        async def body() -> int:
            await in_flight(range(calls), width, send)
            return calls

        return await measured(body)


async def ring(url: str, width: int, calls: int) -> Row:
    """A search of about so many calls, from its first evaluation to its held-out report; as wide as a long one,
    though it has few assignments."""
    assignments = max(1, calls // (SIZES["validation"] + 50) - 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configuration = search_configuration(
            url, width, folder, {"assignments": assignments, "width": max(8, width // 4)}
        )
        async with open_run(configuration, {}, folder / "run") as run:

            async def body() -> int:
                await run.search()
                return run.ledger.calls

            return await measured(body)


def in_a_process(subject: str, url: str, width: int, calls: int) -> Row:
    """The row as a process of its own measures it."""
    command = [sys.executable, "-m", "benchmarks.throughput", "--row", subject, "--url", url]
    command += ["--in-flight", str(width), "--calls", str(calls)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Row(**orjson.loads(done.stdout))


def show(width: int, latency: float, rounds: Sequence[Mapping[str, Row]]) -> None:
    """The table of one number in flight."""
    bound = width / latency
    print(f"\n{width:,} in flight, {latency * 1e3:g} ms latency, bound {bound:,.0f} calls/s")
    print(f"{'':20}{'calls':>8}{'calls/s':>10}{'of bound':>10}{'CPU ms/call':>13}{'of aiohttp':>18}{'peak MB':>9}")
    for subject in rounds[0]:
        rows = [each[subject] for each in rounds]
        rate, cpu = median(row.rate for row in rows), median(row.cpu_each for row in rows)
        rate_of = median(row.rate / each[BARE].rate for row, each in zip(rows, rounds, strict=True))
        cpu_of = median(row.cpu_each / each[BARE].cpu_each for row, each in zip(rows, rounds, strict=True))
        compared, peak = f"{rate_of:.0%}, {cpu_of:.2f} x", max(row.peak for row in rows)
        figures = f"{rate:>10,.0f}{rate / bound:>10.0%}{cpu * 1e3:>13.2f}{compared:>18}{peak:>9.0f}"
        print(f"{subject:20}{rows[0].calls:>8,}{figures}", flush=True)


def main(widths: list[int], latency: float, limits: tuple[int, float], rounds: int, subjects: list[str]) -> None:
    """A table for each number in flight. `limits` of a row: calls, and the seconds that they take at the bound."""
    for width in widths:
        calls, seconds = limits
        most = min(calls, max(64, round(seconds * width / latency)))
        with server("--latency", str(latency), "--proposals", "accepted") as url:
            taken = [
                {subject: in_a_process(subject, url, width, most) for subject in subjects} for _ in range(rounds)
            ]
        show(width, latency, taken)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5000, help="of a row, at most")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a row, at most, about")
    parser.add_argument("--rounds", type=int, default=3, help="how often the rows take turns")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 16, 64, 256, 1024])
    parser.add_argument("--latency", type=float, default=0.05, help="seconds")
    parser.add_argument("--only", nargs="+", default=[*SUBJECTS, RING], choices=[*SUBJECTS, RING], metavar="ROW")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.row is None:
        main(o.in_flight, o.latency, (o.calls, o.seconds), o.rounds, [BARE, *(s for s in o.only if s != BARE)])
    else:
        work = partial(measure, o.row, o.url, o.in_flight[0], o.calls)
        row = drive(work)
        sys.stdout.buffer.write(orjson.dumps(asdict(row)))
