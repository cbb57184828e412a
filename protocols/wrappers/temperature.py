"""Leaves out a temperature that the user did not set, for models that accept none."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from protocols.errors import TemperatureRefused
from protocols.model import ChatModel, Reply, Request
from protocols.wrappers.reply_room import THINKING

FIXED: Final = re.compile(rf"{THINKING.pattern}|anthropic/claude-(opus-4-[7-9]|[a-z]+-[5-9]\b)")
"""Models known to refuse a temperature at their providers' own addresses (November 2026); none is sent to them.
https://developers.openai.com/api/docs/guides/reasoning,
https://platform.claude.com/docs/en/about-claude/model-deprecations"""


@dataclass(slots=True)
class Temperature:
    """Whether one model of one account has refused a temperature, and answered without one."""

    refused: bool = False


class TemperatureModel:
    """Repeats a request without its temperature if that is refused, and sends no temperature from then on. Only
    requests sent before the first such reply cost a second call.

    It is outside the ledger, which counts both calls, and inside retry and warming, for which they are one call.
    `keep` is called once, before the reply is returned.
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
