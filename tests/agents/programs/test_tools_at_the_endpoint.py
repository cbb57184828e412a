"""A loop of two turns with a tool, through the SDKs of the endpoint's formats, whole and as streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import orjson
import pytest

from agents.programs.endpoint.server import Endpoint
from agents.programs.turns import as_messages
from protocols.model import ChatMessage, Reply, ToolCall, Usage
from protocols.program import Answered, Turn
from tests.agents.programs.test_endpoint import asking, asking_anthropic, serving

pytestmark = pytest.mark.anyio
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}
LOOK: dict[str, Any] = {"name": "look", "parameters": SCHEMA}
MADE = (ToolCall("look", '{"at": "a"}', "given"), ToolCall("look", '{"at": "b"}'))
SEEN = {"a": "one", "b": "two"}


@dataclass(slots=True)
class Looking:
    """Calls a tool twice, then answers. `text`: what it says beside the calls."""

    text: str = ""
    asked: list[tuple[ChatMessage, ...]] = field(default_factory=list)
    tools: list[object] = field(default_factory=list)

    async def __call__(
        self,
        prompt: str,
        messages: Sequence[Turn],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: object = None,
        **parameters: object,
    ) -> Answered:
        self.asked.append(as_messages(messages))
        self.tools.append(tools)
        assert not parameters
        if self.asked[-1][-1].speaker == "tool":
            return Answered(Reply("done", Usage(2, 1)))
        return Answered(Reply(self.text, Usage(2, 1), calls=MADE))


async def chat(endpoint: Endpoint, stream: bool) -> tuple[list[str | None], str | None]:
    said: list[Any] = [{"role": "user", "content": "hello"}]
    tools: list[Any] = [{"type": "function", "function": LOOK}]
    reasons: list[str | None] = []
    async with asking(endpoint) as client:
        while True:
            if stream:
                async with client.chat.completions.stream(model="decide", messages=said, tools=tools) as events:
                    choice: Any = (await events.get_final_completion()).choices[0]
            else:
                choice = (await client.chat.completions.create(model="decide", messages=said, tools=tools)).choices[0]
            reasons.append(choice.finish_reason)
            if not choice.message.tool_calls:
                return reasons, choice.message.content
            said.append(choice.message.model_dump(exclude_none=True))
            for call in choice.message.tool_calls:
                result = SEEN[orjson.loads(call.function.arguments)["at"]]
                said.append({"role": "tool", "tool_call_id": call.id, "content": result})


async def responses(endpoint: Endpoint, stream: bool) -> tuple[list[str | None], str | None]:
    said: list[Any] = [{"role": "user", "content": "hello"}]
    tools: list[Any] = [{"type": "function", **LOOK}]
    reasons: list[str | None] = []
    async with asking(endpoint) as client:
        while True:
            if stream:
                async with client.responses.stream(model="decide", input=said, tools=tools) as events:
                    reply: Any = await events.get_final_response()
            else:
                reply = await client.responses.create(model="decide", input=said, tools=tools)
            reasons.append(reply.status)
            calls = [item for item in reply.output if item.type == "function_call"]
            if not calls:
                return reasons, reply.output_text
            said += [item.model_dump(exclude={"parsed_arguments"}) for item in reply.output]
            said += [
                {
                    "type": "function_call_output",
                    "call_id": call.call_id,
                    "output": SEEN[orjson.loads(call.arguments)["at"]],
                }
                for call in calls
            ]


async def messages(endpoint: Endpoint, stream: bool) -> tuple[list[str | None], str | None]:
    said: list[Any] = [{"role": "user", "content": "hello"}]
    tools: list[Any] = [{"name": "look", "input_schema": SCHEMA}]
    reasons: list[str | None] = []
    async with asking_anthropic(endpoint) as client:
        while True:
            if stream:
                async with client.messages.stream(model="decide", max_tokens=9, messages=said, tools=tools) as events:
                    reply: anthropic.types.Message = await events.get_final_message()
            else:
                reply = await client.messages.create(model="decide", max_tokens=9, messages=said, tools=tools)
            reasons.append(reply.stop_reason)
            calls: list[Any] = [block for block in reply.content if block.type == "tool_use"]
            if not calls:
                return reasons, "".join(block.text for block in reply.content if block.type == "text")
            said.append({"role": "assistant", "content": reply.content})
            results = [
                {"type": "tool_result", "tool_use_id": call.id, "content": SEEN[call.input["at"]]} for call in calls
            ]
            said.append({"role": "user", "content": results})


@pytest.mark.parametrize("text", ["", "Let me see."])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("loop", "calling", "stopped"),
    [
        (chat, "tool_calls", "stop"),
        (responses, "completed", "completed"),
        (messages, "tool_use", "end_turn"),
    ],
)
async def test_a_loop_with_a_tool(loop: Any, calling: str, stopped: str, stream: bool, text: str) -> None:
    call = Looking(text)
    async with serving(call) as (endpoint, _):
        reasons, answer = await loop(endpoint, stream)
    assert (reasons, answer) == ([calling, stopped], "done")
    _, then = call.asked
    hello, made, *results = then
    assert (hello, made.text) == (ChatMessage("user", "hello"), text)
    assert [(one.name, one.value) for one in made.calls] == [("look", {"at": "a"}), ("look", {"at": "b"})]
    assert made.calls[0].id == "given"
    assert made.calls[1].id not in ("", "given")
    assert results == [
        ChatMessage("tool", "one", calls=made.calls[:1]),
        ChatMessage("tool", "two", calls=made.calls[1:]),
    ]
    assert len(call.tools) == 2
    assert all(call.tools)


async def test_functions_of_the_old_form_are_refused() -> None:
    call = Looking()
    async with serving(call) as (endpoint, _), asking(endpoint) as client:
        with pytest.raises(openai.BadRequestError, match="send them as tools"):
            await client.chat.completions.create(
                model="decide",
                messages=[{"role": "user", "content": "hello"}],
                functions=[LOOK],  # type: ignore[list-item]  # a TypedDict that is written as a dict
            )
    assert call.asked == []
