"""merge: section by section, the best of several high scorers."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agents.operators.operator import WHOLE, Context
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Partner, mean
from protocols.prompt import Prompt, placeholders
from protocols.task import Task


class Merge:
    """Applies to the prompt as a whole, once the archive has two members.

    The highest scorer takes from another each text that has more credit than its own. Which other is drawn by how far
    it is ahead where the highest scorer is behind, for that is what there is to win; from one alone, as a text owes
    its credit to the company that it was in. No text is worth 0, so where the highest scorer has a section of credit
    below 0, it may instead be given nothing there, drawn by what that is believed to win; in one section alone, since
    two that say the same are worth nothing each, and much together.

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
        children = [(_cross(best, member, fields), _ahead(member, best)) for member in members]
        children += _emptied(best, fields)
        new = [(prompt, won) for prompt, won in children if won and prompt not in known]
        if not new:
            raise InapplicableError("no other member of the archive has a section of more credit than the best has")
        return context.rng.choices([prompt for prompt, _ in new], [won for _, won in new])[0]


def _ahead(member: Partner, best: Partner) -> float:
    """The sum of the scores by which a member is better, over the validation examples on which it is."""
    pairs = zip(member.scores, best.scores, strict=True)
    return sum(max(0.0, (one or 0.0) - (other or 0.0)) for one, other in pairs)


def _cross(best: Partner, giver: Partner, fields: Collection[str]) -> Prompt:
    """The best with the giver's texts of more credit."""
    prompt = best.prompt
    for section in best.prompt:
        if not section.frozen and _worth(giver, section.name) > _worth(best, section.name):
            prompt = prompt.edit(section.name, giver.prompt[section.name].text, fields)
    return prompt


def _emptied(best: Partner, fields: Collection[str]) -> list[tuple[Prompt, float]]:
    """The best without the section of least credit, if that is below 0 and no placeholder is lost, and the sum of the
    scores that this is believed to win."""
    free = [s.name for s in best.prompt if s.text and not s.frozen and not placeholders(s.text, fields)]
    worst = min(free, key=lambda name: _worth(best, name), default=None)
    if worst is None or _worth(best, worst) >= 0:
        return []
    return [(best.prompt.edit(worst, "", fields), -_worth(best, worst) * len(best.scores))]


def _worth(member: Partner, name: str) -> float:
    return member.credit[name].value if name in member.credit else 0.0
