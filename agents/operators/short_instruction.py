"""short_instruction: say the same in fewer words, late in a search, if a text is long enough to be shortened."""

from __future__ import annotations

from agents.operators.operator import Context, Progress, Turn
from agents.operators.writing import Writer
from agents.prompting.wording import count_words
from protocols.errors import EditRejected
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task

LONG = 60
"""Minimum number of free words of a text that may be shortened: those that are not names the parser needs."""
IDLE = 3
"""Assignments in a row without a gain before a text is shortened."""
SHARE = 0.75
"""Maximum number of free words in the new text, as a share of those in the old one."""


class ShortInstruction(Writer):
    """Applies to any section that is long enough, except worked examples: few_shot decides how many of these to show,
    and a shortened example would no longer be a real one. Names that the parser needs are not counted, since they
    have to stay."""

    name = "short_instruction"
    file = "simplify.txt"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Sections of at least `LONG` words, not counting the names."""
        long = (s for s in prompt if s.kind != "examples" and count_words(s.text) >= LONG)
        return [section.name for section in long if _free(prompt, section.name, task) >= LONG]

    def turn(self, progress: Progress) -> Turn:
        """Allowed only after `IDLE` assignments without a gain: a text that still grows is not worth shortening."""
        return "may" if progress.idle >= IDLE else "never"

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises EditRejected: the new text is no shorter."""
        name, task = assignment.section, context.task
        free = _free(assignment.prompt, name, task)
        most = count_words(assignment.prompt[name].text) - free + round(SHARE * free)
        prompt = await self.write(assignment, context, words=most)
        if prompt.tokens >= assignment.prompt.tokens:
            raise EditRejected(f"section {name}: the edit is no shorter", text=prompt[name].text)
        return prompt


def _free(prompt: Prompt, section: str, task: Task) -> int:
    """Words of a section, not counting the names that no other section of its prompt has."""
    held = count_words(", ".join(task.kind.names.held(prompt.of(prompt[section].prompt), section)))
    return count_words(prompt[section].text) - held
