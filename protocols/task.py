"""A task: examples in three splits and a metric that scores replies."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
import orjson

from protocols.model import Finish, Offer
from protocols.naming import NO_NAMES, Names
from protocols.program import Call, Prompts
from protocols.prompt import Prompt, without_addresses
from protocols.thought import INCOMPLETE

Array = npt.NDArray[np.float64]
Counts = Mapping[str, float]
"""One judgement's contribution to the sums of a corpus metric, by name, for example true positives."""
Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Parser = Callable[[str], Json]
"""Reads the answer out of a reply's text, in the form of a target. If there is none it returns None, or raises
UnreadableReply with a reason that a critic can use."""
SplitName = Literal["train", "validation", "test"]
KindName = Literal["classification", "multilabel", "ordinal", "ner", "reading", "generation", "reasoning"]
GRADED: Final = 0.8
"""A judge seldom gives the highest grade, and eight of ten is good by most rubrics."""
GENEROUS: Final = 1024
"""Token limit of a reply that may reason before it answers, or whose length is unknown."""


@dataclass(frozen=True, slots=True)
class Example:
    """One input with its gold answer (None: the task has none). `inputs`: values of the prompt's placeholders."""

    id: str
    inputs: Mapping[str, str]
    target: Json


@dataclass(frozen=True, slots=True)
class Judgement:
    """The metric's judgement of one reply.

    `score`: in [0, 1], higher is better. `answer`: read out of the reply (None: unreadable). `feedback`: tells a
    critic in words what was wrong ("" if nothing). `counts`: added to the sums of the corpus metric, besides the
    score and the number of judgements, which are always counted. `mistakes`: how often each kind of mistake was made;
    similar mistakes share a name.
    """

    score: float
    answer: str | None
    feedback: str = ""
    counts: Counts = field(default_factory=dict)
    mistakes: Counts = field(default_factory=dict)


class Metric(Protocol):
    """Scores single replies, and many together. The same example and reply give the same judgement."""

    async def judge(self, example: Example, reply: str, finish: Finish = "stop", sample: int = 0) -> Judgement:
        """Judge the text of one reply. `finish`: how the reply ended; `sample`: which of several replies to the
        example it is. An unreadable reply scores 0, and the feedback says so.

        :raises ModelError, BudgetExhausted: the metric's own call of a model failed.
        """

    def attributed_to(self, assignment: int) -> Metric:
        """This metric with its calls of a model, if any, attributed to this assignment."""

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """The corpus metric, in [0, 1], from the sums of the counts (see `tally`); sums and result have one shape.

        Names that no judgement counted are absent and mean zeros. It is computed for all resamples of a bootstrap at
        once, so it must accept arrays.
        """


class MeanScore:
    """The corpus metric for metrics whose corpus value is the mean score."""

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """Sum of the scores over their number."""
        return totals["score"] / totals["n"]


def tally(judged: Iterable[tuple[float, Counts]]) -> dict[str, float]:
    """The sums of `counts` and of the scores (`score`), and the number of judgements (`n`)."""
    totals: Counter[str] = Counter()
    for score, counts in judged:
        for name, count in ({"score": score, "n": 1.0} | dict(counts)).items():
            totals[name] += count  # type: ignore[assignment]  # a Counter of floats sums them as well
    return dict(totals)


def corpus_value(metric: Metric, judged: Iterable[tuple[float, Counts]]) -> float:
    """The corpus metric over judgements (score, counts); 0 if there are none."""
    totals = tally(judged)
    return float(metric.corpus({name: np.array(total) for name, total in totals.items()})) if totals else 0.0


def show_text(target: Json) -> str:
    """A text unchanged, the first of several accepted texts, a number in full, "" for None, else JSON."""
    if isinstance(target, str):
        return target
    if target is None:
        return ""
    if isinstance(target, float):
        return show_float(target)
    if isinstance(target, list | tuple) and target and all(isinstance(item, str) for item in target):
        return str(target[0])
    try:
        return orjson.dumps(target).decode("utf-8")
    except orjson.JSONEncodeError:  # a whole number of more than 64 bits, or half of a surrogate pair
        return json.dumps(target, separators=(",", ":"))


def labels_of(target: Json) -> list[str]:
    """The distinct labels of a target that is a label or a list of labels, in its order."""
    listed = target if isinstance(target, list | tuple) else [target]
    return list(dict.fromkeys(map(show_text, listed)))


def show_float(value: float) -> str:
    """The shortest decimal number that is this float, without an exponent: 0.00001 and not 1e-05."""
    return f"{Decimal(repr(value)):f}" if math.isfinite(value) else repr(value)


def nothing(prompt: Prompt) -> Offer | None:
    """No tools and no schema."""
    return None


