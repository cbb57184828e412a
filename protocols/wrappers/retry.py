"""Trying again, as long as the adapter says that it may help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from random import Random

import anyio

from protocols.errors import ModelError, QuotaExhausted, RateLimited
from protocols.model import ChatModel, Reply, Request
from protocols.pacing.breaker import Breaker
from protocols.pacing.clock import loop_time
from protocols.pacing.waiting import Patience


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` >= 1 calls, those that met a rate limit not counted: it is over when the provider's window
    is. Waits of up to `base` * 2**n seconds, never over `longest`.

    `deadline`: seconds after the first attempt was sent; no attempt begins later. What it waited before, for its turn
    and for its budget, does not count.
    """

    attempts: int = 6
    base: float = 0.5
    longest: float = 60.0
    deadline: float = 900.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of the event loop, and how to let some pass."""

    clock: Callable[[], float] = loop_time
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep


class RetryingModel:
    """Exponential backoff with full jitter; a provider's own `Retry-After` wins where it is longer.

    One attempt's time is limited by the adapter: a call that stalls is cancelled there, and is a CallTimeout here.
    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (full jitter).
    """

    def __init__(
        self,
        inner: ChatModel,
        policy: RetryPolicy,
        rng: Random,
        breaker: Breaker,
        timing: Timing | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.name = inner.name
        self._inner, self._policy, self._rng, self._breaker = inner, policy, rng, breaker
        self._timing, self._patience = timing or Timing(), patience or Patience()

    async def complete(self, request: Request) -> Reply:
        """:raises ModelError: the last failure, when it is not retryable or there is no time or no attempt left; or
        at once what every call to this model meets. A rate limit that outlasts the deadline is an exhausted quota.
        :raises Interrupted: a person has stopped the search, and the call was not sent, or not again.
        """
        start: float | None = None
        left, waits, patience = self._policy.attempts, self._waits(), self._patience
        patience.calls.begun += 1
        try:
            while True:
                begun = self._breaker.begin()
                patience.check()
                try:
                    reply = await self._inner.complete(request)
                except ModelError as error:
                    failure = self._breaker.failed(begun, lasting(error, self._policy.deadline))
                    patience.failed(failure)
                    now = self._timing.clock()
                    if start is None:
                        start = now if error.sent is None else error.sent
                    left -= not isinstance(failure, RateLimited)
                    wait = max(next(waits), failure.retry_after or 0.0)
                    if not failure.retryable or not left or now + wait > start + self._policy.deadline:
                        raise failure from None
                else:
                    self._breaker.worked()
                    patience.replied()
                    return reply
                await patience.nap(wait, failure, self._timing.sleep)
        finally:
            patience.calls.begun -= 1

    def _waits(self) -> Iterator[float]:
        """Seconds before the second attempt, the third, and so on."""
        ceiling = self._policy.base
        while True:
            ceiling = min(self._policy.longest, 2 * ceiling)
            yield self._rng.uniform(0, ceiling)


def lasting(error: ModelError, deadline: float) -> ModelError:
    """The error, or, for a rate limit that asks to wait for longer than any call may, the quota's."""
    if not isinstance(error, RateLimited) or (error.retry_after or 0.0) <= deadline:
        return error
    reason = f"{error.reason}; the provider asks to wait for {error.retry_after:,.0f} s"
    return QuotaExhausted(reason, model=error.model, status=error.status, request_id=error.request_id)
