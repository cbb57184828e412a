"""The phase that makes the result shorter, once the search is over.

The Controller cuts something out of the prompt that would be the result, one cut at a time, and the Evaluator races
what is left against the prompt as it was when the phase began, so that small losses do not add up. The cut holds if
the shorter prompt survives and is now the result itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agents.archive.archive import Archive, Member
from agents.prompting.retrieval_slots import Shelves, measured
from agents.prompting.shrink import Cut, Cuts
from protocols.messages import SHRINK, Assignment, Candidate, Failure, FailureKind, Message, Scores
from protocols.prompt import Prompt
from protocols.task import Task


class Shrinker:
    """What is cut next. `races` >= 0: as many are run at most. `scores`: of the prompt that all are compared with."""

    def __init__(self, archive: Archive, task: Task, races: int) -> None:
        self._archive, self._task, self._left = archive, task, races
        self._cut: Cut | None = None
        self._begin(archive.best())

    def _begin(self, member: Member) -> None:
        self.member, self.scores = member, member.scores
        filled = member.tokens - member.prompt.tokens
        self._cuts = Cuts(member.prompt, self._task.fields, self._task.kind.names, filled, member.credit)

    def next(self) -> tuple[Member, Scores, str, Prompt] | None:
        """Whose prompt is cut, the scores that it is raced against, the section, and the prompt after the cut; None
        if nothing is left to be tried."""
        found = self._cuts.next() if self._left > 0 else None
        if found is None:
            return None
        self._left -= 1
        self._cut, prompt = found
        return self.member, self.scores, self._cut.section, prompt

    def freeze(self, section: str) -> None:
        """Nothing of this section is cut any more."""
        self._cuts.prompt = self._cuts.prompt.freeze((section,))
        self.member = replace(self.member, prompt=self._cuts.prompt)

    def raced(self, candidate: int) -> None:
        """This candidate has survived its race, or lost it."""
        best = self._archive.best()
        assert self._cut is not None
        if best.candidate == candidate:
            self.member = best
            self._cuts.held(self._cut, best.prompt)
        elif best.candidate == self.member.candidate:
            self._cuts.failed(self._cut)
        else:
            self._begin(best)  # the cut has shown another member to be the one to go on from

    def failed(self, kind: FailureKind) -> None:
        """The cut came to no evaluation. Where a cap or a person ended it, there is no other."""
        if kind in ("budget", "stopped", "allowance"):
            self._left = 0
        elif self._cut is not None:
            self._cuts.failed(self._cut)


class Shrink:
    """Among the Proposers: hands on what the Controller has cut. It asks no model."""

    address = f"proposer/{SHRINK}"
    accepts: tuple[type[Message], ...] = (Assignment,)

    def __init__(self, shelves: Shelves) -> None:
        self._shelves = shelves

    async def handle(self, message: Message) -> Sequence[Candidate | Failure]:
        """The candidate, to be raced for being no worse."""
        assert isinstance(message, Assignment)
        assert message.edited is not None
        tokens = await measured(self._shelves.tokens, message.prompt)
        return [
            Candidate(
                message.assignment, message.edited, message.scores, tokens, section=message.section, shrunk=True
            )
        ]
