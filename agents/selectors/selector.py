"""What a selector is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from protocols.embedding import Vector
from protocols.prompt import Kind


@dataclass(frozen=True, slots=True, order=True)
class Action:
    """Apply this operator to that section."""

    operator: str
    section: str


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """An action that is open at one parent, compared by identity.

    `kind`: the section's. `state`: shape (dimension,), L2 norm 1 (or 0): the embedding of
    `memory.experience.situation`, that is of the section and of its textual gradient as they are in the parent.
    `blank`: the section has no text there.
    """

    action: Action
    kind: Kind
    state: Vector
    blank: bool = False


class Selector(Protocol):
    """Chooses and learns from what was earned. Owned by the Controller; called by nobody else.

    What was chosen and has not been learnt from is in flight: the selector keeps count of it itself. The choices of
    one parent are the same objects whenever it is drawn again, so that one may be in flight several times.
    """

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """One of `choices`, which are not empty and differ in their actions."""

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        """A choice in flight earned `reward`, in about [-1, 1], higher is better. Outcomes come in any order.

        `successors`: the choices that are open at the child; none if it did not survive.

        :raises KeyError: it is not in flight.
        """


@runtime_checkable
class ParentSelector(Selector, Protocol):
    """A selector that chooses the parent, too; for the others the archive draws it."""

    def choose_parent(self, parents: Sequence[tuple[float, Sequence[Choice]]]) -> Choice:
        """One of the choices that are open at any of the parents, each given with its validation value in [0, 1].
        Where there are many, they are those of highest value; what is open at one is the same object as the last time
        where it is the same."""
