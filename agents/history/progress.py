"""The progress of a search: a fold over the envelopes of the bus, live or from the journal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agents.archive.archive import Prefer, front, preferred
from agents.directory.run_directory import JOURNAL, read_configuration
from memory.journals.journal import read_journal
from protocols.bus import NOBODY
from protocols.messages import (
    ENDED_WITH_THE_RUN,
    FIRST,
    SHRINK,
    Assignment,
    Conclude,
    Continue,
    Critique,
    Envelope,
    Failure,
    FailureKind,
    Pause,
    Resumed,
    Scores,
    Stop,
)
from protocols.prompt import Prompt

EndKind = Literal["first", "survived", "lost"] | FailureKind


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one assignment, in figures.

    `kind` "first" is the evaluation of the first prompt, which had no operator. `gain` and its standard `error` over
    the `paired` examples are 0 for a failure, which has a `reason`. `value`: a survivor's value on validation.
    `best`: it would be the result if the search ended now.
    """

    assignment: int
    kind: EndKind
    operator: str = ""
    section: str = ""
    parent: int | None = None
    gain: float = 0.0
    error: float = 0.0
    paired: int = 0
    unanswered: int = 0
    tokens: int = 0
    value: float | None = None
    best: bool = False
    reason: str = ""

    def __str__(self) -> str:
        """In words, on one line unless `reason` has several."""
        match self.kind:
            case "first":
                return f"first prompt: validation {self.value:.3f}"
            case "survived":
                better = ", the best so far" if self.best else ""
                edit = f"{self.operator} on {self.section}: {self.gain:+.3f} ± {self.error:.3f}"
                return f"{edit}, validation {self.value:.3f}{better}"
            case "lost":
                edit = f"{self.operator} on {self.section}: {self.gain:+.3f} ± {self.error:.3f}"
                return f"{edit} on {self.paired} examples, lost its race"
            case _:
                return f"{self.operator} on {self.section}: {FAILURES[self.kind]}: {self.reason}"


