"""merge: section by section, the best of several high scorers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from agents.operators.operator import WHOLE, Context
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Credit, mean
from protocols.prompt import Prompt, placeholders
from protocols.task import Task

SURE = (0.5, 1.0, 2.0)


class Merge:
    """Applies to the prompt as a whole, once the archive has two members.

    The best of them keeps, of each section that is not frozen, its own text unless another's has more credit by so
    many standard errors of the difference, how many being drawn from `SURE`: a text may owe its credit to what stood
    around it, so what works together is taken apart for good reason only. A member's credit for a section pools the
    paired gains of the edits that led to its text with what the score was measured to lose without it, each by its
    precision: `agents.ring.credit.believed` says why. No text is worth 0, so a section that is believed to do harm is
    emptied, unless a placeholder would be lost.
    """

    name = "merge"
    combining: Literal[True] = True

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The whole prompt, unless all of it is frozen."""
        return [WHOLE] if any(not section.frozen for section in prompt) else []

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: the archive has no other member, or none whose text has enough more credit."""
        parent = (assignment.scores, assignment.prompt, assignment.credit)
        members = [parent, *((p.scores, p.prompt, p.credit) for p in assignment.partners)]
        if len(members) < 2:
            raise InapplicableError("the archive has no other member")
        _, best, credit = max(members, key=lambda member: mean(member[0]))
        sure, fields = context.rng.choice(SURE), context.task.fields
        merged = best
        for section in best:
            if not section.frozen:
                texts = [(prompt[section.name].text, _of(worth, section.name)) for _, prompt, worth in members]
                nothing = [("", Credit(0.0, 0.0))] if not placeholders(section.text, fields) else []
                own = _of(credit, section.name)
                text, other = max([*texts, *nothing], key=lambda candidate: _lead(candidate[1], own, sure))
                if _lead(other, own, sure) > 0:
                    merged = merged.edit(section.name, text, fields)
        if merged == best:
            raise InapplicableError("no other member has a section of more credit than the best has")
        return merged


def _of(credit: Mapping[str, Credit], name: str) -> Credit:
    return credit.get(name, Credit(0.0, 0.0))


def _lead(other: Credit, own: Credit, sure: float) -> float:
    return other.value - own.value - sure * math.hypot(other.error, own.error)
