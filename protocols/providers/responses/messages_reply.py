"""Reads the replies of Anthropic's messages. https://docs.anthropic.com/en/api/messages"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocols.model import Finish, Instead, Reply, Request, ToolCall
from protocols.providers.responses.chat_reply import arguments_of, text_id
from protocols.providers.responses.decoding import decode, unusable, whole_reply
from protocols.providers.responses.failures import Answer
from protocols.providers.responses.figures import Told, count, finish_of, used
from protocols.providers.responses.streaming import joined_message, unstreamed

FINISH: Final[dict[object, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}


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
    calls = read_calls(blocks) if request and request.offer else ()
    return whole_reply(Reply(text, usage, finish, calls=calls), answer, payload, lambda: instead_of_text(blocks))


def read_calls(blocks: Sequence[object]) -> tuple[ToolCall, ...]:
    """The calls among the blocks of a message, in their order. Tools that the provider runs itself are none."""
    calls = []
    for block in blocks:
        match block:
            case {"type": "tool_use", "name": str(name), **told} if name:
                streamed = told.get("partial_json")
                calls.append(ToolCall(name, arguments_of(streamed or told.get("input")), text_id(told.get("id"))))
    return tuple(calls)


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
