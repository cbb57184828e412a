"""Calls to a model, on record before anyone acts on what they brought."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from anyio import CancelScope

from memory.journal import Call
from protocols.model import ChatModel, Reply, Request
from protocols.wrappers.metered import billed


class RecordedModel:
    """Hands every attempt of one role at `model` to `record`. `clock` gives Unix seconds."""

    def __init__(
        self, model: ChatModel, record: Callable[[Call], Awaitable[None]], role: str, clock: Callable[[], float]
    ) -> None:
        self._model, self._record, self._role, self._clock = model, record, role, clock
        self.name = model.name

    async def complete(self, request: Request) -> Reply:
        """Answer one request; also a call that failed, or was cancelled, is on record before its caller knows. So the
        ledger stands around this, and not in it: who waits there has sent nothing.

        :raises StorageFailed: the call could not be put on record.
        """
        try:
            reply = await self._model.complete(request)
        except BaseException as error:
            kind = type(error).__name__
            failed = Call(self._clock(), request.assignment, self._role, self.name, billed(error), error=kind)
            with CancelScope(shield=True):
                await self._record(failed)
            raise
        # Not shielded, which costs as much as the write: who is cancelled meanwhile leaves the write behind.
        await self._record(Call(self._clock(), request.assignment, self._role, self.name, reply.usage, reply.latency))
        return reply
