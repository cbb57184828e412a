"""A task: examples in three splits and a metric that says how good a reply is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
import orjson

from protocols.model import Finish
from protocols.naming import NO_NAMES, Names
from protocols.thought import INCOMPLETE

Array = npt.NDArray[np.float64]
Counts = Mapping[str, float]
"""What one judgement adds to the sums that a corpus metric is computed from, by name: true positives, say."""
Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Parser = Callable[[str], Json]
"""From the text of a reply to the answer in it, in the form of a target. Where there is none it returns None, or
raises UnreadableReply with a reason that a critic can use."""
SplitName = Literal["train", "validation", "test"]
KindName = Literal["classification", "ner", "reading", "generation", "reasoning"]
GENEROUS: Final = 1024
"""Tokens of a reply that may reason before it answers, and where nothing says what a reply looks like."""


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
    `feedback` tells a critic, in words, what was wrong ("" when nothing was). `counts`: what it adds to the sums of
    the corpus metric, beside its score and itself, which are counted in any case. `mistakes`: how often each kind of
    mistake was made, by a name that replies share which went wrong alike.
    """

    score: float
    answer: str | None
    feedback: str = ""
    counts: Counts = field(default_factory=dict)
    mistakes: Counts = field(default_factory=dict)


class Metric(Protocol):
    """How good a reply is, and how good many are together. The same example and reply give the same judgement."""

    async def judge(self, example: Example, reply: str, finish: Finish = "stop") -> Judgement:
        """Judge the text of one reply, which ended so. A reply that cannot be read scores 0 and the feedback says so.

        :raises ModelError, BudgetExhausted: a metric that asks a model could not.
        """

    def on_behalf(self, assignment: int) -> Metric:
        """The same, whose calls to a model, if it makes any, are made for this assignment."""

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """The metric of a corpus, in [0, 1], from the sums of its counts (see `tally`), each of shape s; shape s.

        Names that no judgement counted are absent and stand for zeros. A function of the sums and not a mean of
        means: computed anew for every resample of a bootstrap, so it must take arrays.
        """


class MeanScore:
    """The corpus metric of metrics whose value is the mean of their scores."""

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """Sum of the scores over their number."""
        return totals["score"] / totals["n"]


def tally(judged: Iterable[tuple[float, Counts]]) -> dict[str, float]:
    """The sums of `counts`, of the scores (`score`) and of ones (`n`)."""
    totals: Counter[str] = Counter()
    for score, counts in judged:
        for name, count in ({"score": score, "n": 1.0} | dict(counts)).items():
            totals[name] += count  # type: ignore[assignment]  # a Counter of floats sums them as well
    return dict(totals)


def corpus_value(metric: Metric, judged: Iterable[tuple[float, Counts]]) -> float:
    """The corpus metric over judgements as (score, counts); 0 for none."""
    totals = tally(judged)
    return float(metric.corpus({name: np.array(total) for name, total in totals.items()})) if totals else 0.0


def show_text(target: Json) -> str:
    """A text as it is, the first of several that are all right, a number in full, anything else as JSON."""
    if isinstance(target, str):
        return target
    if isinstance(target, float):
        return show_float(target)
    if isinstance(target, list | tuple) and target and all(isinstance(item, str) for item in target):
        return str(target[0])
    return orjson.dumps(target).decode("utf-8")


def show_float(value: float) -> str:
    """The shortest decimal number that is this float, without an exponent: 0.00001 and not 1e-05."""
    return f"{Decimal(repr(value)):f}" if math.isfinite(value) else repr(value)


@dataclass(frozen=True, slots=True)
class TaskKind:
    """What sets one kind of task apart: the words of its first prompt, and how answers are written and read.

    `instruction`, `format`: the texts of the first prompt's task and format sections. `cue`: the line after the
    input, which the reply continues ("": none). `show` writes a target as a reply should, `parse` reads an answer out
    of a reply: `parse(show(target))` is an answer that is right. `parse_cut` does so out of one that did not come to
    its own end (`INCOMPLETE`); None: as out of any. `reply` writes a whole reply that gives this answer; None: as
    `show`. `metric`: the name of the metric that fits. `names`: what a prompt must name for that; no edit takes one
    of them away. `limit` >= 1: tokens that a reply may have, and `thought` more where the prompt asks to think first.
    `reads`: what is read out of a reply, in words.
    """

    name: KindName = "generation"
    instruction: str = "Answer the question."
    format: str = ""
    cue: str = "Answer:"
    show: Callable[[Json], str] = show_text
    parse: Parser = str
    metric: str = "token_f1"
    names: Names = NO_NAMES
    parse_cut: Parser | None = None
    reply: Callable[[Json], str] | None = None
    limit: int = GENEROUS
    thought: int = 0
    reads: str = ""

    def replied(self, target: Json) -> str:
        """A whole reply that gives this answer."""
        return (self.reply or self.show)(target)

    def read(self, reply: str, finish: Finish) -> Json:
        """The answer in a reply that ended so.

        :raises UnreadableReply: it holds none.
        """
        parse = self.parse_cut if self.parse_cut and finish in INCOMPLETE else self.parse
        return parse(reply)


RECUR = 2
"""Training examples for each answer, on average, that make the answers a closed set."""


def closed_answers(kind: TaskKind, train: Iterable[Example]) -> Mapping[str, int]:
    """How often each answer is right among the training examples, the most frequent first, where the answers are a
    closed set: labels, types of entities, final answers that recur. Nothing where most are of one example alone."""
    examples = tuple(train)
    if kind.name == "ner":
        found = (example.target for example in examples)
        return dict(Counter(name for target in found if isinstance(target, Mapping) for name in target).most_common())
    if kind.name in ("reading", "generation"):
        return {}
    known = Counter(kind.show(example.target) for example in examples)
    closed = kind.name == "classification" or RECUR * len(known) <= len(examples)
    return dict(known.most_common()) if closed else {}


@dataclass(frozen=True, slots=True)
class Task:
    """`train` feeds critics and operators, `validation` decides, `test` is read once, at the end.

    `fields`: the input fields that every example has, sorted. `description`: what the user says of the task;
    `scored`: the metric in words; `model`: the one that answers. `answers`: see
    `closed_answers`.
    """

    name: str
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    metric: Metric
    fields: tuple[str, ...]
    kind: TaskKind = TaskKind()
    description: str = ""
    scored: str = ""
    model: str = ""
    answers: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", closed_answers(self.kind, self.train))

    def split(self, name: SplitName) -> tuple[Example, ...]:
        """The examples of one split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]
