"""Prefix-aware evaluation: of calls that share a long prefix, one goes ahead and the rest read it from the cache.

Calls sent at the same time all miss the provider's cache, which holds a prefix only after a first answer. Sources:
https://platform.openai.com/docs/guides/prompt-caching,
https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching (on parallel requests).
"""

from __future__ import annotations

import anyio

from protocols.model import ChatModel, Reply, Request
from protocols.pacing.clock import loop_time
from protocols.prompt import estimate_tokens

KEPT = 240.0
"""Seconds after its last use for which a prefix counts as cached: both providers keep it for at least 300."""
PATIENCE = 20.0
"""Longest time in seconds that a call waits for the one ahead, which may have stalled."""
MOST = 4096
"""Most prefixes remembered; the oldest are forgotten first, and at worst warmed again."""
SHORTEST = {
    "openai/": 1024,
    "anthropic/": 1024,
    "anthropic/claude-opus-5": 512,
    "anthropic/claude-fable-5": 512,
    "anthropic/claude-mythos-5": 512,
    "anthropic/claude-opus-4-7": 2048,
    "anthropic/claude-opus-4-6": 4096,
    "anthropic/claude-opus-4-5": 4096,
    "anthropic/claude-haiku-4-5": 4096,
    "anthropic/claude-3-5-haiku": 2048,
    "anthropic/claude-3-haiku": 2048,
}
"""Tokens of the shortest prefix that is cached, by the longest matching beginning of a model's name (November
2026)."""


def shortest_prefix(name: str) -> int:
    """Tokens of the shortest prefix that the provider of this model caches."""
    return SHORTEST[max((known for known in SHORTEST if name.startswith(known)), key=len)]


class Prefixes:
    """The prefixes in one account's cache for one model, as far as known from the calls of this process."""

    def __init__(self) -> None:
        self.used: dict[str, float] = {}
        self.ahead: dict[str, anyio.Event] = {}

    def warm(self, prefix: str) -> bool:
        """Whether it is cached."""
        return loop_time() - self.used.get(prefix, float("-inf")) < KEPT

    def touch(self, prefix: str) -> None:
        """Record that the prefix was sent, and is cached from now on."""
        self.used.pop(prefix, None)
        self.used[prefix] = loop_time()
        if len(self.used) > MOST:
            del self.used[next(iter(self.used))]


class WarmingModel:
    """Lets one call with a new prefix of at least `least` tokens go ahead. Waiting calls hold no resource."""

    def __init__(self, inner: ChatModel, prefixes: Prefixes, least: int) -> None:
        self.name = inner.name
        self._inner, self._prefixes, self._least = inner, prefixes, least

    async def complete(self, request: Request) -> Reply:
        """Answer one request; if the call ahead fails, the next one takes its place."""
        prefix = "\0".join(message.text for message in request.prefix)
        if estimate_tokens(prefix) < self._least:
            return await self._inner.complete(request)
        prefixes = self._prefixes
        while not prefixes.warm(prefix) and (ahead := prefixes.ahead.get(prefix)):
            with anyio.move_on_after(PATIENCE) as patience:
                await ahead.wait()
            if patience.cancelled_caught:
                break
        if prefixes.warm(prefix) or prefix in prefixes.ahead:
            reply = await self._inner.complete(request)
        else:
            reply = await self._go_ahead(prefix, request)
        prefixes.touch(prefix)
        return reply

    async def _go_ahead(self, prefix: str, request: Request) -> Reply:
        prefixes = self._prefixes
        prefixes.ahead[prefix] = ahead = anyio.Event()
        try:
            reply = await self._inner.complete(request)
            prefixes.touch(prefix)
            return reply
        finally:
            del prefixes.ahead[prefix]
            ahead.set()
