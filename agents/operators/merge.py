"""merge: combine two prompts section by section, relative to their last common ancestor."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agents.operators.operator import WHOLE, Context
from protocols.concurrency.threads import in_thread
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Credit, Partner, mean
from protocols.prompt import Prompt, differing, same, with_prompt
from protocols.task import Task

UNKNOWN = Credit(0.0, 1.0)
"""Of what was not measured."""


class Merge:
    """Applies to the prompt as a whole, if the archive has a member of another lineage.

    A three-way merge, as for versions of a file (diff3; for prompts GEPA, arXiv 2507.19457): a section that only one
    of the two has edited since their last common ancestor comes from that one; a section that both have edited comes
    from the one with the higher score, because a text depends on the sections it was tested with. The partner is
    drawn in proportion to its lead on the examples where the parent is behind, which is the possible gain.

    In a program, the better of the two may take a whole prompt instead that the other has edited, also where both
    have: the sections of a prompt were tested together. If swaps were measured (`Partner.swapped`), a prompt that
    made the better one worse by more than a standard error is not taken, and one that made it better is preferred.
    """

    name = "merge"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The whole prompt, unless all sections are frozen."""
        return [WHOLE] if any(not section.frozen for section in prompt) else []

    def combines(self, prompt: Prompt, section: str, partners: Sequence[Partner]) -> bool:
        """Whether a partner has edited a section that the parent has not, and vice versa."""
        return any(_complementary(prompt, partner) or _crossing(prompt, partner) for partner in partners)

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: no member of the archive has edited other sections than the parent has."""
        return await in_thread(self._edit, assignment, context)

    def _edit(self, assignment: Assignment, context: Context) -> Prompt:
        parent = Partner(assignment.parent, assignment.prompt, assignment.scores, assignment.credit)
        known, fields = {parent.prompt, *(p.prompt for p in assignment.partners)}, context.task.placeholders
        children = [
            (child, _ahead(partner, parent))
            for partner in assignment.partners
            for child in _children(parent, partner, fields)
        ]
        new = [(prompt, won) for prompt, won in children if won and prompt not in known]
        new = [(prompt, won) for prompt, won in new if context.slots.spare(prompt, assignment.scores) >= 0] or new
        if not new:
            raise InapplicableError("no other member of the archive has edited other sections, and is ahead anywhere")
        return context.rng.choices([prompt for prompt, _ in new], [won for _, won in new])[0]


def merged(one: Partner, other: Partner, fields: Collection[str]) -> Prompt:
    """The better of the two, with the sections that only the other has edited since `other.ancestor`."""
    assert other.ancestor is not None
    best, giver = sorted((one, other), key=lambda member: mean(member.scores), reverse=True)
    prompt = best.prompt
    for section in best.prompt:
        given, base = giver.prompt[section.name], other.ancestor[section.name]
        if not section.frozen and same(section, base) and not same(base, given):
            prompt = prompt.edit(section.name, given.text, fields, given.form)
    return prompt


def _children(parent: Partner, partner: Partner, fields: Collection[str]) -> list[Prompt]:
    """What the two can be combined to: those that a swap has shown to be better, if there are any."""
    worths: dict[Prompt, Credit] = {}
    if _complementary(parent.prompt, partner):
        worths[merged(parent, partner, fields)] = UNKNOWN
    if _crossing(parent.prompt, partner):
        worths |= _crosses(parent, partner)
    better = [child for child, worth in worths.items() if worth.value > worth.error]
    return better or [child for child, worth in worths.items() if worth.value >= -worth.error]


def _crosses(parent: Partner, partner: Partner) -> dict[Prompt, Credit]:
    """The better of the two with one prompt each that the other has edited, and what is known of it."""
    behind = mean(partner.scores) > mean(parent.scores)
    best, giver = (partner, parent) if behind else (parent, partner)
    assert partner.ancestor is not None
    crosses: dict[Prompt, Credit] = {}
    for name in differing(best.prompt, giver.prompt):
        if giver.prompt.of(name) != partner.ancestor.of(name):
            worth = partner.swapped.get(name, UNKNOWN)
            child = with_prompt(best.prompt, giver.prompt, name)
            crosses[child] = Credit(-worth.value, worth.error) if behind else worth
    return crosses


def _crossing(prompt: Prompt, partner: Partner) -> bool:
    """Whether, in a program, the two differ in two prompts at least, one of which each has edited."""
    base, other = partner.ancestor, partner.prompt
    if base is None or len(prompt.names) == 1:
        return False
    names = differing(prompt, other)
    mine = any(prompt.of(name) != base.of(name) for name in names)
    return mine and any(other.of(name) != base.of(name) for name in names)


def _complementary(prompt: Prompt, partner: Partner) -> bool:
    """Whether each of the two has edited a section that the other has not."""
    base, other = partner.ancestor, partner.prompt
    if base is None:
        return False
    mine = theirs = False
    for section in prompt:
        if section.frozen:
            continue
        before = base[section.name]
        edited_here, edited_there = not same(section, before), not same(other[section.name], before)
        mine = mine or (edited_here and not edited_there)
        theirs = theirs or (edited_there and not edited_here)
        if mine and theirs:
            return True
    return False


def _ahead(member: Partner, best: Partner) -> float:
    """The sum of a member's score advantages over the validation examples on which it is better. Examples that one of
    the two left unanswered are skipped."""
    pairs = zip(member.scores, best.scores, strict=True)
    return sum(max(0.0, one - other) for one, other in pairs if one is not None and other is not None)
