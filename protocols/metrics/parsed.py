"""What metrics have in common that compare an answer, read out of the reply, with a target."""

from __future__ import annotations

from abc import ABC, abstractmethod

from anyio import to_thread

from protocols.errors import UnreadableReply
from protocols.model import Finish
from protocols.task import Counts, Example, Json, Judgement, MeanScore, Metric, TaskKind, show_text

LONG = 4_000
"""Characters of a reply that is read in a thread: one that repeats a label a thousand times takes tens of
milliseconds."""


class ParsedMetric(MeanScore, ABC):
    """Reads the answer as the kind of task has it, then compares; a reply that cannot be read scores 0."""

    def __init__(self, kind: TaskKind) -> None:
        self._kind = kind

    async def judge(self, example: Example, reply: str, finish: Finish = "stop") -> Judgement:
        """Judge one reply."""
        try:
            if len(reply) < LONG:
                answer = self._kind.read(reply, finish)
            else:
                answer = await to_thread.run_sync(self._kind.read, reply, finish)
            if answer is None:
                raise UnreadableReply("the reply holds no answer")
        except UnreadableReply as error:
            feedback = f"{error}; expected {self._kind.show(example.target)}"
            return Judgement(0.0, None, feedback, self.missed(example.target), {"unreadable": 1})
        return await self.compare(example, answer)

    def on_behalf(self, assignment: int) -> Metric:
        """Itself: it asks no model."""
        return self

    @abstractmethod
    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer, which is not None."""

    def missed(self, target: Json) -> Counts:
        """The counts of a reply that cannot be read."""
        return {}


def golds(target: Json) -> list[str]:
    """The texts that are right: a target is one, or a list of them."""
    return [show_text(one) for one in (target if isinstance(target, list | tuple) else [target])]
