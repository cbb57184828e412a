"""A search's current activity in words."""

from __future__ import annotations

from collections import Counter

from agents.history.progress import Progress
from protocols.budget.ledger import Attempt
from protocols.messages import (
    FIRST,
    Assignment,
    Candidate,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    Finished,
    Resumed,
)
from protocols.text import one_line

WRITTEN, MEASURED, CRITICISED = "written", "measured against its parent", "criticised"


class Doing:
    """Follows messages and attempts. `progress` must take in each message before this does."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stages: dict[int, str] = {}
        self._answers = 0

    def follow(self, envelope: Envelope) -> None:
        """Take in the next message."""
        match envelope.message:
            case Assignment(assignment=number):
                self._stages[number] = WRITTEN
            case Candidate(assignment=number):
                self._stages[number] = MEASURED
            case Evaluation(assignment=number):
                self._stages[number] = CRITICISED
            case Critique(assignment=number) | Failure(assignment=number):
                self._stages.pop(number, None)
            case Finished():
                self._answers = 0
            case Resumed():
                self._stages.clear()
            case _:
                pass

    def called(self, attempt: Attempt) -> None:
        """Count an answer."""
        self._answers += attempt.role == "task" and attempt.error is None

    def __str__(self) -> str:
        """On one line; "" before anything has begun."""
        if self._progress.stopped_by:
            return f"reading the test split, {self._so_far()}"
        if FIRST not in self._progress.survivors:
            return f"evaluating the first prompt, {self._so_far()}" if self._stages else ""
        edits = {number: stage for number, stage in self._stages.items() if number in self._progress.open}
        if len(edits) == 1:
            [(number, stage)] = edits.items()
            asked = self._progress.open[number]
            return one_line(f"{asked.operator} on {asked.section}, whose edit is being {stage}")
        each = ", ".join(f"{count} {stage}" for stage, count in Counter(edits.values()).items())
        return f"{len(edits)} edits: {each}" if edits else ""

    def _so_far(self) -> str:
        return f"{self._answers:,} answer{'' if self._answers == 1 else 's'} so far"
