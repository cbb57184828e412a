"""The window of a model, as lists of models write it."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.providers.listing import listed_window, read_window
from protocols.providers.transport.http import Endpoint, open_transport
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio

SCALARS = st.none() | st.integers(-9, 9) | st.text(max_size=9)
LISTS: list[tuple[object, int | None]] = [
    ({"data": [{"id": "m", "max_model_len": 4096}, {"id": "other", "max_model_len": 9}]}, 4096),
    ({"data": [{"id": "file.gguf", "meta": {"n_ctx_train": 32768, "n_params": 7}}]}, 32768),
    ({"data": [{"id": "m", "meta": {"n_ctx_train": 32768, "n_ctx": 4096}}]}, 4096),
    ({"data": [{"model_name": "m", "model_info": {"max_input_tokens": 128000, "max_tokens": 4096}}]}, 128000),
    ({"data": [{"id": "m", "context_length": 65536, "top_provider": {"context_length": 32768}}]}, 65536),
    ([{"id": "m", "context_length": 8192}], 8192),
    ({"data": [{"id": "m", "context_window": 131072}]}, 131072),
    ({"data": [{"id": "m", "loaded_context_length": 4096, "max_context_length": 32768}]}, 4096),
    ({"data": [{"id": "one", "max_model_len": 1}, {"id": "two", "max_model_len": 2}]}, None),
    ({"data": [{"id": "m", "max_model_len": "4096"}]}, None),
    ({"data": [{"id": "m", "max_model_len": True, "meta": {"n_ctx": -1}}]}, None),
    ({"data": [{"id": "m"}]}, None),
    ({"error": "no such page"}, None),
    ("no list", None),
]


@pytest.mark.parametrize(("listed", "window"), LISTS)
def test_the_window_in_a_list(listed: object, window: int | None) -> None:
    assert read_window(orjson.dumps(listed), "m") == window


@given(st.binary(max_size=40) | st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3)).map(orjson.dumps))
def test_any_body_is_read_or_left(body: bytes) -> None:
    assert read_window(body, "m") is None


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_server_is_asked_and_no_fault_of_its_own_is_raised(provider: str) -> None:
    async with WireServer(lambda turns: "") as server, open_transport() as transport:
        endpoint = Endpoint(server.openai_url if provider == "openai" else server.url, "sk-test-key")
        assert await listed_window(transport, endpoint, provider, "m") is None
        server.models = {"data": [{"id": "m", "max_model_len": 4096}]}
        assert await listed_window(transport, endpoint, provider, "m") == 4096
    async with open_transport() as transport:
        assert await listed_window(transport, endpoint, provider, "m") is None, "nobody is there"
