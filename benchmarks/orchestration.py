"""What orchestration costs: `python -m benchmarks.orchestration`.

A local server that speaks the OpenAI wire format answers after a fixed latency, in a process of its own. The same
number of calls is made through the bare SDK, through one adapter, through the stack of wrappers (cache, retry,
limiter, ledger) and by a whole search (journal and memory on). Printed for each: calls a second, their share of the
bound (calls in flight / latency), CPU milliseconds of this process per call, and those beyond the bare SDK's.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx2
import openai
import orjson

from agents.runs.configuration import Configuration, build
from agents.runs.models import Models
from agents.runs.search import open_run
from memory.cache import open_cache
from protocols.model import ChatMessage, ChatModel, Request
from protocols.providers.catalogue import ModelSettings, open_model
from protocols.providers.http import open_transport
from protocols.wrappers.ledger import Caps, Ledger

LABELS = ("alpha", "beta", "gamma", "delta")
MODEL = "openai/benchmark"


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: calls made, wall and CPU seconds."""

    name: str
    calls: int
    wall: float
    cpu: float


@contextlib.contextmanager
def server(latency: float) -> Iterator[str]:
    """The URL of a wire server in its own process."""
    command = [
        sys.executable,
        "-m",
        "tests.wire_server",
        "--port",
        "0",
        "--latency",
        str(latency),
        "--answer",
        LABELS[0],
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def request(number: int) -> Request:
    """A distinct request of about 1 kB."""
    fixed = "Choose the one label that fits the text: " + ", ".join(LABELS) + ". " + "Think of the definitions. " * 30
    return Request((ChatMessage("system", fixed), ChatMessage("user", f"Text: message number {number}\nLabel:")))


async def in_flight(calls: int, width: int, call: Callable[[int], Awaitable[object]]) -> None:
    """`calls` calls, `width` of them at a time."""
    numbers = iter(range(calls))

    async def work() -> None:
        for number in numbers:
            await call(number)

    async with anyio.create_task_group() as tasks:
        for _ in range(width):
            tasks.start_soon(work)


async def measured(name: str, calls: int, body: Callable[[], Awaitable[int | None]]) -> Row:
    """Run the body once; it may say how many calls it made."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = await body()
    return Row(name, calls if made is None else made, time.perf_counter() - wall, time.process_time() - cpu)


async def bare_sdk(url: str, calls: int, width: int) -> Row:
    """The openai SDK's `create`, on its aiohttp transport."""
    http = openai.DefaultAioHttpClient(limits=httpx2.Limits(max_connections=width, max_keepalive_connections=width))
    async with openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1", http_client=http, max_retries=0) as client:

        async def call(number: int) -> object:
            messages = [{"role": turn.speaker, "content": turn.text} for turn in request(number).messages]
            return await client.chat.completions.create(model="benchmark", messages=messages)  # type: ignore[arg-type]

        async def body() -> None:
            await in_flight(calls, width, call)

        await in_flight(width, width, call)
        return await measured("openai SDK, create", calls, body)


async def on_model(name: str, model: ChatModel, calls: int, width: int) -> Row:
    """The same calls on a model of ours."""

    async def body() -> None:
        await in_flight(calls, width, lambda number: model.complete(request(number)))

    await in_flight(width, width, lambda number: model.complete(request(-1 - number)))
    return await measured(name, calls, body)


async def ours(url: str, calls: int, width: int, folder: Path) -> list[Row]:
    """The adapter alone, then with everything that stands around it."""
    configuration = task_configuration(url, calls, width, folder)
    async with open_transport(width) as transport, open_cache(folder / "cache.sqlite") as cache:
        adapter = open_model(MODEL, ModelSettings(base_url=f"{url}/v1"), {}, transport)
        ledger = Ledger(Caps(), {}, time.monotonic)
        stack = Models(configuration, {}, transport, ledger).of("task", cache)
        return [
            await on_model("adapter", adapter, calls, width),
            await on_model("adapter and wrappers", stack, calls, width),
        ]


async def whole_ring(url: str, calls: int, width: int, folder: Path) -> Row:
    """A search whose edits never win, so that nearly all calls are evaluations."""
    configuration = task_configuration(url, calls, width, folder)
    async with open_run(configuration, {}, folder / "run") as run:

        async def body() -> int:
            await run.search()
            return run.ledger.calls

        return await measured("whole search", calls, body)


def task_configuration(url: str, calls: int, width: int, folder: Path) -> Configuration:
    """A task of 200 validation examples, `width` calls in flight, about `calls` calls in all."""
    sizes = {"train": 64, "validation": 200, "test": 20}
    for split, size in sizes.items():
        rows = [
            {
                "id": f"{split}-{n}",
                "input": {"text": f"{split} message number {n}"},
                "target": LABELS[n % len(LABELS)],
            }
            for n in range(size)
        ]
        (folder / f"{split}.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    assignments = max(1, (calls - sizes["validation"]) // sizes["validation"])
    return build(
        {
            "task": {"name": "benchmark", **{split: f"{split}.jsonl" for split in sizes}},
            "models": {"default": MODEL},
            "providers": {MODEL: {"base_url": f"{url}/v1", "concurrency": width}},
            "search": {
                "assignments": assignments,
                "operators": ["few_shot"],
                "width": 8,
                "concurrency": width,
                "selector": "uniform",
            },
        },
        folder,
    )


async def main(calls: int, width: int, latency: float) -> list[Row]:
    """All rows."""
    with server(latency) as url, tempfile.TemporaryDirectory() as folder:
        rows = [await bare_sdk(url, calls, width)]
        rows += await ours(url, calls, width, Path(folder))
        rows.append(await whole_ring(url, calls, width, Path(folder)))
        return rows


def show(rows: list[Row], width: int, latency: float) -> None:
    """The table."""
    bound = width / latency
    bare = rows[0].cpu / rows[0].calls
    print(f"{width} in flight, {latency * 1e3:g} ms latency, bound {bound:,.0f} calls/s")
    print(f"{'':24}{'calls':>8}{'calls/s':>10}{'of bound':>10}{'CPU ms/call':>13}{'beyond SDK':>12}")
    for row in rows:
        rate, cpu = row.calls / row.wall, row.cpu / row.calls
        figures = f"{row.calls:>8}{rate:>10,.0f}{rate / bound:>10.0%}{cpu * 1e3:>13.2f}{(cpu - bare) * 1e3:>+12.2f}"
        print(f"{row.name:24}{figures}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds")
    arguments = parser.parse_args()
    options = {"use_uvloop": sys.platform != "win32"}
    measurements = anyio.run(main, arguments.calls, arguments.in_flight, arguments.latency, backend_options=options)
    show(measurements, arguments.in_flight, arguments.latency)
