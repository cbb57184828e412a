"""The outcomes of a search's assignments, by operator and by section."""

from __future__ import annotations

from collections import Counter, deque

from agents.archive.endings import HOPELESS
from agents.operators.operator import part
from memory.experience import Ending
from protocols.messages import Assignment, Evaluation, FailureKind, Tried, mean

READ: frozenset[Ending] = frozenset({"survived", "lost", "declined", "rejected", "too long"})
"""Endings of an assignment whose model's reply was read."""
REMEMBERED: frozenset[FailureKind] = frozenset({"rejected", "unreadable", "too long", "inapplicable"})
"""Failures that say something about the edit, not about the state of a service."""
COUNTED = READ | REMEMBERED - {"inapplicable"}
"""Endings of assignments in which an edit was made or attempted."""
TRIED = 8
"""Number of last edits kept for each section."""


class History:
    """`endings`: counts for each operator's assignments. `given_up`: operators whose first replies were all
    unreadable; one readable reply takes an operator out again."""

    def __init__(self) -> None:
        self.endings: dict[str, Counter[Ending]] = {}
        self.given_up: set[str] = set()
        self._tried: dict[str, deque[Tried]] = {}

    def tried(self, section: str) -> tuple[Tried, ...]:
        """The last measured edits of this section, oldest first."""
        return tuple(self._tried.get(section, ()))

    def measure(self, assignment: Assignment, evaluation: Evaluation) -> None:
        """Add an edit that has raced."""
        text = part(evaluation.prompt, assignment.section).text
        measured = Tried(
            assignment.operator,
            text,
            evaluation.gain,
            evaluation.error,
            evaluation.paired,
            evaluation.survived,
            mean(assignment.scores),
        )
        self._tried.setdefault(assignment.section, deque(maxlen=TRIED)).append(measured)

    def end(self, operator: str, ending: Ending) -> None:
        """Count the end of an assignment, and give up the operator if it is hopeless. A readable reply that was in
        flight by then revokes this."""
        endings = self.endings.setdefault(operator, Counter())
        endings[ending] += 1
        if any(endings[read] for read in READ):
            self.given_up.discard(operator)
        elif endings["unreadable"] >= HOPELESS:
            self.given_up.add(operator)
