"""State shared by all searches of a process: one limiter per account, and what is known of each of its models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from agents.models.quotas import Quotas
from protocols.leases.member import Leased
from protocols.pacing.breaker import Breaker
from protocols.pacing.clock import loop_time
from protocols.pacing.limiter import Limiter
from protocols.pacing.limits import Limits
from protocols.pacing.waiting import Calls
from protocols.providers.catalogue import Account
from protocols.wrappers.temperature import Temperature
from protocols.wrappers.warming import Prefixes
from protocols.wrappers.window import Window


@dataclass(frozen=True, slots=True)
class Waits:
    """A snapshot of what the calls of a process wait for; times are in seconds relative to it.

    `in_flight`: number of calls sent; `oldest`: how long ago the oldest was sent; `within`: when all will have ended
    at the latest (None: unknown). `queued`: calls waiting to be sent. `naps`: calls waiting for their next try;
    `next_try`: seconds until the first of these tries. `held`: accounts that are held back, as (address, seconds).
    `unreachable`: accounts whose quota cannot be reached, as (address, reason).
    `batches`: batches that are waited for, in words. `loading`: models being loaded. `others`: calls waiting for
    their budget, or for another call with the same prefix. `replies`: number so far; `answered`: seconds since the
    last. `failures`: failed tries since then; `last`: the latest failure.
    """

    in_flight: int
    oldest: float
    within: float | None
    queued: int
    naps: int
    next_try: float
    held: tuple[tuple[str, float], ...]
    loading: tuple[str, ...]
    others: int
    replies: int
    answered: float | None
    failures: int
    last: str
    unreachable: tuple[tuple[str, str], ...] = ()
    batches: tuple[str, ...] = ()


class Accounts:
    """The shared state of every account, created on demand. An account is a provider, a base URL and a key.

    Within `sharing`, limits are also shared with other processes: by leases of `quotas`.
    """

    def __init__(self, quotas: Quotas | None = None) -> None:
        self._quotas, self._closing = quotas, ExitStack()
        self._tasks: TaskGroup | None = None
        self._limiters: dict[Account, Limiter] = {}
        self._breakers: dict[tuple[Account, str, str], Breaker] = {}
        self._prefixes: dict[tuple[Account, str], Prefixes] = {}
        self.calls = Calls()
        self._windows: dict[tuple[Account, str], Window] = {}
        self._temperatures: dict[tuple[Account, str, str], Temperature] = {}

    @asynccontextmanager
    async def sharing(self) -> AsyncIterator[None]:
        """Share limits with other processes while the block runs; all leases are given back at its end. Within
        another such block this does nothing."""
        if self._quotas is None or self._tasks is not None:
            yield
            return
        failed: Exception | None = None
        with self._closing:
            try:
                async with anyio.create_task_group() as self._tasks:
                    try:
                        yield
                    except Exception as error:  # the group would wrap it
                        failed = error
                    self._tasks.cancel_scope.cancel()
            finally:
                self._tasks = None
                for limiter in self._limiters.values():
                    await limiter.close()
        if failed is not None:
            raise failed

    def _begin(self, keep: Callable[[], Coroutine[Any, Any, None]]) -> None:
        assert self._tasks is not None, "leases are kept within `sharing` alone"
        self._tasks.start_soon(keep, name="lease")

    def _new(self, account: Account, limits: Limits) -> Limiter:
        source = self._quotas.source(account, self._closing) if self._quotas and self._tasks else None
        return Limiter(limits, partial(Leased, source, self._begin) if source else None)

    def limiter(self, account: Account, limits: Limits, closing: AsyncExitStack | None = None) -> Limiter:
        """The limiter of an account. It applies the strictest of all requested limits, and these until `closing`, the
        exit stack of the requesting search, is closed; None: permanently."""
        limiter = self._limiters.get(account)
        if limiter is None:
            limiter = self._limiters[account] = self._new(account, limits)
        else:
            limiter.restrict(limits)
        if closing is not None:
            closing.callback(limiter.give_back, limits)
        return limiter

    def breaker(self, account: Account, model: str, role: str) -> Breaker:
        """The breaker of one role, because another role's requests to the model may be refused for other reasons."""
        return self._breakers.setdefault((account, model, role), Breaker())

    def window(self, account: Account, model: str) -> Window:
        """The context window of a model, shared by all roles."""
        return self._windows.setdefault((account, model), Window())

    def temperature(self, account: Account, model: str, asked: str = "") -> Temperature:
        """Whether the model accepts a temperature together with `asked`, the key of its `Parameters`: some models
        accept one only if they do not think."""
        return self._temperatures.setdefault((account, model, asked), Temperature())

    def prefixes(self, account: Account, model: str) -> Prefixes:
        """The prefixes in the provider's cache for a model."""
        return self._prefixes.setdefault((account, model), Prefixes())

    def waits(self) -> Waits:
        """Everything that calls wait for now."""
        calls, now = self.calls, loop_time()
        flights = [ticket for limiter in self._limiters.values() for ticket in limiter.flights]
        queued = sum(limiter.queued for limiter in self._limiters.values())
        ends = [ticket.ends - now for ticket in flights if ticket.ends is not None]
        return Waits(
            in_flight=len(flights),
            oldest=max((now - ticket.sent for ticket in flights), default=0.0),
            within=max(0.0, *ends) if ends and len(ends) == len(flights) else None,
            queued=queued,
            naps=len(calls.naps),
            next_try=max(0.0, min((nap.until - now for nap in calls.naps), default=0.0)),
            held=tuple(
                (account.address or account.provider, limiter.held)
                for account, limiter in self._limiters.items()
                if limiter.held and (limiter.queued or limiter.flights)
            ),
            loading=tuple(sorted({*calls.loading})),
            others=max(0, calls.begun - len(flights) - queued - len(calls.naps)),
            replies=calls.replies,
            answered=None if calls.answered is None else now - calls.answered,
            failures=calls.failures,
            last=str(calls.last) if calls.failures else "",
            unreachable=tuple(
                (account.address or account.provider, limiter.failure)
                for account, limiter in self._limiters.items()
                if limiter.failure and limiter.queued
            ),
            batches=tuple(calls.batches.values()),
        )
