"""describe: write a description of the task from its data, as the first edits of a search."""

from __future__ import annotations

from agents.operators.operator import Context, Progress, Turn, of_kinds
from agents.operators.writing import Writer
from agents.prompting.material import data_block
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task

TIMES = 2
"""Number of edits at the start of a search: two replies to one request, since one may find what the other misses."""


class Describe(Writer):
    """Applies to the definitions, or to the task if there are none: writes what the input is, what is wanted, and the
    meaning of every answer, including those without a failure."""

    name = "describe"
    file = "describe.txt"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The first section of definitions, or else of the task, that may be edited."""
        free = [section.name for section in prompt if not section.frozen]
        found = [name for kind in ("definitions", "task") for name in of_kinds(prompt, kind) if name in free]
        return found[:1]

    def turn(self, progress: Progress) -> Turn:
        """Due at the beginning, and never again: later, failures are the better guide."""
        return "must" if progress.own < TIMES else "never"

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises UnreadableReply, EditRejected: see `Writer.write`."""
        shown = {outcome.example for outcome in assignment.outcomes}
        return await self.write(assignment, context, lambda: [data_block(context.task, shown)])
