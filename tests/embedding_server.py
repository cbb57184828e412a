"""A local server that speaks the wire format of embeddings, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from protocols.embedding import HashedNgrams

DIMENSION = 16
GRAMS = HashedNgrams(DIMENSION)


def embedded(text: str) -> Any:
    """The usual answer: hashed n-grams as a list of numbers, and a token for each character."""
    data = [{"index": 0, "embedding": GRAMS.vector(text).tolist()}]
    return {"model": "small-1", "data": data, "usage": {"prompt_tokens": len(text), "total_tokens": len(text)}}


@dataclass
class EmbeddingServer:
    """`answer` gives the document (or the bytes) for a text; `status` is that of every answer. `texts` and `bodies`
    are those of all calls, `answered` the texts that were not refused."""

    answer: Callable[[str], object] = embedded
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        [text] = body["input"]
        self.bodies.append(body)
        self.texts.append(text)
        self.keys.add(request.headers.get("authorization", ""))
        if self.status == 200:
            self.answered.append(text)
        said = self.answer(text)
        content = said if isinstance(said, bytes) else orjson.dumps(said)
        return web.Response(body=content, status=self.status, headers=self.headers)


@asynccontextmanager
async def serving(server: EmbeddingServer) -> AsyncIterator[EmbeddingServer]:
    """Serve at `server.url`, which is the base URL."""
    app = web.Application()
    app.router.add_post("/v1/embeddings", server.handle)
    async with TestServer(app) as local:
        server.url = str(local.make_url("/v1"))
        yield server
