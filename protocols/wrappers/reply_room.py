"""Room for a reply: a model that thinks before it writes needs more than what it is to write."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from protocols.errors import TooLong, UnreadableReply
from protocols.model import ChatModel, Reply, Request
from protocols.thought import without_thought
from protocols.wrappers.window import Window

THINKING: Final = re.compile(r"openai/(gpt-5(?!-chat)|o\d)")
"""Models that think whether they are asked to or not, and whose thinking counts in the limit on a reply.
https://developers.openai.com/api/docs/guides/reasoning"""
ROOM: Final = 4096
"""Tokens that a reply of theirs may have at least: for a short answer they think for up to some 1,400."""


def room_of(name: str) -> int | None:
    """Tokens that a reply of the model `provider/model` needs room for; None: as many as it is asked for."""
    return ROOM if THINKING.match(name) else None


def cut_in_thought(reply: Reply) -> bool:
    """Whether a reply ran into its limit while the model was still thinking."""
    if reply.finish != "length":
        return False
    if reply.instead == "reasoning":
        return True
    try:
        without_thought(reply.text, reply.finish)
    except UnreadableReply:
        return True
    return False


class RoomyModel:
    """A model whose replies may have `tokens` >= 1 at least, whatever a request allows; who asks is told what is left
    of its `window`. One that turns out to think before it answers, unasked, has `ROOM` from then on.

    It stands outermost, so that the cache's key and the price that is set aside have the limit that is sent.
    """

    def __init__(self, inner: ChatModel, tokens: int, window: Window | None = None) -> None:
        self.name = inner.name
        self._inner, self._tokens, self._window = inner, tokens, window or Window()

    async def complete(self, request: Request) -> Reply:
        """Answer one request. One whose reply was cut off in its thought is sent again, with room for it. One that
        was refused for the length of its reply alone, which is shorter by the window that is known from then on, is
        sent again, too."""
        asked = self._with_room(request)
        reply = await self._answered(asked)
        if asked.max_tokens >= ROOM or not cut_in_thought(reply):
            return reply
        self._tokens = ROOM
        return await self._answered(self._with_room(request))

    async def _answered(self, asked: Request) -> Reply:
        try:
            return await self._inner.complete(asked)
        except TooLong as error:
            if not error.reached or self._window.fitted(asked) == asked or self._window.fit(asked) is None:
                raise
        return await self._inner.complete(asked)

    def spare(self, request: Request) -> float:
        """See `Windowed`."""
        return self._window.spare(self._with_room(request))

    def _with_room(self, request: Request) -> Request:
        if request.max_tokens >= self._tokens:
            return request
        return replace(request, max_tokens=self._tokens)
