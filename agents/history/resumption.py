"""The ends of a run that `Resumed` undoes. The rule is only here; all code that reads a journal uses it."""

from __future__ import annotations

from collections.abc import Iterable

from agents.archive.ends import ALL_MADE
from protocols.bus import NOBODY
from protocols.messages import (
    ENDED_WITH_THE_RUN,
    FIRST,
    Conclude,
    Critique,
    Envelope,
    Failure,
    Finished,
    Resumed,
    Stop,
)

ENDS = (Critique, Failure, Stop, Conclude, Finished, Resumed)
"""The types of message that `Ends` needs."""


def is_end(envelope: Envelope) -> bool:
    """Whether the envelope ended the search, or ended an assignment because of the search and not of its edit."""
    match envelope.message:
        case Critique() as critique:
            return bool(critique.cut_by)
        case Failure(assignment=number, kind=kind):
            return kind in ENDED_WITH_THE_RUN or number == FIRST or envelope.to == NOBODY
        case Stop() | Conclude() | Finished():
            return True
        case _:
            return False


class Ends:
    """The ends of a run, see `is_end`. `standing`: those not undone so far, in their order.

    `Resumed` undoes the ends since the search was last concluded; with `more` to spend it undoes all of them, the
    conclusion included. `log`: the first envelopes. To ask beforehand whether an end will
    be `undone`, pass the turns of the whole run, `Conclude` and `Resumed`, as `log`, and do not call `take`.
    """

    def __init__(self, log: Iterable[Envelope] = ()) -> None:
        self.turns: list[Envelope] = []
        self.standing: list[Envelope] = []
        for envelope in log:
            self.take(envelope)

    def take(self, envelope: Envelope) -> list[Envelope]:
        """Add the next envelope of the run, and return the ends that it undoes."""
        if isinstance(envelope.message, Conclude | Resumed):
            self.turns.append(envelope)
        if is_end(envelope):
            self.standing.append(envelope)
        if not isinstance(envelope.message, Resumed):
            return []
        undone = [end for end in self.standing if self.undone(end)]
        self.standing = [end for end in self.standing if not self.undone(end)]
        return undone

    def undone(self, envelope: Envelope) -> bool:
        """Whether the envelope is an end that a later turn undoes."""
        if not is_end(envelope):
            return False
        later = [turn.message for turn in self.turns if turn.id > envelope.id]
        at_once = isinstance(later[0], Resumed) if later and not isinstance(envelope.message, Conclude) else False
        return at_once or any(isinstance(turn, Resumed) and turn.more for turn in later)

    @property
    def provisional(self) -> list[Envelope]:
        """The standing ends that any `Resumed` would undo."""
        last = self.turns[-1].id if self.turns else 0
        return [end for end in self.standing if end.id > last]


def stopped_short(log: Iterable[Envelope], assignments: int) -> bool:
    """Whether a search was concluded after all its assignments and not reopened, and may now make more."""
    concluded = [end.message for end in Ends(log).standing if isinstance(end.message, Conclude)]
    return bool(concluded) and concluded[-1].stopped_by == ALL_MADE and concluded[-1].made < assignments
