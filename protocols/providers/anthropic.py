"""The Anthropic messages wire format. https://docs.anthropic.com/en/api/messages"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocols.images.image import Image
from protocols.model import ChatMessage, Reply, Request
from protocols.providers.parameters import with_parameters
from protocols.providers.responses.decoding import JsonObject
from protocols.providers.responses.messages_reply import read_reply
from protocols.providers.transport.http import Endpoint, Transport, post
from protocols.providers.wire import BETWEEN, Wire

PATH: Final = "/v1/messages"
NEWEST_VERSION: Final = "2026-10-21"
SAMPLING_VERSION: Final = "2023-06-01"
SAMPLING: Final = frozenset({"temperature", "top_p", "top_k"})


class AnthropicModel:
    """A `ChatModel` on Anthropic's endpoint, or a compatible one, over the shared session."""

    def __init__(self, model: str, endpoint: Endpoint, transport: Transport, wire: Wire | None = None) -> None:
        self._model, self._endpoint, self._transport, self._wire = model, endpoint, transport, wire or Wire()
        self.name = f"anthropic/{model}"
        self._headers = endpoint.headers()

    async def complete(self, request: Request) -> Reply:
        headers = {**self._headers, "anthropic-version": self._wire.version or api_version(request)}
        body = request_body(request, self._model, self._wire)
        answer = await post(self._transport, self._endpoint, PATH, headers, body, self.name)
        return read_reply(answer, self.name, self._endpoint.key, request, stream=self._wire.stream)


def api_version(request: Request) -> str:
    """The API version of a request. 2026-10-21 answers any `temperature`, `top_p` or `top_k` with 400, so a request
    with one uses the previous version.

    Models without sampling parameters refuse them under both versions, with a `BadRequest` that says so.
    """
    sampling = request.temperature is not None or not SAMPLING.isdisjoint(request.parameters.fields)
    return SAMPLING_VERSION if sampling else NEWEST_VERSION


def request_body(request: Request, model: str, wire: Wire) -> JsonObject:
    """The JSON body of one call. System messages become `system`, unless `wire` places them elsewhere; see also
    `alternating`. The cached prefix ends after them, or after later turns that other requests share. The user's
    parameters override ours."""
    messages = wire.turns(request, alternate=True)
    turns: list[JsonObject] = [
        {"role": turn.speaker, "content": content_of(turn)} if not turn.calls else turn_of(turn)
        for turn in messages
        if turn.speaker != "system"
    ]
    same = sum(message.speaker != "system" for message in request.prefix)
    if same and wire.system == "message" and not request.prefix[-1].calls:
        text = request.prefix[-1].text
        turns[same - 1]["content"] = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
    if any(turn.calls for turn in messages):
        turns = joined_results(turns)
    body: JsonObject = {"max_tokens": request.max_tokens, "messages": turns, "model": model}
    # The API refuses an empty text block.
    system = [message.text for message in messages if message.speaker == "system" and message.text]
    if system and wire.system == "text":
        body["system"] = BETWEEN.join(system)
    elif system:
        blocks: list[JsonObject] = [{"type": "text", "text": text} for text in system]
        blocks[-1]["cache_control"] = {"type": "ephemeral"}
        body["system"] = blocks
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if wire.stream:
        body["stream"] = True
    if request.offer is None:
        return with_parameters(body, request)
    body |= request.offer.anthropic
    form = body.get("output_config")
    body = with_parameters(body, request)
    asked = body.get("output_config")
    if isinstance(form, dict) and isinstance(asked, dict):  # the user's effort beside the prompt's schema
        body["output_config"] = {**form, **asked}
    return body


def turn_of(turn: ChatMessage) -> JsonObject:
    """A turn that calls tools, or the result of a tool. The API refuses an empty text block."""
    if turn.speaker == "tool":
        result = {"type": "tool_result", "tool_use_id": turn.calls[0].id, "content": turn.text}
        return {"role": "user", "content": [result]}
    blocks: list[JsonObject] = [{"type": "text", "text": turn.text}] if turn.text.strip() else []
    for call in turn.calls:
        value = call.value
        taken = value if isinstance(value, dict) else {"arguments": value}  # the API takes nothing but an object
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": taken})
    return {"role": turn.speaker, "content": blocks}


def joined_results(turns: Sequence[JsonObject]) -> list[JsonObject]:
    """The turns with all results of one turn's calls in one message, as the API demands."""
    joined: list[JsonObject] = []
    for turn in turns:
        before = results_of(joined[-1]) if joined else []
        if before and (more := results_of(turn)):
            joined[-1] = {"role": "user", "content": [*before, *more]}
        else:
            joined.append(turn)
    return joined


def results_of(turn: JsonObject) -> list[object]:
    """The blocks of a turn that holds results of tools; none of any other."""
    match turn:
        case {"role": "user", "content": [{"type": "tool_result"}, *_] as blocks}:
            return list(blocks)
    return []


def content_of(turn: ChatMessage) -> str | list[JsonObject]:
    """The content of a message: a text, or blocks if it has images. The API refuses blank text blocks.

    https://platform.claude.com/docs/en/build-with-claude/vision
    """
    return [block_of(part) for part in turn.parts if part.strip()] if turn.parts else turn.text


def block_of(part: str) -> JsonObject:
    """A block of a content: a text or an image."""
    if not isinstance(part, Image):
        return {"type": "text", "text": part}
    if not part.media:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": part.media, "data": part.data}}
