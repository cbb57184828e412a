"""As much of HTTP/1.1 as model clients need (RFC 9112), on asyncio.Protocol: a task for each call would cost more
than the call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast
from urllib.parse import urlsplit

import orjson


class Headers(dict[str, str]):
    """Header fields by name, whatever the case."""

    def __missing__(self, name: str) -> str:
        for known in self:
            if known.lower() == name.lower():
                return self[known]
        raise KeyError(name)

    def find(self, name: str) -> str:
        """The value, "" where there is none."""
        try:
            return self[name]
        except KeyError:
            return ""


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived."""

    method: str
    path: str
    headers: Headers
    raw: bytes

    @property
    def body(self) -> dict[str, object]:
        body: dict[str, object] = orjson.loads(self.raw)
        return body


def nothing() -> None:
    """What happens when a connection without a call is lost."""


class Connection(asyncio.Protocol):
    """One client's connection: hands each whole request to `arrived`, one after the other.

    `lost` is called when the client leaves while a call is under way.
    """

    def __init__(self, arrived: Callable[[Call, Connection], None], everybody: set[Connection]) -> None:
        self._arrived, self._everybody = arrived, everybody
        self._buffer = bytearray()
        self._busy = False
        self.lost = nothing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._everybody.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._everybody.discard(self)
        self.lost()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._take()

    def respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send a whole answer, and take the next request."""
        self.transport.write(_head(status, headers, len(body)) + body)
        self._next()

    def truncate(self, body: bytes) -> None:
        """Promise twice as much as is sent, and hang up."""
        self.transport.write(_head(200, {}, 2 * len(body)) + body)
        self.transport.close()

    def drop(self) -> None:
        """Hang up without a word."""
        self.transport.abort()

    def _next(self) -> None:
        self._busy, self.lost = False, nothing
        if self._buffer:
            self._take()

    def _take(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if self._busy or end < 0:
            return
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = Headers(line.split(": ", 1) for line in lines[1:])
        size = int(headers.find("Content-Length") or 0)
        start = end + 4
        if len(self._buffer) < start + size:
            return
        method, target, _ = lines[0].split(" ")
        call = Call(method, urlsplit(target).path, headers, bytes(self._buffer[start : start + size]))
        del self._buffer[: start + size]
        self._busy = True
        self._arrived(call, self)


def _head(status: int, headers: Mapping[str, str], size: int) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase if status in _KNOWN else 'Unknown'}"]
    if not any(name.lower() == "content-type" for name in headers):
        lines.append("content-type: application/json")
    lines += [f"content-length: {size}", *(f"{name}: {value}" for name, value in headers.items()), "\r\n"]
    return "\r\n".join(lines).encode("latin-1")


_KNOWN = frozenset(HTTPStatus)
