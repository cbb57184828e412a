"""Attributes calls to an assignment."""

from __future__ import annotations

from dataclasses import replace

from protocols.model import ChatModel, Reply, Request
from protocols.wrappers.window import spare


class AttributedModel:
    """Attributes all calls to one assignment, whatever the requests say."""

    def __init__(self, inner: ChatModel, assignment: int) -> None:
        self.name = inner.name
        self._inner, self._assignment = inner, assignment

    async def complete(self, request: Request) -> Reply:
        """Answer one request."""
        return await self._inner.complete(replace(request, assignment=self._assignment))

    def spare(self, request: Request) -> float:
        """See `Windowed`."""
        return spare(self._inner, request)
