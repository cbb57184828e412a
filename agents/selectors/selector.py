"""The interface of a selector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from protocols.embedding import Vector
from protocols.prompt import Kind

WHOLE_PROGRAM = "*"
"""The prompt of a choice that edits a program as a whole."""


@dataclass(frozen=True, slots=True, order=True)
class Action:
    """The application of an operator to a section."""

    operator: str
    section: str


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """An action that is possible at one parent, compared by identity.

    `kind`: the section's. `state`: shape (dimension,), L2 norm 1 (or 0): the embedding of
    `memory.experience.situation`, that is of the parent's section with its textual gradient. `blank`: the section has
    no text. `prompt`: the prompt of a program that the action edits, `*` if it edits all of it; "" if the prompt
    stands alone. `blamed`: in a program, the Critic has named a part of this prompt.
    """

    action: Action
    kind: Kind
    state: Vector
    blank: bool = False
    prompt: str = ""
    blamed: bool = False


class Selector(Protocol):
    """Chooses actions, and learns from their rewards. Only the Controller calls it.

    A choice is in flight from `choose` to `learn`; the selector has to count these itself. The choices of one parent
    are the same objects each time, so one choice may be in flight several times.
    """

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """Choose one of `choices`, which are not empty and differ in their actions."""

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        """Learn that a choice in flight earned `reward`, in about [-1, 1]; higher is better. Choices may be learnt
        from in any order.

        `successors`: the choices at the child; none if it did not survive.

        :raises KeyError: it is not in flight.
        """


@runtime_checkable
class ParentSelector(Selector, Protocol):
    """A selector that chooses the parent, too; for other selectors the archive draws it."""

    def choose_parent(self, parents: Sequence[tuple[float, Sequence[Choice]]]) -> Choice:
        """One of the choices that are open at any of the parents, each given with its validation value in [0, 1].
        Where there are many, they are those of highest value; what is open at one is the same object as the last time
        where it is the same."""
