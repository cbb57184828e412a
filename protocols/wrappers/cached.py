"""A model with a reply cache: a request that was answered once is never paid for again, nor sent twice at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Protocol

import orjson
from anyio import Event

from protocols.images.image import Image
from protocols.model import ChatModel, Reply, Request


class Flight:
    """A request in flight. Few have waiting calls, and only for these an event is created."""

    __slots__ = ("_landed",)

    def __init__(self) -> None:
        self._landed: Event | None = None

    async def wait(self) -> None:
        """Wait until it has ended."""
        self._landed = self._landed or Event()
        await self._landed.wait()

    def land(self) -> None:
        """End it, and wake the calls that wait for it."""
        if self._landed:
            self._landed.set()


class Replies(Protocol):
    """The store of replies: a `ReplyCache`, or one on another machine. All methods raise StorageFailed if it cannot
    be used. A `find` without a reply is followed by `keep` or `release`."""

    flights: dict[bytes, Flight]
    """The requests in flight, by key."""

    def recent(self, key: bytes) -> Reply | None:
        """The reply, if it is in memory."""

    async def find(self, key: bytes) -> Reply | None:
        """The reply, if it is stored."""

    async def keep(self, key: bytes, scope: str, reply: Reply) -> Reply | None:
        """Store a reply; if another was stored first, return that one."""

    async def release(self, key: bytes) -> None:
        """A request that was not found has ended without a reply, or the search for it has failed; others may send
        it."""


class CachedModel:
    """A model that asks `model` only if `cache` does not hold the reply.

    `scope`: everything besides the request that changes the answer (provider, base URL, model). Models that share a
    cache and a scope share replies, and never have the same request in flight twice. A failed call is not stored;
    calls that waited for it are then sent, one after the other. `saved` is called for every reply from the cache.
    """

    def __init__(
        self, model: ChatModel, cache: Replies, scope: str, saved: Callable[[Reply], None] = lambda reply: None
    ) -> None:
        self.name = model.name
        self._model, self._cache, self._scope, self._saved = model, cache, scope, saved

    async def complete(self, request: Request) -> Reply:
        """Answer from the cache (`from_cache`, latency 0, the usage that it cost then) or ask, store and answer.

        :raises ModelError: the call failed.
        :raises BudgetExhausted: it was refused before anything was sent.
        :raises StorageFailed: the cache cannot be used.
        """
        reply = await self._find_or_ask(request_key(self._scope, request), request)
        if reply.from_cache:
            self._saved(reply)
        return reply

    async def _find_or_ask(self, key: bytes, request: Request) -> Reply:
        flights = self._cache.flights
        while True:
            if reply := self._cache.recent(key):
                return reply
            if not (flight := flights.get(key)):
                break
            await flight.wait()
        flights[key] = flight = Flight()
        try:
            return await self._cache.find(key) or await self._ask(key, request)
        except BaseException:
            await self._cache.release(key)
            raise
        finally:
            del flights[key]
            flight.land()

    async def _ask(self, key: bytes, request: Request) -> Reply:
        reply = await self._model.complete(request)
        first = await self._cache.keep(key, self._scope, reply)
        if first is None:
            return reply
        return replace(
            reply,
            text=first.text,
            finish=first.finish,
            model=first.model,
            instead=first.instead,
            calls=first.calls,
        )


def request_key(scope: str, request: Request) -> bytes:
    """32 bytes of BLAKE2b over the scope and the whole request: equal for equal requests and for no others."""
    turns: list[object] = [
        (turn.speaker, turn.text)
        if not (turn.parts or turn.calls)
        else (turn.speaker, turn.text, *map(_identity, turn.parts), *map(astuple, turn.calls))
        for turn in request.messages
    ]
    temperature = None if request.temperature is None else request.temperature + 0.0  # 0, 0.0 and -0.0 are one
    parts: list[object] = [scope, turns, temperature, request.max_tokens, request.sample]
    if request.parameters.key:
        parts.append(request.parameters.key)
    if request.offer:
        parts.append([request.offer.key])
    return hashlib.blake2b(orjson.dumps(parts), digest_size=32).digest()


def _identity(part: str) -> object:
    """A part of a message with images, told from all others."""
    return (part.digest, part.detail) if isinstance(part, Image) else part
