"""A simulated clock, and a model on it that keeps the books of a minute, for pace and limiter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import trio.testing

from protocols.errors import RateLimited
from protocols.model import Allowance, ChatMessage, Reply, Request, Usage
from protocols.wrappers.limited import LimitedModel

T = TypeVar("T")
MINUTE = 60.0
REQUEST = Request((ChatMessage("user", "x" * 400),), max_tokens=200)  # a bound of 632 tokens


def simulate(work: Callable[[], Awaitable[T]]) -> T:
    """Run on a clock that jumps to the next event when every task waits."""
    return anyio.run(work, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})


@dataclass
class Clocked:
    """A model that answers after `latency`. It notes when calls arrived, and in `entered` when it counted how many
    tokens: input when a call arrived, output when it was answered. `way`: seconds there, and back again."""

    latency: Callable[[], float]
    needs: Callable[[], Usage] = lambda: Usage(100, 0)
    fault: Callable[[], RateLimited | None] = lambda: None
    way: Callable[[], float] = lambda: 0.0
    name: str = "scripted"
    allowance: Allowance | None = None
    arrivals: list[float] = field(default_factory=list)
    entered: list[tuple[float, int]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def complete(self, request: Request) -> Reply:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await anyio.sleep(self.way())
            usage = self.needs()
            self.arrivals.append(anyio.current_time())
            self.entered.append((anyio.current_time(), usage.input))
            await anyio.sleep(self.latency())
            if error := self.fault():
                raise error
            self.entered.append((anyio.current_time(), usage.output))
            await anyio.sleep(self.way())
            return Reply("ok", usage, allowance=self.allowance)
        finally:
            self.in_flight -= 1


def refusal() -> RateLimited:
    """One that names no wait."""
    return RateLimited("slow down", model="scripted", status=429)


@dataclass
class FixedWindow:
    """The fault of a server that answers `quota` calls in every minute of its clock, and names no wait."""

    quota: int
    refused: int = 0
    _minute: float = -1.0
    _calls: int = 0

    def refuse(self) -> RateLimited | None:
        minute = anyio.current_time() // MINUTE
        if minute != self._minute:
            self._minute, self._calls = minute, 0
        self._calls += 1
        self.refused += self._calls > self.quota
        return refusal() if self._calls > self.quota else None


def fullest_minute(arrivals: Sequence[tuple[float, float]]) -> float:
    """The most that arrived within any 60 seconds, both ends counted."""
    arrivals, most, total, first = sorted(arrivals), 0.0, 0.0, 0
    for time, amount in arrivals:
        total += amount
        while arrivals[first][0] < time - MINUTE:
            total -= arrivals[first][1]
            first += 1
        most = max(most, total)
    return most


async def flood(model: LimitedModel, seconds: float, callers: int, request: Request = REQUEST) -> float:
    """Keep `callers` calls queued for so long; returns when it began."""
    start = anyio.current_time()

    async def call() -> None:
        while True:
            await model.complete(request)

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            for _ in range(callers):
                tasks.start_soon(call)
    return start
