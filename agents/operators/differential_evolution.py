"""differential_evolution: what differs between two prompts, applied to a third (EvoPrompt, arXiv 2309.08532)."""

from __future__ import annotations

from typing import Literal

from agents.operators.operator import Context
from agents.operators.rewriting import rewrite
from agents.prompting.requests import block
from protocols.errors import InapplicableError
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task


class DifferentialEvolution:
    """Applies to any section with a text but the worked examples, once another member differs in it.

    EvoPrompt's steps: find what differs between two members; apply such a change to the section; cross the
    outcome with the best member's.
    """

    name = "differential_evolution"
    combining: Literal[True] = True

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Everything that is prose; an empty section has no text to change."""
        return [section.name for section in prompt if section.kind != "examples" and section.text]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: no other member of the archive differs in this section."""
        mine = assignment.prompt[assignment.section].text
        texts = [partner.prompt[assignment.section].text for partner in assignment.partners]
        others = list(dict.fromkeys(text for text in texts if text and text != mine))
        if not others:
            raise InapplicableError("the archive has no other text of this section")
        best = next(text for text in texts if text)
        first = context.rng.choice(others)
        second = context.rng.choice([text for text in [*others, mine] if text != first])
        blocks = [block("first", first), block("second", second), block("best", best)]
        return await rewrite(assignment, context, "differential_evolution.txt", blocks)
