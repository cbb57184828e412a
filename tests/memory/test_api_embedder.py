"""Against a local server that speaks the wire format."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import aiohttp
import anyio
import numpy as np
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from memory.api_embedder import BATCH, ApiEmbedder
from protocols.errors import (
    AuthenticationFailed,
    BadReply,
    BadRequest,
    CallTimeout,
    ConfigError,
    ConnectionFailed,
    ModelError,
    ModelNotFound,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
)

pytestmark = pytest.mark.anyio
KEY = "sk-very-secret"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler, timeout: float = 30.0) -> AsyncIterator[ApiEmbedder]:
    app = web.Application()
    app.router.add_post("/v1/embeddings", handler)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield ApiEmbedder(
            session, base_url=str(server.make_url("/v1/")), model="small", dimension=2, api_key=KEY, timeout=timeout
        )


def answering(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        return web.Response(body=content, status=status, headers=headers)

    return handler


async def test_unit_vectors_in_the_order_of_the_texts() -> None:
    """Whatever the order of the reply, over several batches; blank texts are not sent."""
    sizes: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        asked = orjson.loads(await request.read())
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert asked["model"] == "small"
        sizes.append(len(asked["input"]))
        data = [{"index": i, "embedding": [len(text), 0.5]} for i, text in enumerate(asked["input"])]
        Random(len(data)).shuffle(data)
        return web.Response(body=orjson.dumps({"data": data}))

    texts = ["類" * (1 + place % 7) for place in range(BATCH + 3)]
    async with served(handler) as embedder:
        vectors = await embedder.embed([*texts, " \n"])
        assert (await embedder.embed([])).shape == (0, 2)
    wanted = np.array([[len(text), 0.5] for text in texts])
    np.testing.assert_allclose(vectors[:-1], wanted / np.linalg.norm(wanted, axis=1, keepdims=True), rtol=1e-6)
    assert vectors.dtype == np.float32
    assert not vectors[-1].any()
    assert sizes == [BATCH, 3]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b"Incorrect API key provided: sk-very-secret", AuthenticationFailed),
        (404, b"", ModelNotFound),
        (400, b"too\nlong", BadRequest),
        (429, b"slow down", RateLimited),
        (429, b'{"error": {"code": "insufficient_quota"}}', QuotaExhausted),
        (408, b"", ServerFailed),
        (503, b"\xff", ServerFailed),
        (200, b"{", BadReply),
        (200, {"data": None}, BadReply),
        (200, {"data": []}, BadReply),
        (200, {"data": [{"index": 1, "embedding": [1, 2]}]}, BadReply),
        (200, {"data": [{"index": 0, "embedding": [1, "x"]}]}, BadReply),
        (200, {"data": [{"index": 0, "embedding": [1e39, 1]}]}, BadReply),
    ],
)
async def test_a_failure_has_its_class_in_one_line_without_the_key(
    status: int, body: object, kind: type[ModelError]
) -> None:
    async with served(answering(body, status, {"retry-after": "3"})) as embedder:
        with pytest.raises(ModelError) as caught:
            await embedder.embed(["x"])
    assert type(caught.value) is kind
    assert len(str(caught.value).splitlines()) == 1
    assert KEY not in "".join(traceback.format_exception(caught.value))
    if status != 200:
        assert (caught.value.status, caught.value.retry_after) == (status, 3)


async def test_another_dimension_says_what_to_set() -> None:
    async with served(answering({"data": [{"index": 0, "embedding": [1, 2, 3]}]})) as embedder:
        with pytest.raises(ConfigError, match="set dimension = 3"):
            await embedder.embed(["x"])


async def test_no_reply_and_no_server() -> None:
    never = anyio.Event()

    async def silent(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    async with served(silent, timeout=0.05) as embedder:
        with pytest.raises(CallTimeout):
            await embedder.embed(["x"])
        never.set()
    async with aiohttp.ClientSession() as session:
        nobody = ApiEmbedder(session, base_url="http://user:pass@127.0.0.1:1/v1", model="small", dimension=2)
        assert nobody.name == "small at 127.0.0.1:1/v1"
        with pytest.raises(ConnectionFailed):
            await nobody.embed(["x"])
