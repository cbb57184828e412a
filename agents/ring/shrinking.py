"""The phase after the search that makes the result shorter.

The Controller makes one cut at a time in the prompt that would be the result. The Evaluator races the shorter prompt
against the prompt as it was when the phase began, so that small losses do not add up. The cut is kept if the shorter
prompt survives and becomes the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agents.archive.archive import Archive, Member
from agents.programs.calls import answering
from agents.prompting.retrieval_slots import RetrievalSlots, measured
from agents.ring.cuts import Cut, Cuts
from protocols.messages import SHRINK, Assignment, Candidate, Failure, FailureKind, Message, Scores
from protocols.prompt import Prompt
from protocols.task import Task


class Shrinker:
    """Chooses the next cut. `races` >= 0: maximum number of cuts to race. `scores`: of the prompt that all cuts are
    raced against."""

    def __init__(self, archive: Archive, task: Task, races: int) -> None:
        self._archive, self._task, self._left = archive, task, races
        self._cut: Cut | None = None
        self._begin(archive.best())

    def _begin(self, member: Member) -> None:
        self.member, self.scores = member, member.scores
        filled = member.tokens - member.prompt.tokens
        prompt, names, answers = member.prompt, self._task.kind.names, answering(member.prompt, member.outcomes)
        self._cuts = Cuts(prompt, self._task.placeholders, names, filled, member.credit, answers)

    def next(self) -> tuple[Member, Scores, str, Prompt] | None:
        """The member whose prompt is cut, the scores to race against, the section, and the prompt after the cut; None
        if there is nothing left to try."""
        found = self._cuts.next() if self._left > 0 else None
        if found is None:
            return None
        self._left -= 1
        self._cut, prompt = found
        return self.member, self.scores, self._cut.section, prompt

    def freeze(self, section: str) -> None:
        """Make no more cuts in this section."""
        self._cuts.prompt = self._cuts.prompt.freeze((section,))
        self.member = replace(self.member, prompt=self._cuts.prompt)

    def raced(self, candidate: int) -> None:
        """Keep or drop the last cut, after its candidate has raced."""
        best = self._archive.best()
        assert self._cut is not None
        if best.candidate == candidate:
            self.member = best
            self._cuts.held(self._cut, best.prompt)
        elif best.candidate == self.member.candidate:
            self._cuts.failed(self._cut)
        else:
            self._begin(best)  # another member is the result now, so cuts continue from it

    def failed(self, kind: FailureKind) -> None:
        """Drop the last cut, which was not evaluated. If a cap or a person ended it, make no more cuts."""
        if kind in ("budget", "stopped", "allowance"):
            self._left = 0
        elif self._cut is not None:
            self._cuts.failed(self._cut)


class Shrink:
    """The Proposer of cuts: turns the Controller's cut into a candidate, without a model call."""

    address = f"proposer/{SHRINK}"
    accepts: tuple[type[Message], ...] = (Assignment,)

    def __init__(self, slots: RetrievalSlots) -> None:
        self._slots = slots

    async def handle(self, message: Message) -> Sequence[Candidate | Failure]:
        """The cut prompt as a candidate, which survives if it is no worse."""
        assert isinstance(message, Assignment)
        assert message.edited is not None
        tokens = await measured(self._slots.tokens, message.prompt)
        return [
            Candidate(
                message.assignment, message.edited, message.scores, tokens, section=message.section, shrunk=True
            )
        ]
