"""An experience: an edit and its reward. Similarity between edits is computed from the text of `situation`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from protocols.messages import FailureKind
from protocols.prompt import Kind

REFERENCES = re.compile(r"[ \t]*\([^()\n]*\)[ \t]*$", re.MULTILINE)
Ending = Literal["survived", "lost", "declined"] | FailureKind
"""How an assignment ended. declined: it won its race, and a person has rejected it."""


@dataclass(frozen=True, slots=True)
class Experience:
    """One edit of one section: `operator` turned the text `before` into `after`, answering `gradient`.

    `section` is the section's name, `kind` its kind. `gradient` of a declined edit is the person's reason. `reward`
    is finite, higher is better, and 0 for a declined edit; `evidence` is the number of paired examples behind it (0
    for an edit that was not evaluated, such as a rejected one); `cost` is in tokens; `time` in Unix seconds. `model`:
    the task model that it was measured with; "" if that was not recorded. `id`: ascending numbers that the memory
    assigns when it stores the experience; 0 before.
    """

    task: str
    section: str
    kind: Kind
    operator: str
    before: str
    after: str
    gradient: str
    reward: float
    evidence: int
    cost: int
    outcome: Ending
    time: float
    model: str = ""
    id: int = 0

    def __post_init__(self) -> None:
        """:raises ValueError: the reward is not finite."""
        if not math.isfinite(self.reward):
            raise ValueError(f"the reward of an experience is finite, not {self.reward}")


@dataclass(frozen=True, slots=True)
class Recalled:
    """An experience and its similarity to the query, the inner product of unit vectors, in [-1, 1].
    `same_model`: it was measured with the task model of this run, or one of the two models is not known."""

    experience: Experience
    similarity: float
    same_model: bool = True


@dataclass(frozen=True, slots=True)
class Where:
    """A filter for experiences that meet all conditions. None: no condition; an empty set matches nothing."""

    operators: frozenset[str] | None = None
    kinds: frozenset[Kind] | None = None
    outcomes: frozenset[Ending] | None = None


EVERYWHERE = Where()


def situation(kind: Kind, gradient: str, before: str) -> str:
    """The text that is embedded for an experience, and the query for similar ones.

    It holds only what is known before the edit is made, so that it can serve as the query: the section's kind, the
    Critic's gradient and the section's text, in this order. The operator, the task and the outcome are filters, and
    not part of it. Ids of examples at the ends of the gradient's lines are left out: they say nothing of similarity.
    """
    return f"{kind}\n{REFERENCES.sub('', gradient)}\n{before}"
