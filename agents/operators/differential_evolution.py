"""differential_evolution: what differs between two prompts, applied to a third (EvoPrompt, arXiv 2309.08532)."""

from __future__ import annotations

from agents.operators.operator import Context
from agents.operators.rewriting import rewrite
from agents.prompting.requests import block
from protocols.errors import InapplicableError
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task


class DifferentialEvolution:
    """Applies to any section but the worked examples, once the archive holds two that differ in it.

    EvoPrompt's steps: find what differs between two members; apply such a change to the section; cross the
    outcome with the best member's.
    """

    name = "differential_evolution"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Everything that is prose."""
        return [section.name for section in prompt if section.kind != "examples"]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: no two members of the archive differ in this section."""
        mine = assignment.prompt[assignment.section].text
        texts = [partner.prompt[assignment.section].text for partner in assignment.partners]
        others = list(dict.fromkeys(text for text in texts if text and text != mine))
        if len(others) + bool(mine) < 2:
            raise InapplicableError("the archive has no two different texts of this section")
        best = next(text for text in [*texts, mine] if text)
        first = context.rng.choice(others)
        second = context.rng.choice([text for text in [*others, mine] if text and text != first])
        blocks = [block("first", first), block("second", second), block("best", best)]
        return await rewrite(assignment, context, "differential_evolution.txt", blocks)
