"""A local server that speaks both wire formats, with its own books, for tests and benchmarks.

In a test: `async with WireServer(answer) as server: … server.url`. As a process of its own:

    python -m tests.wire_server --port 0 --latency 1 --sigma 1 --fault 429=0.05 --fault drop=0.05

prints its URL; `GET /counts` gives its books, which it also prints as JSON when it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

import anyio
import orjson

from tests.wire.answers import searchable
from tests.wire.books import Books, Entry, Stats
from tests.wire.formats import FORMATS, Format, conversation, count_tokens, error_body, stream_of
from tests.wire.http import Call, Connection
from tests.wire.weather import Fault, Weather, named_fault

__all__ = ["Call", "Fault", "Stats", "Weather", "WireServer", "count_tokens"]

Answerer = Callable[[list[tuple[str, str]]], str]
Delay = Callable[[], Awaitable[None]]
FAIR = Weather()
CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call that is waiting for its answer."""

    form: Format
    connection: Connection
    turns: list[tuple[str, str]]
    model: str
    tokens_in: int
    entry: Entry
    account: Stats
    stream: bool


class WireServer:
    """Serves `/v1/chat/completions` (base URL `openai_url`) and `/v1/messages` (base URL `url`).

    `answer` gets the (speaker, text) pairs of a call, system first. `delay` is awaited before every answer, instead
    of the latency of the `weather`. `faults` are taken first in, first out, one a call, before those of the weather.
    `models` is the list of models. Requests of more than `window` tokens, reply included, are refused; `outgrown`
    says which, as numbers of calls of their account. A call that asks for it is answered as a stream of events, and
    every one is where the server `streams`. `received` keeps the last `keep` calls. `stats` counts all
    calls, `books` each key and model. `clock`: seconds.
    """

    def __init__(
        self,
        answer: Answerer,
        *,
        delay: Delay | None = None,
        weather: Weather = FAIR,
        keep: int = 1000,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._answer, self._delay, self._weather, self._port, self._clock = answer, delay, weather, port, clock
        self._latencies, self._troubles = weather.latencies(), weather.troubles()
        self._connections: set[Connection] = set()
        self._tasks = anyio.create_task_group()
        self.received: deque[Call] = deque(maxlen=keep)
        self.faults: deque[Fault] = deque()
        self.models: object = None
        self.window: int | None = None
        self.streams = False
        self.outgrown: list[int] = []
        self.released = anyio.Event()
        self.books = Books(clock)
        self.url = ""

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def stats(self) -> Stats:
        return self.books.total

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(
            lambda: Connection(self._arrived, self._connections), "127.0.0.1", self._port, backlog=4096
        )
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._server.close()
        for connection in list(self._connections):
            connection.drop()
        self._tasks.cancel_scope.cancel()
        return await self._tasks.__aexit__(kind, error, trace)

    def _arrived(self, call: Call, connection: Connection) -> None:
        if call.path == "/counts":
            connection.respond(200, {}, orjson.dumps(self.books.document()))
            return
        if not call.raw:  # the list of models, which is no call of anybody's
            connection.respond(404 if self.models is None else 200, {}, orjson.dumps(self.models))
            return
        self.received.append(call)
        form = FORMATS.get(call.path)
        try:
            turns, model = conversation(call.body), str(call.body["model"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            form = None
        if form is None:
            connection.respond(404, {}, error_body("not_found_error", f"nothing is served at {call.path}"))
            return
        tokens_in = sum(count_tokens(said) for _, said in turns)
        entry, account = self.books.arrived(key_of(call), model, tokens_in)
        connection.lost = entry.abandoned
        needed = tokens_in + int(str(call.body.get("max_tokens", 0)))
        if self.window is not None and needed > self.window:
            self.outgrown.append(account.calls)
            entry.refused()
            connection.respond(400, {}, form.outgrown(needed, self.window))
            return
        stream = self.streams or bool(call.body.get("stream"))
        self._admit(Exchange(form, connection, turns, model, tokens_in, entry, account, stream))

    def _admit(self, exchange: Exchange) -> None:
        """Refuse what is over a limit; let the rest wait for its answer."""
        account, limits, now = exchange.account, self._weather, self._clock()
        waits = [
            window.wait(limit, amount, now)
            for window, limit, amount in (
                (account.minute_calls, limits.requests, 1),
                (account.minute_tokens, limits.tokens, exchange.tokens_in),
            )
            if limit is not None
        ]
        if any(waits):
            exchange.entry.refused()
            headers = {"retry-after": f"{max(waits):.3f}", **self._limits(exchange)}
            exchange.connection.respond(429, headers, error_body("rate_limit_error", "over the limit of this minute"))
            return
        exchange.entry.let_in()
        if self._delay is not None:
            self._tasks.start_soon(self._wait, self._delay, exchange)
        elif seconds := next(self._latencies):
            self._loop.call_later(seconds, self._finish, exchange)
        else:
            self._finish(exchange)

    async def _wait(self, delay: Delay, exchange: Exchange) -> None:
        await delay()
        self._finish(exchange)

    def _finish(self, exchange: Exchange) -> None:
        """Answer, unless the client has left or something is to go wrong."""
        connection, entry = exchange.connection, exchange.entry
        if connection.transport.is_closing():
            return
        fault = self.faults.popleft() if self.faults else next(self._troubles)
        if fault is None:
            self._reply(exchange)
            return
        if fault.kind == "stall":
            connection.lost = partial(entry.failed, fault.name)
            self._tasks.start_soon(self._stall, exchange)
            return
        entry.failed(fault.name)
        match fault.kind:
            case "drop":
                connection.drop()
            case "truncate":
                connection.truncate(fault.body)
            case _:
                connection.respond(fault.status, fault.headers, fault.body)

    async def _stall(self, exchange: Exchange) -> None:
        await self.released.wait()
        if not exchange.connection.transport.is_closing():
            self._reply(exchange)

    def _reply(self, exchange: Exchange) -> None:
        try:
            text = self._answer(exchange.turns)
        except Exception as error:  # as any server: the client sees that it failed, and the books say so
            exchange.entry.failed("500")
            exchange.connection.respond(500, {}, error_body("api_error", f"{type(error).__name__}: {error}"))
            return
        tokens_out = count_tokens(text)
        exchange.entry.answered(tokens_out)
        said = (exchange.model, text, exchange.tokens_in, tokens_out)
        headers, form = self._limits(exchange), exchange.form
        if exchange.stream:
            headers["content-type"] = "text/event-stream"
            exchange.connection.respond(200, headers, stream_of(form.events(*said), done=form is FORMATS[CHAT]))
        else:
            exchange.connection.respond(200, headers, orjson.dumps(form.answer(*said)))

    def _limits(self, exchange: Exchange) -> dict[str, str]:
        account, now = exchange.account, self._clock()
        windows = {"requests": account.minute_calls, "tokens": account.minute_tokens}
        limits = {"requests": self._weather.requests, "tokens": self._weather.tokens}
        rooms = {name: windows[name].room(limit, now) for name, limit in limits.items() if limit is not None}
        return exchange.form.limits(rooms, time.time()) if rooms else {}


def key_of(call: Call) -> str:
    """The key of a call: a bearer token, or Anthropic's own header."""
    return call.headers.find("Authorization").removeprefix("Bearer ") or call.headers.find("X-Api-Key")


async def serve(answer: Answerer, weather: Weather, port: int) -> None:
    """Serve until the process is told to end, then print the books."""
    async with WireServer(answer, weather=weather, keep=0, port=port) as server:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            say(server.url)
            await anext(aiter(signals))
        say(orjson.dumps(server.books.document(), option=orjson.OPT_INDENT_2).decode())


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def share(text: str) -> tuple[str, float]:
    """`drop=0.05`."""
    name, _, value = text.partition("=")
    named_fault(name, 0.0)
    return name, float(value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer, in the median")
    parser.add_argument("--sigma", type=float, default=0.0, help="of the log-normal latency; 0: always the same")
    parser.add_argument("--seed", type=int, default=0, help="of latencies and faults")
    parser.add_argument("--fault", type=share, action="append", metavar="NAME=SHARE", default=[])
    parser.add_argument("--retry-after", type=float, default=1.0, help="seconds, of the fault 429")
    parser.add_argument("--requests", type=int, help="allowed to one key and model a minute")
    parser.add_argument("--tokens", type=int, help="allowed to one key and model a minute")
    parser.add_argument("--answer", default="ok", help="the text of every answer")
    parser.add_argument("--proposals", choices=["accepted", "rejected"], help="answer by a rule that can be searched")
    o = parser.parse_args()
    conditions = Weather(
        o.latency, o.sigma, o.seed, dict(o.fault), o.retry_after, requests=o.requests, tokens=o.tokens
    )
    answer = searchable(o.proposals == "accepted") if o.proposals else lambda turns: o.answer
    options = {"use_uvloop": sys.platform != "win32"}
    anyio.run(serve, answer, conditions, o.port, backend_options=options)
