"""self_reflection, chain_of_thought, repeat_instructions: rewrite a section from what failed and what the critic made
of it. What the section is for says the rest: to tell what to do and what things mean, to reason (after Wei et al.,
arXiv 2201.11903), or to restate near the end what failures show to be forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from agents.operators.operator import Context
from agents.operators.writing import Writer, failures
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Outcome
from protocols.prompt import Prompt


class Rewriter(Writer):
    """Rewrites sections of some `kinds`; what differs by the use of a section is a clause of the instruction."""

    file = "rewrite.txt"
    may_be_empty = True

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


class ChainOfThought(Rewriter):
    """Applies to reasoning sections."""

    name = "chain_of_thought"
    kinds = ("reasoning",)


class RepeatInstructions(Rewriter):
    """Applies to reminders."""

    name = "repeat_instructions"
    kinds = ("reminders",)
