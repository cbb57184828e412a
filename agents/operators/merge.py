"""merge: section by section, the best of several high scorers."""

from __future__ import annotations

from collections.abc import Mapping

from agents.operators.operator import WHOLE, Context
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Credit
from protocols.prompt import Prompt, placeholders
from protocols.task import Task


class Merge:
    """Applies to the prompt as a whole, once the archive has two members.

    For each section that is not frozen, the text of most credit is taken, the parent's own where none has more. A
    member's credit for a section pools the paired gains of the edits that led to its text with what the score was
    measured to lose without it, each by its precision: `agents.ring.credit.believed` says why. No text is worth 0, so
    a section is emptied whose every text is believed to do harm, unless a placeholder would be lost.
    """

    name = "merge"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The whole prompt, unless all of it is frozen."""
        return [WHOLE] if any(not section.frozen for section in prompt) else []

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: the archive has no other member."""
        if not assignment.partners:
            raise InapplicableError("the archive has no other member")
        merged, fields = assignment.prompt, context.task.fields
        for section in assignment.prompt:
            if not section.frozen:
                texts = [(_value(p.credit, section.name), p.prompt[section.name].text) for p in assignment.partners]
                nothing = [(0.0, "")] if not placeholders(section.text, fields) else []
                highest, text = max([*texts, *nothing], key=lambda candidate: candidate[0])
                if highest > _value(assignment.credit, section.name):
                    merged = merged.edit(section.name, text, fields)
        return merged


def _value(credit: Mapping[str, Credit], name: str) -> float:
    return credit[name].value if name in credit else 0.0
