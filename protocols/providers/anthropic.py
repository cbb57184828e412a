"""The Anthropic messages wire format. https://docs.anthropic.com/en/api/messages"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocols.images.image import Image
from protocols.model import ChatMessage, Finish, Instead, Reply, Request
from protocols.providers.responses.failures import Answer
from protocols.providers.responses.figures import Told, count, finish_of, name_of, used
from protocols.providers.responses.rate_headers import read_allowance
from protocols.providers.transport.http import Endpoint, JsonObject, Transport, decode, post, unusable
from protocols.providers.transport.streaming import joined_message, unstreamed
from protocols.providers.wire import BETWEEN, Wire, alternating, with_parameters

PATH: Final = "/v1/messages"
NEWEST_VERSION: Final = "2026-10-21"
SAMPLING_VERSION: Final = "2023-06-01"
SAMPLING: Final = frozenset({"temperature", "top_p", "top_k"})
FINISH: Final[dict[object, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}


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
    messages = alternating(wire.turns(request))
    turns: list[JsonObject] = [
        {"role": turn.speaker, "content": content_of(turn)} for turn in messages if turn.speaker != "system"
    ]
    same = sum(message.speaker != "system" for message in request.prefix)
    if same and wire.system == "message":
        text = request.prefix[-1].text
        turns[same - 1]["content"] = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
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
    return with_parameters(body, request)


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


def read_reply(
    answer: Answer, name: str, key: str | None, request: Request | None = None, *, stream: bool = False
) -> Reply:
    """The joined text blocks of the answer to `request`; other blocks (thinking) are dropped. Tokens that the server
    does not count are estimated. `stream`: the answer may be a stream of events.

    :raises ModelError: see `decode`; also BadReply if content is missing, ConnectionFailed if a stream broke off.
    """
    if stream:
        answer = unstreamed(answer, joined_message, name)
    payload = decode(answer, name, key, lambda usage: used(read_usage(usage), request, ""))
    told, blocks = read_usage(payload.get("usage")), payload.get("content")
    if not isinstance(blocks, list):
        raise unusable("has no content", answer, name, key, used(told, request, ""))
    text = "".join(text_of(block) for block in blocks)
    finish = finish_of(FINISH, payload.get("stop_reason"))
    usage = used(told, request, blocks, finish)
    model, allowance = name_of(payload.get("model")), read_allowance(answer.headers, usage)
    missing = None if text.strip() or finish == "refusal" else instead_of_text(blocks)
    return Reply(text, usage, finish, answer.latency, model, allowance=allowance, instead=missing)


def read_usage(usage: object) -> Told:
    """The usage that the server reports. `input_tokens` excludes tokens read from or written to the cache, which are
    added here; if these are None or missing, they are 0."""
    if not isinstance(usage, dict):
        return Told()
    fresh, tokens_out = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    parts = (usage.get(f"cache_{what}_input_tokens") for what in ("read", "creation"))
    cached, written = (0 if part is None else count(part) for part in parts)
    if fresh is None or cached is None or written is None:
        return Told(output=tokens_out)
    return Told(fresh + cached + written, tokens_out, cached, written)


def text_of(block: object) -> str:
    match block:
        case {"type": "text", "text": str(text)}:
            return text
    return ""


def instead_of_text(blocks: Sequence[object]) -> Instead:
    """The content of a message without a text."""
    kinds = [str(block.get("type")) for block in blocks if isinstance(block, dict)]
    if any(kind.endswith("tool_use") for kind in kinds):
        return "tool calls"
    return "reasoning" if any(kind.endswith("thinking") for kind in kinds) else "nothing"
