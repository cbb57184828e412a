"""Calls that are in flight, and calls that wait to be sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import anyio

from protocols.model import Allowance, Request, Usage
from protocols.pacing.limits import Limits
from protocols.pacing.pace import Entry, Pace
from protocols.pacing.tokens import Flight, Reserved


class Ticket:
    """A call in flight: the window that it began in, when it was sent, and its reservations. `ends`: when it times
    out, if known."""

    __slots__ = ("ends", "request", "request_pace", "reserved", "sent", "tokens", "urgent", "window")

    def __init__(self, window: int, request: Request, urgent: bool, sent: float) -> None:
        self.window, self.request, self.urgent, self.sent = window, request, urgent, sent
        self.tokens: Flight | None = None
        self.reserved: Reserved | None = None
        self.request_pace: tuple[Pace, Entry] | None = None
        self.ends: float | None = None


class Waiter:
    """A call that waits to be sent. `event` is set when it may be sent, when it must watch the clock, or when it must
    not be sent at all (`stopped`)."""

    __slots__ = ("bound", "event", "request", "stopped", "ticket", "urgent")

    def __init__(self, request: Request, bound: Usage, urgent: bool) -> None:
        self.request, self.bound, self.urgent = request, bound, urgent
        self.event = anyio.Event()
        self.ticket: Ticket | None = None
        self.stopped = False

    def stop(self) -> None:
        """Give the call up; it must not be sent."""
        self.stopped = True
        self.event.set()


class Calls:
    """The calls of one limiter: those in flight, and those that wait, urgent ones apart. `admit` lets go all waiting
    calls that may be sent."""

    __slots__ = ("admit", "flights", "others", "urgent")

    def __init__(self, admit: Callable[[], None]) -> None:
        self.admit = admit
        self.flights: set[Ticket] = set()
        self.urgent: deque[Waiter] = deque()
        self.others: deque[Waiter] = deque()

    @property
    def queued(self) -> int:
        """Number of calls that wait."""
        return len(self.urgent) + len(self.others)


class Gate(Protocol):
    """Decides when the calls of a limiter may be sent.

    `allowed`: calls in flight now; `most`: what they may grow to. `counts_tokens`: whether `delay` and `send` need
    the bounds of calls. `held`: seconds for which the account is held back by what its provider said; 0: it is not.
    `failure`: why it cannot find out what may be sent; "" if it can.
    """

    @property
    def allowed(self) -> int: ...

    @property
    def most(self) -> int: ...

    @property
    def counts_tokens(self) -> bool: ...

    @property
    def held(self) -> float: ...

    @property
    def failure(self) -> str: ...

    def keep_to(self, limits: Limits) -> None:
        """Apply these configured limits instead of earlier ones."""

    def delay(self, bound: Usage | None, urgent: bool) -> float:
        """Seconds until such a call may be sent; infinite if something else must happen first."""

    def send(self, request: Request, bound: Usage | None, urgent: bool) -> Ticket:
        """Count a call as sent now, which is in flight from now on."""

    def end(self, ticket: Ticket, used: Usage | None) -> None:
        """Count the end of a call. `used`: the tokens that it needed; None: unknown."""

    def unsent(self, ticket: Ticket) -> None:
        """The call was not sent after all."""

    def answered(self, ticket: Ticket) -> None:
        """There was a reply."""

    def pushed_back(self, ticket: Ticket, wait: float | None) -> None:
        """The call met a rate limit. `wait`: seconds that the provider named; None or 0: it named none."""

    def learn(self, model: str, told: Allowance) -> None:
        """A model's limits, as its provider reports them."""

    async def leave(self) -> None:
        """No more calls are made."""


class Learned:
    """The limits that the headers of each model of an account named."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[int | None, int | None]] = {}

    def learn(self, model: str, told: Allowance) -> bool:
        """Whether this was news."""
        limits = told.requests, told.tokens
        if self._told.get(model) == limits:
            return False
        self._told[model] = limits
        return True

    @property
    def limits(self) -> Limits:
        """The lowest of all models."""
        requests = min((requests for requests, _ in self._told.values() if requests), default=None)
        return Limits(None, requests, min((tokens for _, tokens in self._told.values() if tokens), default=None))
