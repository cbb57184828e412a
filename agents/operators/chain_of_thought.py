"""chain_of_thought: write a way of reasoning for this task (after Wei et al., arXiv 2201.11903)."""

from __future__ import annotations

from agents.operators.operator import Context, of_kinds
from agents.operators.rewriting import failures, rewrite
from protocols.errors import InapplicableError
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task


class ChainOfThought:
    """Applies to reasoning sections."""

    name = "chain_of_thought"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The way of reasoning."""
        return of_kinds(prompt, "reasoning")

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: nothing failed, so there is nothing to reason about."""
        if not failures(assignment.outcomes):
            raise InapplicableError("no training example of the minibatch failed")
        return await rewrite(assignment, context, "chain_of_thought.txt")
