"""A member of a quota: the gate of one process, which spends leases and asks for the next ones in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any
from uuid import uuid4

import anyio

from protocols.leases.lease import NOTHING, Demand, Lease, NoLease, Report, Source
from protocols.leases.quota import RENEW
from protocols.model import Allowance, Request, Usage
from protocols.pacing.clock import loop_time
from protocols.pacing.concurrency import LONGEST_HOLD
from protocols.pacing.limits import Limits
from protocols.pacing.tickets import Calls, Learned, Ticket, Waiter
from protocols.pacing.tokens import SURPRISE, Reserve, bound_of

GAP = 0.1
"""Least seconds between two exchanges, unless a rate limit or a new limit is to be reported."""
RETRY = 1.0
"""Seconds after which a failed exchange is tried again."""
GOODBYE = 2.0
"""Seconds that giving back a lease may take."""
NONE = Usage(0, 0)
Begin = Callable[[Callable[[], Coroutine[Any, Any, None]]], object]
"""Starts a task, which may be cancelled once no more calls are made."""


class Leased:
    """Admits calls within a lease of `source`, and otherwise none.

    While there are calls a task, started by `begin`, asks for the next lease: every `RENEW` seconds; after `GAP` if
    calls wait that the lease cannot admit and that were not reported; at once after a rate limit, and nothing is sent
    before the answer. Once nothing was sent for that long and no call is in flight, it gives the lease back and ends.
    """

    def __init__(self, source: Source, begin: Begin, limits: Limits, calls: Calls) -> None:
        self._source, self._begin, self._limits, self._calls = source, begin, limits, calls
        self._name, self._learned = uuid4().hex, Learned()
        self._lease, self._report = Lease(), Report()
        self._asked = self._ends = self._opens = -math.inf
        self._reserve: Reserve | None = None
        self._bound = NONE
        self._requests = self._tokens = 0.0
        self._sent = self._used = self._replies = 0
        self._wait = -math.inf
        self._pushed_back = self._blocked = self._news = self._short = False
        self._keeping, self._alarm, self._event = False, -math.inf, anyio.Event()
        self._failure, self._known = "", False

    @property
    def failure(self) -> str:
        return self._failure

    @property
    def allowed(self) -> int:
        return self._lease.places

    @property
    def most(self) -> int:
        return self._lease.limits.concurrency or self._lease.places

    @property
    def counts_tokens(self) -> bool:
        return self._reserve is not None

    @property
    def held(self) -> float:
        return 0.0 if self._opens == -math.inf else max(0.0, self._opens - loop_time())

    def keep_to(self, limits: Limits) -> None:
        if limits != self._limits:
            self._limits = limits
            self._tell()

    def delay(self, bound: Usage | None, urgent: bool) -> float:
        now, lease = loop_time(), self._lease
        if now >= self._ends or self._blocked:
            return self._ask()
        if len(self._calls.flights) >= lease.places:
            return math.inf if lease.whole else self._ask()
        if lease.trial and any(ticket.window == lease.window for ticket in self._calls.flights):
            return math.inf
        if self._opens > now:
            return self._opens - now
        if lease.requests is not None and self._requests < 1:
            return self._ask()
        if self._reserve is not None and bound and not self._fits(self._reserve.most(bound, urgent)):
            return self._ask()
        return 0.0

    def _fits(self, needed: float) -> bool:
        """Whether the tokens of the lease cover this need. A call over the limit is sent alone."""
        most = self._most_tokens
        return min(needed, most) <= self._tokens and (needed <= most or not self._calls.flights)

    @property
    def _most_tokens(self) -> float:
        limit = self._lease.limits.tokens
        return math.inf if limit is None else int(limit * (1.0 - SURPRISE))

    def send(self, request: Request, bound: Usage | None, urgent: bool) -> Ticket:
        ticket = Ticket(self._lease.window, request, urgent, loop_time())
        if self._reserve is not None:
            self._bound = bound or bound_of(request)
            ticket.reserved = self._reserve.begin(self._bound, urgent)
        self._sent += 1
        self._requests -= 1
        self._calls.flights.add(ticket)
        return ticket

    def end(self, ticket: Ticket, used: Usage | None) -> None:
        self._calls.flights.remove(ticket)
        counted = used or NONE
        if self._reserve is not None and ticket.reserved is not None:
            counted = self._reserve.end(ticket.reserved, used)
        self._used += counted.total
        self._tokens -= counted.total

    def unsent(self, ticket: Ticket) -> None:
        if ticket.sent > self._asked:  # else it is already reported
            self._sent -= 1
            self._requests += 1

    def answered(self, ticket: Ticket) -> None:
        if ticket.window == self._lease.window:
            self._replies += 1
            if self._lease.trial:
                self._tell()

    def pushed_back(self, ticket: Ticket, wait: float | None) -> None:
        if wait:
            self._wait = max(self._wait, loop_time() + min(wait, LONGEST_HOLD))
            self._opens = max(self._opens, self._wait)
        if ticket.window == self._lease.window:
            self._pushed_back = self._blocked = True
            self._tell()

    def learn(self, model: str, told: Allowance) -> None:
        if self._learned.learn(model, told):
            self._tell()

    def _tell(self) -> None:
        """Report at once."""
        self._news = True
        self._wake()

    def _ask(self) -> float:
        """More is needed than the lease has."""
        self._short = True
        if not self._keeping:
            self._keeping = True
            self._begin(self._keep)
        self._wake()
        return math.inf

    def _wake(self) -> None:
        if self._alarm > self._due():
            self._event.set()

    def _due(self) -> float:
        """When to ask for the next lease."""
        if self._news:
            return self._asked
        if self._failure:
            return self._asked + RETRY
        lease, calls = self._lease, self._calls
        if self._short and calls.queued:
            new = not self._report.waiting or (bool(calls.urgent) and not self._report.urgent.calls)
            grown = lease.growing and self._replies >= max(1, lease.places // 2)
            return self._asked + (GAP if new or grown or not lease.seconds else lease.again)
        drained = len(calls.flights) <= lease.places < self._report.in_flight
        return self._asked + (lease.again if drained else RENEW)

    async def _keep(self) -> None:
        """Renew the lease until there is nothing to do."""
        stays = True
        try:
            while stays := await self._renew():
                while (due := self._due()) > loop_time():
                    self._alarm, self._event = due, anyio.Event()
                    with anyio.move_on_after(due - loop_time()):
                        await self._event.wait()
                self._alarm = -math.inf
        finally:
            self._keeping, self._alarm = False, -math.inf
            if stays:  # it was cancelled
                await self.leave()

    async def _renew(self) -> bool:
        """Exchange a report for a lease; whether there is more to do."""
        report = self._report = self._take_stock()
        self._asked, self._known = loop_time(), True
        try:
            lease = await self._source.exchange(self._name, report)
        except NoLease as error:
            self._failure = str(error) or type(error).__name__
            self._sent, self._used = self._sent + report.sent, self._used + report.used
            self._replies += report.replies
            self._pushed_back |= report.pushed_back
            return True
        self._failure = ""
        self._take(lease)
        self._calls.admit()
        return bool(lease.seconds or self._calls.queued)

    async def leave(self) -> None:
        if not self._known:
            return
        self._known, self._ends = False, -math.inf
        report = replace(self._take_stock(), ends=True, held_requests=0, held_tokens=0)
        self._lease = Lease()
        with anyio.move_on_after(GOODBYE, shield=True):
            try:
                await self._source.exchange(self._name, report)
            except NoLease:  # it ends by itself
                return

    def _take_stock(self) -> Report:
        """What to report, which is counted anew from now on. What the lease has beyond the demand is given back."""
        now, calls = loop_time(), self._calls
        live, limited = now < self._ends, self._lease.requests is not None
        requests = math.inf if live and not limited else max(0.0, self._requests) if live else 0.0
        base = self._reserve.most(NONE, False) if self._reserve else 0.0
        tokens = math.inf if self._reserve is None else (self._tokens - base if live else 0.0)
        elapsed = max(GAP, min(now - self._asked, RENEW))
        expected = math.ceil(self._sent * RENEW / elapsed)
        held_requests, held_tokens, demands = 0, base, []
        for queue, more in ((calls.urgent, 0), (calls.others, expected)):
            each = self._each(queue[0] if queue else None, base)
            number = len(queue) + more
            covered = int(max(0.0, min(number, requests, tokens / each if each else math.inf)))
            missing, held_requests = number - covered, held_requests + covered
            requests, tokens = requests - covered, max(0.0, tokens - covered * each)
            held_tokens += covered * each + (tokens if missing and each else 0.0)
            needed = each and (each - tokens, missing * each - tokens)
            first, total = (max(0, math.ceil(amount)) for amount in needed) if needed else (0, 0)
            demands.append(Demand(missing, first, max(first, total)) if missing else NOTHING)
            tokens = 0.0 if missing else tokens
        idle = not (calls.flights or calls.queued or self._sent)
        report = Report(
            limits=self._limits,
            learned=self._learned.limits,
            sent=max(0, self._sent),
            used=self._used,
            held_requests=held_requests if limited else 0,
            held_tokens=math.ceil(held_tokens),
            share=self._reserve.share(self._bound) if self._reserve else 1.0,
            in_flight=len(calls.flights),
            places=self._lease.places if live else 0,
            window=self._lease.window,
            replies=self._replies,
            pushed_back=self._pushed_back,
            wait=max(0.0, self._wait - now),
            waiting=calls.queued,
            urgent=demands[0],
            others=demands[1],
            leaves=idle,
        )
        self._requests, self._tokens = float(report.held_requests), float(report.held_tokens)
        self._sent = self._used = self._replies = 0
        self._pushed_back = self._news = self._short = False
        self._wait = -math.inf
        return report

    def _each(self, waiter: Waiter | None, base: float) -> float:
        """The tokens that one more call may need."""
        if self._reserve is None:
            return 0.0
        bound, urgent = (waiter.bound, waiter.urgent) if waiter else (self._bound, False)
        return max(0.0, min(self._reserve.most(bound, urgent), self._most_tokens) - base)

    def _take(self, lease: Lease) -> None:
        if lease.window != self._lease.window:
            self._replies, self._pushed_back = 0, False
        self._lease, self._blocked = lease, self._pushed_back
        self._ends = self._asked + lease.seconds if lease.seconds else -math.inf
        if lease.hold:
            self._opens = max(self._opens, loop_time() + lease.hold)
        elif self._opens <= loop_time():
            self._opens = -math.inf
        self._requests = math.inf if lease.requests is None else lease.requests - self._sent
        self._tokens = 0.0 if lease.tokens is None else lease.tokens - self._used
        if lease.tokens is None:
            self._reserve = None
        elif self._reserve is None:
            self._reserve = Reserve()
            for ticket in self._calls.flights:
                ticket.reserved = self._reserve.begin(bound_of(ticket.request), ticket.urgent)
