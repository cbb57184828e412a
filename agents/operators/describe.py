"""describe: write what the task is from its data, as the first edits of a search."""

from __future__ import annotations

from agents.operators.operator import Context, Progress, Turn, of_kinds
from agents.operators.writing import Writer
from agents.prompting.material import data_block
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task

TIMES = 2
"""Edits that a search begins with: two draws of the same request, for one may miss what the other sees."""


class Describe(Writer):
    """Applies to the definitions, or where a prompt has none to the task: what comes in, what is wanted, and what
    every answer means, also those that no failure has shown."""

    name = "describe"
    file = "describe.txt"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The first section of definitions, or else of the task, that may be edited."""
        free = [section.name for section in prompt if not section.frozen]
        found = [name for kind in ("definitions", "task") for name in of_kinds(prompt, kind) if name in free]
        return found[:1]

    def turn(self, progress: Progress) -> Turn:
        """At the beginning, and then no more: what failed is the better guide."""
        return "must" if progress.own < TIMES else "never"

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises UnreadableReply, EditRejected: see `Writer.write`."""
        shown = {outcome.example for outcome in assignment.outcomes}
        return await self.write(assignment, context, lambda: [data_block(context.task, shown)])
