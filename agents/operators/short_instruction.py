"""short_instruction: say the same in fewer words, late in a search and where a text is long enough for that."""

from __future__ import annotations

from agents.operators.operator import Context, Progress, Turn
from agents.operators.writing import Writer
from agents.prompting.wording import count_words
from protocols.errors import EditRejected
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task

LONG = 60
"""Words beside the names that replies are read for, from which on a text may be worth shortening."""
IDLE = 3
"""Assignments in a row that gained nothing before a text is shortened."""
SHARE = 0.75
"""Of the words that are free to go, those that a new text may have at most."""


class ShortInstruction(Writer):
    """Applies to any section that is long enough to be shortened, but worked examples: how many of these are shown is
    few_shot's to say, and a shortened one shows what nobody asked. The names that replies are read for are no words
    that could go."""

    name = "short_instruction"
    file = "simplify.txt"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Sections of `LONG` words or more beside the names."""
        return [s.name for s in prompt if s.kind != "examples" and _free(prompt, s.name, task) >= LONG]

    def turn(self, progress: Progress) -> Turn:
        """Only once nothing has been gained for a while: while a text still grows, it is not worth polishing."""
        return "may" if progress.idle >= IDLE else "never"

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises EditRejected: what came back is no shorter."""
        name, task = assignment.section, context.task
        free = _free(assignment.prompt, name, task)
        most = count_words(assignment.prompt[name].text) - free + round(SHARE * free)
        prompt = await self.write(assignment, context, words=most)
        if prompt.tokens >= assignment.prompt.tokens:
            raise EditRejected(f"section {name}: the edit is no shorter", text=prompt[name].text)
        return prompt


def _free(prompt: Prompt, section: str, task: Task) -> int:
    """The words of a section beside the names that stand in it alone."""
    held = count_words(", ".join(task.kind.names.held(prompt, section)))
    return count_words(prompt[section].text) - held
