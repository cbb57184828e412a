"""How many calls one account has in flight: shared by every model of that account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from protocols.errors import RateLimited
from protocols.model import ChatModel, Reply, Request


class Limiter:
    """Additive increase, multiplicative decrease between 1 and `most` calls in flight.

    A rate limit halves the number allowed and begins a new window; a window of successes adds one. Calls that began
    in an older window say nothing of this one. Source: Chiu & Jain 1989, as in TCP's congestion avoidance and fast
    recovery (RFC 5681, section 3.1; RFC 6582, section 3.2).
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._slots = anyio.CapacityLimiter(most)
        self._window = 0
        self._successes = 0

    @property
    def allowed(self) -> int:
        """Calls that may be in flight now."""
        return int(self._slots.total_tokens)

    @property
    def in_flight(self) -> int:
        """Calls in flight now."""
        return self._slots.borrowed_tokens

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Holds one slot, and learns from how the block ends: RateLimited is the provider's word to slow down."""
        owner = object()
        await self._slots.acquire_on_behalf_of(owner)
        window = self._window
        try:
            yield
            if window == self._window:
                self._succeeded()
        except RateLimited:
            if window == self._window:
                self._pushed_back()
            raise
        finally:
            self._slots.release_on_behalf_of(owner)

    def _succeeded(self) -> None:
        self._successes += 1
        if self._successes >= self.allowed and self.allowed < self.most:
            self._slots.total_tokens = self.allowed + 1
            self._successes = 0

    def _pushed_back(self) -> None:
        self._slots.total_tokens = max(1, self.allowed // 2)
        self._window += 1
        self._successes = 0


class LimitedModel:
    """Waits for a slot of the account's limiter before every call."""

    def __init__(self, inner: ChatModel, limiter: Limiter) -> None:
        self._inner, self._limiter = inner, limiter

    @property
    def name(self) -> str:
        """The name of the model inside."""
        return self._inner.name

    async def complete(self, request: Request) -> Reply:
        """Answer one request once there is room for it."""
        async with self._limiter.slot():
            return await self._inner.complete(request)
