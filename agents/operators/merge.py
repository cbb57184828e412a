"""merge: section by section, the best of several high scorers."""

from __future__ import annotations

from collections.abc import Sequence

from agents.operators.operator import WHOLE, Context
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Partner
from protocols.prompt import Prompt, Section
from protocols.task import Task


class Merge:
    """Applies to the prompt as a whole, once the archive has two members.

    For each section that is not frozen, the text whose edits earned most is taken: a member's credit for a section is
    the sum of the paired gains of the edits of that section on the way from the first prompt to it.
    """

    name = "merge"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The whole prompt, unless all of it is frozen."""
        return [WHOLE] if any(not section.frozen for section in prompt) else []

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: the archive has no other member."""
        if not assignment.partners:
            raise InapplicableError("the archive has no other member")
        merged = assignment.prompt
        for section in assignment.prompt:
            if not section.frozen:
                best = _best(section, assignment.credit.get(section.name, 0.0), assignment.partners)
                merged = merged.edit(section.name, best, context.task.fields)
        return merged


def _best(section: Section, credit: float, partners: Sequence[Partner]) -> str:
    """The text of most credit; the parent's own where none has more."""
    candidates = [(partner.credit.get(section.name, 0.0), partner.prompt[section.name].text) for partner in partners]
    highest, text = max(candidates, key=lambda candidate: candidate[0])
    return text if highest > credit else section.text
