"""A task: examples in three splits and a metric that says how good a reply is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Example:
    """One input with its gold answer. `inputs` are what the prompt's placeholders name."""

    id: str
    inputs: Mapping[str, str]
    target: Json


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the metric says of one reply.

    `score` in [0, 1], higher is better; `answer` is what was read out of the reply (None: nothing could be);
    `feedback` tells a critic, in words, what was wrong ("" when nothing was).
    """

    score: float
    answer: str | None
    feedback: str = ""


class Metric(Protocol):
    """How good a reply is. Pure: the same example and reply give the same judgement."""

    def judge(self, example: Example, reply: str) -> Judgement:
        """Judge the text of one reply. A reply that cannot be read scores 0 and the feedback says so."""


@dataclass(frozen=True, slots=True)
class Task:
    """`train` feeds critics and operators, `validation` decides, `test` is read once, at the end.

    `fields`: the input fields that every example has, sorted. `labels`: the closed set of answers, sorted,
    or () where answers are open.
    """

    name: str
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    metric: Metric
    fields: tuple[str, ...]
    labels: tuple[str, ...] = ()

    def split(self, name: SplitName) -> tuple[Example, ...]:
        """The examples of one split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]
