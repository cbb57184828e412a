"""The limiter of one account's calls in flight and per minute, shared by all its models, agents and searches."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TypeVar

import anyio

from protocols.model import Allowance, Request, Usage
from protocols.pacing.clock import loop_time
from protocols.pacing.pace import Entry, Pace
from protocols.pacing.tokens import Flight, TokenPace, bound_of
from protocols.pacing.waiting import Patience

P = TypeVar("P", Pace, TokenPace)
MOST = 64
"""Default limit of the calls in flight."""
FIRST = 16
"""Calls in flight at the start, if the configuration sets no limit."""
LONGEST_HOLD = 120.0
"""Longest time in seconds for which an account is held back before it is tried again."""
FIRST_HOLD, LONGEST_OWN_HOLD = 1.0, 60.0
"""The first and the longest hold in seconds if the provider names no wait: most quotas are per minute."""
EARLIER = 1e-6
"""The waiter that watches the clock is woken only if its deadline moves earlier by more than this many seconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one account; None: unknown. `concurrency`: calls in flight. `requests`, `tokens`: per minute."""

    concurrency: int | None = None
    requests: int | None = None
    tokens: int | None = None

    def __or__(self, other: Limits) -> Limits:
        """The stricter of both limits, each by itself."""

        def least(one: int | None, two: int | None) -> int | None:
            return min((value for value in (one, two) if value is not None), default=None)

        return Limits(
            least(self.concurrency, other.concurrency),
            least(self.requests, other.requests),
            least(self.tokens, other.tokens),
        )


class Ticket:
    """A call in flight: the window that it began in, when it was sent, and its reservations. `ends`: when it times
    out, if known."""

    __slots__ = ("ends", "request", "request_pace", "sent", "tokens", "urgent", "window")

    def __init__(self, window: int, request: Request, urgent: bool, sent: float) -> None:
        self.window, self.request, self.urgent, self.sent = window, request, urgent, sent
        self.tokens: Flight | None = None
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


class Limiter:
    """Adaptive concurrency, pace and priority.

    Concurrency: a configured limit is used from the start; otherwise it starts low and grows by one with every reply
    (slow start). A rate limit halves it, and from then on one window of replies adds one. Calls that began in an
    older window do not count in the current one. Source: Chiu & Jain 1989, as in TCP's congestion avoidance and fast
    recovery (RFC 5681, section 3.1; RFC 6582, section 3.2). `Retry-After` holds back the whole account, so that its
    calls are not refused one by one. If the provider names no wait, the hold is 1 s, 2 s, 4 s and so on, and one call
    is sent after each hold until there is a reply.

    Pace: see `Pace` and `TokenPace`. Limits that become known later apply to the calls in flight too.

    Priority: urgent calls are first and are not spaced.
    """

    def __init__(self, limits: Limits) -> None:
        self._leases = [limits]
        self.limits = limits
        self.most = limits.concurrency or MOST
        self.allowed = limits.concurrency or FIRST
        self._in_flight: set[Ticket] = set()
        self._slow_start = True
        self._window = self._replies = 0
        self._opens = -math.inf
        self._hold = FIRST_HOLD
        self._requests: Pace | None = None
        self._tokens: TokenPace | None = None
        self._learned: dict[str, tuple[int | None, int | None]] = {}
        self._urgent: deque[Waiter] = deque()
        self._others: deque[Waiter] = deque()
        self._keeper: Waiter | None = None
        self._alarm = math.inf
        self._set_pace()

    @property
    def in_flight(self) -> int:
        """Number of calls that were sent and have not ended."""
        return len(self._in_flight)

    @property
    def flights(self) -> Collection[Ticket]:
        """The calls that were sent and have not ended."""
        return self._in_flight

    @property
    def queued(self) -> int:
        """Number of calls that wait to be sent."""
        return len(self._urgent) + len(self._others)

    @property
    def held(self) -> float:
        """Seconds for which the account is held back by what its provider said; 0: it is not."""
        return 0.0 if self._opens == -math.inf else max(0.0, self._opens - loop_time())

    def restrict(self, limits: Limits) -> None:
        """Apply these limits too, until they are given back."""
        self._leases.append(limits)
        self._keep_to_leases()

    def give_back(self, limits: Limits) -> None:
        """Drop these limits, because their search has ended; the last remaining ones stay in force."""
        self._leases.remove(limits)
        if self._leases:
            self._keep_to_leases()

    def _keep_to_leases(self) -> None:
        named, self.limits = self.limits.concurrency, reduce(or_, self._leases)
        now = self.limits.concurrency
        self.most = now or MOST
        if now is not None and (named is None or (now > named and self._slow_start)):
            self.allowed = now
        self.allowed = min(self.allowed, self.most)
        self._set_pace()
        self._admit()

    def enter_now(self, request: Request, urgent: bool) -> Ticket | None:
        """Count a call if it may be sent at once; else None."""
        if self._urgent or (self._others and not urgent):
            return None
        bound = bound_of(request) if self._tokens else None
        return self._send(request, bound, urgent) if self._delay(bound, urgent) == 0.0 else None

    async def enter(self, request: Request, urgent: bool, patience: Patience | None = None) -> Ticket:
        """Wait until a call may be sent, and count it.

        :raises Interrupted: `patience` was stopped before.
        """
        if ticket := self.enter_now(request, urgent):
            return ticket
        waiter, patience = Waiter(request, bound_of(request), urgent), patience or Patience()
        queue = self._urgent if urgent else self._others
        queue.append(waiter)
        patience.queued.add(waiter)
        try:
            self._admit()
            while waiter.ticket is None:
                await self._wait(waiter)
                if waiter.stopped:
                    raise patience.interrupted()
        except BaseException:
            if waiter.ticket is None:
                queue.remove(waiter)
            else:
                self.leave(waiter.ticket, None)
            raise
        finally:
            patience.queued.discard(waiter)
            if self._keeper is waiter:
                self._keeper, self._alarm = None, math.inf
            self._admit()  # the next waiter may be sent, or must watch the clock now
        return waiter.ticket

    def leave(self, ticket: Ticket, used: Usage | None) -> None:
        """Count the end of a call. `used`: the tokens that it needed; None: unknown."""
        self._in_flight.remove(ticket)
        if ticket.tokens:
            ticket.tokens.end(loop_time(), used)
        self._admit()

    def unsent(self, ticket: Ticket) -> None:
        """Remove from the pace a call that was not sent after all."""
        if ticket.request_pace:
            pace, entry = ticket.request_pace
            pace.settle(entry, 0.0)

    def answered(self, ticket: Ticket) -> None:
        """Record a reply, which may raise the concurrency."""
        if ticket.window != self._window:
            return
        self._hold = FIRST_HOLD
        if self.allowed >= self.most:
            return
        self._replies += 1
        if self._slow_start or self._replies >= self.allowed:
            self.allowed += 1
            self._replies = 0

    def pushed_back(self, ticket: Ticket, wait: float | None) -> None:
        """Slow down after a rate limit, and send nothing for `wait` seconds; None or 0: no wait was named."""
        if wait:
            self._opens = max(self._opens, loop_time() + min(wait, LONGEST_HOLD))
        if ticket.window == self._window:
            if not wait:
                self._opens = max(self._opens, loop_time() + self._hold)
                self._hold = min(2 * self._hold, LONGEST_OWN_HOLD)
            self.allowed = max(1, self.allowed // 2)
            self._slow_start = False
            self._window += 1
            self._replies = 0

    def learn(self, model: str, allowance: Allowance) -> None:
        """Apply a model's limits as its provider reports them, the lowest of all models, unless configured limits
        replace them."""
        told = allowance.requests, allowance.tokens
        if self._learned.get(model) != told:
            self._learned[model] = told
            self._set_pace()

    def _set_pace(self) -> None:
        requests = self.limits.requests or min((r for r, _ in self._learned.values() if r), default=None)
        tokens = self.limits.tokens or min((t for _, t in self._learned.values() if t), default=None)
        self._requests = paced(self._requests, requests, self._request_pace)
        self._tokens = paced(self._tokens, tokens, self._token_pace)

    def _request_pace(self, limit: int) -> Pace:
        """A new pace, in which the calls in flight count as sent now."""
        pace = Pace(limit)
        if self._in_flight:
            pace.take(loop_time(), len(self._in_flight))
        return pace

    def _token_pace(self, limit: int) -> TokenPace:
        pace = TokenPace(limit)
        for ticket in self._in_flight:
            ticket.tokens = pace.begin(loop_time(), bound_of(ticket.request), ticket.urgent)
        return pace

    def _delay(self, bound: Usage | None, urgent: bool) -> float:
        """Seconds until such a call may be sent; infinite if another call must end first."""
        if len(self._in_flight) >= self.allowed or self._is_tried():
            return math.inf
        if not (self._requests or self._tokens) and self._opens == -math.inf:
            return 0.0
        now = loop_time()
        delay = self._opens - now
        if delay <= 0.0:
            delay, self._opens = 0.0, -math.inf
        if self._requests:
            delay = max(delay, self._requests.wait(now, 1, urgent))
        if self._tokens and bound:
            delay = max(delay, self._tokens.wait(now, bound, urgent))
        return delay

    def _is_tried(self) -> bool:
        """Whether one call is in flight to test, after a hold of our own, if the account accepts calls again."""
        return self._hold > FIRST_HOLD and any(ticket.window == self._window for ticket in self._in_flight)

    def _send(self, request: Request, bound: Usage | None, urgent: bool) -> Ticket:
        ticket = Ticket(self._window, request, urgent, loop_time())
        if self._requests:
            ticket.request_pace = self._requests, self._requests.take(loop_time(), 1)
        if self._tokens and bound:
            ticket.tokens = self._tokens.begin(loop_time(), bound, urgent)
        self._in_flight.add(ticket)
        return ticket

    def _admit(self) -> None:
        """Let all waiters go that may be sent; if the next one waits for a time, make one waiter watch the clock."""
        delay = math.inf
        while queue := self._urgent or self._others:
            delay = self._delay(queue[0].bound, queue[0].urgent)
            if delay > 0.0:
                break
            waiter = queue.popleft()
            waiter.ticket = self._send(waiter.request, waiter.bound, waiter.urgent)
            waiter.event.set()
        if not queue or delay == math.inf:
            return
        if self._keeper is None:
            self._keeper = queue[0]
            self._keeper.event.set()
        elif loop_time() + delay < self._alarm - EARLIER:
            self._keeper.event.set()

    async def _wait(self, waiter: Waiter) -> None:
        """Wait for a ticket. The keeper, which watches the clock, admits calls again when the next may be sent."""
        if self._keeper is waiter:
            head = (self._urgent or self._others)[0]
            delay = self._delay(head.bound, head.urgent)
            self._alarm = loop_time() + delay
            with anyio.move_on_after(delay):
                await waiter.event.wait()
        else:
            await waiter.event.wait()
        if waiter.ticket is None:
            waiter.event = anyio.Event()
            self._admit()


def paced(pace: P | None, limit: int | None, new: Callable[[int], P]) -> P | None:
    """The pace with a new limit and its old log; None without a limit."""
    if limit is None or pace is None:
        return None if limit is None else new(limit)
    pace.limit = limit
    return pace
