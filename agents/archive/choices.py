"""The choices at a member of the archive: the actions that are possible, each with its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agents.archive.archive import Archive, Member
from agents.operators.operator import WHOLE, Combining, Fitting, Mending, Operator, part
from agents.selectors.selector import Action, Choice
from memory.experience import situation
from protocols.embedding import Embedder
from protocols.files.prompt_file import saved_section
from protocols.messages import Partner
from protocols.prompt import Prompt, prompt_of
from protocols.task import Task


@dataclass(frozen=True, slots=True)
class _Useful:
    """The choices at a member except those whose operators have nothing to mend, and the operators among them
    that need no partner."""

    choices: tuple[Choice, ...]
    alone: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Offer:
    """`all`: the choices at a member with these partners; `choices`: the same without the `hidden` operators."""

    partners: tuple[Partner, ...]
    hidden: frozenset[str]
    all: tuple[Choice, ...]
    choices: tuple[Choice, ...]


class Choices:
    """The choices at each member; each of its sections is embedded once."""

    def __init__(self, operators: Mapping[str, Operator], task: Task, embedder: Embedder) -> None:
        self.operators, self._task, self._embedder = operators, task, embedder
        self._mending = {name: o for name, o in operators.items() if isinstance(o, Mending)}
        self._combining = {name: o for name, o in operators.items() if isinstance(o, Combining)}
        self._fitting = {name: o for name, o in operators.items() if isinstance(o, Fitting)}
        self._known: dict[int, tuple[Choice, ...]] = {}
        self._useful: dict[int, _Useful] = {}
        self._offers: dict[int, _Offer] = {}
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
        self._useful.clear()
        self._offers.clear()

    async def of(self, member: Member) -> tuple[Choice, ...]:
        """Every open operator with each target that it can edit and that is not frozen; always the same objects.

        :raises ModelError: the embedding model failed.
        """
        if member.candidate not in self._known:
            self._known[member.candidate] = await self._open(member)
        known = self._known[member.candidate]
        return tuple(c for c in known if c.action.operator not in self.closed) if self.closed else known

    def parents(self, archive: Archive, waiting: frozenset[str]) -> list[Member]:
        """The members at which anything is `offered`. Partners are looked at only if all else is hidden."""
        hidden, use, partners = waiting | self.closed, self._of_use, archive.partners
        return [m for m in archive.members if not use(m).alone <= hidden or self.offered(m, partners(m), waiting)]

    def offered(self, member: Member, partners: tuple[Partner, ...], waiting: frozenset[str]) -> tuple[Choice, ...]:
        """The choices that `of` returned for a member, without the `waiting` operators and those to which the member
        and its partners offer nothing; the same object as long as nothing changes."""
        hidden = waiting | self.closed
        offer = self._offers.get(member.candidate)
        if offer is not None and offer.partners is partners and offer.hidden == hidden:
            return offer.choices
        if offer is None or offer.partners is not partners:
            found = tuple(c for c in self._of_use(member).choices if self._has_partners(c.action, member, partners))
        else:
            found = offer.all
        choices = tuple(c for c in found if c.action.operator not in hidden)
        self._offers[member.candidate] = _Offer(partners, hidden, found, choices)
        return choices

    def mending(self, action: Action) -> bool:
        """Whether the action's operator edits only after failures."""
        return action.operator in self._mending

    def combining(self, operator: str) -> bool:
        """Whether the operator is told of other members."""
        return operator in self._combining

    def _of_use(self, member: Member) -> _Useful:
        """The known choices at a member, without those whose operators have nothing to mend in it."""
        if member.candidate not in self._useful:
            outcomes, mending = member.outcomes, self._mending
            idle = {name for name, operator in mending.items() if not operator.mends(outcomes)}
            known = (c for c in self._known[member.candidate] if c.action.operator not in idle)
            choices = tuple(c for c in known if self._fits(c.action, member))
            alone = frozenset(c.action.operator for c in choices if c.action.operator not in self._combining)
            self._useful[member.candidate] = _Useful(choices, alone)
        return self._useful[member.candidate]

    def _fits(self, action: Action, member: Member) -> bool:
        operator = self._fitting.get(action.operator)
        return operator is None or operator.fits(member.prompt, action.section, member.outcomes)

    def _has_partners(self, action: Action, member: Member, partners: Sequence[Partner]) -> bool:
        operator = self._combining.get(action.operator)
        return operator is None or operator.combines(member.prompt, action.section, partners)

    async def _open(self, member: Member) -> tuple[Choice, ...]:
        actions = open_actions(member.prompt, self.operators, self._task)
        parts = {action.section: part(member.prompt, action.section) for action in actions}
        texts = [situation(s.kind, member.gradients.get(name, ""), saved_section(s)) for name, s in parts.items()]
        states = dict(zip(parts, np.asarray(await self._embedder.embed(texts)), strict=True))
        blank = {name: not section.text for name, section in parts.items()}
        alone, named = member.prompt.names == ("",), {prompt_of(name) for name in member.gradients}
        prompts = {name: "" if alone else name if name == WHOLE else prompt_of(name) for name in parts}
        blamed = {
            name: not alone and (name == WHOLE or prompt in named) and bool(named) for name, prompt in prompts.items()
        }
        return tuple(
            Choice(a, parts[s].kind, states[s], blank[s], prompts[s], blamed[s]) for a in actions for s in [a.section]
        )


def open_actions(prompt: Prompt, operators: Mapping[str, Operator], task: Task) -> list[Action]:
    """The actions that a prompt allows. Frozen sections are left out here, so that operators need not do it."""
    frozen = {section.name for section in prompt if section.frozen}
    return [
        Action(name, target)
        for name, operator in operators.items()
        for target in operator.targets(prompt, task)
        if target not in frozen
    ]
