"""Observers: they see every message and send none."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from protocols.bus import Bus
from protocols.files.users_code import users_code
from protocols.messages import Envelope, Fault

WAITING = 1024
"""Maximum number of messages that wait for an observer; when there are more, the ring waits, too."""
LAST_SECONDS = 10.0
"""Time limit for observers to handle the remaining messages after the search, in seconds."""


class Observer(Protocol):
    """The interface of a user's observer; its class is called with the task and the run directory."""

    async def observe(self, envelope: Envelope) -> None:
        """Handle a message. Each is passed once, in the order of the journal, where it is already recorded. It must
        not be changed.

        :raises Exception: the run fails, unless the exception is tolerated: then only this message is lost.
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


class Observers:
    """Passes the messages of `bus` to the `observers`, given by address; each has its own task. `errors` >= 1:
    exceptions of an observer in a row that fail the run."""

    def __init__(self, observers: Mapping[str, Observer], bus: Bus, errors: int) -> None:
        self._observers, self._bus, self._errors = observers, bus, errors
        self._seats: list[MemoryObjectSendStream[Envelope]] = []

    @asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """Observe while the block runs, and then handle the remaining messages, within `LAST_SECONDS`.

        :raises ExceptionGroup: an observer raised an exception; the group contains it.
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
            return  # otherwise two failing observers would pass faults to each other forever
        for seat in self._seats:
            try:
                await seat.send(envelope)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                continue  # this observer has failed, and the run with it

    async def _watch(self, address: str, observer: Observer, shown: MemoryObjectReceiveStream[Envelope]) -> None:
        raised = 0
        async with shown:
            async for envelope in shown:
                try:
                    with users_code(address):
                        await observer.observe(envelope)
                    raised = 0
                except Exception as error:
                    raised += 1
                    if raised >= self._errors:
                        raise
                    fault = Fault(address, f"{type(error).__name__}: {error}")
                    await self._bus.note(fault, sender=address, cause=envelope.id)
