"""A local server that speaks both wire formats, with its own books, for tests and benchmarks.

In a test: `async with WireServer(answer) as server: … server.url`. As a process of its own, for benchmarks:
`python -m tests.wire_server --port 0 --latency 0.05` prints its URL; `GET /stats` gives its counts.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Literal, Self

import anyio
import orjson
from aiohttp import web

Answerer = Callable[[list[tuple[str, str]]], str]
Delay = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a call gets instead of an answer.

    `reply`: this status, headers and body. `drop`: the connection is cut before any byte. `truncate`: cut in the
    middle of the body. `stall`: nothing until `WireServer.released` is set, then the answer as usual.
    """

    kind: Literal["reply", "drop", "truncate", "stall"] = "reply"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"choices": [{"message": {"content": "ga'


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it arrived."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, object]:
        body: dict[str, object] = orjson.loads(self.raw)
        return body


@dataclass(slots=True)
class Stats:
    """The server's own books: calls that arrived, calls answered, and the tokens of the latter."""

    calls: int = 0
    answered: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class WireServer:
    """Serves `/v1/chat/completions` (base URL `openai_url`) and `/v1/messages` (base URL `url`).

    `answer` gets the (speaker, text) pairs of a call, system first. `delay` is awaited before every answer. `faults`
    are taken first in, first out, one a call. `received` keeps the last `keep` calls.
    """

    def __init__(self, answer: Answerer, *, delay: Delay | None = None, keep: int = 1000, port: int = 0) -> None:
        self._answer, self._delay, self._port = answer, delay, port
        self.received: deque[Call] = deque(maxlen=keep)
        self.faults: deque[Fault] = deque()
        self.released = anyio.Event()
        self.stats = Stats()
        self.url = ""
        self._exits = AsyncExitStack()

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_get("/stats", self._stats)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._exits.push_async_callback(runner.cleanup)
        self._exits.callback(self.released.set)
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    async def _stats(self, request: web.Request) -> web.Response:
        return web.json_response(asdict(self.stats))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, openai_answer)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, anthropic_answer)

    async def _serve(self, request: web.Request, write: Callable[[str, str, int, int], object]) -> web.StreamResponse:
        call = Call(request.path, dict(request.headers), await request.read())
        self.received.append(call)
        self.stats.calls += 1
        if self._delay is not None:
            await self._delay()
        fault = self.faults.popleft() if self.faults else None
        if fault is not None and fault.kind == "stall":
            await self.released.wait()
        elif fault is not None:
            return await fail(request, fault)
        turns = conversation(call.body)
        text = self._answer(turns)
        tokens_in, tokens_out = sum(count_tokens(said) for _, said in turns), count_tokens(text)
        self.stats.answered += 1
        self.stats.input_tokens += tokens_in
        self.stats.output_tokens += tokens_out
        payload = write(str(call.body["model"]), text, tokens_in, tokens_out)
        return web.Response(body=orjson.dumps(payload), content_type="application/json")


def conversation(body: Mapping[str, object]) -> list[tuple[str, str]]:
    """The (speaker, text) pairs of a body in either format; a KeyError or so, hence a 500, if it is in neither."""
    turns: list[tuple[str, str]] = []
    match body:
        case {"system": str(text)}:
            turns.append(("system", text))
        case {"system": list(blocks)}:
            turns += [("system", block["text"]) for block in blocks]
    match body:
        case {"messages": list(messages)}:
            turns += [(message["role"], message["content"]) for message in messages]
    return turns


def count_tokens(text: str) -> int:
    """Four bytes a token, rounded up: near enough, and easy to recount."""
    return (len(text.encode()) + 3) // 4


def openai_answer(model: str, text: str, tokens_in: int, tokens_out: int) -> object:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }


def anthropic_answer(model: str, text: str, tokens_in: int, tokens_out: int) -> object:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out},
    }


async def fail(request: web.Request, fault: Fault) -> web.StreamResponse:
    if fault.kind == "reply":
        return web.Response(status=fault.status, headers=fault.headers, body=fault.body)
    response = web.StreamResponse(headers={"Content-Length": str(2 * len(fault.body))})
    if fault.kind == "truncate":
        await response.prepare(request)
        await response.write(fault.body)
    if request.transport is not None:
        request.transport.close() if fault.kind == "truncate" else request.transport.abort()
    return response


async def serve(port: int, latency: float, text: str) -> None:
    """Serve until the process is ended."""

    async def delay() -> None:
        await anyio.sleep(latency)

    async with WireServer(lambda turns: text, delay=delay if latency else None, keep=0, port=port) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    parser.add_argument("--answer", default="ok", help="the text of every answer")
    options = parser.parse_args()
    anyio.run(serve, options.port, options.latency, options.answer)
