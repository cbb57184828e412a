"""OpenAI's Responses, as a server, as far as a call is one: nothing is stored, and no tool of OpenAI's runs.

The messages and parameters become those of chat completions, which the models behind the endpoint are asked with.
https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Final

from agents.programs.endpoint.asked import Asked, JsonObject, Unusable, asked_for, calls_of, turn_of
from agents.programs.endpoint.messages import named
from protocols.model import ChatMessage, Reply, Usage
from protocols.program import Turn

LIMITS: Final = ("max_output_tokens",)
UNSERVED: Final = ("previous_response_id", "conversation", "background", "prompt")
OTHER: Final = frozenset(
    {
        *("include", "input", "instructions", "max_tool_calls", "reasoning", "text", "tools", "truncation"),
        *UNSERVED,
    }
)
"""Fields that have another name or form in chat completions, or none."""
CUT: Final = {"length": "max_output_tokens", "refusal": "content_filter"}


class Responses:
    """The format of `/responses`."""

    def read(self, body: JsonObject) -> Asked:
        for name in UNSERVED:
            if body.get(name):
                raise Unusable(f"{name} is not served here; send the whole conversation as input")
        said = body.get("input")
        items = [{"role": "user", "content": said}] if isinstance(said, str) else said
        if not isinstance(items, list):
            raise Unusable("input is a text or a list of items")
        turns = [turn for item in items if (turn := turn_of_item(item)) is not None]
        if instructions := body.get("instructions"):
            turns.insert(0, ChatMessage("system", str(instructions)))
        fields = {name: value for name, value in body.items() if name not in OTHER} | parameters(body)
        return asked_for(body, turns, LIMITS, fields)

    def document(self, asked: Asked, reply: Reply) -> JsonObject:
        return made(asked) | finished(reply, output(asked, reply)) | {"model": reply.model or asked.model}

    def events(self, asked: Asked, reply: Reply) -> bytes:
        begun, items = made(asked), output(asked, reply)
        said: list[JsonObject] = [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": begun},
        ]
        for index, item in enumerate(items):
            said += item_events(index, item, reply.text)
        last = begun | finished(reply, items) | {"model": reply.model or asked.model}
        said.append({"type": f"response.{last['status']}", "response": last})
        return b"".join(named({**event, "sequence_number": number}) for number, event in enumerate(said))

    def error(self, kind: str, message: str, code: str | None = None) -> JsonObject:
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def turn_of_item(item: object) -> Turn | None:
    """The message of chat completions for an item of the input; None for reasoning, which belongs to the server that
    wrote it.

    :raises Unusable: there is none.
    """
    match item:
        case {"type": "function_call", "call_id": call, "name": name, "arguments": arguments}:
            function = {"name": name, "arguments": arguments}
            return {"role": "assistant", "tool_calls": [{"id": call, "type": "function", "function": function}]}
        case {"type": "function_call_output", "call_id": call, "output": output}:
            return {"role": "tool", "tool_call_id": call, "content": output}
        case {"type": "reasoning"}:
            return None
        case {"type": str(kind)} if kind != "message":
            raise Unusable(f"an item of type {kind} is not served here")
    return turn_of(item)


def parameters(body: Mapping[str, object]) -> JsonObject:
    """The fields of chat completions for those that have another form here.

    :raises Unusable: a tool is OpenAI's own.
    """
    made: JsonObject = {}
    match body.get("text"):
        case {"format": {"type": "json_schema", **schema}}:
            made["response_format"] = {"type": "json_schema", "json_schema": schema}
        case {"format": {"type": "json_object"}}:
            made["response_format"] = {"type": "json_object"}
    match body.get("reasoning"):
        case {"effort": str(effort)}:
            made["reasoning_effort"] = effort
    match body.get("tool_choice"):
        case {"type": "function", "name": str(name)}:
            made["tool_choice"] = {"type": "function", "function": {"name": name}}
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict) or tool.get("type") != "function":
            raise Unusable("a tool that runs at OpenAI is not served here; only functions are")
        function = {name: value for name, value in tool.items() if name != "type"}
        made.setdefault("tools", []).append({"type": "function", "function": function})  # type: ignore[attr-defined]
    return made


def made(asked: Asked) -> JsonObject:
    """A response of which nothing is said yet."""
    return {
        "id": f"resp_{secrets.token_hex(12)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "model": asked.model,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def finished(reply: Reply, items: list[JsonObject]) -> JsonObject:
    """What the end adds."""
    cut = CUT.get(reply.finish)
    return {
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": cut} if cut else None,
        "output": items,
        "usage": usage_of(reply.usage),
    }


def output(asked: Asked, reply: Reply) -> list[JsonObject]:
    """The items of a reply: its text, unless it is calls alone, and its calls of tools."""
    status = "incomplete" if reply.finish in CUT else "completed"
    text = [message(reply, f"msg_{secrets.token_hex(12)}")] if reply.text or not reply.calls else []
    calls: list[JsonObject] = [
        {
            "id": f"fc_{secrets.token_hex(12)}",
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
            "status": status,
        }
        for call in calls_of(asked, reply)
    ]
    return [*text, *calls]


def item_events(index: int, item: JsonObject, text: str) -> list[JsonObject]:
    """The events of one item. `text`: that of a message."""
    place = {"item_id": item["id"], "output_index": index}
    within = {**place, "content_index": 0}
    begun: JsonObject
    said: list[JsonObject]
    if item["type"] == "message":
        begun = {"content": []}
        said = [
            {"type": "response.content_part.added", **within, "part": part_of("")},
            {"type": "response.output_text.delta", **within, "delta": text, "logprobs": []},
            {"type": "response.output_text.done", **within, "text": text, "logprobs": []},
            {"type": "response.content_part.done", **within, "part": part_of(text)},
        ]
    else:
        kind, arguments = "response.function_call_arguments", item["arguments"]
        begun = {"arguments": ""}
        said = [
            {"type": f"{kind}.delta", **place, "delta": arguments},
            {"type": f"{kind}.done", **place, "name": item["name"], "arguments": arguments},
        ]
    added = item | begun | {"status": "in_progress"}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": added},
        *said,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def message(reply: Reply, identity: str) -> JsonObject:
    """The item that holds the reply."""
    status = "incomplete" if reply.finish in CUT else "completed"
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [part_of(reply.text)],
    }


def part_of(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def usage_of(usage: Usage) -> JsonObject:
    """Tokens; those read from the provider's cache are part of the input's."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total,
    }
