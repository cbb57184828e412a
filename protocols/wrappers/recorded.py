"""Calls to a model, on record before they are sent, and again before anyone acts on what they brought."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from anyio import CancelScope

from protocols.model import ChatModel, Reply, Request, Usage
from protocols.providers.responses.figures import about
from protocols.wrappers.metered import billed


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt at a model, for an assignment (None: the held-out report), that ended at `time` (Unix seconds).

    `seconds` until the reply; `error`: the class of what came instead of one, or the journal's `LOST`.
    """

    time: float
    assignment: int | None
    role: str
    model: str
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    error: str | None = None


class Record(Protocol):
    """Where calls are kept: a `Journal`. All raise StorageFailed where they cannot be."""

    def begin(self, time: float, assignment: int | None, role: str, model: str, tokens_in: int) -> int:
        """A call is about to be sent; its number."""

    async def called(self, call: Call, number: int) -> None:
        """It has ended."""


class RecordedModel:
    """Puts every attempt of one role at `model` on `record`. `clock` gives Unix seconds."""

    def __init__(self, model: ChatModel, record: Record, role: str, clock: Callable[[], float]) -> None:
        self._model, self._record, self._role, self._clock = model, record, role, clock
        self.name = model.name

    async def complete(self, request: Request) -> Reply:
        """Answer one request, which is on record before it is sent: a process that is killed has sent no call that
        nobody knows of. Also a call that failed, or was cancelled, is on record before its caller knows. So the
        limiter and the ledger stand around this, and not in it: who waits there has sent nothing.

        :raises StorageFailed: the call could not be put on record; if it could not before, it was not sent.
        """
        number = self._record.begin(self._clock(), request.assignment, self._role, self.name, about(request))
        try:
            reply = await self._model.complete(request)
        except BaseException as error:
            failed = self._call(request, billed(error, request), error=type(error).__name__)
            with CancelScope(shield=True):
                await self._record.called(failed, number)
            raise
        # Not shielded, which costs as much as the write: who is cancelled meanwhile leaves the write behind.
        await self._record.called(self._call(request, reply.usage, reply.latency), number)
        return reply

    def _call(self, request: Request, usage: Usage, seconds: float = 0.0, error: str | None = None) -> Call:
        """As it is now."""
        return Call(self._clock(), request.assignment, self._role, self.name, usage, seconds, error)
