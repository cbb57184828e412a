"""A wrapper that records a model's calls before they are sent, and again before their results are used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from anyio import CancelScope

from protocols.model import ChatModel, Reply, Request, Usage
from protocols.providers.responses.figures import about
from protocols.wrappers.metered import billed


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt at a model, for an assignment (None: the held-out report), that ended at `time` (Unix seconds).

    `seconds` until the reply; `error`: the class of what came instead of one, or the journal's `LOST`. `request` and
    `reply`: as they were sent and came, for who hears of a call as it ends; no record keeps them.
    """

    time: float
    assignment: int | None
    role: str
    model: str
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    error: str | None = None
    request: Request | None = field(default=None, compare=False, repr=False)
    reply: Reply | None = field(default=None, compare=False, repr=False)


class Record(Protocol):
    """The store of calls: a `Journal`. All methods raise StorageFailed if they cannot write."""

    def begin(self, time: float, assignment: int | None, role: str, model: str, tokens_in: int) -> int:
        """Record a call that is about to be sent, and return its number."""

    @property
    def confirm(self) -> Callable[[int], Awaitable[None]] | None:
        """Waits until a call that was begun may be sent, by its number; None if it may at once."""

    async def called(self, call: Call, number: int) -> None:
        """Record a call that has ended."""


class RecordedModel:
    """Records every attempt of one role at `model` in `record`. `clock` gives Unix seconds."""

    def __init__(self, model: ChatModel, record: Record, role: str, clock: Callable[[], float]) -> None:
        self._model, self._record, self._role, self._clock = model, record, role, clock
        self._confirm = record.confirm
        self.name = model.name

    async def complete(self, request: Request) -> Reply:
        """Answer one request. It is recorded before it is sent, so that a killed process leaves no unrecorded call;
        and its end, also a failure or a cancellation, is recorded before the caller sees it. The rate limiter and the
        ledger wrap this model, since a call that waits in them has not been sent.

        :raises StorageFailed: the call could not be recorded; if that was before sending, it was not sent.
        """
        number = self._record.begin(self._clock(), request.assignment, self._role, self.name, about(request))
        try:
            if self._confirm is not None:
                await self._confirm(number)
            reply = await self._model.complete(request)
        except BaseException as error:
            failed = self._call(request, billed(error, request), error=type(error).__name__)
            with CancelScope(shield=True):
                await self._record.called(failed, number)
            raise
        # Not shielded, which would cost as much as the write: if the caller is cancelled, the write still happens.
        await self._record.called(self._call(request, reply.usage, reply.latency, reply=reply), number)
        return reply

    def _call(
        self,
        request: Request,
        usage: Usage,
        seconds: float = 0.0,
        error: str | None = None,
        reply: Reply | None = None,
    ) -> Call:
        """The record of a call that ends now."""
        made = self._clock(), request.assignment, self._role, self.name
        return Call(*made, usage, seconds, error, request, reply)
