"""repeat_instructions: restate near the end what failures show to be forgotten."""

from __future__ import annotations

from agents.operators.operator import Context, of_kinds
from agents.operators.rewriting import failures, rewrite
from protocols.errors import InapplicableError
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task


class RepeatInstructions:
    """Applies to reminders."""

    name = "repeat_instructions"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The reminders."""
        return of_kinds(prompt, "reminders")

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: nothing failed, so nothing is forgotten."""
        if not failures(assignment.outcomes):
            raise InapplicableError("no training example of the minibatch failed")
        return await rewrite(assignment, context, "repeat_instructions.txt")
