"""OpenAI's chat completions, as a server. https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Final

import orjson

from agents.programs.endpoint.asked import Asked, JsonObject, Unusable, asked_for, calls_of, finish_of, turn_of
from protocols.model import Finish, Reply, ToolCall, Usage

LIMITS: Final = ("max_completion_tokens", "max_tokens")
FINISH: Final[Mapping[Finish, str]] = {
    "stop": "stop",
    "length": "length",
    "refusal": "content_filter",
    "other": "stop",
}
CALLING: Final = "tool_calls"
DONE: Final = b"data: [DONE]\n\n"


class ChatCompletions:
    """The format of `/chat/completions`."""

    def read(self, body: JsonObject) -> Asked:
        messages = body.get("messages")
        if not isinstance(messages, list):
            raise Unusable("messages is a list of messages")
        if body.get("n") not in (None, 1):
            raise Unusable("n: a call has one reply; call several times")
        if body.get("functions"):
            raise Unusable("functions is not served here; send them as tools")
        fields = {name: value for name, value in body.items() if name != "n"}
        return asked_for(body, [turn_of(message) for message in messages], LIMITS, fields)

    def document(self, asked: Asked, reply: Reply) -> JsonObject:
        message: JsonObject = {"role": "assistant", "content": reply.text, "refusal": None}
        if reply.calls:
            calls = [call_of(call) for call in calls_of(asked, reply)]
            message |= {"content": reply.text or None, "tool_calls": calls}
        finish = finish_of(reply, FINISH, CALLING)
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        return head("chat.completion", asked, reply) | {"choices": [choice], "usage": usage_of(reply.usage)}

    def events(self, asked: Asked, reply: Reply) -> bytes:
        shared = head("chat.completion.chunk", asked, reply)

        def chunk(delta: JsonObject, finish: str | None = None) -> JsonObject:
            return shared | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

        chunks = [
            chunk({"role": "assistant", "content": ""}),
            *([chunk({"content": reply.text})] if reply.text or not reply.calls else []),
            *(
                chunk({"tool_calls": [{"index": number, **call_of(call)}]})
                for number, call in enumerate(calls_of(asked, reply))
            ),
            chunk({}, finish_of(reply, FINISH, CALLING)),
        ]
        if asked.counted:
            chunks.append(shared | {"choices": [], "usage": usage_of(reply.usage)})
        return b"".join(b"data: %b\n\n" % orjson.dumps(said) for said in chunks) + DONE

    def error(self, kind: str, message: str, code: str | None = None) -> JsonObject:
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def call_of(call: ToolCall) -> JsonObject:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def head(kind: str, asked: Asked, reply: Reply) -> JsonObject:
    """The fields of a document or chunk that are the same for the whole reply."""
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": reply.model or asked.model,
    }


def usage_of(usage: Usage) -> JsonObject:
    """Tokens; those read from the provider's cache are part of the prompt's."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }
