"""What a program did on a few examples: how often it called each of its prompts, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from protocols.errors import BudgetExhausted, Interrupted, ModelError, StorageFailed
from protocols.model import ChatModel, Reply, Request, Usage

NOTE = "program"
"""The name of its note in a journal."""


@dataclass(frozen=True, slots=True)
class PromptUse:
    """The calls of one prompt. `calls`: of each example. `usage` and `seconds`: of all those that did not fail."""

    calls: tuple[int, ...]
    failed: int = 0
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """All calls."""
        return sum(self.calls)

    @property
    def each(self) -> float:
        """Calls per example."""
        return self.total / len(self.calls)

    def mean(self, total: float) -> float:
        """A sum over all calls, for one call; 0 without calls that did not fail."""
        return total / max(1, self.total - self.failed)


@dataclass(frozen=True, slots=True)
class Trial:
    """A program on some `examples`, given by id, with the first prompts. `answers`: in their order; None: the example
    has none, for the reason in `errors`. `trace`: the traceback of the first error, "" if there is none. `notes`: the
    program's own, and what it printed."""

    examples: tuple[str, ...]
    prompts: Mapping[str, PromptUse]
    answers: tuple[str | None, ...]
    errors: tuple[str, ...] = ()
    trace: str = ""
    notes: tuple[str, ...] = ()

    @property
    def stands(self) -> bool:
        """Whether every example was answered, so that the counts hold for others."""
        return not self.errors

    @property
    def calls(self) -> float:
        """Calls per example; at least one for each prompt if an example was not answered."""
        return sum(self.of(name) for name in self.prompts)

    def of(self, name: str) -> float:
        """Calls of one prompt per example; see `calls`."""
        each = self.prompts[name].each
        return each if self.stands else max(1.0, each)

    @property
    def never_called(self) -> tuple[str, ...]:
        """The prompts that were called on no example."""
        return tuple(name for name, use in self.prompts.items() if not use.total)


class CountingModel:
    """Counts the calls of one example by prompt. `requests`: the first of each prompt."""

    def __init__(self, model: ChatModel) -> None:
        self.name, self._model = model.name, model
        self.uses: dict[str, PromptUse] = {}
        self.requests: dict[str, Request] = {}

    async def complete(self, request: Request) -> Reply:
        """The model's reply.

        :raises ModelError, BudgetExhausted: as the model.
        """
        began = time.perf_counter()
        self.requests.setdefault(request.prompt, request)
        try:
            reply = await self._model.complete(request)
        except (ModelError, BudgetExhausted, Interrupted):
            self._count(request.prompt, PromptUse((1,), failed=1))
            raise
        self._count(request.prompt, PromptUse((1,), 0, reply.usage, time.perf_counter() - began))
        return reply

    def _count(self, name: str, one: PromptUse) -> None:
        before = self.uses.get(name, PromptUse((0,)))
        self.uses[name] = PromptUse(
            (before.total + 1,),
            before.failed + one.failed,
            before.usage + one.usage,
            before.seconds + one.seconds,
        )


def added(names: Sequence[str], each: Sequence[Mapping[str, PromptUse]]) -> dict[str, PromptUse]:
    """The uses of several examples together, for each prompt."""
    uses = {name: [one.get(name, PromptUse((0,))) for one in each] for name in names}
    return {
        name: PromptUse(
            tuple(use.total for use in of),
            sum(use.failed for use in of),
            sum((use.usage for use in of), Usage()),
            sum(use.seconds for use in of),
        )
        for name, of in uses.items()
    }


def unpack_trial(note: bytes) -> Trial:
    """Read a trial from a journal's note.

    :raises StorageFailed: another release wrote it in another format.
    """
    try:
        return TypeAdapter(Trial).validate_json(note)
    except ValidationError as error:
        raise StorageFailed(f"what a program was seen to do cannot be read ({error})", file="journal") from error
