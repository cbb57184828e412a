"""Loads a model before its first call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from protocols.model import ChatModel, Reply, Request


class LoadingModel:
    """Loads a model before its first call, so that loading uses neither a call's time nor a slot of the limiter.
    `loading` holds the model's name once for each call that waits for it."""

    def __init__(self, inner: ChatModel, load: Callable[[], Awaitable[None]], loading: list[str]) -> None:
        self.name = inner.name
        self._inner, self._load, self._loading = inner, load, loading
        self._loaded = False

    async def complete(self, request: Request) -> Reply:
        """:raises ConfigError: the model cannot be loaded."""
        if not self._loaded:
            self._loading.append(self.name)
            try:
                await self._load()
            finally:
                self._loading.remove(self.name)
            self._loaded = True
        return await self._inner.complete(request)