@dataclass(frozen=True, slots=True)
class TaskKind:
    """A kind of task: the texts of its first prompt, and how answers are written and read.

    `instruction`, `format`: the texts of the first prompt's task and format sections. `cue`: the line after the
    input, which the reply continues ("": none). `show` writes a target as a reply should, `parse` reads the answer
    out of a reply: `parse(show(target))` is a correct answer. `parse_cut` reads replies that ended early
    (`INCOMPLETE`); None: `parse` does. `reply` writes a whole reply with this answer; None: `show` does.
    `metric`: the name of the default metric. `names`: the names that a prompt must keep for the parser. `labels`: all
    labels or types that an answer may have, in the order of a scale if there is one; () if any. `limit` >= 1:
    token limit of a reply; `thought`: added to it if the prompt asks to think first. `reads`: describes in words what
    is read out of a reply. `offer`: the tools and the schema that a request with a prompt offers, None if nothing.
    """

    name: KindName = "generation"
    instruction: str = "Answer the question."
    format: str = ""
    cue: str = "Answer:"
    show: Callable[[Json], str] = show_text
    parse: Parser = str
    metric: str = "token_f1"
    names: Names = NO_NAMES
    labels: tuple[str, ...] = ()
    parse_cut: Parser | None = None
    reply: Callable[[Json], str] | None = None
    limit: int = GENEROUS
    thought: int = 0
    reads: str = ""
    offer: Callable[[Prompt], Offer | None] = nothing

    def replied(self, target: Json) -> str:
        """A whole reply with this answer."""
        return (self.reply or self.show)(target)

    def read(self, reply: str, finish: Finish) -> Json:
        """The answer in a reply. `finish`: how the reply ended.

        :raises UnreadableReply: the reply holds no answer.
        """
        parse = self.parse_cut if self.parse_cut and finish in INCOMPLETE else self.parse
        return parse(reply)


MANY: Final = frozenset[KindName]({"ner", "multilabel"})
"""Kinds whose answers are made of several members of a closed set, such as labels or types of entities."""
RECUR = 2
"""The answers are a closed set if there are at least this many training examples per answer on average."""


def closed_answers(kind: TaskKind, train: Iterable[Example]) -> Mapping[str, int]:
    """How often each answer is the target of a training example, the most frequent first, if the answers are a closed
    set: labels, entity types, recurring final answers. Labels of the kind that no example has come last. Empty if
    most answers belong to one example only."""
    examples = tuple(train)
    if kind.name in ("reading", "generation"):
        return {}
    if kind.name == "ner":
        found = (example.target for example in examples)
        known = Counter(name for target in found if isinstance(target, Mapping) for name in target)
    elif kind.name == "multilabel":
        known = Counter(label for example in examples for label in labels_of(example.target))
    else:
        known = Counter(kind.show(example.target) for example in examples)
    if kind.name == "reasoning" and RECUR * len(known) > len(examples):
        return {}
    return dict(known.most_common()) | {label: 0 for label in kind.labels if label not in known}


class Program(Protocol):
    """Answers examples with the prompts that it is given."""

    async def answer(self, example: Example, prompts: Prompts, call: Call, note: Callable[[str], None]) -> Json:
        """The answer to one example; many may be answered at the same time. `note`: adds a note to the trace.

        :raises ProgramFailed: the program raised, hung, or gave no answer.
        :raises ModelError, BudgetExhausted: a call of a model failed, and the program did not catch it.
        """


@dataclass(frozen=True, slots=True)
class TaskProgram:
    """The program of a task. `prompts`: the names of its prompts, each with the most tokens of a reply; None: as the
    task's kind allows, or `GENEROUS` where there are several prompts. `computed`: the values that it renders them
    with, besides the input fields. `timeout`: seconds that it may spend on an example without calling a model.
    `offers`: what the calls of a prompt offer, given the prompt with the bare names of its sections."""

    program: Program
    prompts: Mapping[str, int | None]
    computed: tuple[str, ...]
    timeout: float
    offers: Mapping[str, Callable[[Prompt], Offer | None]] = field(default_factory=dict)

    def parts(self, prompt: Prompt) -> dict[str, Prompt]:
        """The prompts by their names; a single one is the whole."""
        if len(self.prompts) == 1:
            return {name: prompt for name in self.prompts}
        return {name: prompt.of(name) for name in self.prompts}

    def offered(self, prompt: Prompt) -> dict[str, Offer]:
        """What the calls of its prompts offer, by their names; those that offer nothing are left out."""
        if not self.offers:
            return {}
        parts = self.parts(prompt)
        found = {name: offer(without_addresses(parts[name])) for name, offer in self.offers.items()}
        return {name: offer for name, offer in found.items() if offer is not None}


@dataclass(frozen=True, slots=True)
class Task:
    """A task: critics and operators use `train`, races use `validation`, and `test` is used once, at the end.

    `fields`: the input fields that every example has, sorted. `description`: the user's description of the task.
    `scored`: the metric in words. `model`: the model that answers. `program`: the user's code that answers the
    examples; None: one call does. `new`: the ids of the examples that came later than the others, which stand
    before them. `answers`: see `closed_answers`.
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
    program: TaskProgram | None = field(default=None, compare=False, repr=False)
    new: frozenset[str] = frozenset()
    answers: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", closed_answers(self.kind, self.train))

    @property
    def has_targets(self) -> bool:
        """Whether the examples have gold answers; without any, replies are judged by themselves."""
        return not any(example.target is None for example in self.train[:1])

    @property
    def good(self) -> float:
        """The least score of a reply that may be shown as a worked example: 1, or without targets `GRADED`."""
        return 1.0 if self.has_targets else GRADED

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The names that a prompt may show: the fields, and what a program computes."""
        return (*self.fields, *(self.program.computed if self.program else ()))

    def split(self, name: SplitName) -> tuple[Example, ...]:
        """The examples of one split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]
