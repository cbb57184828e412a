"""The team: wires the agents into a ring and runs them in one task group."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from agents.ring.agent import Agent, say, serve
from agents.ring.controller import WIDTH, Controller
from agents.ring.observers import Observer, Observers
from protocols.bus import Bus
from protocols.errors import BusError, RunFailed, storage_failure
from protocols.messages import (
    FIRST,
    Assignment,
    Candidate,
    Change,
    Command,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    Finished,
    Message,
    Resumed,
    Stop,
)

RECORDING_SECONDS = 10.0
"""Time limit, in seconds, for records in progress when a search ends or is cancelled, and then again to record the
open assignments."""
WIDEST = 1024
"""Maximum number of assignments in flight."""
PERSON = "person"
"""The sender of commands."""
Tell = Callable[[Command], Coroutine[Any, Any, None]]
Person = Callable[[Tell], Coroutine[Any, Any, None]]
"""Passes on a person's commands, one after the other, until there are no more or it is cancelled."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The messages that a search begins with. `said`: those of the Controller, each with the id of the envelope that
    caused it. `unanswered`: envelopes of an earlier process without an answer. `resumed`: None for a new run."""

    said: Sequence[tuple[Message, int | None]]
    unanswered: Sequence[Envelope] = ()
    resumed: Resumed | None = None


class Team:
    """A Controller and the agents that answer it. `errors` >= 1: assignments in a row, each ended by an agent's
    exception, that fail the run. `observers`: by address; they see every message."""

    address = "team"

    def __init__(
        self,
        controller: Controller,
        others: Sequence[Agent],
        bus: Bus,
        errors: int = 1,
        observers: Mapping[str, Observer] | None = None,
    ) -> None:
        self._controller, self._others, self._bus = controller, others, bus
        self._errors, self._raised = errors, 0
        self._audience = Observers(observers or {}, bus, errors)
        self._tasks: TaskGroup | None = None
        self._workers = 0
        self._finished = bus.register(self.address, (Finished,), capacity=2)
        self._mailboxes = {
            agent.address: bus.register(agent.address, agent.accepts, capacity=2 * WIDEST + 4)
            for agent in (controller, *others)
        }
        self._open: dict[int, Envelope] = {}
        self._over = self._ended = False
        bus.tap(self._follow)

    async def run(self, opening: Opening, person: Person | None = None) -> str:
        """Search, starting with `opening`, until the Controller has finished, and obey the commands of `person`.
        Returns the reason why the search stopped.

        :raises Exception: an agent raised it; it keeps its traceback. Open assignments are recorded as failures.
        """
        failed: BaseException | None = None
        stopped_by = ""
        try:
            async with self._audience.present():
                stopped_by, failed = await self._search(opening, person)
        except BaseExceptionGroup as group:
            failed = failed or only(group)
        if failed is not None:
            raise failed
        return stopped_by

    async def _search(self, opening: Opening, person: Person | None) -> tuple[str, BaseException | None]:
        """The reason why the search stopped, or the exception of an agent. It is returned, not raised, so that the
        observers see the end of the search."""
        failed: BaseException | None = None
        stopped_by = ""
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                await tasks.start(self._last_call)
                stopped_by = await self._until_finished(tasks, opening, person)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            failed = only(group)
        finally:
            self._over = True
            self._bus.close()
            self._bus.last_call(RECORDING_SECONDS)
            with anyio.move_on_after(RECORDING_SECONDS, shield=True):
                await self._record_open()
        return stopped_by, failed

    async def _last_call(self, *, task_status: TaskStatus[None]) -> None:
        """Limit the time that taps have when the search ends or is cancelled, since a tap may hang. This needs its
        own task, because all others may be waiting for the tap."""
        try:
            task_status.started()
            await anyio.sleep_forever()
        finally:
            self._bus.last_call(RECORDING_SECONDS)

    async def _until_finished(self, tasks: TaskGroup, opening: Opening, person: Person | None) -> str:
        """Begin, wait for the end, and return the reason why the search stopped."""
        self._widen(self._controller.width)
        await self._open_with(opening)
        self._employ(tasks, self._controller, 1)  # only now, so that its next messages come after the opening
        if person is not None:
            tasks.start_soon(person, self._obey, name=PERSON)
        async with self._finished.take() as envelope:
            return envelope.message.stopped_by if isinstance(envelope.message, Finished) else ""

    async def stop(self, reason: str) -> None:
        """Let the assignments in flight end, and then finish. Does nothing if the search is over."""
        try:
            if not self._over:
                await self._bus.send(Stop(reason), sender=self.address)
        except BusError:
            if not self._over:
                raise

    async def _obey(self, command: Command) -> None:
        if not self._ended:  # the search is over, and nobody would obey
            await self._bus.send(command, sender=PERSON)

    def _widen(self, width: int) -> None:
        """Let every agent except the Controller handle `width` messages at a time; never fewer than before."""
        if self._tasks is not None and width > self._workers:
            for agent in self._others:
                self._employ(self._tasks, agent, width - self._workers)
            self._workers = width

    def _employ(self, tasks: TaskGroup, agent: Agent, workers: int) -> None:
        mailbox = self._mailboxes[agent.address]
        tasks.start_soon(serve, agent, mailbox, self._bus, workers, self._tolerates, name=agent.address)

    async def _open_with(self, opening: Opening) -> None:
        if opening.resumed is not None:
            await self._bus.note(opening.resumed, sender=self.address)
        for envelope in opening.unanswered:
            message = envelope.message
            if isinstance(message, Assignment | Candidate | Evaluation) and message.assignment != FIRST:
                self._open[message.assignment] = envelope
        for envelope in opening.unanswered:
            await self._bus.deliver(envelope)
        for message, cause in opening.said:
            await say(self._bus, self._controller, message, cause)

    async def _follow(self, envelope: Envelope) -> None:
        match envelope.message:
            case Assignment(assignment=number):
                self._open[number] = envelope
            case Critique(assignment=number) | Failure(assignment=number):
                self._open.pop(number, None)
                raised = isinstance(envelope.message, Failure) and envelope.message.kind == "raised"
                self._raised = self._raised + 1 if raised else 0
            case Change(setting=setting, value=value) if setting == WIDTH and value is not None:
                self._widen(int(value))
            case Finished():
                self._ended = True
            case _:
                pass

    def _tolerates(self, error: Exception) -> bool:
        lasting = isinstance(error, RunFailed) or storage_failure(error) is not None
        return not lasting and self._raised + 1 < self._errors

    async def _record_open(self) -> None:
        for number, envelope in list(self._open.items()):
            failure = Failure(number, "stopped", "the run ended while this was under way")
            await self._bus.note(failure, sender=self.address, cause=envelope.id)


def only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception inside nested groups of one. Of several exceptions, a failure of storage, which causes the
    others, or else the first."""
    inner: BaseException = storage_failure(group) or group
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner
