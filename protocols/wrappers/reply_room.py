"""Raises the token limit of replies for models that think before they write."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from protocols.errors import TooLong, UnreadableReply
from protocols.model import ChatModel, Reply, Request
from protocols.thought import without_thought
from protocols.wrappers.window import Window

THINKING: Final = re.compile(r"openai/(gpt-5(?!-chat)|o\d)")
"""Models that always think, and whose thinking counts towards a reply's token limit.
https://developers.openai.com/api/docs/guides/reasoning"""
ROOM: Final = 4096
"""Lower bound of the token limit of their replies: for a short answer they think for up to about 1,400 tokens."""


def min_reply_tokens(name: str) -> int | None:
    """Lower bound of the token limit of replies of the model `provider/model`; None: no bound."""
    return ROOM if THINKING.match(name) else None


def cut_in_thought(reply: Reply) -> bool:
    """Whether a reply reached its token limit while the model was still thinking."""
    if reply.finish != "length":
        return False
    if reply.instead == "reasoning":
        return True
    try:
        without_thought(reply.text, reply.finish)
    except UnreadableReply:
        return True
    return False


class MinReplyTokensModel:
    """Raises the token limit of every request to at least `tokens` >= 1, and takes it into account in the spare room
    of the `window`. A model that turns out to think unasked gets `ROOM` from then on.

    It is outside the cache and the ledger, so that the cache's key and the reserved cost use the limit that is sent.
    """

    def __init__(self, inner: ChatModel, tokens: int, window: Window | None = None) -> None:
        self.name = inner.name
        self._inner, self._tokens, self._window = inner, tokens, window or Window()

    async def complete(self, request: Request) -> Reply:
        """Answer one request. It is sent again with a higher limit if the reply was cut off in its thought, and with
        a lower one if it was refused only for its reply's limit, because the refusal has told the window."""
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
