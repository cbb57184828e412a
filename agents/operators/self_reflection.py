"""self_reflection: rewrite a section from what failed and what the critic made of it."""

from __future__ import annotations

from collections.abc import Sequence

from agents.operators.operator import Context, of_kinds
from agents.operators.writing import Writer, failures
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Outcome
from protocols.prompt import Kind, Prompt
from protocols.task import Task


class Rewriter(Writer):
    """Rewrites sections of some `kinds`; what differs by the use of a section is a clause of the instruction."""

    file = "rewrite.txt"
    may_be_empty = True
    kinds: tuple[Kind, ...] = ()

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The sections of these kinds."""
        return of_kinds(prompt, *self.kinds)

    def mends(self, outcomes: Sequence[Outcome]) -> bool:
        """Something failed."""
        return bool(failures(outcomes))

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: nothing failed."""
        if not failures(assignment.outcomes):
            raise InapplicableError("no training example of the minibatch failed")
        return await self.write(assignment, context)


class SelfReflection(Rewriter):
    """Applies to what tells the model what to do and what things mean."""

    name = "self_reflection"
    kinds = ("task", "definitions")
