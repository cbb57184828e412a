"""The CPU time of a model call that comes through the endpoint for programs, beside that of the same call made
directly.

    python -m benchmarks.endpoint                    # 5,000 calls of each kind, 64 in flight: half a minute
    python -m benchmarks.endpoint --calls 20000 --flight 256

The client is a process of its own and is not counted. The model answers at once, so that a call costs what the
endpoint costs: HTTP, the token, reading and writing the wire format, finding the prompt, and a task. CPU milliseconds
of this process.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import aiohttp
import anyio
import orjson
from anyio.lowlevel import checkpoint

from agents.programs.endpoint.calls import Calls, Patience
from agents.programs.endpoint.server import Endpoint
from protocols.model import ChatMessage, Reply, Usage
from protocols.program import Answered, Prompts, Turn

INPUT: Final = "My parcel has not come, and nobody answers the telephone. " * 20
TEXT: Final = "Which department should answer this? Answer with its name alone.\nBe careful with invoices.\n{text}"
TURNS: Final = [{"role": "user", "content": TEXT.replace("{text}", INPUT)}]
NAMED: Final = {"model": "decide", "messages": TURNS, "max_tokens": 20, "temperature": 0}
KINDS: Final[Mapping[str, tuple[str, Mapping[str, object]]]] = {
    "chat completions": ("chat/completions", NAMED),
    "chat completions, prompt found by its text": ("chat/completions", {**NAMED, "model": "gpt"}),
    "chat completions, stream": ("chat/completions", {**NAMED, "stream": True}),
    "responses": ("responses", {"model": "decide", "input": TURNS}),
    "messages": ("messages", NAMED),
    "messages, stream": ("messages", {**NAMED, "stream": True}),
}


class Bound:
    """A prompt that is a user message."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text

    def render(self, values: Mapping[str, object] | None = None, /, **more: object) -> list[ChatMessage]:
        """Its only text."""
        return [ChatMessage("user", self.text)]


PROMPTS: Final = Prompts({"decide": Bound("decide", TEXT), "extract": Bound("extract", "List the facts.\n{text}")})


async def call(
    prompt: str,
    messages: Sequence[Turn],
    *,
    temperature: float | None = None,
    max_tokens: int | None = None,
    **parameters: object,
) -> Answered:
    """A model that answers at once."""
    await checkpoint()
    assert prompt == "decide"
    return Answered(Reply("shipping", Usage(300, 2)))


async def in_flight(calls: int, flight: int, make: Callable[[], Awaitable[object]]) -> None:
    """So many calls, as many at a time."""
    left = iter(range(calls))

    async def work() -> None:
        for _ in left:
            await make()

    async with anyio.create_task_group() as tasks:
        for _ in range(flight):
            tasks.start_soon(work)


async def client(url: str, key: str, kind: str, calls: int, flight: int) -> None:
    """What a program does, as fast as it can."""
    path, body = KINDS[kind]
    data, headers = orjson.dumps(body), {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def make() -> None:
            async with session.post(f"{url}/{path}", data=data, headers=headers) as answer:
                assert b"shipping" in await answer.read(), answer.status

        await in_flight(calls, flight, make)


async def asked(endpoint: Endpoint, kind: str, calls: int, flight: int) -> float:
    """CPU milliseconds of a call through the endpoint."""
    command = [sys.executable, "-m", "benchmarks.endpoint", "--calls", str(calls), "--flight", str(flight)]
    command += ["--client", endpoint.base_url("w1"), endpoint.token, kind]
    begun = time.process_time()
    await anyio.run_process(command, stderr=None)
    return 1000 * (time.process_time() - begun) / calls


async def directly(calls: int, flight: int) -> float:
    """CPU milliseconds of a direct call."""
    messages = [ChatMessage("user", TEXT.replace("{text}", INPUT))]
    begun = time.process_time()
    await in_flight(calls, flight, lambda: call("decide", messages, temperature=0, max_tokens=20))
    return 1000 * (time.process_time() - begun) / calls


async def measure(calls: int, flight: int) -> None:
    """Prints a line for each kind of call."""
    async with Endpoint() as endpoint, anyio.create_task_group() as tasks:
        with endpoint.serving("w1", Calls(tasks, PROMPTS, call, Patience(3600))):
            await asked(endpoint, "messages", 200, flight)
            direct = await directly(calls, flight)
            print(f"{'':44}{'CPU ms a call':>14}{'less the direct one':>21}")
            print(f"{'directly':44}{direct:>14.3f}")
            for kind in KINDS:
                through = await asked(endpoint, kind, calls, flight)
                print(f"{kind:44}{through:>14.3f}{through - direct:>21.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--flight", type=int, default=64)
    parser.add_argument("--client", nargs=3, help=argparse.SUPPRESS)
    o = parser.parse_args()
    run = partial(client, *o.client) if o.client else measure
    anyio.run(run, o.calls, o.flight, backend_options={"use_uvloop": sys.platform != "win32"})
