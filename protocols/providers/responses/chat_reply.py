"""Reads the replies of OpenAI's chat completions.

https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import orjson

from protocols.model import Finish, Instead, Reply, Request, ToolCall
from protocols.providers.responses.decoding import JsonObject, decode, unusable, whole_reply
from protocols.providers.responses.failures import Answer, classify, says_something
from protocols.providers.responses.figures import Told, count, finish_of, used
from protocols.providers.responses.streaming import joined_chat, unstreamed

FINISH: Final[dict[object, Finish]] = {"stop": "stop", "length": "length", "content_filter": "refusal"}

REASONING: Final = ("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks")
THOUGHTS: Final = frozenset({"thinking", "reasoning", "redacted_thinking"})
TOOLS: Final = frozenset({"tool_use", "tool_call", "function_call"})


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
    calls = read_calls(message) if request and request.offer else ()
    reply = Reply(content, usage, finish, calls=calls)
    return whole_reply(reply, answer, payload, lambda: instead_of_text(message))


def read_calls(message: JsonObject) -> tuple[ToolCall, ...]:
    """The calls of a message, in its order; those without a name are none."""
    listed = message.get("tool_calls")
    entries = listed if isinstance(listed, list) else []
    if not entries and message.get("function_call"):
        entries = [{"function": message["function_call"]}]
    calls = []
    for entry in entries:
        match entry:
            case {"function": {"name": str(name), **told}, **more} if name:
                calls.append(ToolCall(name, arguments_of(told.get("arguments")), text_id(more.get("id"))))
    return tuple(calls)


def arguments_of(arguments: object) -> str:
    """The arguments of a call as text; some servers send them as an object."""
    if isinstance(arguments, str):
        return arguments if arguments.strip() else "{}"
    if arguments is None:
        return "{}"
    try:
        return orjson.dumps(arguments).decode()
    except orjson.JSONEncodeError:  # deeper than is written, though not than is read
        return "{}"


def text_id(given: object) -> str:
    """The id of a call; "" if it is no text."""
    return given if isinstance(given, str) else ""


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
