"""describe: write a description of the task from its data, as the first edits of a search."""

from __future__ import annotations

from collections.abc import Sequence

from agents.operators.operator import Context, Progress, Turn, of_kinds
from agents.operators.writing import Writer
from agents.programs.calls import answering
from agents.prompting.material import data_block
from protocols.messages import Assignment, Outcome
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
        """The first section of definitions, or else of the task, that may be edited; of each prompt of a program."""
        free = [section.name for section in prompt if not section.frozen]
        found = {
            name: [n for kind in ("definitions", "task") for n in of_kinds(prompt.of(name), kind) if n in free]
            for name in prompt.names
        }
        return [names[0] for names in found.values() if names]

    def fits(self, prompt: Prompt, section: str, outcomes: Sequence[Outcome]) -> bool:
        """Whether a reply to the section's prompt is the answer, as far as it is known: the data tell nothing of what
        the other prompts of a program are for."""
        return prompt[section].prompt in ("", answering(prompt, outcomes) or prompt[section].prompt)

    def turn(self, progress: Progress) -> Turn:
        """Due at the beginning, and never again: later, failures are the better guide."""
        return "must" if progress.own < TIMES else "never"

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises UnreadableReply, EditRejected: see `Writer.write`."""
        shown = {outcome.example for outcome in assignment.outcomes}
        return await self.write(assignment, context, lambda: [data_block(context.task, shown)])
