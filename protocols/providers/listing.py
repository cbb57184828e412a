"""Looks up a model's context window in the server's list of models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import aiohttp
import orjson

from protocols.errors import ConfigError
from protocols.providers.transport.http import Endpoint, Transport, through

LISTS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": ("/models", "/model/info"),
    "anthropic": ("/v1/models", "/v1/model/info"),
}
"""Paths by wire format: the list that every server has, and LiteLLM's, which has more details."""
NAMES: Final = (
    "max_model_len",  # vLLM, SGLang
    "loaded_context_length",  # LM Studio
    "context_length",  # OpenRouter, Together
    "context_window",  # Groq
    "max_context_length",  # Mistral, LM Studio
    "max_input_tokens",  # LiteLLM, Anthropic
    "n_ctx",  # llama.cpp, where the window is set
    "n_ctx_train",  # llama.cpp, where it is the model's
)
INNER: Final = ("meta", "model_info", "top_provider")
SECONDS: Final = 5.0
LONGEST: Final = 4 * 2**20
"""Most bytes of a list that are read."""


async def listed_window(transport: Transport, endpoint: Endpoint, provider: str, model: str) -> int | None:
    """The window of `model` in tokens; None if no list names it, or none came in time. Never raises for a fault of
    the server, because the window is useful but not required."""
    for path in LISTS[provider]:
        body = await _get(transport, endpoint, path)
        if body is None:
            return None
        if (found := read_window(body, model)) is not None:
            return found
    return None


async def _get(transport: Transport, endpoint: Endpoint, path: str) -> bytes | None:
    timeout, url = aiohttp.ClientTimeout(total=SECONDS), endpoint.base_url + path
    try:
        proxy = transport.proxies.of(endpoint.base_url)
        headers, tunnel = through(proxy, url, endpoint.headers()) if proxy else (endpoint.headers(), None)
        async with transport.session.get(
            url,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
            proxy=proxy.url if proxy else None,
            proxy_headers=tunnel,
        ) as response:
            return await _whole(response.content) if response.status == 200 else None
    except (aiohttp.ClientError, ConfigError, OSError, TimeoutError, ValueError):
        return None


async def _whole(content: aiohttp.StreamReader) -> bytes | None:
    """The whole body; None if it is longer than `LONGEST`."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > LONGEST:
            return None
    return bytes(body)


def read_window(body: bytes, model: str) -> int | None:
    """The window of `model` in a list of models; if the list has a single model, its window, whatever its name."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    listed = payload.get("data") if isinstance(payload, dict) else payload
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    named = [entry for entry in entries if model in (entry.get("id"), entry.get("model_name"), entry.get("name"))]
    chosen = named or (entries if len(entries) == 1 else [])
    return min((tokens for entry in chosen if (tokens := next(_windows(entry), None))), default=None)


def _windows(entry: Mapping[str, Any]) -> Iterator[int]:
    """The windows that an entry names, the most reliable first."""
    tables = [entry, *(inner for name in INNER if isinstance(inner := entry.get(name), dict))]
    for name in NAMES:
        for table in tables:
            if type(tokens := table.get(name)) is int and 0 < tokens < 2**40:
                yield tokens
