"""The two wire formats, from the provider's side: what a call says; how answers, errors and limits are written.

https://platform.openai.com/docs/guides/rate-limits, https://docs.anthropic.com/en/api/rate-limits
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from tests.wire.books import Room


@dataclass(frozen=True, slots=True)
class Format:
    """`answer` is written from (model, text, tokens in, tokens out); `limits` are the headers that say what is left
    of the requests and of the tokens, at a Unix time; `outgrown` is the refusal of (tokens, window); `events` are the
    answer as a stream."""

    answer: Callable[[str, str, int, int], object]
    limits: Callable[[Mapping[str, Room], float], dict[str, str]]
    outgrown: Callable[[int, int], bytes]
    events: Callable[[str, str, int, int], list[tuple[str, object]]]


def conversation(body: Mapping[str, object]) -> list[tuple[str, str]]:
    """The (speaker, text) pairs of a body in either format, system first; an error if it is in neither."""
    turns: list[tuple[str, str]] = []
    match body:
        case {"system": str(text)}:
            turns.append(("system", text))
        case {"system": list(blocks)}:
            turns += [("system", block["text"]) for block in blocks]
    match body:
        case {"messages": list(messages)}:
            turns += [(message["role"], _text(message["content"])) for message in messages]
    return turns


def _text(content: object) -> str:
    """A text, or the texts of a list of blocks, with `<image>` for each image."""
    if isinstance(content, list):
        return "".join(block["text"] if block["type"] == "text" else "<image>" for block in content)
    return str(content)


def count_tokens(text: str) -> int:
    """Four bytes a token, rounded up: near enough, and easy to recount."""
    return (len(text.encode()) + 3) // 4


def error_body(kind: str, message: str) -> bytes:
    """An error as both providers write it; Anthropic's has one key more."""
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}})


def openai_outgrown(tokens: int, window: int) -> bytes:
    message = f"This model's maximum context length is {window} tokens. However, you requested {tokens} tokens."
    error = {"message": message, "type": "invalid_request_error", "code": "context_length_exceeded"}
    return orjson.dumps({"error": error})


def anthropic_outgrown(tokens: int, window: int) -> bytes:
    return error_body("invalid_request_error", f"prompt is too long: {tokens} tokens > {window} maximum")


def openai_answer(model: str, text: str, tokens_in: int, tokens_out: int) -> object:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }


def anthropic_answer(model: str, text: str, tokens_in: int, tokens_out: int) -> object:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out},
    }


def openai_limits(rooms: Mapping[str, Room], now: float) -> dict[str, str]:
    """`x-ratelimit-*`; `reset` is a duration."""
    headers = {}
    for what, room in rooms.items():
        headers[f"x-ratelimit-limit-{what}"] = str(room.limit)
        headers[f"x-ratelimit-remaining-{what}"] = str(room.left)
        headers[f"x-ratelimit-reset-{what}"] = f"{room.full_in:.3f}s"
    return headers


def anthropic_limits(rooms: Mapping[str, Room], now: float) -> dict[str, str]:
    """`anthropic-ratelimit-*`; `reset` is a time (RFC 3339)."""
    headers = {}
    for what, room in rooms.items():
        headers[f"anthropic-ratelimit-{what}-limit"] = str(room.limit)
        headers[f"anthropic-ratelimit-{what}-remaining"] = str(room.left)
        headers[f"anthropic-ratelimit-{what}-reset"] = datetime.fromtimestamp(now + room.full_in, UTC).isoformat()
    return headers


def openai_events(model: str, text: str, tokens_in: int, tokens_out: int) -> list[tuple[str, object]]:
    """Chunks, as with `stream_options.include_usage`: the last has the usage and no choice."""

    def chunk(choices: list[object], **fields: object) -> tuple[str, object]:
        return "", {"object": "chat.completion.chunk", "model": model, "choices": choices, **fields}

    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
    return [
        chunk([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}], usage=None),
        *(chunk([{"index": 0, "delta": {"content": piece}, "finish_reason": None}]) for piece in pieces),
        chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
        chunk([], usage=usage),
    ]


def anthropic_events(model: str, text: str, tokens_in: int, tokens_out: int) -> list[tuple[str, object]]:
    def event(kind: str, **fields: object) -> tuple[str, object]:
        return kind, {"type": kind, **fields}

    message: dict[str, object] = {
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
    }
    pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
    return [
        event("message_start", message=message | {"usage": {"input_tokens": tokens_in, "output_tokens": 1}}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("ping"),
        *(event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece}) for piece in pieces),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": tokens_out}),
        event("message_stop"),
    ]


def stream_of(events: list[tuple[str, object]], end: str = "\n", done: bool = False) -> bytes:
    """Events as they are sent, with `end` after every line; `done`: OpenAI's mark of the end."""
    parts = [
        (f"event: {name}{end}" if name else "").encode() + b"data: " + orjson.dumps(data) + f"{end}{end}".encode()
        for name, data in events
    ]
    return b"".join([*parts, f"data: [DONE]{end}{end}".encode() if done else b""])


FORMATS = {
    "/v1/chat/completions": Format(openai_answer, openai_limits, openai_outgrown, openai_events),
    "/v1/messages": Format(anthropic_answer, anthropic_limits, anthropic_outgrown, anthropic_events),
}
