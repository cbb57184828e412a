"""Observers: agents that are shown every message and say nothing."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from protocols.bus import Bus
from protocols.messages import Envelope, Fault

WAITING = 1024
"""Messages that may wait for an observer before the ring waits for it too."""
LAST_SECONDS = 10.0
"""That observers have for what is left when the search is over."""


class Observer(Protocol):
    """What a user writes: a class that is made with the task and the run directory."""

    async def observe(self, envelope: Envelope) -> None:
        """See a message: once, in the order of the journal, which has it already. It must not be changed.

        :raises Exception: the run fails, unless that is tolerated: then this message alone counts as not seen.
        """


class Sees:
    """An observer that is a function, `async` or not."""

    def __init__(self, function: Callable[[Envelope], object]) -> None:
        self._function = function

    async def observe(self, envelope: Envelope) -> None:
        """:raises Exception: whatever it raises."""
        said = self._function(envelope)
        if inspect.isawaitable(said):
            await said


class Audience:
    """Shows what crosses `bus` to each of `observers`, by address, in a task of its own. `errors` >= 1: the message
    in a row at which an observer's exception fails the run."""

    def __init__(self, observers: Mapping[str, Observer], bus: Bus, errors: int) -> None:
        self._observers, self._bus, self._errors = observers, bus, errors
        self._seats: list[MemoryObjectSendStream[Envelope]] = []

    @asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """Watch while the block runs, and then what is left, for `LAST_SECONDS` at most.

        :raises ExceptionGroup: with what an observer raised.
        """
        async with anyio.create_task_group() as tasks:
            for address, observer in self._observers.items():
                seat, shown = anyio.create_memory_object_stream[Envelope](WAITING)
                self._seats.append(seat)
                tasks.start_soon(self._watch, address, observer, shown, name=address)
            if self._seats:
                self._bus.tap(self._show)
            try:
                yield
            finally:
                for seat in self._seats:
                    seat.close()
            tasks.cancel_scope.deadline = anyio.current_time() + LAST_SECONDS

    async def _show(self, envelope: Envelope) -> None:
        if isinstance(envelope.message, Fault):
            return  # or two observers that fail would fail each other for ever
        for seat in self._seats:
            try:
                await seat.send(envelope)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                continue  # it has failed, and with it the run

    async def _watch(self, address: str, observer: Observer, shown: MemoryObjectReceiveStream[Envelope]) -> None:
        raised = 0
        async with shown:
            async for envelope in shown:
                try:
                    await observer.observe(envelope)
                    raised = 0
                except Exception as error:
                    raised += 1
                    if raised >= self._errors:
                        raise
                    fault = Fault(address, f"{type(error).__name__}: {error}")
                    await self._bus.note(fault, sender=address, cause=envelope.id)
