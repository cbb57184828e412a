"""Anthropic's messages, as a server. https://platform.claude.com/docs/en/api/messages"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

import orjson

from agents.programs.endpoint.asked import (
    Asked,
    JsonObject,
    Unusable,
    asked_for,
    calls_of,
    finish_of,
    text_of,
    turn_of,
)
from protocols.model import ChatMessage, Finish, Reply, ToolCall, Usage
from protocols.program import Turn

LIMITS: Final = ("max_tokens",)
FINISH: Final[Mapping[Finish, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "refusal": "refusal",
    "other": "end_turn",
}
CALLING: Final = "tool_use"


class Messages:
    """The format of `/messages`."""

    def read(self, body: JsonObject) -> Asked:
        messages, system = body.get("messages"), body.get("system")
        if not isinstance(messages, list):
            raise Unusable("messages is a list of messages")
        turns: list[Turn] = [turn_of(message) for message in messages]
        if system:
            text = text_of(system)
            if text is None:
                raise Unusable("system is a text, or a list of blocks of text")
            turns.insert(0, ChatMessage("system", text))
        fields = {name: value for name, value in body.items() if name != "system"}
        return asked_for(body, turns, LIMITS, fields)

    def document(self, asked: Asked, reply: Reply) -> JsonObject:
        content: list[JsonObject] = [{"type": "text", "text": reply.text}] if reply.text else []
        content += map(block_of, calls_of(asked, reply))
        return {
            "id": f"msg_{secrets.token_hex(12)}",
            "type": "message",
            "role": "assistant",
            "model": reply.model or asked.model,
            "content": content,
            "stop_reason": finish_of(reply, FINISH, CALLING),
            "stop_sequence": None,
            "usage": usage_of(reply.usage),
        }

    def events(self, asked: Asked, reply: Reply) -> bytes:
        whole = self.document(asked, reply)
        usage = usage_of(reply.usage)
        begun = whole | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}}
        said: list[JsonObject] = [{"type": "message_start", "message": begun}]
        if reply.text:
            said += block_events(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": reply.text})
        for index, call in enumerate(calls_of(asked, reply), start=1 if reply.text else 0):
            block = block_of(call)
            delta = {"type": "input_json_delta", "partial_json": orjson.dumps(block["input"]).decode()}
            said += block_events(index, block | {"input": {}}, delta)
        ended = {"stop_reason": finish_of(reply, FINISH, CALLING), "stop_sequence": None}
        said += [{"type": "message_delta", "delta": ended, "usage": usage}, {"type": "message_stop"}]
        return b"".join(named(event) for event in said)

    def error(self, kind: str, message: str, code: str | None = None) -> JsonObject:
        return {"type": "error", "error": {"type": kind, "message": message}}


def block_of(call: ToolCall) -> JsonObject:
    """A call as a block of the content; its input is always an object."""
    value = call.value
    return {
        "type": "tool_use",
        "id": call.id,
        "name": call.name,
        "input": value if isinstance(value, dict) else {"arguments": value},
    }


def block_events(index: int, begun: Mapping[str, object], delta: Mapping[str, object]) -> list[JsonObject]:
    """The events of one block of the content."""
    return [
        {"type": "content_block_start", "index": index, "content_block": begun},
        {"type": "content_block_delta", "index": index, "delta": delta},
        {"type": "content_block_stop", "index": index},
    ]


def named(event: JsonObject) -> bytes:
    """An event of a stream, under the name of its type."""
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), orjson.dumps(event))


def usage_of(usage: Usage) -> JsonObject:
    """Tokens; those read from the provider's cache or written to it are not part of the input's."""
    return {
        "input_tokens": max(0, usage.input - usage.cached - usage.written),
        "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": usage.written,
    }
