"""The interface of an operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, Protocol, runtime_checkable

from agents.prompting.retrieval_slots import RetrievalSlots
from memory.judgement import Judged
from protocols.files import prompt_file
from protocols.messages import Assignment, Outcome, Partner
from protocols.model import ChatModel
from protocols.prompt import Kind, Prompt, Section
from protocols.task import Task

WHOLE = "*"
"""Stands for the prompt as a whole in place of a section's name, for edits of the order or of several sections."""
ENTIRE = "whole"
"""The name of the section that represents the whole prompt in experiences."""
Turn = Literal["must", "may", "never"]
"""Whether an operator has to be applied next, may be chosen by the selector, or must not be applied now."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a search. `issued`: assignments made; `idle`: assignments with an edit, or an attempt at one,
    that have ended since the best value last rose, or since the first prompt was evaluated; `own`: assignments of the
    operator in question, and `own_idle` those made since the best value last rose."""

    issued: int
    idle: int
    own: int
    own_idle: int


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that an operator may use. `task`: its training examples only. `model`: the proposer's. `recalled`:
    past edits of similar sections with their estimated rewards, the successful first. `rng`: depends only on the seed
    and the assignment. `slots`: the source of `{examples:k}` and `{passages:k}` for each input. `token_price`:
    reward lost per token that an edit adds."""

    task: Task
    model: ChatModel
    recalled: Sequence[Judged]
    rng: Random
    slots: RetrievalSlots
    token_price: float


class Operator(Protocol):
    """Edits one section, or the prompt as a whole. A class with no required constructor argument. `shows`, if it has
    it: the worked examples, as turns, that a prompt has on average over a search with it; for estimates. `silent`, if
    it has it and it is True: it asks no model, and `doctor` names none for it."""

    name: str
    """The name in configurations and reports."""

    def targets(self, prompt: Prompt, task: Task) -> Sequence[str]:
        """The names of the sections that this operator can edit, or `WHOLE`. Frozen ones are filtered out later."""

    async def edit(self, assignment: Assignment, context: Context) -> Prompt | Sequence[Prompt]:
        """The parent with one section edited; or several drafts of the edit, of which the one that scores best on
        training examples is raced.

        :raises EditRejected: the edit would lose or invent a placeholder.
        :raises UnreadableReply: the model's reply contains no edit.
        :raises InapplicableError: there is nothing to work with.
        :raises ModelError, BudgetExhausted: a call failed.
        """


@runtime_checkable
class Combining(Protocol):
    """An operator that is told of other members of the archive (`Assignment.partners`), which is () for all others,
    and is not chosen where these have nothing for it."""

    def combines(self, prompt: Prompt, section: str, partners: Sequence[Partner]) -> bool:
        """Whether an edit of this section is possible with these partners."""


@runtime_checkable
class Mending(Protocol):
    """An operator that corrects failures; it is offered only if `mends` is true."""

    def mends(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether the parent's outcomes on training examples contain failures that it can correct."""


@runtime_checkable
class Fitting(Protocol):
    """An operator that is offered only for those of its targets that it fits, given the parent's outcomes."""

    def fits(self, prompt: Prompt, section: str, outcomes: Sequence[Outcome]) -> bool:
        """Whether the operator has something to do in this section."""


@runtime_checkable
class Timed(Protocol):
    """An operator whose use depends on the progress of the search."""

    def turn(self, progress: Progress) -> Turn:
        """Whether it must, may or must not be applied next."""


def part(prompt: Prompt, name: str) -> Section:
    """The section of that name; for `WHOLE` one that represents the whole prompt, with the prompt file as text."""
    return Section(ENTIRE, "task", prompt_file.dumps(prompt)) if name == WHOLE else prompt[name]


def saved(prompt: Prompt, name: str) -> str:
    """A section as it is stored in an experience: its text and its form, see `saved_section`."""
    return prompt_file.saved_section(part(prompt, name))


def of_kinds(prompt: Prompt, *kinds: Kind) -> list[str]:
    """The names of the sections of these kinds."""
    return [section.name for section in prompt if section.kind in kinds]
