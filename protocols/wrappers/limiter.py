"""What one account may have in flight and send a minute: shared by all of its models, agents and searches."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from protocols.errors import RateLimited
from protocols.model import Allowance, ChatModel, Reply, Request
from protocols.wrappers.pace import Entry, Needs, Pace

MOST = 64
"""Calls in flight where the configuration does not say."""
FIRST = 16
"""Calls in flight at first, where it does not say."""
LONGEST_HOLD = 120.0
"""Seconds for which an account is held back at most before it is tried again."""
EARLIER = 1e-6
"""Seconds by which the clock must be watched for an earlier time for its keeper to be woken."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one account; None: not known. `concurrency`: calls in flight. `requests` and `tokens` a minute."""

    concurrency: int | None = None
    requests: int | None = None
    tokens: int | None = None

    def __or__(self, other: Limits) -> Limits:
        """The stricter of both."""

        def least(one: int | None, two: int | None) -> int | None:
            return min((value for value in (one, two) if value is not None), default=None)

        return Limits(
            least(self.concurrency, other.concurrency),
            least(self.requests, other.requests),
            least(self.tokens, other.tokens),
        )


class Ticket:
    """A call in flight: the window that it began in, its bound in tokens, and what was taken for it."""

    __slots__ = ("bound", "request", "tokens", "window")

    def __init__(self, window: int, bound: int, request: Entry | None, tokens: Entry | None) -> None:
        self.window, self.bound, self.request, self.tokens = window, bound, request, tokens


class Waiter:
    """A call that is not sent yet. `event` is set when it may be, or is to see to the clock."""

    __slots__ = ("bound", "event", "ticket", "urgent")

    def __init__(self, bound: int, urgent: bool) -> None:
        self.bound, self.urgent = bound, urgent
        self.event = anyio.Event()
        self.ticket: Ticket | None = None


