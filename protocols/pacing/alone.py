"""The gate of a process that shares an account with no other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from protocols.model import Allowance, Request, Usage
from protocols.pacing.clock import loop_time
from protocols.pacing.concurrency import Concurrency
from protocols.pacing.limits import Limits
from protocols.pacing.pace import Pace
from protocols.pacing.tickets import Calls, Learned, Ticket
from protocols.pacing.tokens import TokenPace, bound_of

P = TypeVar("P", Pace, TokenPace)


class Alone:
    """Admits calls by the limits that this process knows: see `Concurrency`, `Pace` and `TokenPace`. Limits that
    become known later apply to the calls in flight too."""

    failure = ""

    def __init__(self, limits: Limits, calls: Calls) -> None:
        self._limits, self._flights = limits, calls.flights
        self._concurrency = Concurrency(limits.concurrency)
        self._learned = Learned()
        self._requests: Pace | None = None
        self._tokens: TokenPace | None = None
        self._set_pace()

    @property
    def allowed(self) -> int:
        return self._concurrency.allowed

    @property
    def most(self) -> int:
        return self._concurrency.most

    @property
    def counts_tokens(self) -> bool:
        return self._tokens is not None

    @property
    def held(self) -> float:
        return 0.0 if self._concurrency.opens == -math.inf else self._concurrency.held(loop_time())

    def keep_to(self, limits: Limits) -> None:
        self._limits = limits
        self._concurrency.limit(limits.concurrency)
        self._set_pace()

    def answered(self, ticket: Ticket) -> None:
        self._concurrency.answered(ticket.window)

    def pushed_back(self, ticket: Ticket, wait: float | None) -> None:
        self._concurrency.pushed_back(ticket.window, wait, loop_time())

    def learn(self, model: str, told: Allowance) -> None:
        if self._learned.learn(model, told):
            self._set_pace()

    def _set_pace(self) -> None:
        learned = self._learned.limits
        self._requests = paced(self._requests, self._limits.requests or learned.requests, self._request_pace)
        self._tokens = paced(self._tokens, self._limits.tokens or learned.tokens, self._token_pace)

    def _request_pace(self, limit: int) -> Pace:
        """A new pace, in which the calls in flight count as sent now."""
        pace = Pace(limit)
        if self._flights:
            pace.take(loop_time(), len(self._flights))
        return pace

    def _token_pace(self, limit: int) -> TokenPace:
        pace = TokenPace(limit)
        for ticket in self._flights:
            ticket.tokens = pace.begin(loop_time(), bound_of(ticket.request), ticket.urgent)
        return pace

    def delay(self, bound: Usage | None, urgent: bool) -> float:
        concurrency = self._concurrency
        if len(self._flights) >= concurrency.allowed or self._is_tried():
            return math.inf
        if not (self._requests or self._tokens) and concurrency.opens == -math.inf:
            return 0.0
        now = loop_time()
        delay = concurrency.opens - now
        if delay <= 0.0:
            delay, concurrency.opens = 0.0, -math.inf
        if self._requests:
            delay = max(delay, self._requests.wait(now, 1, urgent))
        if self._tokens and bound:
            delay = max(delay, self._tokens.wait(now, bound, urgent))
        return delay

    def _is_tried(self) -> bool:
        window = self._concurrency.window
        return self._concurrency.trying and any(ticket.window == window for ticket in self._flights)

    def send(self, request: Request, bound: Usage | None, urgent: bool) -> Ticket:
        ticket = Ticket(self._concurrency.window, request, urgent, loop_time())
        if self._requests:
            ticket.request_pace = self._requests, self._requests.take(loop_time(), 1)
        if self._tokens and bound:
            ticket.tokens = self._tokens.begin(loop_time(), bound, urgent)
        self._flights.add(ticket)
        return ticket

    def end(self, ticket: Ticket, used: Usage | None) -> None:
        self._flights.remove(ticket)
        if ticket.tokens:
            ticket.tokens.end(loop_time(), used)

    async def leave(self) -> None:
        return

    def unsent(self, ticket: Ticket) -> None:
        if ticket.request_pace:
            pace, entry = ticket.request_pace
            pace.settle(entry, 0.0)


def paced(pace: P | None, limit: int | None, new: Callable[[int], P]) -> P | None:
    """The pace with a new limit and its old log; None without a limit."""
    if limit is None or pace is None:
        return None if limit is None else new(limit)
    pace.limit = limit
    return pace
