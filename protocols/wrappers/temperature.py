"""A temperature that nobody but us has asked for is left out where a model takes none."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from protocols.errors import TemperatureRefused
from protocols.model import ChatModel, Reply, Request
from protocols.wrappers.reply_room import THINKING

FIXED: Final = re.compile(rf"{THINKING.pattern}|anthropic/claude-(opus-4-[7-9]|[a-z]+-[5-9]\b)")
"""Models that are known to refuse it, at their providers' own addresses (November 2026): they are not tried.
https://developers.openai.com/api/docs/guides/reasoning, https://platform.claude.com/docs/en/about-claude/model-deprecations"""


@dataclass(slots=True)
class Temperature:
    """What is known of one model of one account: whether it has refused a temperature, and answered without."""

    refused: bool = False


class TemperatureModel:
    """Sends a request again without its temperature if that is refused, and then no more with one. Only who asks
    before the first such reply pays for a second call.

    It stands around the ledger, for both are calls, and within retry and warming, for to them they are one. `keep` is
    told once, before the reply is handed on.
    """

    def __init__(self, inner: ChatModel, temperature: Temperature, keep: Callable[[], Awaitable[None]]) -> None:
        self.name = inner.name
        self._inner, self._known, self._keep = inner, temperature, keep

    async def complete(self, request: Request) -> Reply:
        """Answer one request."""
        if request.temperature is None:
            return await self._inner.complete(request)
        if not self._known.refused:
            try:
                return await self._inner.complete(request)
            except TemperatureRefused:
                pass  # raised again by the same call without it, if that was not the reason
            reply = await self._inner.complete(replace(request, temperature=None))
            if not self._known.refused:
                self._known.refused = True
                await self._keep()
            return reply
        return await self._inner.complete(replace(request, temperature=None))
