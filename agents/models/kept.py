"""A wrapper that keeps what a critic or an operator asked, and the reply."""

from __future__ import annotations

from memory.journals.exchanges import Exchange, Keep, told
from protocols.model import ChatModel, Reply, Request
from protocols.wrappers.window import spare


class KeptModel:
    """Keeps each request of `role` that is made for an assignment, and its reply, also one from the reply cache."""

    def __init__(self, inner: ChatModel, role: str, keep: Keep) -> None:
        self.name = inner.name
        self._inner, self._role, self._keep = inner, role, keep

    async def complete(self, request: Request) -> Reply:
        """Answer one request.

        :raises StorageFailed: the exchange cannot be kept.
        """
        reply = await self._inner.complete(request)
        if request.assignment is not None:
            said = told(request.messages), reply.said, reply.finish, reply.instead
            exchange = Exchange("", *said, reply.usage, reply.latency, reply.from_cache)
            await self._keep(request.assignment, self._role, [exchange])
        return reply

    def spare(self, request: Request) -> float:
        """See `Windowed`."""
        return spare(self._inner, request)
