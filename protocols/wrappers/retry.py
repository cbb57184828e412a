"""Trying again, as long as the adapter says that it may help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

import anyio

from protocols.errors import ModelError
from protocols.model import ChatModel, Reply, Request


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` >= 1 calls; waits of up to `base` * 2**n seconds, never over `longest`."""

    attempts: int = 6
    base: float = 0.5
    longest: float = 60.0


class RetryingModel:
    """Exponential backoff with full jitter; a provider's own `Retry-After` wins where it is longer.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (full jitter).
    """

    def __init__(
        self,
        inner: ChatModel,
        policy: RetryPolicy,
        rng: Random,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._inner, self._policy, self._rng, self._sleep = inner, policy, rng, sleep

    @property
    def name(self) -> str:
        """The name of the model inside."""
        return self._inner.name

    async def complete(self, request: Request) -> Reply:
        """:raises ModelError: the last failure, when it is not retryable or the attempts are used up."""
        for attempt in range(1, self._policy.attempts + 1):
            try:
                return await self._inner.complete(request)
            except ModelError as error:
                if not error.retryable or attempt == self._policy.attempts:
                    raise
                await self._sleep(self._wait(attempt, error.retry_after))
        raise AssertionError("unreachable: the loop returns or raises")

    def _wait(self, attempt: int, retry_after: float | None) -> float:
        ceiling = min(self._policy.longest, self._policy.base * 2.0**attempt)
        return max(self._rng.uniform(0, ceiling), retry_after or 0.0)
