"""The progress of a search: a fold over the envelopes of the bus, live or from the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from agents.archive.front import Front, Prefer
from agents.archive.guard import Guard
from agents.directory.run_directory import JOURNAL, read_configuration
from agents.history.resumption import Ends, is_end
from memory.journals.reading import read_journal
from protocols.messages import (
    FIRST,
    SHRINK,
    Accept,
    Assignment,
    Conclude,
    Continue,
    Critique,
    Envelope,
    Failure,
    FailureKind,
    Finished,
    Pause,
    Reject,
    Resumed,
    Scores,
    Stop,
)
from protocols.prompt import Prompt

EndKind = Literal["first", "survived", "lost", "waiting", "declined"] | FailureKind
TOLD = (Assignment, Critique, Failure, Stop, Pause, Continue, Accept, Reject, Conclude, Resumed)
"""The types of message that `Progress` needs."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one assignment, in figures.

    `kind` "first" is the evaluation of the first prompt, which had no operator. `gain` and its standard `error` over
    the `paired` examples are 0 for a failure, which has a `reason`. "waiting" is no end yet: the edit has won its
    race, and waits for a person. `value`: a survivor's value on validation, also of one that waits; `models`: that of
    each of several models. `best`: it would be the result if the search ended now.
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
    models: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """In words, on one line unless `reason` has several."""
        match self.kind:
            case "first":
                return f"first prompt: validation {self.value:.3f}"
            case "survived":
                better = ", the best so far" if self.best else ""
                if self.best and self.gain <= 0:  # preferred for its length
                    better = (
                        f", the result so far, though {'worse' if self.gain < 0 else 'no better'} than its parent"
                    )
                edit = f"{self.operator} on {self.section}: {self.gain:+.3f} ± {self.error:.3f}"
                return f"{edit}, validation {self.value:.3f}{better}"
            case "waiting":
                edit = f"{self.operator} on {self.section}: {self.gain:+.3f} ± {self.error:.3f}"
                return f"{edit}, validation {self.value:.3f}: it waits for a person"
            case "lost":
                edit = f"{self.operator} on {self.section}, {self.gain:+.3f} ± {self.error:.3f}"
                return f"lost its race: {edit} on {self.paired} examples"
            case _:
                return f"{self.operator} on {self.section}: {FAILURES[self.kind]}: {self.reason}"


