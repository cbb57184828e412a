"""differential_evolution: what differs between two prompts, applied to a third (EvoPrompt, arXiv 2309.08532)."""

from __future__ import annotations

from collections.abc import Sequence

from agents.operators.operator import Context
from agents.operators.rewriting import rewrite
from agents.prompting.requests import block
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Partner
from protocols.prompt import Prompt
from protocols.task import Task


class DifferentialEvolution:
    """Applies to any section with a text but the worked examples, once another member differs in it.

    EvoPrompt's steps: find what differs between two members; apply such a change to the section; cross the
    outcome with the best member's.
    """

    name = "differential_evolution"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Everything that is prose; an empty section has no text to change."""
        return [section.name for section in prompt if section.kind != "examples" and section.text]

    def combines(self, prompt: Prompt, section: str, partners: Sequence[Partner]) -> bool:
        """Another member has another text there."""
        return bool(_others(prompt, section, partners))

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: no other member of the archive differs in this section."""
        mine = assignment.prompt[assignment.section].text
        others = _others(assignment.prompt, assignment.section, assignment.partners)
        if not others:
            raise InapplicableError("the archive has no other text of this section")
        texts = [partner.prompt[assignment.section].text for partner in assignment.partners]
        best = next(text for text in texts if text)
        first = context.rng.choice(others)
        second = context.rng.choice([text for text in [*others, mine] if text != first])
        blocks = [block("first", first), block("second", second), block("best", best)]
        return await rewrite(assignment, context, "differential_evolution.txt", blocks)


def _others(prompt: Prompt, section: str, partners: Sequence[Partner]) -> list[str]:
    """The distinct texts of the partners that the prompt has not."""
    texts = [partner.prompt[section].text for partner in partners]
    return list(dict.fromkeys(text for text in texts if text and text != prompt[section].text))
