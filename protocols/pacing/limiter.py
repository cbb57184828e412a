"""The limiter of one account's calls in flight and per minute, shared by all its models, agents and searches."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import reduce
from operator import or_

import anyio

from protocols.model import Allowance, Request, Usage
from protocols.pacing.alone import Alone
from protocols.pacing.clock import loop_time
from protocols.pacing.limits import Limits
from protocols.pacing.tickets import Calls, Gate, Ticket, Waiter
from protocols.pacing.tokens import bound_of
from protocols.pacing.waiting import Patience

EARLIER = 1e-6
"""The waiter that watches the clock is woken only if its deadline moves earlier by more than this many seconds."""


class Limiter:
    """Queues the calls of one account until its gate admits them.

    `gate` makes it; None: it is that of a process that shares the account with no other, see `Alone`. `Leased` shares
    it.

    Priority: urgent calls are first and are not spaced.
    """

    def __init__(self, limits: Limits, gate: Callable[[Limits, Calls], Gate] | None = None) -> None:
        self._asked = [limits]
        self.limits = limits
        self._calls = Calls(self.admit)
        self._in_flight = self._calls.flights
        self._urgent, self._others = self._calls.urgent, self._calls.others
        self._gate: Gate = gate(limits, self._calls) if gate else Alone(limits, self._calls)
        self._keeper: Waiter | None = None
        self._alarm = math.inf

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
        return self._calls.queued

    @property
    def allowed(self) -> int:
        """Calls that may be in flight now."""
        return self._gate.allowed

    @property
    def most(self) -> int:
        """Calls in flight that `allowed` may grow to."""
        return self._gate.most

    @property
    def held(self) -> float:
        """Seconds for which the account is held back by what its provider said; 0: it is not."""
        return self._gate.held

    @property
    def failure(self) -> str:
        """Why the account's quota cannot be reached; "" if it can."""
        return self._gate.failure

    def restrict(self, limits: Limits) -> None:
        """Apply these limits too, until they are given back."""
        self._asked.append(limits)
        self._apply()

    def give_back(self, limits: Limits) -> None:
        """Drop these limits, because their search has ended; the last remaining ones stay in force."""
        self._asked.remove(limits)
        if self._asked:
            self._apply()

    def _apply(self) -> None:
        self.limits = reduce(or_, self._asked)
        self._gate.keep_to(self.limits)
        self.admit()

    def enter_now(self, request: Request, urgent: bool) -> Ticket | None:
        """Count a call if it may be sent at once; else None."""
        if self._urgent or (self._others and not urgent):
            return None
        bound = bound_of(request) if self._gate.counts_tokens else None
        return self._gate.send(request, bound, urgent) if self._gate.delay(bound, urgent) == 0.0 else None

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
            self.admit()
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
            self.admit()  # the next waiter may be sent, or must watch the clock now
        return waiter.ticket

    def leave(self, ticket: Ticket, used: Usage | None) -> None:
        """Count the end of a call. `used`: the tokens that it needed; None: unknown."""
        self._gate.end(ticket, used)
        self.admit()

    def unsent(self, ticket: Ticket) -> None:
        """Remove from the pace a call that was not sent after all."""
        self._gate.unsent(ticket)

    def answered(self, ticket: Ticket) -> None:
        """Record a reply, which may raise the concurrency."""
        self._gate.answered(ticket)

    def pushed_back(self, ticket: Ticket, wait: float | None) -> None:
        """Slow down after a rate limit, and send nothing for `wait` seconds; None or 0: no wait was named."""
        self._gate.pushed_back(ticket, wait)

    def learn(self, model: str, allowance: Allowance) -> None:
        """Apply a model's limits as its provider reports them, the lowest of all models, unless configured limits
        replace them."""
        self._gate.learn(model, allowance)

    async def close(self) -> None:
        """No more calls are made: give back what others may use."""
        await self._gate.leave()

    def admit(self) -> None:
        """Let all waiters go that may be sent; if the next one waits for a time, make one waiter watch the clock."""
        delay = math.inf
        while queue := self._urgent or self._others:
            delay = self._gate.delay(queue[0].bound, queue[0].urgent)
            if delay > 0.0:
                break
            waiter = queue.popleft()
            waiter.ticket = self._gate.send(waiter.request, waiter.bound, waiter.urgent)
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
            delay = self._gate.delay(head.bound, head.urgent)
            self._alarm = loop_time() + delay
            with anyio.move_on_after(delay):
                await waiter.event.wait()
        else:
            await waiter.event.wait()
        if waiter.ticket is None:
            waiter.event = anyio.Event()
            self.admit()
