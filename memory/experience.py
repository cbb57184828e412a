"""An experience: an edit and what it earned. What an edit is like is decided by the text that stands for it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from protocols.messages import FailureKind
from protocols.prompt import Kind

REFERENCES = re.compile(r"[ \t]*\([^()\n]*\)[ \t]*$", re.MULTILINE)
Ending = Literal["survived", "lost"] | FailureKind


@dataclass(frozen=True, slots=True)
class Experience:
    """One edit of one section: `operator` turned the text `before` into `after`, answering `gradient`.

    `section` is the section's name, `kind` its kind. `reward` is finite, higher is better; `evidence` is the number
    of paired examples behind it (0: none, as for a rejected edit); `cost` is in tokens; `time` in Unix seconds.
    `model`: the task's, which it was measured with; "" where that was not kept. `id` is given by the memory, in the
    order of remembering; 0 before.
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
    """An experience and its similarity to what was asked for, the inner product of unit vectors: in [-1, 1].
    `same_model`: it was measured with the model of who asks, as far as is known."""

    experience: Experience
    similarity: float
    same_model: bool = True


@dataclass(frozen=True, slots=True)
class Where:
    """Which experiences count: every condition holds. None sets no condition, an empty set is met by none."""

    operators: frozenset[str] | None = None
    kinds: frozenset[Kind] | None = None
    outcomes: frozenset[Ending] | None = None


EVERYWHERE = Where()


def situation(kind: Kind, gradient: str, before: str) -> str:
    """The text that is embedded for an experience, and the query for those like it.

    Known before the edit is made, so that it can be asked for then: the kind of the section, what the Critic said
    of it, and its text, a line each. The operator, the task and what came of it are not in it: they are filters. The
    ids of examples at the ends of a gradient's lines are no likeness, and left out.
    """
    return f"{kind}\n{REFERENCES.sub('', gradient)}\n{before}"
