"""The OpenAI chat completions wire format, which vLLM, Ollama, llama.cpp and most gateways support too.

https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import orjson

from protocols.images.image import Image
from protocols.model import ChatMessage, Finish, Instead, Reply, Request
from protocols.providers.responses.failures import Answer, classify, says_something
from protocols.providers.responses.figures import Told, count, finish_of, name_of, used
from protocols.providers.responses.rate_headers import read_allowance
from protocols.providers.transport.http import Endpoint, JsonObject, Transport, decode, post, unusable
from protocols.providers.transport.streaming import joined_chat, unstreamed
from protocols.providers.wire import TokenParameter, Wire, with_parameters

PATH: Final = "/chat/completions"
FINISH: Final[dict[object, Finish]] = {"stop": "stop", "length": "length", "content_filter": "refusal"}

REASONING: Final = ("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks")
THOUGHTS: Final = frozenset({"thinking", "reasoning", "redacted_thinking"})
TOOLS: Final = frozenset({"tool_use", "tool_call", "function_call"})


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
        "messages": [{"role": turn.speaker, "content": content_of(turn)} for turn in wire.turns(request)],
        wire.token_parameter or "max_tokens": request.max_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if wire.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
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


def read_reply(
    answer: Answer, name: str, key: str | None, request: Request | None = None, *, stream: bool = False
) -> Reply:
    """The first choice of the answer to `request`. The text of a refusal becomes the reply's text. Tokens that the
    server does not count are estimated. `stream`: the answer may be a stream of events.

    :raises ModelError: see `decode`; also for a choice that is an error, BadReply if there is no message with a text,
        and ConnectionFailed if a stream broke off.
    """
    if stream:
        answer = unstreamed(answer, joined_chat, name)
    payload = decode(answer, name, key, lambda usage: used(read_usage(usage), request, ""))
    told, content, refusal = read_usage(payload.get("usage")), None, ""
    choice, message = first_choice(payload)
    finish = finish_of(FINISH, choice.get("finish_reason"))
    usage = used(told, request, message or choice, finish)
    if isinstance(error := choice.get("error"), dict) and says_something(error):
        failure = classify(replace(answer, body=orjson.dumps({"error": error})), name, key)
        failure.usage = usage  # a gateway's model failed after accepting the request
        raise failure
    if message is not None:
        content, refusal = text_of(message.get("content")), refusal_of(message)
    if message is None or content is None:
        raise unusable("has no choices[0].message with a text", answer, name, key, usage)
    if refusal:
        content, finish = content or refusal, "refusal"
    model, allowance = name_of(payload.get("model")), read_allowance(answer.headers, usage)
    missing = None if content.strip() or finish == "refusal" else instead_of_text(message)
    return Reply(content, usage, finish, answer.latency, model, allowance=allowance, instead=missing)


def first_choice(payload: JsonObject) -> tuple[JsonObject, JsonObject | None]:
    """The first choice, {} if there is none, and its message."""
    choices = payload.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return {}, None
    message = choice.get("message")
    return choice, message if isinstance(message, dict) else None


def text_of(content: object) -> str | None:
    """The text of a message's content, which some servers send in parts. "": the reply was cut off in its thought, or
    filtered. None: the content is neither a text nor parts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] for part in content if is_text(part)) if isinstance(content, list) else None


def is_text(part: object) -> bool:
    match part:
        case {"type": "text" | "output_text", "text": str()}:
            return True
    return False


def refusal_of(message: JsonObject) -> str:
    """The model's refusal, from its own field or from the parts of the content; "" if there is none."""
    said, parts = message.get("refusal"), message.get("content")
    if isinstance(said, str) and said:
        return said
    if not isinstance(parts, list):
        return ""
    words = [part.get("refusal") for part in parts if isinstance(part, dict)]
    return "".join(word for word in words if isinstance(word, str))


def instead_of_text(message: JsonObject) -> Instead:
    """The content of a message without a text, recognised by the fields or parts that servers use."""
    parts = message.get("content")
    kinds = {str(part.get("type")) for part in (parts if isinstance(parts, list) else []) if isinstance(part, dict)}
    if message.get("tool_calls") or message.get("function_call") or kinds & TOOLS:
        return "tool calls"
    return "reasoning" if any(message.get(name) for name in REASONING) or kinds & THOUGHTS else "nothing"


def read_usage(usage: object) -> Told:
    """The usage that the server reports. `prompt_tokens` includes tokens read from and written to the cache. If input
    or output is missing, it is computed from the total."""
    if not isinstance(usage, dict):
        return Told()
    tokens_in, tokens_out = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    total = count(usage.get("total_tokens"))
    if total is not None and (tokens_in is None) != (tokens_out is None):
        rest = count(total - (tokens_in or tokens_out or 0))
        tokens_in, tokens_out = (rest if part is None else part for part in (tokens_in, tokens_out))
    details = usage.get("prompt_tokens_details")
    if not isinstance(details, dict):
        return Told(tokens_in, tokens_out)
    return Told(tokens_in, tokens_out, count(details.get("cached_tokens")), count(details.get("cache_write_tokens")))
