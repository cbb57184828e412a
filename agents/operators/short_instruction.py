"""short_instruction: say the same in fewer words."""

from __future__ import annotations

from agents.operators.operator import Context
from agents.operators.rewriting import rewrite
from protocols.errors import EditRejected
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task

SHARES = (0.5, 0.7, 0.85)
FEWEST_WORDS = 8


class ShortInstruction:
    """Applies to any section that is long enough to be shortened."""

    name = "short_instruction"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Sections of more than `FEWEST_WORDS` words; eight characters are one in a script without spaces."""
        return [section.name for section in prompt if _words(section.text) > FEWEST_WORDS]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises EditRejected: what came back is no shorter."""
        section = assignment.prompt[assignment.section]
        target = max(FEWEST_WORDS, round(_words(section.text) * context.rng.choice(SHARES)))
        prompt = await rewrite(assignment, context, "short_instruction.txt", words=str(target))
        if prompt.tokens >= assignment.prompt.tokens:
            raise EditRejected(f"section {section.name}: the edit is no shorter")
        return prompt


def _words(text: str) -> int:
    spaced = text.split()
    return max(len(spaced), len(text) // 8)
