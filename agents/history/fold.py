"""The Controller's state as a fold over the journal; used to resume and to replay a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

from agents.archive.aims import Aims
from agents.archive.ends import ALL_MADE
from agents.history.resumption import Ends
from agents.ring.controller import Controller
from agents.ring.team import Opening
from memory.journals.reading import read_journal
from protocols.bus import NOBODY
from protocols.concurrency.threads import in_slices, in_thread
from protocols.errors import ReplayDiffers
from protocols.messages import (
    FIRST,
    Accept,
    Assignment,
    Candidate,
    Change,
    Command,
    Conclude,
    Continue,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    Finished,
    Freeze,
    Inject,
    Message,
    Pause,
    Reject,
    Resumed,
    Stop,
)
from protocols.prompt import Prompt

FOLDED = (Assignment, Critique, Failure, *get_args(Command), Conclude, Finished, Resumed)
"""The messages that a fold uses."""
TURNS = (Conclude, Resumed)
"""Those that a fold must know before it begins."""
CAPPED = (Finished(ALL_MADE), Finished("budget"))
"""Messages of an earlier release, and of this one, for a cap that refused one of the last assignments."""

GOING_ON = Resumed(0.0)
"""Resuming without a change of settings."""


class Fold:
    """Replays the journal's messages into a new Controller, and compares its decisions with those in the journal.

    `turns`: every `Conclude` and `Resumed` of the run, others are ignored; ends that they undo are left out.
    `said`: decisions that are not in the journal, each with the id of the envelope that caused it; `made`: the number
    of those that are. `stopped_by`: "" until the run has finished.
    """

    def __init__(self, controller: Controller, turns: Iterable[Envelope]) -> None:
        self._controller, self._ends = controller, Ends(turns)
        self._most = controller.limit
        self.said: deque[tuple[Message, int]] = deque()
        self.made = 0
        self.stopped_by = ""
        self._limit(0)

    async def take(self, envelope: Envelope) -> None:
        """Replay the next envelope of the journal.

        :raises ReplayDiffers: it is a decision, and the Controller decides otherwise now.
        """
        message = envelope.message
        match message:
            case Assignment():
                self._compare(envelope)
            case Finished(reason) if not self._ends.undone(envelope):
                self._compare(envelope)
                self.stopped_by = reason
            case Critique() | Failure() | Stop() if self.was_told(envelope):
                await self._tell(message, envelope.id)
            case Pause() | Continue() | Change() | Freeze() | Inject() | Accept() | Reject():
                await self._tell(message, envelope.id)
            case Conclude():
                if self._ends.undone(envelope):
                    self._forget(Conclude)
                else:
                    self._compare(envelope)
                await self._tell(message, envelope.id)
            case Resumed():
                await self.resume(message, envelope.id)
            case _:
                pass

    def _limit(self, after: int) -> None:
        """Set the limit on assignments that held after this envelope, if it was raised later."""
        turns = [turn for turn in self._ends.turns if turn.id > after and self._ends.undone(turn)]
        made = [turn.message.made for turn in turns if isinstance(turn.message, Conclude)]
        self._controller.limit = made[0] if made else self._most

    def _forget(self, *kinds: type[Message]) -> None:
        self.said = deque(told for told in self.said if not isinstance(told[0], kinds))

    async def resume(self, message: Resumed, envelope: int) -> None:
        """Replay that the run was resumed; pending decisions about an end that this undoes are dropped."""
        if message.more:
            self._limit(envelope)
            self._forget(Conclude)
        aims = Aims(message.target, message.patience)
        if self._controller.paused or message.reopened or message.more or aims != self._controller.aims:
            before = list(self.said)
            await self._tell(message, envelope)
            new = list(self.said)[len(before) :]
            if not self._controller.finished or any(isinstance(decided, Finished) for decided, _ in new):
                self.said = deque(told for told in before if not isinstance(told[0], Finished))
                self.said.extend(new)

    async def _tell(self, message: Message, cause: int) -> None:
        self.said.extend((decided, cause) for decided in await self._controller.handle(message))

    def was_told(self, envelope: Envelope) -> bool:
        """Whether it counts for the Controller: it was told of it, and that is not undone. The failure of the first
        prompt ended the run."""
        message = envelope.message
        ended_it = isinstance(message, Failure) and message.assignment == FIRST
        return envelope.to != NOBODY and not ended_it and not self._ends.undone(envelope)

    def _compare(self, envelope: Envelope) -> None:
        told = envelope.message
        decided = self.said.popleft()[0] if self.said else None
        if isinstance(told, Assignment) and isinstance(decided, Assignment):
            told = _completed(told, decided)
        if decided != told and (told, decided) != CAPPED:
            raise ReplayDiffers(_difference(told, decided), envelope=envelope.id)
        self.made += 1


async def fold(
    journal: Path,
    controller: Controller,
    first: Prompt,
    resumed: int,
    evaluated: Sequence[Callable[[Evaluation], object]] = (),
    going_on: Resumed = GOING_ON,
) -> Opening:
    """Bring a new Controller to the end of the journal, and pass every evaluation that has a Critique to `evaluated`.
    Returns the messages that the search begins or resumes with. `resumed`: the id that `going_on` will have.

    :raises ReplayDiffers: the same messages do not lead to the same decisions.
    :raises StorageFailed: the journal is damaged.
    """
    now = Envelope(resumed, None, "team", NOBODY, 0.0, going_on)
    turns = await in_thread(lambda: [*read_journal(journal, TURNS)])
    folded = Fold(controller, [*turns, now])
    async for envelope in in_slices(read_journal(journal, FOLDED)):
        await folded.take(envelope)
        if isinstance(envelope.message, Critique) and folded.was_told(envelope):
            for tell in evaluated:
                tell(envelope.message.evaluation)
    await folded.resume(going_on, resumed)
    said: list[tuple[Message, int | None]] = [*folded.said]
    new = {message.assignment for message, _ in said if isinstance(message, Assignment)}
    unanswered = [await in_thread(_furthest, journal, number) for number in controller.open if number not in new]
    if controller.first is None:
        unanswered.append(await in_thread(_furthest, journal, FIRST))
        if unanswered == [None]:
            said.append((controller.begin(first), None))
    return Opening(said, [envelope for envelope in unanswered if envelope is not None])


def _furthest(journal: Path, assignment: int) -> Envelope | None:
    """The last message of an assignment that has not ended; None if it is not in the journal. An evaluation that a
    cap cut short is skipped."""
    latest: Envelope | None = None
    for envelope in read_journal(journal, (Assignment, Candidate, Evaluation), assignment):
        if not (isinstance(envelope.message, Evaluation) and envelope.message.cut):
            latest = envelope
    return latest


def _completed(told: Assignment, decided: Assignment) -> Assignment:
    """An assignment of the journal with what earlier releases did not write."""
    if told.best is None:
        told = replace(told, best=decided.best, partners=decided.partners)
    if told.twins is None:
        told = replace(told, twins=decided.twins)
    return replace(told, doubtful=decided.doubtful, tried=decided.tried) if told.doubtful is None else told


def _difference(told: Message, decided: Message | None) -> str:
    """The difference of two decisions, in words."""
    if decided is None or type(told) is not type(decided):
        now = _show(decided) if decided else "nothing"
        return f"{_show(told)} is there, and {now} is decided now"
    names = [field.name for field in fields(told) if getattr(told, field.name) != getattr(decided, field.name)]
    plain = [name for name in names if isinstance(getattr(told, name), str | int | float)]
    shown = [f"{name} is {getattr(told, name)!r} there and {getattr(decided, name)!r} now" for name in plain]
    return f"{_show(told)}: {'; '.join(shown) or ', '.join(names) + ' differ'}"


def _show(message: Message) -> str:
    number = getattr(message, "assignment", None)
    return type(message).__name__ + (f" {number}" if number is not None else "")
