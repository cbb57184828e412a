"""A run in the browser: the page of `html.py`, and what changes, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html. Bound to loopback. Every request must carry the token
of the URL that the person was given, and name this server as its host (against DNS rebinding); a command must come
from this server's own page.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import anyio
import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from agents.views.page.html import live_page, live_policy
from protocols.errors import ConfigError, InputError, StorageFailed

Json = Mapping[str, Any]
Steer = Callable[[Sequence[str]], Awaitable[str]]
"""Hands the words of a command on to the run; returns what to tell the person.

:raises InputError: they are no command, or nobody works there.
"""
HOST = "127.0.0.1"
INTERVAL = 0.25
"""Seconds between two events to one browser, at least."""
LONGEST = 4 * 2**20
"""Bytes of a command: a prompt may be in it."""
GOODBYE = 5.0
"""Seconds that a browser has to take the last event."""
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Source(Protocol):
    """What a dashboard shows."""

    def changes(self) -> AsyncGenerator[Json]:
        """What the page's script has to know: all of it first, then what has changed. Ends after the last."""

    async def detail(self, number: int) -> Json | None:
        """All that is known of one candidate; None if there is none of that number."""


@dataclass(frozen=True, slots=True)
class Steering:
    """What the buttons do: `command` hands words on, `settings` are those that may be set."""

    command: Steer
    settings: Sequence[str]


class Dashboard:
    """Serves one source to whoever has the token. `steering` None: there are no buttons."""

    def __init__(self, source: Source, token: str, steering: Steering | None = None) -> None:
        self._source, self._token, self._steering = source, token, steering
        self._hosts: tuple[str, ...] = ()
        self._streams = 0
        self._idle = anyio.Event()

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[str]:
        """Listen on loopback while the block runs; the URL. `port` 0: any that is free.

        :raises ConfigError: the port cannot be had.
        """
        app = web.Application(middlewares=[self._guard], client_max_size=LONGEST)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/events", self._events),
                web.get(r"/candidate/{number:\d{1,9}}", self._detail),
                web.post("/command", self._command),
            ]
        )
        # A request line has the token in it: none is ever logged.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, HOST, port).start()
            except OSError as error:
                raise ConfigError(
                    f"port {port} cannot be used ({error.strerror}); name another with --port"
                ) from None
            bound = runner.addresses[0][1]
            self._hosts = (f"{HOST}:{bound}", f"localhost:{bound}")
            yield f"http://{HOST}:{bound}/?token={self._token}"
        finally:
            with anyio.CancelScope(shield=True):
                await runner.cleanup()

    async def delivered(self) -> None:
        """Wait until every browser that listens has taken the last event, or has had its time."""
        with anyio.move_on_after(GOODBYE):
            while self._streams:
                self._idle = anyio.Event()
                await self._idle.wait()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.query.get("token", "").encode("utf-8", "replace")
        if request.host not in self._hosts or not hmac.compare_digest(given, self._token.encode()):
            return _said("Open the address that PromptFlow printed, with its token.", 403)
        if request.method not in ("GET", "HEAD") and not self._from_own_page(request):
            return _said("A command comes from this server's own page.", 403)
        try:
            response = await handler(request)
        except InputError as error:
            return _said(str(error), 400)
        except StorageFailed as error:
            return _said(str(error), 500)
        except web.HTTPException as error:
            return _said(error.reason, error.status)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _from_own_page(self, request: web.Request) -> bool:
        """A browser names the page's origin; another origin cannot send JSON without being asked first."""
        origin = request.headers.get("Origin")
        own = origin is None or origin in {f"http://{host}" for host in self._hosts}
        return own and request.content_type == "application/json"

    async def _page(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Security-Policy": live_policy()}
        return web.Response(text=live_page(), content_type="text/html", charset="utf-8", headers=headers)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        buttons = {"steerable": self._steering is not None, "settings": self._steering and self._steering.settings}
        self._streams += 1
        try:
            async with aclosing(self._source.changes()) as changes:
                async for change in changes:
                    await response.write(b"data: " + orjson.dumps({**change, **buttons}) + b"\n\n")
                    await anyio.sleep(INTERVAL)
            await response.write(b"event: end\ndata: \n\n")
            await response.write_eof()
        finally:
            self._streams -= 1
            self._idle.set()
        return response

    async def _detail(self, request: web.Request) -> web.StreamResponse:
        found = await self._source.detail(int(request.match_info["number"]))
        return web.Response(body=orjson.dumps(found), content_type="application/json")

    async def _command(self, request: web.Request) -> web.StreamResponse:
        if self._steering is None:
            raise InputError("this run cannot be steered from here")
        return _said(await self._steering.command(_words(await request.read())), 200)


def _words(body: bytes) -> Sequence[str]:
    """:raises InputError: it is no command."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(f"a command is JSON: {error}") from None
    words = given.get("words") if isinstance(given, dict) else None
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise InputError('a command is {"words": ["pause"]}, or the like')
    return words


def _said(text: str, status: int) -> web.Response:
    body = orjson.dumps({"said": text})
    return web.Response(body=body, status=status, content_type="application/json", headers=HEADERS)
