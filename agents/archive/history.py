"""What has become of the assignments of a search, by operator and by section."""

from __future__ import annotations

from collections import Counter, deque

from agents.archive.endings import HOPELESS
from agents.operators.operator import part
from memory.experience import Ending
from protocols.messages import Assignment, Evaluation, FailureKind, Tried

READ: frozenset[Ending] = frozenset({"survived", "lost", "rejected", "too long"})
"""Endings of an assignment whose model's reply was read."""
REMEMBERED: frozenset[FailureKind] = frozenset({"rejected", "unreadable", "too long", "inapplicable"})
"""Failures that say something of the edit, and not of a model's day."""
COUNTED = READ | REMEMBERED - {"inapplicable"}
"""Endings of edits that somebody has made, or tried to."""
TRIED = 8
"""Edits of a section that are kept, the last ones."""


class History:
    """`endings`: of each operator's assignments. `given_up`: operators none of whose first replies could be read, for
    as long as none can."""

    def __init__(self) -> None:
        self.endings: dict[str, Counter[Ending]] = {}
        self.given_up: set[str] = set()
        self._tried: dict[str, deque[Tried]] = {}

    def tried(self, section: str) -> tuple[Tried, ...]:
        """The last edits of this section that were measured, oldest first."""
        return tuple(self._tried.get(section, ()))

    def measure(self, assignment: Assignment, evaluation: Evaluation) -> None:
        """An edit has raced."""
        text = part(evaluation.prompt, assignment.section).text
        measured = Tried(
            assignment.operator, text, evaluation.gain, evaluation.error, evaluation.paired, evaluation.survived
        )
        self._tried.setdefault(assignment.section, deque(maxlen=TRIED)).append(measured)

    def end(self, operator: str, ending: Ending) -> None:
        """An assignment has ended so. A reply that was in flight when its operator was given up, and could be read,
        takes that back."""
        endings = self.endings.setdefault(operator, Counter())
        endings[ending] += 1
        if any(endings[read] for read in READ):
            self.given_up.discard(operator)
        elif endings["unreadable"] >= HOPELESS:
            self.given_up.add(operator)