class Limiter:
    """Adaptive concurrency, pace and priority.

    Concurrency: what the configuration names is used at once; otherwise it starts low and grows by one with every
    reply (slow start). A rate limit halves it, and from then on a window of replies adds one. Calls that began in an
    older window say nothing of this one. Source: Chiu & Jain 1989, as in TCP's congestion avoidance and fast recovery
    (RFC 5681, section 3.1; RFC 6582, section 3.2). `Retry-After` holds back the whole account, so that its calls do
    not come back one by one to be refused.

    Pace: see `Pace` and `Needs`; tokens are held back before a call and settled after it.

    Priority: urgent calls are first and are not spaced. `clock` gives seconds, those of the event loop.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = anyio.current_time) -> None:
        self.limits = limits
        self.most = limits.concurrency or MOST
        self.allowed = limits.concurrency or FIRST
        self.in_flight = 0
        self._clock = clock
        self._slow_start = True
        self._window = self._replies = 0
        self._opens = -math.inf
        self._needs = Needs()
        self._requests: Pace | None = None
        self._tokens: Pace | None = None
        self._learned: dict[str, tuple[int | None, int | None]] = {}
        self._urgent: deque[Waiter] = deque()
        self._others: deque[Waiter] = deque()
        self._keeper: Waiter | None = None
        self._alarm = math.inf
        self._set_pace()

    def restrict(self, limits: Limits) -> None:
        """Keep to these limits too."""
        if limits.concurrency is not None and self.limits.concurrency is None:
            self.most = self.allowed = limits.concurrency
        self.limits |= limits
        self.most = min(self.most, self.limits.concurrency or self.most)
        self.allowed = min(self.allowed, self.most)
        self._set_pace()

    async def enter(self, request: Request, urgent: bool) -> Ticket:
        """Wait until a call may be sent, and count it."""
        first = not (self._urgent or (self._others and not urgent))
        bound = request.most_tokens if self._tokens or not first else 0
        if first and self._delay(bound, urgent) == 0.0:
            return self._send(bound)
        waiter = Waiter(bound or request.most_tokens, urgent)
        queue = self._urgent if urgent else self._others
        queue.append(waiter)
        try:
            self._admit()
            while waiter.ticket is None:
                await self._wait(waiter)
        except BaseException:
            if waiter.ticket is None:
                queue.remove(waiter)
            else:
                self.leave(waiter.ticket, None)
            raise
        finally:
            if self._keeper is waiter:
                self._keeper, self._alarm = None, math.inf
            self._admit()  # whoever was behind it, or is to watch the clock now
        return waiter.ticket

    def leave(self, ticket: Ticket, used: int | None) -> None:
        """The call has ended; it needed so many tokens, or nobody knows how many (None)."""
        self.in_flight -= 1
        if used is not None and ticket.tokens and self._tokens:
            self._needs.learn(ticket.bound, used)
            self._tokens.settle(ticket.tokens, used)
        self._admit()

    def answered(self, ticket: Ticket) -> None:
        """There was a reply: there may be room for more."""
        if ticket.window != self._window or self.allowed >= self.most:
            return
        self._replies += 1
        if self._slow_start or self._replies >= self.allowed:
            self.allowed += 1
            self._replies = 0

    def pushed_back(self, ticket: Ticket, wait: float | None) -> None:
        """The provider asks to slow down, and to send nothing for `wait` seconds."""
        if wait:
            self._opens = max(self._opens, self._clock() + min(wait, LONGEST_HOLD))
        if ticket.window == self._window:
            self.allowed = max(1, self.allowed // 2)
            self._slow_start = False
            self._window += 1
            self._replies = 0

    def learn(self, model: str, allowance: Allowance) -> None:
        """Keep to what the provider says of a model, to the least of several, unless the configuration says more."""
        told = allowance.requests, allowance.tokens
        if self._learned.get(model) != told:
            self._learned[model] = told
            self._set_pace()

    def _set_pace(self) -> None:
        requests = self.limits.requests or min((r for r, _ in self._learned.values() if r), default=None)
        tokens = self.limits.tokens or min((t for _, t in self._learned.values() if t), default=None)
        self._requests, self._tokens = paced(self._requests, requests), paced(self._tokens, tokens)

    def _delay(self, bound: int, urgent: bool) -> float:
        """Seconds until such a call may be sent, as far as the clock decides; infinite while there is no slot."""
        if self.in_flight >= self.allowed:
            return math.inf
        if not (self._requests or self._tokens) and self._opens == -math.inf:
            return 0.0
        now = self._clock()
        delay = self._opens - now
        if delay <= 0.0:
            delay, self._opens = 0.0, -math.inf
        if self._requests:
            delay = max(delay, self._requests.wait(now, 1, urgent))
        if self._tokens:
            delay = max(delay, self._tokens.wait(now, bound, urgent))
        return delay

    def _send(self, bound: int) -> Ticket:
        now = self._clock() if self._requests or self._tokens else 0.0
        request = self._requests.take(now, 1) if self._requests else None
        tokens = self._tokens.take(now, self._needs.of(bound, self.in_flight)) if self._tokens else None
        self.in_flight += 1
        return Ticket(self._window, bound, request, tokens)

    def _admit(self) -> None:
        """Send what may be sent; if the clock decides when the next one may, somebody must watch it."""
        delay = math.inf
        while queue := self._urgent or self._others:
            delay = self._delay(queue[0].bound, queue[0].urgent)
            if delay > 0.0:
                break
            waiter = queue.popleft()
            waiter.ticket = self._send(waiter.bound)
            waiter.event.set()
        if not queue or delay == math.inf:
            return
        if self._keeper is None:
            self._keeper = queue[0]
            self._keeper.event.set()
        elif self._clock() + delay < self._alarm - EARLIER:
            self._keeper.event.set()

    async def _wait(self, waiter: Waiter) -> None:
        """Wait for a ticket; the keeper looks again when the clock says so."""
        if self._keeper is waiter:
            head = (self._urgent or self._others)[0]
            delay = self._delay(head.bound, head.urgent)
            self._alarm = self._clock() + delay
            with anyio.move_on_after(delay):
                await waiter.event.wait()
        else:
            await waiter.event.wait()
        if waiter.ticket is None:
            waiter.event = anyio.Event()
            self._admit()


class LimitedModel:
    """Waits for the account's limiter before every call. `urgent`: before those that are not."""

    def __init__(self, inner: ChatModel, limiter: Limiter, urgent: bool) -> None:
        self._inner, self._limiter, self._urgent = inner, limiter, urgent

    @property
    def name(self) -> str:
        """The name of the model inside."""
        return self._inner.name

    async def complete(self, request: Request) -> Reply:
        """Answer one request once there is room for it."""
        limiter = self._limiter
        ticket = await limiter.enter(request, self._urgent)
        used: int | None = None
        try:
            reply = await self._inner.complete(request)
            used = reply.usage.total
            limiter.answered(ticket)
            if reply.allowance is not None:
                limiter.learn(self.name, reply.allowance)
            return reply
        except RateLimited as error:
            wait = error.allowance.wait if error.allowance and error.retry_after is None else error.retry_after
            limiter.pushed_back(ticket, wait)
            raise
        finally:
            limiter.leave(ticket, used)


def paced(pace: Pace | None, limit: int | None) -> Pace | None:
    """The pace at a limit, going on with its log; none without a limit."""
    if limit is None or pace is None:
        return None if limit is None else Pace(limit)
    pace.limit = limit
    return pace
