"""The Controller's state as a fold over the journal; used to resume and to replay a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_args

from agents.archive.aims import Aims
from agents.archive.ends import ALL_MADE
from agents.ring.controller import Controller
from agents.ring.team import Opening
from memory.journals.journal import read_journal
from protocols.bus import NOBODY
from protocols.errors import ReplayDiffers
from protocols.messages import (
    ENDED_WITH_THE_RUN,
    FIRST,
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
    Resumed,
    Stop,
)
from protocols.prompt import Prompt

FOLDED = (Assignment, Critique, Failure, *get_args(Command), Conclude, Finished, Resumed)
"""The messages that a fold uses."""
CAPPED = (Finished(ALL_MADE), Finished("budget"))
"""Messages of an earlier release, and of this one, for a cap that refused one of the last assignments."""

GOING_ON = Resumed(0.0)
"""Resuming without a change of settings."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A point in the journal where the search was concluded or the run was resumed: the message, and its envelope's
    id."""

    id: int
    message: Conclude | Resumed


def read_turns(journal: Path) -> list[Turn]:
    """The turns in a journal, in order.

    :raises StorageFailed: it is damaged.
    """
    return turns_in(read_journal(journal, (Conclude, Resumed)))


def turns_in(log: Iterable[Envelope]) -> list[Turn]:
    """The turns among the envelopes."""
    found = ((envelope.id, envelope.message) for envelope in log)
    return [Turn(number, message) for number, message in found if isinstance(message, Conclude | Resumed)]


def stopped_short(turns: Sequence[Turn], assignments: int) -> bool:
    """Whether the search was last concluded because all assignments were made, and `assignments` allows more now."""
    last = turns[-1].message if turns else None
    for turn in reversed(turns):
        if isinstance(turn.message, Conclude) or turn.message.more:
            last = turn.message
            break
    return isinstance(last, Conclude) and last.stopped_by == ALL_MADE and last.made < assignments


class Fold:
    """Replays the journal's messages into a new Controller, and compares its decisions with those in the journal.

    `turns`: see `read_turns`; messages that a later turn makes void are left out. `said`: decisions that are not in
    the journal, each with the id of the envelope that caused it; `made`: the number of those that are.
    """

    def __init__(self, controller: Controller, turns: Sequence[Turn]) -> None:
        self._controller, self._turns = controller, turns
        self._resumed = max((turn.id for turn in turns if isinstance(turn.message, Resumed)), default=0)
        self._most = controller.limit
        self.said: deque[tuple[Message, int]] = deque()
        self.made = 0
        self._limit(0)

    async def take(self, envelope: Envelope) -> None:
        """Replay the next envelope of the journal.

        :raises ReplayDiffers: it is a decision, and the Controller decides otherwise now.
        """
        message = envelope.message
        match message:
            case Assignment():
                self._compare(envelope)
            case Finished() if envelope.id > self._resumed:
                self._compare(envelope)
            case Critique() | Failure() | Stop() if not self.is_void(envelope):
                await self._tell(message, envelope.id)
            case Pause() | Continue() | Change() | Freeze() | Inject():
                await self._tell(message, envelope.id)
            case Conclude():
                if self._is_undone(envelope.id):
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
        ends = [(t.id, t.message) for t in self._turns if t.id > after]
        made = [end.made for number, end in ends if isinstance(end, Conclude) and self._is_undone(number)]
        self._controller.limit = made[0] if made else self._most

    def _is_undone(self, conclusion: int) -> bool:
        """Whether a later resume continued the search that this envelope concluded."""
        return any(t.id > conclusion and isinstance(t.message, Resumed) and t.message.more for t in self._turns)

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

    def is_void(self, envelope: Envelope) -> bool:
        """Whether the Controller never received the message, or it ended work that was resumed later. Such a message
        says nothing about the assignment itself."""
        match envelope.message:
            case Critique() as critique:
                return bool(critique.cut_by) and self._is_reopened(envelope.id)
            case Failure(assignment=number, kind=kind):
                ended = kind in ENDED_WITH_THE_RUN and self._is_reopened(envelope.id)
                return ended or number == FIRST or envelope.to == NOBODY
            case Stop():
                return self._is_reopened(envelope.id)
            case _:
                return False

    def _is_reopened(self, ended: int) -> bool:
        """Whether the next turn after this envelope resumed the run, or is a conclusion that was undone later."""
        turn = next((turn for turn in self._turns if turn.id > ended), None)
        return turn is not None and (isinstance(turn.message, Resumed) or self._is_undone(turn.id))

    def _compare(self, envelope: Envelope) -> None:
        told = envelope.message
        decided = self.said.popleft()[0] if self.said else None
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
    folded = Fold(controller, [*read_turns(journal), Turn(resumed, going_on)])
    for envelope in read_journal(journal, FOLDED):
        await folded.take(envelope)
        if isinstance(envelope.message, Critique) and not folded.is_void(envelope):
            for tell in evaluated:
                tell(envelope.message.evaluation)
    await folded.resume(going_on, resumed)
    said: list[tuple[Message, int | None]] = [*folded.said]
    new = {message.assignment for message, _ in said if isinstance(message, Assignment)}
    unanswered = [_furthest(journal, number) for number in controller.open if number not in new]
    if controller.first is None:
        unanswered.append(_furthest(journal, FIRST))
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
