"""Which edit is tried next, and what it has taught."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from agents.archive.archive import Archive, Member
from agents.archive.choices import Choices
from agents.archive.history import History
from agents.archive.timetable import Timetable
from agents.selectors.selector import Choice, ParentSelector, Selector
from protocols.files.users_code import users_code

PARENTS = 64
"""Members that a selector chooses the parent from, those of highest value: who is farther behind is hardly ever
chosen, and each takes time."""


class Chooser:
    """An operator that is due comes first, whatever the selector thinks; the selector chooses all other edits, and
    learns from them alone."""

    def __init__(self, archive: Archive, choices: Choices, selector: Selector, history: History, rng: Random) -> None:
        self._archive, self._choices, self._selector = archive, choices, selector
        self._history, self._rng = history, rng
        self._chooses_parents = selector if isinstance(selector, ParentSelector) else None
        self._chosen: dict[int, Choice] = {}
        self.timetable = Timetable(choices.operators)

    def parents(self, idle: int) -> list[Member]:
        """The members that can be edited now; `idle`: see `Standing`."""
        return self._choices.parents(self._archive, self._waiting(idle))

    def choose(self, assignment: int, parents: Sequence[Member], idle: int) -> tuple[Member, Choice]:
        """One of the parents and an edit of it, for the assignment of this number."""
        waiting = self._waiting(idle)
        if due := self._due(parents, idle, waiting):
            return due
        with users_code("the selector"):
            parent, choice = self._selected(parents, waiting)
        self._chosen[assignment] = choice
        return parent, choice

    def teach(self, assignment: int, reward: float, successors: Sequence[Choice]) -> None:
        """Pass a reward to the selector, if the selector chose this assignment. `successors`: the choices at the
        child, if it survived."""
        choice = self._chosen.pop(assignment, None)
        if choice is not None:
            with users_code("the selector"):
                self._selector.learn(choice, reward, successors)

    async def flawless(self) -> bool:
        """Whether a mending operator could edit a section if a training example had failed."""
        for member in self._archive.members:
            if any(self._choices.mending(choice.action) for choice in await self._choices.of(member)):
                return True
        return False

    def _waiting(self, idle: int) -> frozenset[str]:
        """The operators that are not applied now."""
        return frozenset({*self.timetable.late(idle), *self._history.given_up})

    def _offer(self, parent: Member, waiting: frozenset[str]) -> tuple[Choice, ...]:
        """The choices that are open at a member now."""
        return self._choices.offered(parent, self._archive.partners(parent), waiting)

    def _due(self, parents: Sequence[Member], idle: int, waiting: frozenset[str]) -> tuple[Member, Choice] | None:
        """The choice of an operator that is due: the first section that it can edit, in the best member with one."""
        for name in self.timetable.due(idle):
            for parent in sorted(parents, key=lambda member: (-member.value, member.candidate)):
                for choice in self._offer(parent, waiting):
                    if choice.action.operator == name:
                        return parent, choice
        return None

    def _selected(self, parents: Sequence[Member], waiting: frozenset[str]) -> tuple[Member, Choice]:
        if self._chooses_parents is None:
            parent = self._archive.draw(parents, self._rng)
            return parent, self._selector.choose(self._offer(parent, waiting))
        if len(parents) > PARENTS:
            parents = sorted(parents, key=lambda parent: -parent.value)[:PARENTS]
        offers = [self._offer(parent, waiting) for parent in parents]
        choice = self._chooses_parents.choose_parent([(p.value, o) for p, o in zip(parents, offers, strict=True)])
        return next(parent for parent, offer in zip(parents, offers, strict=True) if choice in offer), choice
