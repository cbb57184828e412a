"""merge: section by section, the best of several high scorers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from agents.operators.operator import WHOLE, Context
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Credit, Partner, mean
from protocols.prompt import Prompt, placeholders
from protocols.task import Task

NOTHING = Credit(0.0, 0.0)


class Merge:
    """Applies to the prompt as a whole, once the archive has two members.

    The highest scorer takes from another each text that has more credit than its own. Which other is drawn by how far
    it is ahead where the highest scorer is behind, for that is what there is to win; from one alone, as a text owes
    its credit to the company that it was in. No text is worth 0, so the section whose credit is then farthest below 0
    is emptied, if that is by more than its error; one alone, since two that say the same are worth nothing each, and
    much together.

    A member's credit for a section pools the paired gains of the edits that led to its text with what the score was
    measured to lose without it, each by its precision: `agents.ring.credit.believed` says why.
    """

    name = "merge"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The whole prompt, unless all of it is frozen."""
        return [WHOLE] if any(not section.frozen for section in prompt) else []

    def combines(self, prompt: Prompt, section: str, partners: Sequence[Partner]) -> bool:
        """There is another member."""
        return bool(partners)

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: no member of the archive has what the best lacks."""
        parent = Partner(assignment.parent, assignment.prompt, assignment.scores, assignment.credit)
        members = [parent, *assignment.partners]
        best = max(members, key=lambda member: mean(member.scores))
        known, fields = [member.prompt for member in members], context.task.fields
        crossed = [(_without_harm(_cross(best, member, fields), fields), _ahead(member, best)) for member in members]
        new = [(prompt, ahead) for prompt, ahead in crossed if ahead and prompt not in known]
        if not new:
            raise InapplicableError("no other member of the archive has a section of more credit than the best has")
        return context.rng.choices([prompt for prompt, _ in new], [ahead for _, ahead in new])[0]


def _ahead(member: Partner, best: Partner) -> float:
    """The sum of the scores by which a member is better, over the validation examples on which it is."""
    pairs = zip(member.scores, best.scores, strict=True)
    return sum(max(0.0, (one or 0.0) - (other or 0.0)) for one, other in pairs)


def _cross(best: Partner, giver: Partner, fields: Collection[str]) -> Partner:
    """The best with the giver's texts of more credit, and with the credit of these."""
    prompt, credit = best.prompt, dict(best.credit)
    for section in best.prompt:
        theirs = giver.credit.get(section.name, NOTHING)
        if not section.frozen and theirs.value > credit.get(section.name, NOTHING).value:
            prompt = prompt.edit(section.name, giver.prompt[section.name].text, fields)
            credit[section.name] = theirs
    return replace(best, prompt=prompt, credit=credit)


def _without_harm(member: Partner, fields: Collection[str]) -> Prompt:
    """The prompt without the text whose credit is farthest below 0, if that is by more than its error."""
    worth = {s.name: member.credit.get(s.name, NOTHING) for s in member.prompt if s.text and not s.frozen}
    worst = min(worth, key=lambda name: worth[name].value, default=None)
    if (
        worst is None
        or worth[worst].value + worth[worst].error >= 0
        or placeholders(member.prompt[worst].text, fields)
    ):
        return member.prompt
    return member.prompt.edit(worst, "", fields)