FAILURES: dict[str, str] = {
    "declined": "rejected by a person",
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


@dataclass(frozen=True, slots=True)
class Waiting:
    """An edit that waits for a person: its ending so far, its assignment, and its properties as a survivor."""

    ending: Ending
    assignment: Assignment
    standing: Standing


class Progress:
    """The state of a search so far. `survivors`: by candidate. `best`: the one that would be the result now, and
    `prompt` its prompt. `cuts`: ended assignments that were made to shrink the result. `paused`: a person has paused
    the search. `waiting`: edits that wait for a person, by candidate. `reopened`: the endings that the last `Resumed`
    has undone."""

    def __init__(self, prefer: Prefer = "best", guard: Guard | None = None) -> None:
        self._prefer: Prefer = prefer
        self._guard = guard
        self._standings: dict[int, Standing] = {}
        self._front = Front[Standing](guard)
        self.prompt: Prompt | None = None
        self.cuts = 0
        self.open: dict[int, Assignment] = {}
        self.counts: Counter[EndKind] = Counter()
        self.survivors: dict[int, Ending] = {}
        self.best: Ending | None = None
        self.paused = False
        self.waiting: dict[int, Waiting] = {}
        self.reopened: Sequence[Ending] = ()
        self._ends = Ends()
        self._ended: dict[int, tuple[Ending, Assignment | None]] = {}

    @property
    def ended(self) -> int:
        """Assignments of operators that have ended."""
        return self.counts.total() - self.counts["first"] - self.cuts

    @property
    def stands(self) -> int:
        """Ended assignments of operators that are not repeated when the run is resumed."""
        ends = [self._ended[end.id][0] for end in self._ends.provisional if end.id in self._ended]
        return self.ended - sum(ending.kind != "first" and ending.operator != SHRINK for ending in ends)

    @property
    def stopping(self) -> str:
        """The reason why a person or the team has stopped new assignments; "" if they have not."""
        return next((end.message.reason for end in self._ends.standing if isinstance(end.message, Stop)), "")

    @property
    def stopped_by(self) -> str:
        """The reason why the search ended; "" while it goes on."""
        return next((end.message.stopped_by for end in self._ends.standing if isinstance(end.message, Finished)), "")

    @property
    def idle(self) -> bool:
        """Whether nothing is under way before a person decides about what waits."""
        return bool(self.waiting) and not self.open and not self.stopped_by

    def follow(self, envelope: Envelope) -> Ending | None:
        """Add the next envelope, and return the ending if it ends an assignment, or if an edit waits for a person
        from now on."""
        undone = self._ends.take(envelope)
        match envelope.message:
            case Assignment() as assignment:
                self.open[assignment.assignment] = assignment
            case Pause():
                self.paused = True
            case Continue():
                self.paused = False
            case Critique(assignment=number) as critique:
                asked = self.open.get(number)
                if asked is not None and asked.review and critique.evaluation.survived:
                    return self._wait(critique, asked, envelope)
                return self._end(self._of_critique(critique), asked, envelope)
            case Accept(number) if number in self.waiting:
                return self._decided(self.waiting.pop(number), "")
            case Reject(number, reason) if number in self.waiting:
                return self._decided(self.waiting.pop(number), reason)
            case Failure(assignment=number) as failure:
                asked = self.open.get(number)
                return self._end(self._of_failure(failure), asked, envelope)
            case Resumed():
                self.paused = False
                self._reopen([self._ended.pop(end.id) for end in undone if end.id in self._ended])
            case _:
                pass
        return None

    def _reopen(self, ended: Sequence[tuple[Ending, Assignment | None]]) -> None:
        self.reopened = [ending for ending, _ in ended]
        for ending, assignment in ended:
            if self.waiting.pop(ending.assignment, None) is None:
                self.counts[ending.kind] -= 1
            self.cuts -= ending.operator == SHRINK
            self.survivors.pop(ending.assignment, None)
            self._standings.pop(ending.assignment, None)
            if assignment is not None:
                self.open[assignment.assignment] = assignment
        if ended:
            self._front = Front(self._guard)
            for standing in self._standings.values():
                self._front.add(standing)
            self._lead()

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
            self._add(_standing(critique))
        kind: EndKind = "first" if critique.assignment == FIRST else "survived" if evaluation.survived else "lost"
        best = evaluation.survived and self._front.preferred(self._prefer).candidate == critique.assignment
        return _ending(critique, assignment, kind, best)

    def _add(self, standing: Standing) -> None:
        self._standings[standing.candidate] = standing
        self._front.drop({standing.candidate})
        self._front.add(standing)

    def _wait(self, critique: Critique, assignment: Assignment, envelope: Envelope) -> Ending:
        del self.open[critique.assignment]
        ending = _ending(critique, assignment, "waiting", best=False)
        self.waiting[critique.assignment] = Waiting(ending, assignment, _standing(critique))
        if is_end(envelope):
            self._ended[envelope.id] = ending, assignment
        return ending

    def _decided(self, waited: Waiting, reason: str) -> Ending:
        """The ending of an edit that a person accepts, or rejects for a reason."""
        if reason:
            ending = replace(waited.ending, kind="declined", value=None, reason=reason)
        else:
            self._add(waited.standing)
            best = self._front.preferred(self._prefer).candidate == waited.ending.assignment
            ending = replace(waited.ending, kind="survived", best=best)
        for number, (before, assignment) in self._ended.items():
            if before is waited.ending:  # a cap has cut its critique short, so that a resumed run repeats it
                self._ended[number] = ending, assignment
        self._count(ending)
        return ending

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
        leader = self._front.preferred(self._prefer) if self._front.members else None
        self.best = None if leader is None else self.survivors[leader.candidate]
        self.prompt = None if leader is None else leader.prompt

    def _end(self, ending: Ending, assignment: Assignment | None, envelope: Envelope) -> Ending:
        if is_end(envelope):
            self._ended[envelope.id] = ending, assignment
        self._count(ending)
        return ending

    def _count(self, ending: Ending) -> None:
        self.counts[ending.kind] += 1
        self.cuts += ending.operator == SHRINK
        if ending.value is not None:
            self.survivors[ending.assignment] = ending
            self._lead()


def _standing(critique: Critique) -> Standing:
    evaluation = critique.evaluation
    return Standing(critique.assignment, evaluation.value, evaluation.tokens, evaluation.scores, evaluation.prompt)


def _ending(critique: Critique, assignment: Assignment | None, kind: EndKind, best: bool) -> Ending:
    evaluation = critique.evaluation
    return Ending(
        assignment=critique.assignment,
        kind=kind,
        operator=assignment.operator if assignment else "",
        section=assignment.section if assignment else "",
        parent=assignment.parent if assignment else None,
        gain=evaluation.gain,
        error=evaluation.error,
        paired=evaluation.paired,
        unanswered=evaluation.unanswered,
        tokens=evaluation.tokens,
        value=evaluation.value if evaluation.survived else None,
        best=best,
        models={name: of.value for name, of in evaluation.models.items()} if evaluation.survived else {},
    )


def progress_of(directory: Path) -> Progress:
    """The progress of the run in a directory, by its journal so far.

    :raises ConfigError: it is not a run directory.
    :raises MemoryMismatch, StorageFailed: its configuration or its journal cannot be read.
    """
    configuration = read_configuration(directory)
    return progress_in(directory / JOURNAL, configuration.search.prefer, configuration.guard)


def progress_in(journal: Path, prefer: Prefer, guard: Guard | None = None) -> Progress:
    """The progress of a run, by its journal so far.

    :raises MemoryMismatch, StorageFailed: the journal cannot be read.
    """
    progress = Progress(prefer, guard)
    for _ in _endings(journal, progress):
        pass
    return progress


def end_of(directory: Path, assignment: int) -> Ending | None:
    """How an assignment of the run in a directory has ended last; None if it has not.

    :raises ConfigError, MemoryMismatch, StorageFailed: as `progress_of`.
    """
    configuration, found = read_configuration(directory), None
    progress = Progress(configuration.search.prefer, configuration.guard)
    for ending in _endings(directory / JOURNAL, progress):
        found = ending if ending.assignment == assignment else found
    return found


def _endings(journal: Path, progress: Progress) -> Iterator[Ending]:
    """The endings of a journal, each once `progress` has it."""
    for envelope in read_journal(journal, TOLD, brief=True):
        if (ending := progress.follow(envelope)) is not None:
            yield ending
