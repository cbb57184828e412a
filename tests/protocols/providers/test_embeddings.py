"""Embeddings over the wire: what is sent, and what comes of each answer."""

from __future__ import annotations

import traceback
from base64 import b64decode, b64encode

import numpy as np
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import (
    AuthenticationFailed,
    BadReply,
    BadRequest,
    ConfigError,
    ConnectionFailed,
    ModelError,
    ModelNotFound,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
)
from protocols.files.named import Named
from protocols.model import ChatMessage, Reply, Request, Usage
from protocols.providers.catalogue import ModelSettings, open_embeddings
from protocols.providers.embeddings import read_reply
from protocols.providers.responses.failures import Answer
from protocols.providers.transport.http import encode, open_transport
from tests.embedding_server import EmbeddingServer, serving

pytestmark = pytest.mark.anyio
KEY = "sk-very-secret"


async def ask(url: str, text: str = "x", dimension: int = 2) -> Reply:
    async with open_transport() as transport:
        settings = ModelSettings(base_url=url)
        model = open_embeddings("openai/small", settings, {"OPENAI_API_KEY": KEY}, transport, dimension)
        return await model.complete(Request((ChatMessage("user", text),)))


def answer(body: object, status: int = 200) -> Answer:
    return Answer(status, {}, body if isinstance(body, bytes) else encode({"data": body}, "x"), "", 0.0)


def one(embedding: object) -> object:
    return [{"index": 0, "embedding": embedding}]


floats = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=9)


@given(floats)
def test_a_vector_is_the_same_in_base64_and_as_a_list(numbers: list[float]) -> None:
    packed = np.array(numbers, "<f4").tobytes()
    for sent in (numbers, b64encode(packed).decode()):
        reply, size = read_reply(answer(one(sent)), "openai/small", KEY)
        assert (b64decode(reply.text), size) == (packed, len(numbers))


async def test_what_is_sent_is_the_sdks_and_tokens_are_counted() -> None:
    async with serving(EmbeddingServer(lambda text: {"data": one([1, 2]), "usage": {"prompt_tokens": 7}})) as server:
        reply = await ask(server.url, "類 \U0001f600")
        async with openai.AsyncOpenAI(base_url=server.url, api_key=KEY, max_retries=0) as client:
            await client.embeddings.create(model="small", input=["類 \U0001f600"], encoding_format="base64")
    ours, theirs = server.bodies
    assert ours == theirs
    assert server.keys == {f"Bearer {KEY}"}
    assert reply.usage == Usage(7, 0)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b"Incorrect API key provided: sk-very-secret", AuthenticationFailed),
        (404, b"", ModelNotFound),
        (400, b"too\nlong", BadRequest),
        (429, b"slow down", RateLimited),
        (429, b'{"error": {"code": "insufficient_quota"}}', QuotaExhausted),
        (503, b"\xff", ServerFailed),
        (200, b"{", BadReply),
        (200, {"data": None}, BadReply),
        (200, {"data": []}, BadReply),
        (200, {"data": one([])}, BadReply),
        (200, {"data": [*one([1, 2]), *one([1, 2])]}, BadReply),  # type: ignore[misc]
        (200, {"data": one([1, "x"])}, BadReply),
        (200, {"data": one([1, None])}, BadReply),
        (200, {"data": one([[1], [2]])}, BadReply),
        (200, {"data": one([1e39, 1])}, BadReply),
        (200, {"data": one("AAA")}, BadReply),
        (200, {"data": one("AAAAAAA=")}, BadReply),
    ],
)
async def test_a_failure_has_its_class_in_one_line_without_the_key(
    status: int, body: object, kind: type[ModelError]
) -> None:
    async with serving(EmbeddingServer(lambda text: body, status, {"retry-after": "3"})) as server:
        with pytest.raises(ModelError) as caught:
            await ask(server.url)
    assert type(caught.value) is kind
    assert len(str(caught.value).splitlines()) == 1
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.retry_after == (3 if status != 200 else None)


async def test_another_dimension_says_what_to_set() -> None:
    async with serving(EmbeddingServer(lambda text: {"data": one([1, 2, 3])})) as server:
        with pytest.raises(ConfigError, match=r"set memory\.dimension = 3$"):
            await ask(server.url)


async def test_nobody_is_there_and_no_client_embeds() -> None:
    with pytest.raises(ConnectionFailed):
        await ask("http://127.0.0.1:1/v1")
    async with open_transport() as transport:
        with pytest.raises(ConfigError, match="embeds without a client"):
            open_embeddings("openai/small", ModelSettings(client=Named("mine:client")), {}, transport, 2)
