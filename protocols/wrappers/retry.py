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

ATTEMPTS = 6
"""Maximum number of attempts, without those that met a rate limit, which ends with the provider's window."""
BASE, LONGEST = 0.5, 60.0
"""The wait after the n-th attempt is up to BASE * 2**n seconds, and never over LONGEST."""
DEADLINE = 900.0
"""Seconds after the first attempt was sent, unless configured."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock in seconds of the event loop, and the function that sleeps."""

    clock: Callable[[], float] = loop_time
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep


class RetryingModel:
    """Exponential backoff with full jitter; a provider's own `Retry-After` wins where it is longer. No attempt begins
    later than `deadline` seconds after the first was sent; the first attempt's wait for the limiter and for its
    budget does not count.

    The adapter limits the time of one attempt: it cancels a call that stalls and raises CallTimeout.
    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (full jitter).
    """

    def __init__(
        self,
        inner: ChatModel,
        rng: Random,
        breaker: Breaker,
        deadline: float = DEADLINE,
        timing: Timing | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.name = inner.name
        self._inner, self._rng, self._breaker, self._deadline = inner, rng, breaker, deadline
        self._timing, self._patience = timing or Timing(), patience or Patience()

    async def complete(self, request: Request) -> Reply:
        """:raises ModelError: the last failure, if it is not retryable or no time or attempt is left; or at once, if
        the breaker is open. A rate limit that outlasts the deadline becomes QuotaExhausted.
        :raises Interrupted: a person stopped the search, and the call was not sent or not retried.
        """
        start: float | None = None
        left, waits, patience = ATTEMPTS, self._waits(), self._patience
        patience.calls.begun += 1
        try:
            while True:
                begun = self._breaker.begin()
                patience.check()
                try:
                    reply = await self._inner.complete(request)
                except ModelError as error:
                    failure = self._breaker.failed(begun, lasting(error, self._deadline))
                    patience.failed(failure)
                    now = self._timing.clock()
                    if start is None:
                        start = now if error.sent is None else error.sent
                    left -= not isinstance(failure, RateLimited)
                    wait = max(next(waits), failure.retry_after or 0.0)
                    if not failure.retryable or not left or now + wait > start + self._deadline:
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
        ceiling = BASE
        while True:
            ceiling = min(LONGEST, 2 * ceiling)
            yield self._rng.uniform(0, ceiling)


def lasting(error: ModelError, deadline: float) -> ModelError:
    """The error, or QuotaExhausted for a rate limit whose wait exceeds the deadline."""
    if not isinstance(error, RateLimited) or (error.retry_after or 0.0) <= deadline:
        return error
    reason = f"{error.reason}; the provider asks to wait for {error.retry_after:,.0f} s"
    return QuotaExhausted(reason, model=error.model, status=error.status, request_id=error.request_id)
