"""The choices at a member of the archive: the actions that are possible, each with its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agents.archive.archive import Member
from agents.operators.operator import Combining, Mending, Operator, part
from agents.selectors.selector import Action, Choice
from memory.experience import situation
from protocols.embedding import Embedder
from protocols.files.prompt_file import saved_section
from protocols.messages import Partner
from protocols.prompt import Prompt
from protocols.task import Task


class Choices:
    """The choices at each member; each of its sections is embedded once."""

    def __init__(self, operators: Mapping[str, Operator], task: Task, embedder: Embedder) -> None:
        self.operators, self._task, self._embedder = operators, task, embedder
        self._known: dict[int, tuple[Choice, ...]] = {}
        self.closed: set[str] = set()
        """The operators that are not offered."""

    def close(self, operator: str) -> None:
        """Stop offering this operator, until it is opened again."""
        self.closed.add(operator)

    def open(self, operator: str) -> None:
        """Offer this operator again, if it was closed."""
        self.closed.discard(operator)

    def freeze(self, section: str) -> None:
        """Stop offering this section at the known members; in later members it is frozen already."""
        for member, choices in self._known.items():
            self._known[member] = tuple(choice for choice in choices if choice.action.section != section)

    async def of(self, member: Member, partners: Sequence[Partner] | None = None) -> tuple[Choice, ...]:
        """Every operator on every section that it can edit and that is not frozen; repeated calls return the same
        objects. With `partners`, choices that need something these lack are left out.

        :raises ModelError: the embedding model failed.
        """
        if member.candidate not in self._known:
            self._known[member.candidate] = await self._open(member)
        known = self._known[member.candidate]
        if self.closed:
            known = tuple(choice for choice in known if choice.action.operator not in self.closed)
        return known if partners is None else tuple(c for c in known if self._works(c.action, member, partners))

    def mending(self, action: Action) -> bool:
        """Whether the action's operator edits only after failures."""
        return isinstance(self.operators[action.operator], Mending)

    def _works(self, action: Action, member: Member, partners: Sequence[Partner]) -> bool:
        operator = self.operators[action.operator]
        if isinstance(operator, Mending) and not operator.mends(member.outcomes):
            return False
        return not isinstance(operator, Combining) or operator.combines(member.prompt, action.section, partners)

    async def _open(self, member: Member) -> tuple[Choice, ...]:
        actions = open_actions(member.prompt, self.operators, self._task)
        parts = {action.section: part(member.prompt, action.section) for action in actions}
        texts = [situation(s.kind, member.gradients.get(name, ""), saved_section(s)) for name, s in parts.items()]
        states = dict(zip(parts, np.asarray(await self._embedder.embed(texts)), strict=True))
        blank = {name: not section.text for name, section in parts.items()}
        return tuple(Choice(a, parts[a.section].kind, states[a.section], blank[a.section]) for a in actions)


def open_actions(prompt: Prompt, operators: Mapping[str, Operator], task: Task) -> list[Action]:
    """The actions that a prompt allows. Frozen sections are left out here, so that operators need not do it."""
    frozen = {section.name for section in prompt if section.frozen}
    return [
        Action(name, target)
        for name, operator in operators.items()
        for target in operator.targets(prompt, task)
        if target not in frozen
    ]
