"""Tracks the waiting calls of a process, and decides whether they may go on waiting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import anyio

from protocols.errors import BadRequest, CallTimeout, Interrupted, ModelError
from protocols.pacing.clock import loop_time

SILENT = 3
"""Number of failures in a row after which a model counts as not answering."""
BRIEF = 5.0
"""Longest hold in seconds that a call may still wait for after a person has stopped the search."""


class Stoppable(Protocol):
    """A call that waits to be sent."""

    def stop(self) -> None:
        """Give the call up; it must not be sent."""


@dataclass(eq=False, slots=True)
class Nap:
    """A call that waits for its next try, `until` a time of the event loop's clock, after a `failure`."""

    until: float
    failure: ModelError


class Calls:
    """The calls of all searches of a process. `begun`: number of those in progress. `replies`: number of replies so
    far, the last at the time `answered`. `failures`: number of failed tries since then; `last`: the latest failure.
    `naps`: calls waiting for their next try. `loading`: the models that are being loaded, once per waiting call.
    `batches`: what is known of each batch that is waited for, in words. `tell` tells a person one line."""

    def __init__(self) -> None:
        self.begun = 0
        self.replies = self.failures = 0
        self.answered: float | None = None
        self.last: ModelError | None = None
        self.naps: set[Nap] = set()
        self.loading: list[str] = []
        self.batches: dict[str, str] = {}
        self.tell: Callable[[str], None] = lambda line: None


class Patience:
    """Decides whether the calls of one search may be sent and may wait. At first they may.

    After `stop` nothing more is sent, calls that wait to be sent or for their next try raise `Interrupted`, and calls
    in flight end normally. After a later `hurry` calls are sent again, each only once and without long waits, as long
    as the model answers.
    """

    def __init__(self, calls: Calls | None = None) -> None:
        self.calls = calls or Calls()
        self.stopped = self.hurried = False
        self._failures = 0
        self._last: ModelError | None = None
        self.queued: set[Stoppable] = set()
        self._naps: set[anyio.CancelScope] = set()

    def stop(self) -> None:
        """Send nothing more, and interrupt the waiting calls."""
        self.stopped = True
        for scope in self._naps:
            scope.cancel()
        for waiter in self.queued:
            waiter.stop()

    def hurry(self) -> None:
        """Send the remaining calls, unless the model has stopped answering."""
        self.hurried, self.stopped = True, False
        if self._silent:
            self.stop()
        for scope in self._naps:
            scope.cancel()

    @property
    def _silent(self) -> bool:
        return self._failures >= SILENT or isinstance(self._last, CallTimeout)

    def check(self) -> None:
        """:raises Interrupted: calls may not be sent."""
        if self.stopped:
            raise self.interrupted()

    def check_held(self, seconds: float) -> None:
        """:raises Interrupted: after `hurry`, the hold of this many seconds is too long for the waiting person."""
        if self.hurried and seconds > BRIEF:
            self.stop()
            raise self.interrupted()

    def replied(self) -> None:
        """Record a reply."""
        self._failures, self._last = 0, None
        self.calls.replies += 1
        self.calls.failures = 0
        self.calls.answered = loop_time()

    def failed(self, failure: ModelError) -> None:
        """Record a failed try. A refusal of a single request counts as an answer: the model works."""
        if isinstance(failure, BadRequest) and not failure.fatal:
            self._failures, self._last = 0, None
            return
        self._failures += 1
        self._last = self.calls.last = failure
        self.calls.failures += 1

    async def nap(self, seconds: float, failure: ModelError, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Wait for the next try after a failure.

        :raises Interrupted: a person stopped the search, before or during the wait.
        :raises ModelError: the failure, if there will be no next try.
        """
        if self.hurried and self._silent:
            self.stop()
        if not (self.hurried or self.stopped):
            nap = Nap(loop_time() + seconds, failure)
            self.calls.naps.add(nap)
            try:
                if await self._slept(seconds, sleep):
                    return
            finally:
                self.calls.naps.discard(nap)
        self.check()
        raise failure from None

    async def rest(self, seconds: float, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Wait between two looks at something that a server works on.

        :raises Interrupted: a person stopped the search, before or during the wait.
        """
        self.check()
        if not await self._slept(seconds, sleep):
            raise self.interrupted()

    async def _slept(self, seconds: float, sleep: Callable[[float], Awaitable[None]]) -> bool:
        """Sleep; whether to the end, and not until a person stopped the search."""
        try:
            with anyio.CancelScope() as scope:
                self._naps.add(scope)
                await sleep(seconds)
        finally:
            self._naps.discard(scope)
        return not scope.cancelled_caught

    def interrupted(self) -> Interrupted:
        """The error for a call that is not sent or not retried."""
        met = f"; the last call met: {self._last}" if self._last else ""
        return Interrupted(f"stopped by a person{met}")
