"""Retries calls that failed with a retryable error."""

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
    """At most `attempts` >= 1 calls, not counting those that met a rate limit, because it ends with the provider's
    window. Waits before them are up to `base` * 2**n seconds, at most `longest`.

    `deadline`: seconds after the first attempt was sent, after which no attempt begins. Earlier waits, for its turn
    and for its budget, do not count.
    """

    attempts: int = 6
    base: float = 0.5
    longest: float = 60.0
    deadline: float = 900.0


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock in seconds of the event loop, and the function that sleeps."""

    clock: Callable[[], float] = loop_time
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep


class RetryingModel:
    """Retries with exponential backoff and full jitter; a longer `Retry-After` of the provider takes precedence.

    The adapter limits the time of one attempt: it cancels a call that stalls and raises CallTimeout.
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
        self._inner, self._policy, self._rng, self._breaker = inner, policy, rng, breaker
        self._timing, self._patience = timing or Timing(), patience or Patience()

    @property
    def name(self) -> str:
        """The name of the model inside."""
        return self._inner.name

    async def complete(self, request: Request) -> Reply:
        """:raises ModelError: the last failure, if it is not retryable or no time or attempt is left; or at once, if
        the breaker is open. A rate limit that outlasts the deadline becomes QuotaExhausted.
        :raises Interrupted: a person stopped the search, and the call was not sent or not retried.
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
        """Seconds to wait before the second attempt, the third, and so on."""
        ceiling = self._policy.base
        while True:
            ceiling = min(self._policy.longest, 2 * ceiling)
            yield self._rng.uniform(0, ceiling)


def lasting(error: ModelError, deadline: float) -> ModelError:
    """The error, or QuotaExhausted for a rate limit whose wait exceeds the deadline."""
    if not isinstance(error, RateLimited) or (error.retry_after or 0.0) <= deadline:
        return error
    reason = f"{error.reason}; the provider asks to wait for {error.retry_after:,.0f} s"
    return QuotaExhausted(reason, model=error.model, status=error.status, request_id=error.request_id)
