"""What can be done with a member of the archive: the open actions, each with its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class _Offer:
    """The choices at a member with these partners, without the operators that are hidden."""

    partners: tuple[Partner, ...]
    hidden: frozenset[str]
    choices: tuple[Choice, ...]


class Choices:
    """The choices that are open at each member, embedded once for each of its sections."""

    def __init__(self, operators: Mapping[str, Operator], task: Task, embedder: Embedder) -> None:
        self.operators, self._task, self._embedder = operators, task, embedder
        self._mending = {name: o for name, o in operators.items() if isinstance(o, Mending)}
        self._combining = {name: o for name, o in operators.items() if isinstance(o, Combining)}
        self._known: dict[int, tuple[Choice, ...]] = {}
        self._useful: dict[int, tuple[Choice, ...]] = {}
        self._offers: dict[int, _Offer] = {}
        self.closed: set[str] = set()
        """The operators that are chosen no more."""

    def close(self, operator: str) -> None:
        """Offer this operator no more, until it is opened again."""
        self.closed.add(operator)

    def open(self, operator: str) -> None:
        """Offer this operator again, if it was closed."""
        self.closed.discard(operator)

    def freeze(self, section: str) -> None:
        """Offer this section no more. A member that comes later has it frozen, which says the same."""
        for member, choices in self._known.items():
            self._known[member] = tuple(choice for choice in choices if choice.action.section != section)
        self._useful.clear()
        self._offers.clear()

    async def of(self, member: Member) -> tuple[Choice, ...]:
        """Every operator on everything that it can edit and that is not frozen; always the same objects.

        :raises ModelError: the embedding model failed.
        """
        if member.candidate not in self._known:
            self._known[member.candidate] = await self._open(member)
        known = self._known[member.candidate]
        return tuple(c for c in known if c.action.operator not in self.closed) if self.closed else known

    def offered(self, member: Member, partners: tuple[Partner, ...], waiting: frozenset[str]) -> tuple[Choice, ...]:
        """What `of` has given of a member, without the operators that wait and those for which the member and its
        partners have nothing. It is worked out anew where one of these has changed, for there may be many members."""
        hidden = waiting | self.closed if self.closed else waiting
        offer = self._offers.get(member.candidate)
        if offer is None or offer.partners is not partners or offer.hidden != hidden:
            found = [c for c in self._of_use(member) if c.action.operator not in hidden]
            choices = tuple(c for c in found if self._has_partners(c.action, member, partners))
            offer = self._offers[member.candidate] = _Offer(partners, hidden, choices)
        return offer.choices

    def mending(self, action: Action) -> bool:
        """Whether it is open only where something failed."""
        return action.operator in self._mending

    def _of_use(self, member: Member) -> tuple[Choice, ...]:
        """Without the operators that mend nothing of what went wrong."""
        if member.candidate not in self._useful:
            outcomes, mending = member.outcomes, self._mending
            idle = {name for name, operator in mending.items() if not operator.mends(outcomes)}
            known = self._known[member.candidate]
            self._useful[member.candidate] = tuple(c for c in known if c.action.operator not in idle)
        return self._useful[member.candidate]

    def _has_partners(self, action: Action, member: Member, partners: Sequence[Partner]) -> bool:
        operator = self._combining.get(action.operator)
        return operator is None or operator.combines(member.prompt, action.section, partners)

    async def _open(self, member: Member) -> tuple[Choice, ...]:
        actions = open_actions(member.prompt, self.operators, self._task)
        parts = {action.section: part(member.prompt, action.section) for action in actions}
        texts = [situation(s.kind, member.gradients.get(name, ""), saved_section(s)) for name, s in parts.items()]
        states = dict(zip(parts, np.asarray(await self._embedder.embed(texts)), strict=True))
        blank = {name: not section.text for name, section in parts.items()}
        return tuple(Choice(a, parts[a.section].kind, states[a.section], blank[a.section]) for a in actions)


def open_actions(prompt: Prompt, operators: Mapping[str, Operator], task: Task) -> list[Action]:
    """What may be done to a prompt: frozen sections are left out here, so that no operator has to."""
    frozen = {section.name for section in prompt if section.frozen}
    return [
        Action(name, target)
        for name, operator in operators.items()
        for target in operator.targets(prompt, task)
        if target not in frozen
    ]
