"""What the calls of a process wait for, and whether they may wait on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import anyio

from protocols.errors import BadRequest, CallTimeout, Interrupted, ModelError
from protocols.pacing.clock import loop_time

SILENT = 3
"""Failures in a row, without a reply between them, after which a model counts as one that does not answer."""
BRIEF = 5.0
"""Seconds that a call may still be held back for, once a person has stopped the search."""


class Stoppable(Protocol):
    """A call that waits to be sent."""

    def stop(self) -> None:
        """It is not to be sent."""


@dataclass(eq=False, slots=True)
class Nap:
    """A call that waits for its next try: until when, in seconds of the event loop, and what it met."""

    until: float
    failure: ModelError


class Calls:
    """The calls of all searches of a process that have begun and not ended. `replies`: how many were answered so far,
    the last at `answered`; `failures`: how many tries failed since then, and `last` is what the latest met.
    `loading`: the models that calls wait for until they are loaded, once for each call."""

    def __init__(self) -> None:
        self.begun = 0
        self.replies = self.failures = 0
        self.answered: float | None = None
        self.last: ModelError | None = None
        self.naps: set[Nap] = set()
        self.loading: list[str] = []


class Patience:
    """Whether the calls of one search may be sent, and wait. At first they may.

    `stop`: nothing more is sent, whoever waits to be sent or for a next try is `Interrupted`, and what is in flight
    ends. `hurry`, after that: calls are sent again, each once and without long waits, as long as the model answers.
    """

    def __init__(self, calls: Calls | None = None) -> None:
        self.calls = calls or Calls()
        self.stopped = self.hurried = False
        self._failures = 0
        self._last: ModelError | None = None
        self.queued: set[Stoppable] = set()
        self._naps: set[anyio.CancelScope] = set()

    def stop(self) -> None:
        """Nothing more is sent."""
        self.stopped = True
        for scope in self._naps:
            scope.cancel()
        for waiter in self.queued:
            waiter.stop()

    def hurry(self) -> None:
        """What is left is sent, unless the model has ceased to answer."""
        self.hurried, self.stopped = True, False
        if self._silent:
            self.stop()
        for scope in self._naps:
            scope.cancel()

    @property
    def _silent(self) -> bool:
        return self._failures >= SILENT or isinstance(self._last, CallTimeout)

    def check(self) -> None:
        """:raises Interrupted: a call may not be sent."""
        if self.stopped:
            raise self.interrupted()

    def check_held(self, seconds: float) -> None:
        """:raises Interrupted: a call would be held back for too long, as a person is waiting."""
        if self.hurried and seconds > BRIEF:
            self.stop()
            raise self.interrupted()

    def replied(self) -> None:
        """There was a reply."""
        self._failures, self._last = 0, None
        self.calls.replies += 1
        self.calls.failures = 0
        self.calls.answered = loop_time()

    def failed(self, failure: ModelError) -> None:
        """A try failed. A refusal of one request is an answer: the model is there."""
        if isinstance(failure, BadRequest) and not failure.fatal:
            self._failures, self._last = 0, None
            return
        self._failures += 1
        self._last = self.calls.last = failure
        self.calls.failures += 1

    async def nap(self, seconds: float, failure: ModelError, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Wait for the next try after a failure.

        :raises Interrupted: a person has stopped the search, before or meanwhile.
        :raises ModelError: the failure, where there is to be no next try.
        """
        if self.hurried and self._silent:
            self.stop()
        if not (self.hurried or self.stopped):
            nap = Nap(loop_time() + seconds, failure)
            self.calls.naps.add(nap)
            try:
                with anyio.CancelScope() as scope:
                    self._naps.add(scope)
                    await sleep(seconds)
            finally:
                self._naps.discard(scope)
                self.calls.naps.discard(nap)
            if not scope.cancelled_caught:
                return
        self.check()
        raise failure from None

    def interrupted(self) -> Interrupted:
        """What a call is told that is not sent, or not again."""
        met = f"; the last call met: {self._last}" if self._last else ""
        return Interrupted(f"stopped by a person{met}")
