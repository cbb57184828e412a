"""A web server for a run: the page of `html.py`, and its changes as server-sent events.

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
from protocols.concurrency.threads import in_thread
from protocols.errors import ConfigError, InputError, StorageFailed

Json = Mapping[str, Any]
Steer = Callable[[Sequence[str]], Awaitable[str]]
"""Passes the words of a command on to the run; returns the message for the person.

:raises InputError: they are no command, or no process works on the run.
"""
HOST = "127.0.0.1"
INTERVAL = 0.25
"""Least seconds between two events to one browser."""
LONGEST = 4 * 2**20
"""Most bytes of a command, which may hold a prompt."""
GOODBYE = 5.0
"""Most seconds to wait until browsers have received the last event."""
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Source(Protocol):
    """The data behind a dashboard."""

    def changes(self) -> AsyncGenerator[Json]:
        """The updates for the page's script: the whole state first, then changes. Ends after the last state."""

    async def detail(self, number: int) -> Json | None:
        """The details of one candidate; None if there is no candidate of that number."""


@dataclass(frozen=True, slots=True)
class Steering:
    """The actions of the buttons: `command` passes words on; `settings` names the settings that may be changed;
    `label` looks up the gold answer of an example, by its id."""

    command: Steer
    settings: Sequence[str]
    label: Callable[[str], Awaitable[Json]]


class Dashboard:
    """Serves one source to browsers that have the token. `steering` None: the page has no buttons."""

    def __init__(self, source: Source, token: str, steering: Steering | None = None) -> None:
        self._source, self._token, self._steering = source, token, steering
        self._hosts: tuple[str, ...] = ()
        self._streams = 0
        self._idle = anyio.Event()

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[str]:
        """Listen on loopback while the block runs; gives the URL. `port` 0: any free port.

        :raises ConfigError: the port cannot be used.
        """
        app = web.Application(middlewares=[self._guard], client_max_size=LONGEST)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/events", self._events),
                web.get(r"/candidate/{number:\d{1,9}}", self._detail),
                web.get("/label", self._label),
                web.post("/command", self._command),
            ]
        )
        # No access log, since request lines hold the token.
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
        """Wait until every connected browser has received the last event, at most `GOODBYE` seconds."""
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
            return _said("Commands are accepted only from this server's own page.", 403)
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
        """Whether a request comes from our page: browsers send the page's origin, and other origins cannot send JSON
        without a CORS preflight."""
        origin = request.headers.get("Origin")
        own = origin is None or origin in {f"http://{host}" for host in self._hosts}
        return own and request.content_type == "application/json"

    async def _page(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Security-Policy": await in_thread(live_policy)}
        return web.Response(
            text=await in_thread(live_page), content_type="text/html", charset="utf-8", headers=headers
        )

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

    async def _label(self, request: web.Request) -> web.StreamResponse:
        found = await self._steerable().label(request.query.get("id", ""))
        return web.Response(body=orjson.dumps(found), content_type="application/json")

    async def _command(self, request: web.Request) -> web.StreamResponse:
        return _said(await self._steerable().command(_words(await request.read())), 200)

    def _steerable(self) -> Steering:
        """:raises InputError: the page has no buttons."""
        if self._steering is None:
            raise InputError("this run cannot be steered from here")
        return self._steering


def _words(body: bytes) -> Sequence[str]:
    """The words of a command.

    :raises InputError: the body is no command.
    """
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
