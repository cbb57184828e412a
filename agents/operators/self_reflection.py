"""self_reflection: rewrite a section from what failed and what the critic made of it."""

from __future__ import annotations

from agents.operators.operator import Context, of_kinds
from agents.operators.rewriting import failures, rewrite
from protocols.errors import InapplicableError
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task


class SelfReflection:
    """Applies to what tells the model what to do and what things mean."""

    name = "self_reflection"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Instructions, definitions and reminders."""
        return of_kinds(prompt, "task", "definitions", "reminders")

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: nothing failed."""
        if not failures(assignment.outcomes):
            raise InapplicableError("no training example of the minibatch failed")
        return await rewrite(assignment, context, "self_reflection.txt")
