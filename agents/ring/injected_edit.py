"""The pseudo-operator `hand`: a person's edit, evaluated like any other."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agents.archive.archive import Member, best_parent
from agents.operators.operator import WHOLE
from agents.prompting.retrieval_slots import RetrievalSlots, measured
from protocols.errors import EditRejected
from protocols.messages import Assignment, Candidate, Message
from protocols.prompt import Form, Prompt, Section

INJECTED = "hand"
"""The operator's name in an assignment whose edit a person made."""


class InjectedEdit:
    """The Proposer of injected edits. It asks no model, and allows edits that were tried before, since a person wants
    this one."""

    address = f"proposer/{INJECTED}"
    accepts: tuple[type[Message], ...] = (Assignment,)

    def __init__(self, slots: RetrievalSlots) -> None:
        self._slots = slots

    async def handle(self, message: Message) -> Sequence[Message]:
        """The person's edit as a candidate.

        :raises EditRejected: the edit changes nothing, or does not fit this parent; see `carried_over`.
        """
        assert isinstance(message, Assignment)
        assert message.edited is not None
        prompt = carried_over(message.prompt, message.edited, self._slots.task.placeholders)
        if prompt == message.prompt:
            raise EditRejected("the edit changes nothing")
        rival = best_parent(prompt, message)
        tokens = await measured(self._slots.tokens, rival.prompt)
        known = tuple(outcome.example for outcome in message.outcomes)
        return [Candidate(message.assignment, prompt, rival.scores, tokens, section=message.section, known=known)]


def carried_over(parent: Prompt, edited: Prompt, fields: Collection[str]) -> Prompt:
    """The parent with the texts, the forms and the order of `edited`. Which sections are frozen follows the parent.

    :raises EditRejected: a frozen section differs in its text or form, a placeholder is lost or invented, or the
        prompts do not have the same sections.
    """
    if missing := sorted({(s.name, s.kind) for s in parent} ^ {(s.name, s.kind) for s in edited}):
        names = ", ".join(dict.fromkeys(f"{name} ({kind})" for name, kind in missing))
        raise EditRejected(f"only one of the two prompts has {names}")
    prompt = parent
    for section in edited:
        if _said(section) != _said(parent[section.name]):
            prompt = prompt.edit(section.name, section.text, fields, section.form)
    return prompt.reorder([section.name for section in edited])


def nearest(members: Sequence[Member], edited: Prompt) -> Member:
    """The parent of an injected prompt: the member with the most sections in common; on a tie, the one with the
    highest value, then the oldest."""
    said = set(map(_said, edited))

    def near(member: Member) -> tuple[int, float, int]:
        shared = sum(_said(section) in said for section in member.prompt)
        return shared, member.value, -member.candidate

    return max(members, key=near)


def edited_section(parent: Prompt, edited: Prompt) -> str:
    """The one section that was edited, or `WHOLE`."""
    before = set(map(_said, parent))
    changed = [section.name for section in edited if _said(section) not in before]
    alike = [section.name for section in parent] == [section.name for section in edited]
    return changed[0] if alike and len(changed) == 1 else WHOLE


def _said(section: Section) -> tuple[str, str, Form]:
    return section.name, section.text, section.form
