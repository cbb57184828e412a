"""The OpenAI chat completions wire format, which vLLM, Ollama, llama.cpp and most gateways support too.

https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from protocols.images.image import Image
from protocols.model import ChatMessage, Reply, Request
from protocols.providers.parameters import with_parameters
from protocols.providers.responses.chat_reply import read_reply
from protocols.providers.responses.decoding import JsonObject
from protocols.providers.transport.http import Endpoint, Transport, post
from protocols.providers.wire import TokenParameter, Wire

PATH: Final = "/chat/completions"


class OpenAIModel:
    """A `ChatModel` on an OpenAI-compatible endpoint, over the shared session."""

    def __init__(self, model: str, endpoint: Endpoint, transport: Transport, wire: Wire | None = None) -> None:
        self._model, self._endpoint, self._transport = model, endpoint, transport
        self.name = f"openai/{model}"
        self._wire = settled(wire or Wire(), endpoint.base_url)
        self._headers = endpoint.headers()

    async def complete(self, request: Request) -> Reply:
        body = request_body(request, self._model, self._wire)
        answer = await post(self._transport, self._endpoint, PATH, self._headers, body, self.name)
        return read_reply(answer, self.name, self._endpoint.key, request, stream=self._wire.stream)


def settled(wire: Wire, base_url: str) -> Wire:
    """The wire settings with a name for the token limit of a reply."""
    return replace(wire, token_parameter=wire.token_parameter or default_token_parameter(base_url))


def default_token_parameter(base_url: str) -> TokenParameter:
    """The endpoint's name for the token limit of a reply.

    OpenAI's newest models refuse `max_tokens` and its older ones accept both names, on Azure too. Many other servers
    know only `max_tokens` (Ollama, LM Studio, llama.cpp before 2026), and silently ignore the other name.
    """
    host = urlsplit(base_url).hostname or ""
    theirs = host == "openai.com" or host.endswith((".openai.com", ".openai.azure.com"))
    return "max_completion_tokens" if theirs else "max_tokens"


def request_body(request: Request, model: str, wire: Wire) -> JsonObject:
    """The JSON body of one call; the user's parameters override ours."""
    body: JsonObject = {
        "model": model,
        "messages": [message_of(turn) for turn in wire.turns(request)],
        wire.token_parameter or "max_tokens": request.max_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if wire.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if request.offer:
        body |= request.offer.openai
    return with_parameters(body, request)


def content_of(turn: ChatMessage) -> str | list[JsonObject]:
    """The content of a message: a text, or parts if it has images.

    https://developers.openai.com/api/docs/guides/images-vision
    """
    return [part_of(part) for part in turn.parts] if turn.parts else turn.text


def part_of(part: str) -> JsonObject:
    """A part of a content: a text or an image."""
    if not isinstance(part, Image):
        return {"type": "text", "text": part}
    detail = {"detail": part.detail} if part.detail else {}
    return {"type": "image_url", "image_url": {"url": part.url, **detail}}


def message_of(turn: ChatMessage) -> JsonObject:
    """A turn in the format's form."""
    if not turn.calls:
        return {"role": turn.speaker, "content": content_of(turn)}
    if turn.speaker == "tool":
        return {"role": "tool", "tool_call_id": turn.calls[0].id, "content": turn.text}
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in turn.calls
    ]
    return {"role": turn.speaker, "content": turn.text or None, "tool_calls": calls}
