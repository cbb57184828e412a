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
    few_shot's to say, and a shortened one shows what nobody asked. The names that replies are read for are no words
    that could go."""

    name = "short_instruction"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Sections of more than `FEWEST_WORDS` words beside the names."""
        long = [s for s in prompt if s.kind != "examples" and count_words(s.text) > FEWEST_WORDS]
        return [s.name for s in long if count_words(s.text) - _kept(prompt, s.name, task) > FEWEST_WORDS]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises EditRejected: what came back is no shorter."""
        section = assignment.prompt[assignment.section]
        kept = _kept(assignment.prompt, section.name, context.task)
        free = count_words(section.text) - kept
        target = kept + max(FEWEST_WORDS, round(free * context.rng.choice(SHARES)))
        prompt = await rewrite(assignment, context, "short_instruction.txt", words=str(target))
        if prompt.tokens >= assignment.prompt.tokens:
            raise EditRejected(f"section {section.name}: the edit is no shorter", text=prompt[section.name].text)
        return prompt


def _kept(prompt: Prompt, section: str, task: Task) -> int:
    """The words of the names that stand in this section alone."""
    return count_words(", ".join(task.kind.names.held(prompt, section)))
