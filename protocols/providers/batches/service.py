"""What a provider's batches have in common: an interface, and requests that read one JSON object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

import orjson

from protocols.concurrency.threads import in_thread
from protocols.model import Reply, Request, Usage
from protocols.providers.responses.decoding import JsonObject, decode, unusable
from protocols.providers.responses.failures import Answer, classify
from protocols.providers.responses.figures import read_json
from protocols.providers.transport.http import Endpoint, Transport, exchange

SLOW: Final = 600.0
"""Seconds that sending or fetching a whole batch may take at least."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one batch may hold."""

    requests: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What a provider says of a batch: its own word for the `state`, and how many of the `total` requests are done.
    `ended`: nothing more comes. `cancelled`: because a person cancelled it. `created`: in Unix seconds. `files`: what
    holds the results. `reason`: why it failed as a whole, "" if it did not."""

    id: str
    state: str
    ended: bool = False
    cancelled: bool = False
    done: int = 0
    total: int = 0
    created: float = 0.0
    files: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """A batch that was about to be sent: its `tag`, the time in Unix seconds, and its number of requests."""

    tag: str
    at: float
    count: int


class BatchService(Protocol):
    """The batches of one model at one provider. All methods that send something raise ModelError if that fails."""

    name: str
    limits: Limits
    cancelling: str
    """How a person cancels a batch, with `{id}` for it."""

    def line(self, key: str, request: Request) -> bytes:
        """One request as it stands in a batch, under a key of at most 64 letters and digits."""

    async def submit(self, tag: str, lines: Sequence[bytes], requests: Sequence[Request]) -> Standing:
        """Send a batch of these requests, written as these lines; it is paid for from now on."""

    async def look(self, batch: str) -> Standing:
        """How a batch stands."""

    async def find(self, sent: Sent) -> Sequence[Standing]:
        """The batches that this one may be, if it reached the provider and its id did not reach us."""

    async def results(self, standing: Standing) -> Mapping[str, JsonObject]:
        """What came of each request of an ended batch, by its key. Requests that were never run may be left out."""

    def read(self, result: JsonObject, request: Request | None) -> Reply | None:
        """The reply to a request; None if it was never run. Without the request, tokens that the provider does not
        count are not estimated.

        :raises ModelError: the request failed.
        """


class Service:
    """Requests to one server, which answers with JSON."""

    def __init__(self, name: str, endpoint: Endpoint, transport: Transport) -> None:
        self.name = name
        self._endpoint = replace(endpoint, timeout=max(SLOW, endpoint.timeout))
        self._transport = transport

    async def _fetch(self, path: str, headers: Mapping[str, str], data: bytes | None = None) -> Answer:
        """Post the bytes, or get the path without them.

        :raises ModelError: the request failed, or was refused.
        """
        answer = await exchange(self._transport, self._endpoint, path, headers, data, self.name)
        if not 200 <= answer.status < 300:
            raise classify(answer, self.name, self._endpoint.key)
        return answer

    async def _object(self, path: str, headers: Mapping[str, str], data: bytes | None = None) -> JsonObject:
        answer = await self._fetch(path, headers, data)
        return decode(answer, self.name, self._endpoint.key, lambda usage: Usage())

    async def _lines(self, path: str, headers: Mapping[str, str]) -> list[JsonObject]:
        """The JSON objects of a file, one a line; those that cannot be read are left out."""
        answer = await self._fetch(path, {**headers, "Accept": "*/*"})
        return await in_thread(lambda: [*_objects(answer.body)])

    def _answer(self, status: int, body: object) -> Answer:
        """One result as an answer of its own."""
        return Answer(status, {}, orjson.dumps(body), self._endpoint.base_url, 0.0)

    def _no_id(self, payload: JsonObject) -> Exception:
        body = self._answer(200, payload)
        return unusable("names no batch", body, self.name, self._endpoint.key, Usage())


def _objects(body: bytes) -> Iterator[JsonObject]:
    for line in body.splitlines():
        with suppress(ValueError):
            if isinstance(found := read_json(line), dict):
                yield found


def text(value: object) -> str:
    """The value, if it is a text; else ""."""
    return value if isinstance(value, str) else ""


def number(value: object) -> int:
    """The value, if it is a whole number; else 0."""
    return value if isinstance(value, int) else 0


def table(value: object) -> JsonObject:
    """The value, if it is an object; else an empty one."""
    return value if isinstance(value, dict) else {}


def listed(page: JsonObject, read: Callable[[JsonObject], Standing]) -> Iterator[tuple[JsonObject, Standing]]:
    """The batches of a page of a list, newest first."""
    entries = page.get("data")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and text(entry.get("id")):
            yield entry, read(entry)
