"""What an operator is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, Protocol, runtime_checkable

from agents.prompting.retrieval_slots import Shelves
from memory.judgement import Judged
from protocols.files import prompt_file
from protocols.messages import Assignment, Outcome, Partner
from protocols.model import ChatModel
from protocols.prompt import Kind, Prompt, Section
from protocols.task import Task

WHOLE = "*"
"""Names the prompt as a whole where a section's name is expected: its order, or a combination of sections."""
ENTIRE = "whole"
"""The name of the section that stands for it."""
Turn = Literal["must", "may", "never"]
"""Whether an operator is to be applied next, may be chosen by the selector, or may not."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a search has come. `issued`: assignments that were made; `idle`: those that came to an edit, or tried
    to, and ended since the best value last rose, or since the first prompt was evaluated; `own`: assignments of the
    operator that asks, and `own_idle` those made since the best value last rose."""

    issued: int
    idle: int
    own: int
    own_idle: int


@dataclass(frozen=True, slots=True)
class Context:
    """What an operator may use: the task (its training examples only), the proposer's model, past edits of such
    sections and what they are believed to earn (those that worked first), a generator that depends on the seed and
    the assignment alone, the shelves that `{examples:k}` and `{passages:k}` are filled from for each input, and the
    reward lost for each token that an edit adds."""

    task: Task
    model: ChatModel
    recalled: Sequence[Judged]
    rng: Random
    shelves: Shelves
    token_price: float


class Operator(Protocol):
    """Edits one section, or the prompt as a whole. A class with no required constructor argument. `shows`, if it has
    it: the worked examples, as turns, that a prompt has on average over a search with it; for estimates."""

    name: str
    """What configurations and reports call it."""

    def targets(self, prompt: Prompt, task: Task) -> Sequence[str]:
        """The names of the sections that this operator can edit, or `WHOLE`. Frozen ones are left out afterwards."""

    async def edit(self, assignment: Assignment, context: Context) -> Prompt | Sequence[Prompt]:
        """The parent with one section edited; or several drafts of the edit, of which the one that does best on
        training examples races.

        :raises EditRejected: the edit would lose or invent a placeholder.
        :raises UnreadableReply: the model's reply is no edit.
        :raises InapplicableError: there is nothing to work with.
        :raises ModelError, BudgetExhausted: a call failed.
        """


@runtime_checkable
class Combining(Protocol):
    """An operator that is told of other members of the archive (`Assignment.partners`), which is () for all others,
    and is not chosen where these have nothing for it."""

    def combines(self, prompt: Prompt, section: str, partners: Sequence[Partner]) -> bool:
        """Whether the partners have what an edit of this section needs."""


@runtime_checkable
class Mending(Protocol):
    """An operator that mends what went wrong, and is not chosen where nothing of the kind did."""

    def mends(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether there is something for it in what became of the parent's training examples."""


@runtime_checkable
class Timed(Protocol):
    """An operator that has its time in a search."""

    def turn(self, progress: Progress) -> Turn:
        """Whether it is to be applied next."""


def part(prompt: Prompt, name: str) -> Section:
    """The section of that name; for `WHOLE` one that stands for all of them, with the prompt's file as its text."""
    return Section(ENTIRE, "task", prompt_file.dumps(prompt)) if name == WHOLE else prompt[name]


def saved(prompt: Prompt, name: str) -> str:
    """What an experience keeps of a section: its text and its form, see `saved_section`."""
    return prompt_file.saved_section(part(prompt, name))


def of_kinds(prompt: Prompt, *kinds: Kind) -> list[str]:
    """The names of the sections of these kinds."""
    return [section.name for section in prompt if section.kind in kinds]
