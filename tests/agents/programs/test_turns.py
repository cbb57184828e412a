"""Messages with calls and results of tools, and tools that a call offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.programs.functions import FunctionProgram
from agents.programs.running import Draw, Running
from agents.programs.turns import as_messages
from protocols.errors import ProgramFailed
from protocols.model import ChatMessage, Reply, Request, ToolCall
from protocols.program import Prompts, Turn
from protocols.prompt import Prompt, Section
from protocols.providers import anthropic, openai
from protocols.providers.wire import Wire
from protocols.task import Example, TaskProgram
from protocols.tools.definitions import Definitions, read_schema, read_tools

pytestmark = pytest.mark.anyio
LOOK: dict[str, Any] = {
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
}
AS_ANTHROPIC = {"name": "look", "description": "Looks.", "input_schema": LOOK["parameters"]}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
PROMPT = Prompt((Section("task", "task", "Answer. {text}"), Section("tool-look", "tool", "Sees.\nat: the place")))
EXAMPLE = Example("e1", {"text": "hello"}, "")
DRAW = Draw(0, 0.0, None)
WORDS = st.text("ab ", min_size=1).filter(str.strip)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[ChatMessage, ...]:
    """Turns of the user, each with rounds of calls, their results, and an answer."""
    turns: list[ChatMessage] = []
    for number in range(draw(st.integers(1, 3))):
        turns.append(ChatMessage("user", draw(WORDS)))
        for inner in range(draw(st.integers(0, 2))):
            made = [
                ToolCall(draw(st.sampled_from(("look", "go"))), orjson.dumps({"at": draw(WORDS)}).decode(), f"c{id_}")
                for id_ in (f"{number}-{inner}-{n}" for n in range(draw(st.integers(1, 3))))
            ]
            turns.append(ChatMessage("assistant", draw(st.just("") | WORDS), calls=tuple(made)))
            turns += [ChatMessage("tool", draw(st.just("") | WORDS), calls=(call,)) for call in made]
        turns.append(ChatMessage("assistant", draw(WORDS)))
    return tuple(turns)


@given(conversations())
def test_what_either_format_is_sent_is_read_as_the_same_turns(turns: tuple[ChatMessage, ...]) -> None:
    request = Request(turns)
    for sent in (
        openai.request_body(request, "m", Wire())["messages"],
        anthropic.request_body(request, "m", Wire())["messages"],
        turns,
    ):
        assert isinstance(sent, Sequence)
        assert as_messages(sent) == turns


def test_calls_of_one_turn_in_several_messages_and_results_with_a_question_are_put_right() -> None:
    def calling(identity: str) -> Turn:
        call = {"id": identity, "type": "function", "function": {"name": "look", "arguments": "{}"}}
        return {"role": "assistant", "tool_calls": [call]}

    result = {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "seen"}]}
    said: list[Turn] = [
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Well."}]},
        calling("a"),
        calling("b"),
        {"role": "user", "content": [result, {"type": "text", "text": "And?"}]},
        {"role": "tool", "tool_call_id": "a", "content": "late"},
    ]
    one, two = ToolCall("look", "{}", "a"), ToolCall("look", "{}", "b")
    assert as_messages(said) == (
        ChatMessage("assistant", "Well.", calls=(one, two)),
        ChatMessage("tool", "seen", calls=(two,)),
        ChatMessage("user", "And?"),
        ChatMessage("tool", "late", calls=(one,)),
    )


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        ({"role": "tool", "tool_call_id": "x", "content": "seen"}, "tool call 'x', and no message before"),
        ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}, "tool call 'x'"),
        ({"role": "tool", "content": "seen"}, "a message is"),
        ({"role": "assistant", "tool_calls": [{"id": "x"}]}, "a call of a tool is"),
        ({"role": "assistant", "content": [{"type": "image"}]}, "a text, or a list of parts of text"),
        ({"role": "assistant"}, "a message is"),
    ],
)
def test_what_is_no_message_is_refused_in_one_line(turn: Mapping[str, object], said: str) -> None:
    with pytest.raises(ProgramFailed) as raised:
        as_messages([turn])
    assert said in str(raised.value)


class Calling:
    """Calls the first tool that it is offered; answers once it has a result."""

    name = "calling"

    def __init__(self) -> None:
        self.asked: list[Request] = []

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        if request.offer is None or request.messages[-1].speaker == "tool":
            return Reply("done")
        return Reply("Let me see.", calls=(ToolCall(request.offer.names[0], '{"at":"x"}', "c1"),))


def running(function: Any, model: Calling, own: Definitions) -> Running:
    program = TaskProgram(FunctionProgram(function), {"main": None}, (), 60, {"main": own.offer})
    return Running(program, model, ("text",), lambda name, part: 9, lambda prompt, values: values)


@pytest.mark.parametrize("tools", [[LOOK], [AS_ANTHROPIC], [{"type": "function", "function": LOOK}], None])
async def test_tools_of_a_call_are_offered_with_the_descriptions_of_the_prompt(tools: Any) -> None:
    async def answer(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> str:
        said: list[Any] = list(prompts.main.render(inputs))
        first = await call("main", said, tools=tools)
        said.append(ChatMessage("assistant", first, calls=first.reply.calls))
        said += [{"role": "tool", "tool_call_id": made.id, "content": "seen"} for made in first.reply.calls]
        return str(await call("main", said, tools=tools))

    model = Calling()
    own = Definitions(read_tools([LOOK]) if tools is None else (), read_schema(SCHEMA))
    reply, steps = await running(answer, model, own).answer(PROMPT, EXAMPLE, DRAW)
    assert reply.text == "done"
    first, second = model.asked
    assert first.offer == second.offer
    assert first.offer is not None
    assert first.offer.names == ("look",)
    assert first.parameters.fields == {}
    sent: Any = first.offer.openai
    assert sent["tools"][0]["function"]["description"] == "Sees."
    assert sent["tools"][0]["function"]["parameters"]["properties"]["at"]["description"] == "the place"
    assert sent["response_format"]["json_schema"]["schema"] == SCHEMA
    assert "output_config" in first.offer.anthropic
    shown = '[{"name": "look", "arguments": {"at": "x"}}]'
    assert steps[0].reply == f"Let me see.\n{shown}"
    assert steps[1].messages == (ChatMessage("assistant", f"Let me see.\n{shown}"), ChatMessage("tool", "seen"))
    assert steps[1].values == {"text": "hello"}


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ([{"name": "look at"}], "the tools of a call: tool 'look at': a name has at most"),
        ([LOOK, LOOK], "two tools are called 'look'"),
        ([{"type": "web_search"}], "tool 1 has no name"),
        ([LOOK | {"strict": object()}], "the tools of a call"),
    ],
)
async def test_bad_tools_are_one_clear_failure(tools: Any, said: str) -> None:
    async def answer(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> str:
        return str(await call("main", prompts.main.render(inputs), tools=tools))

    with pytest.raises(ProgramFailed) as raised:
        await running(answer, Calling(), Definitions()).answer(PROMPT, EXAMPLE, DRAW)
    assert said in str(raised.value)


async def test_no_tools_of_a_call_leave_out_those_of_the_prompt() -> None:
    async def answer(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> str:
        return str(await call("main", prompts.main.render(inputs), tools=[]))

    model = Calling()
    await running(answer, model, Definitions(read_tools([LOOK]))).answer(PROMPT, EXAMPLE, DRAW)
    assert model.asked[0].offer is None
