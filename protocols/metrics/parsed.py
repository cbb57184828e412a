"""The base class of metrics that read an answer out of the reply and compare it with a target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from anyio import to_thread

from protocols.errors import UnreadableReply
from protocols.model import Finish
from protocols.task import Array, Counts, Example, Json, Judgement, MeanScore, Metric, TaskKind, show_text

LONG = 4_000
"""Replies of at least this many characters are read in a thread: one that repeats a label a thousand times takes tens
of milliseconds."""


async def read_answer(kind: TaskKind, reply: str, finish: Finish) -> Json:
    """The answer in a reply, which is not None.

    :raises UnreadableReply: the reply holds no answer.
    """
    if len(reply) < LONG:
        answer = kind.read(reply, finish)
    else:
        answer = await to_thread.run_sync(kind.read, reply, finish)
    if answer is None:
        raise UnreadableReply("the reply holds no answer")
    return answer


class ParsedMetric(MeanScore, ABC):
    """Reads the answer with the parser of the task's kind, then compares it; an unreadable reply scores 0."""

    def __init__(self, kind: TaskKind) -> None:
        self._kind = kind

    async def judge(self, example: Example, reply: str, finish: Finish = "stop", sample: int = 0) -> Judgement:
        """Judge one reply."""
        try:
            answer = await read_answer(self._kind, reply, finish)
        except UnreadableReply as error:
            return self.unreadable(example, str(error))
        return await self.compare(example, answer)

    def unreadable(self, example: Example, why: str) -> Judgement:
        """The judgement of a reply that holds no answer."""
        feedback = f"{why}{self.expected(example, '; ')}"
        return Judgement(0.0, None, feedback, self.missed(example.target), {"unreadable": 1})

    def attributed_to(self, assignment: int) -> Metric:
        """This metric itself, because it calls no model."""
        return self

    @abstractmethod
    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer, which is not None."""

    def expected(self, example: Example, before: str) -> str:
        """What was expected, in words that follow `before`; "" if the example has no target."""
        return "" if example.target is None else f"{before}expected {self._kind.show(example.target)}"

    def missed(self, target: Json) -> Counts:
        """The counts of an unreadable reply."""
        return {}


def accepted(target: Json) -> Sequence[Json]:
    """The accepted answers: a target is one, or a list of them."""
    return target if isinstance(target, list | tuple) else [target]


def golds(target: Json) -> list[str]:
    """The accepted answers as texts."""
    return [show_text(one) for one in accepted(target)]


def micro_f1(totals: Mapping[str, Array]) -> Array:
    """2 tp / (2 tp + fp + fn); 1 if there was nothing to find and nothing was named."""
    tp, wrong = totals["tp"], totals["fp"] + totals["fn"]
    both = 2 * tp + wrong
    return np.where(both > 0, 2 * tp, 1.0) / np.where(both > 0, both, 1.0)