FAILURES: dict[FailureKind, str] = {
    "rejected": "edit rejected",
    "unreadable": "reply unreadable",
    "too long": "too long",
    "call": "call failed",
    "budget": "stopped by the budget",
    "allowance": "stopped by the operator's own budget",
    "inapplicable": "nothing to work with",
    "dropped": "dropped",
    "raised": "an agent raised",
    "stopped": "stopped",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """A survivor with the properties by which it is compared with others, and its prompt."""

    candidate: int
    value: float
    tokens: int
    scores: Scores
    prompt: Prompt


class Progress:
    """The state of a search so far. `survivors`: by candidate; `best`: the survivor that would be the result now, and
    `prompt` its prompt; `cuts`: ended assignments that were to shrink the result; `stopping`: why no more assignments
    are issued; `paused`: a person has paused the search."""

    def __init__(self, prefer: Prefer = "best") -> None:
        self._prefer: Prefer = prefer
        self._standings: dict[int, Standing] = {}
        self._front: list[Standing] = []
        self.prompt: Prompt | None = None
        self.cuts = 0
        self.open: dict[int, Assignment] = {}
        self.counts: Counter[EndKind] = Counter()
        self.survivors: dict[int, Ending] = {}
        self.best: Ending | None = None
        self.stopping = ""
        self.paused = False
        self._void: list[tuple[Ending, Assignment | None]] = []
        self._settled: list[tuple[Ending, Assignment | None]] = []

    @property
    def ended(self) -> int:
        """Assignments of operators that have ended."""
        return self.counts.total() - self.counts["first"] - self.cuts

    @property
    def stands(self) -> int:
        """Ended assignments of operators that are not repeated when the run is resumed."""
        return self.ended - sum(ending.kind != "first" and ending.operator != SHRINK for ending, _ in self._void)

    def follow(self, envelope: Envelope) -> Ending | None:
        """Add the next envelope, and return the ending if it ends an assignment."""
        match envelope.message:
            case Assignment() as assignment:
                self.open[assignment.assignment] = assignment
            case Stop(reason):
                self.stopping = self.stopping or reason
            case Pause():
                self.paused = True
            case Continue():
                self.paused = False
            case Critique(assignment=number) as critique:
                asked = self.open.get(number)
                return self._end(self._of_critique(critique), asked, void=bool(critique.cut_by))
            case Failure(assignment=number) as failure:
                asked, void = self.open.get(number), failure.kind in ENDED_WITH_THE_RUN or envelope.to == NOBODY
                return self._end(self._of_failure(failure), asked, void)
            case Conclude():
                self._settled, self._void = [*self._settled, *self._void], []
            case Resumed(more=more):
                self._void = [*self._settled, *self._void] if more else self._void
                self._settled = [] if more else self._settled
                self._take_up()
            case _:
                pass
        return None

    def _take_up(self) -> None:
        """Reopen the assignments that a cap or the end of the run ended."""
        for ending, assignment in self._void:
            self.counts[ending.kind] -= 1
            self.cuts -= ending.operator == SHRINK
            self.survivors.pop(ending.assignment, None)
            self._standings.pop(ending.assignment, None)
            if assignment is not None:
                self.open[assignment.assignment] = assignment
        if self._void:
            self._front = []
            for standing in self._standings.values():
                self._front = front(self._front, standing)
            self._lead()
        self._void.clear()
        self.stopping, self.paused = "", False

    def lineage(self, candidate: int) -> list[Ending]:
        """The endings from the first prompt to `candidate`, in order."""
        line: list[Ending] = []
        number: int | None = candidate
        while number is not None and number in self.survivors:
            line.append(self.survivors[number])
            number = line[-1].parent
        return line[::-1]

    def _of_critique(self, critique: Critique) -> Ending:
        evaluation = critique.evaluation
        assignment = self.open.pop(critique.assignment, None)
        if evaluation.survived:
            number = critique.assignment
            standing = Standing(number, evaluation.value, evaluation.tokens, evaluation.scores, evaluation.prompt)
            self._standings[number] = standing
            self._front = front([s for s in self._front if s.candidate != number], standing)
        return Ending(
            assignment=critique.assignment,
            kind="first" if critique.assignment == FIRST else "survived" if evaluation.survived else "lost",
            operator=assignment.operator if assignment else "",
            section=assignment.section if assignment else "",
            parent=assignment.parent if assignment else None,
            gain=evaluation.gain,
            error=evaluation.error,
            paired=evaluation.paired,
            unanswered=evaluation.unanswered,
            tokens=evaluation.tokens,
            value=evaluation.value if evaluation.survived else None,
            best=evaluation.survived and preferred(self._front, self._prefer).candidate == critique.assignment,
        )

    def _of_failure(self, failure: Failure) -> Ending:
        assignment = self.open.pop(failure.assignment, None)
        return Ending(
            assignment=failure.assignment,
            kind=failure.kind,
            operator=assignment.operator if assignment else "the first prompt",
            section=assignment.section if assignment else "validation",
            parent=assignment.parent if assignment else None,
            reason=failure.reason,
        )

    def _lead(self) -> None:
        """Set `best` and `prompt` by the survivors so far."""
        leader = preferred(self._front, self._prefer) if self._front else None
        self.best = None if leader is None else self.survivors[leader.candidate]
        self.prompt = None if leader is None else leader.prompt

    def _end(self, ending: Ending, assignment: Assignment | None, void: bool) -> Ending:
        """Record an ending. `void`: resuming the run undoes it."""
        self.counts[ending.kind] += 1
        self.cuts += ending.operator == SHRINK
        if void:
            self._void.append((ending, assignment))
        if ending.value is not None:
            self.survivors[ending.assignment] = ending
            self._lead()
        return ending


def progress_of(directory: Path) -> Progress:
    """The progress of the run in a directory, by its journal so far.

    :raises ConfigError: it is not a run directory.
    :raises MemoryMismatch, StorageFailed: its configuration or its journal cannot be read.
    """
    return progress_in(directory / JOURNAL, read_configuration(directory).search.prefer)


def progress_in(journal: Path, prefer: Prefer) -> Progress:
    """The progress of a run, by its journal so far.

    :raises MemoryMismatch, StorageFailed: the journal cannot be read.
    """
    progress = Progress(prefer)
    told = (Assignment, Critique, Failure, Stop, Pause, Continue, Conclude, Resumed)
    for envelope in read_journal(journal, told, brief=True):
        progress.follow(envelope)
    return progress
