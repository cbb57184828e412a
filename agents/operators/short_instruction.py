"""short_instruction: say the same in fewer words."""

from __future__ import annotations

from agents.operators.operator import Context
from agents.operators.rewriting import count_words, rewrite
from protocols.errors import EditRejected
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task

SHARES = (0.5, 0.7, 0.85)
FEWEST_WORDS = 8


class ShortInstruction:
    """Applies to any section that is long enough to be shortened, but worked examples: how many of these are shown is
    few_shot's to say, and a shortened one shows what nobody asked."""

    name = "short_instruction"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Sections of more than `FEWEST_WORDS` words."""
        return [s.name for s in prompt if s.kind != "examples" and count_words(s.text) > FEWEST_WORDS]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises EditRejected: what came back is no shorter."""
        section = assignment.prompt[assignment.section]
        target = max(FEWEST_WORDS, round(count_words(section.text) * context.rng.choice(SHARES)))
        prompt = await rewrite(assignment, context, "short_instruction.txt", words=str(target))
        if prompt.tokens >= assignment.prompt.tokens:
            raise EditRejected(f"section {section.name}: the edit is no shorter", text=prompt[section.name].text)
        return prompt
