"""A local server that programs ask instead of a provider, in OpenAI's and Anthropic's wire formats.

The path begins with the worker that asks, `/w3/v1/chat/completions`, and so says which example a call belongs to.
`/v1` may be missing or come twice, because clients differ in whether their base URL holds it. Every error is 400 (or
401 and 404), which no client repeats: what is worth another try was tried by the wrappers around the model.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import anyio
import orjson
from aiohttp import web
from multidict import CIMultiDictProxy

from agents.programs.endpoint.asked import Asked, Format, JsonObject, Unusable
from agents.programs.endpoint.calls import ENDED, Calls
from agents.programs.endpoint.chat_completions import ChatCompletions
from agents.programs.endpoint.messages import Messages
from agents.programs.endpoint.responses import Responses
from protocols.concurrency.threads import in_thread
from protocols.errors import PromptFlowError, TooLong
from protocols.program import Answered

FORMATS: Final[Mapping[str, Format]] = {
    "/chat/completions": ChatCompletions(),
    "/responses": Responses(),
    "/messages": Messages(),
}
CHAT: Final = FORMATS["/chat/completions"]
LARGEST: Final = 32 * 2**20
"""Bytes of a request."""
LONG: Final = 2**18
"""Bytes from which on a request is read in a thread; orjson reads some hundred megabytes a second."""
INVALID: Final = "invalid_request_error"
NO_RETRY: Final = {"x-should-retry": "false"}
UNSERVED: Final = (
    f"is not served, only POST {', '.join(FORMATS)} and GET /models; give a client of anything else, such as "
    "embeddings, a base URL and a key of its own"
)
CLOSING: Final = 1.0
"""Seconds that requests have to end once the endpoint closes."""
TOOLS: Final = "the model answered with calls of tools that it was not offered"


class Endpoint:
    """Serves on a free port of loopback while it is entered. Every request must carry `token` as its API key."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self._keys = (f"Bearer {self.token}".encode(), self.token.encode())
        self._calls: dict[str, Calls] = {}
        self._url = ""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()

        def request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
            return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=LARGEST)

        # No router: there is one path in a few spellings, and a router costs more than all the rest.
        server = web.Server(self._handle, request_factory=request, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=CLOSING)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._runner.cleanup()

    def base_url(self, worker: str) -> str:
        """The base URL of a worker."""
        return f"{self._url}/{worker}/v1"

    @contextmanager
    def serving(self, worker: str, calls: Calls) -> Iterator[None]:
        """Within the block the requests of a worker belong to these calls, which are closed at its end."""
        self._calls[worker] = calls
        try:
            yield
        finally:
            del self._calls[worker]
            calls.close()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        worker, _, path = request.path.removeprefix("/").partition("/")
        path = f"/{path}".removeprefix("/v1").removeprefix("/v1")
        form = FORMATS.get(path, CHAT)
        if not self._trusts(request.headers):
            what = "the API key is not the one that this program was given; take it from the environment"
            return refusal(form.error("authentication_error", what, "invalid_api_key"), 401)
        calls = self._calls.get(worker)
        if path == "/models" and request.method == "GET":
            return respond(models(calls.prompts if calls else ()))
        if path not in FORMATS or request.method != "POST":
            return refusal(form.error("not_found_error", f"{request.method} {path} {UNSERVED}"), 404)
        try:
            if calls is None:
                raise Unusable(ENDED)
            asked = form.read(await body_of(request))
            answered = await calls.ask(asked)
            return reply(form, asked, answered)
        except PromptFlowError as error:
            code = "context_length_exceeded" if isinstance(error, TooLong) else None
            return refusal(form.error(INVALID, str(error), code))
        except Exception as error:  # of the call: a bug, which `Calls.ending` raises where it is seen
            return refusal(form.error(INVALID, f"{type(error).__name__}: {error}"))

    def _trusts(self, headers: CIMultiDictProxy[str]) -> bool:
        bearer, key = self._keys
        given = headers.get("Authorization", "").encode(), headers.get("x-api-key", "").encode()
        # Both are compared, always: how long this takes tells nothing.
        return hmac.compare_digest(given[0], bearer) | hmac.compare_digest(given[1], key)


async def body_of(request: web.BaseRequest) -> JsonObject:
    """The body of a request.

    :raises Unusable: it is not a JSON object, or too large.
    """
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        raw = await request.read()
        body = await in_thread(orjson.loads, raw) if len(raw) > LONG else orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Unusable(f"the body is not JSON: {error}") from None
    except web.HTTPRequestEntityTooLarge:
        raise Unusable(f"the request is larger than {LARGEST} bytes") from None
    if not isinstance(body, dict):
        raise Unusable("the body is not a JSON object")
    return body


def reply(form: Format, asked: Asked, answered: Answered) -> web.Response:
    """:raises Unusable: the reply has no text, but calls of tools that were not offered."""
    if answered.reply.instead == "tool calls":
        raise Unusable(TOOLS)
    if asked.stream:
        return web.Response(body=form.events(asked, answered.reply), content_type="text/event-stream")
    return respond(form.document(asked, answered.reply))


def respond(document: JsonObject, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, headers=headers, content_type="application/json")


def refusal(error: JsonObject, status: int = 400) -> web.Response:
    """An error that clients do not repeat."""
    return respond(error, status, NO_RETRY)


def models(names: Mapping[str, object] | tuple[()]) -> JsonObject:
    """The list of models, of which a prompt is one, in both formats at once."""
    began = "1970-01-01T00:00:00Z"
    listed = [
        {"id": name, "object": "model", "created": 0, "owned_by": "promptflow"}
        | {"type": "model", "display_name": name, "created_at": began}
        for name in names
    ]
    return {"object": "list", "data": listed, "has_more": False}
