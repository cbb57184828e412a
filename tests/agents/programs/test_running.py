"""A program at work on one example: bound prompts, calls, the trace, and how it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.programs.bound import Bound
from agents.programs.functions import FunctionProgram
from agents.programs.running import Draw, Running
from agents.programs.trace import STEPS, TEXT, Trace
from protocols.errors import BudgetExhausted, ModelError, ProgramFailed, ServerFailed
from protocols.model import ChatMessage, Reply, Request, Usage
from protocols.program import Prompts, Step
from protocols.prompt import Prompt, Section
from protocols.task import Example, TaskProgram

pytestmark = pytest.mark.anyio
TWO = Prompt(
    (
        Section("extract.task", "task", "What is wanted in {text}?"),
        Section("decide.task", "task", "Who answers? Think of {facts}."),
        Section("decide.input", "task", "{inputs}", frozen=True),
    )
)
EXAMPLE = Example("e1", {"text": "a parcel"}, "logistics")
DRAW = Draw(3, 0.0, 7)


class Scripted:
    """Answers with the number of the call, or raises."""

    name = "scripted"

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[Request] = []
        self._error = error

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        if self._error is not None:
            raise self._error
        return Reply(f"reply {len(self.asked)}", Usage(10, 2))


def plain(prompt: Prompt, values: Mapping[str, str]) -> Mapping[str, str]:
    return values


def running(function: Callable[..., Any], model: Scripted, timeout: float = 60) -> Running:
    program = TaskProgram(FunctionProgram(function), {"extract": None, "decide": 50}, ("inputs", "facts"), timeout)
    return Running(program, model, ("text", "facts", "inputs"), lambda name, part: program.prompts[name] or 9, plain)


async def two_calls(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> str:
    facts = await call("extract", prompts.extract.render(inputs))
    return str(await call("decide", prompts["decide"].render(inputs, facts=facts)))


def plain_two_calls(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> str:
    facts = call("extract", prompts.extract.render(inputs))
    return str(call("decide", prompts["decide"].render(inputs, facts=facts)))


@pytest.mark.parametrize("function", [two_calls, plain_two_calls])
async def test_each_call_is_the_request_of_its_prompt_and_a_step_of_the_trace(function: Callable[..., Any]) -> None:
    model = Scripted()
    reply, steps = await running(function, model).answer(TWO, EXAMPLE, DRAW)
    first, second = model.asked
    assert reply.text == "reply 2"
    assert reply.usage == Usage(20, 4)
    assert first == Request((ChatMessage("user", "What is wanted in a parcel?"),), 0.0, 9, 3, 7)
    shown = "Who answers? Think of reply 1.\n\nText: a parcel\nFacts: reply 1"
    assert second == Request((ChatMessage("user", shown),), 0.0, 50, 3, 7)
    assert [request.prompt for request in model.asked] == ["extract", "decide"]
    assert [(step.prompt, step.reply, step.messages) for step in steps] == [
        ("extract", "reply 1", ()),
        ("decide", "reply 2", ()),
    ]
    assert steps[1].values == {"text": "a parcel", "facts": "reply 1"}


async def test_messages_of_its_own_are_kept_and_settings_reach_the_request() -> None:
    async def answer(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> str:
        said = [*prompts.extract.render(inputs), {"role": "assistant", "content": "Hm."}]
        await call("extract", said, temperature=1.0, max_tokens=5, stop=["x"])
        return str(await call("extract", [{"role": "user", "content": "Own."}]))

    model = Scripted()
    _, (first, second) = await running(answer, model).answer(TWO, EXAMPLE, DRAW)
    assert (model.asked[0].temperature, model.asked[0].max_tokens) == (1.0, 5)
    assert model.asked[0].parameters.fields == {"stop": ["x"]}
    assert first.messages == (ChatMessage("assistant", "Hm."),)
    assert (second.values, second.messages) == ({}, (ChatMessage("user", "Own."),))


async def unknown_prompt(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> str:
    return str(await call("exract", prompts.extract.render(inputs)))


async def unknown_attribute(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> str:
    return prompts.decied.text


async def missing_value(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> str:
    return str(prompts.decide.render(inputs))


async def no_message(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> str:
    return str(await call("extract", []))


async def not_a_message(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> str:
    return str(await call("extract", ["What?"]))


async def nothing(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> None:
    return None


async def not_json(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> object:
    return object()


async def divides(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> float:
    return 1 / 0


async def hangs(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> None:
    await anyio.Event().wait()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (unknown_prompt, "did you mean extract?"),
        (unknown_attribute, "did you mean decide?"),
        (missing_value, "the prompt decide shows {facts}, which render() was not given"),
        (no_message, "the call of extract has no messages"),
        (not_a_message, 'a message is {"role"'),
        (nothing, "returned None for the example e1"),
        (not_json, "cannot be written as JSON"),
        (divides, "ZeroDivisionError: division by zero, on the example e1"),
        (hangs, "made no call and gave no answer for 0.01 s, on the example e1"),
    ],
)
async def test_a_program_that_fails_says_how_and_on_which_example(function: Callable[..., Any], said: str) -> None:
    with pytest.raises(ProgramFailed) as raised:
        await running(function, Scripted(), 0.01).answer(TWO, EXAMPLE, DRAW)
    assert said in str(raised.value)
    assert not raised.value.fatal


async def test_the_place_in_the_users_file_is_named() -> None:
    with pytest.raises(ProgramFailed) as raised:
        await running(divides, Scripted()).answer(TWO, EXAMPLE, DRAW)
    assert "test_running.py:" in str(raised.value)
    assert "1 / 0" in raised.value.trace
    assert "functions.py" not in raised.value.trace


async def catches(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> str:
    try:
        return str(await call("extract", prompts.extract.render(inputs)))
    except Exception:
        return "caught"


async def test_a_cap_ends_the_example_even_if_the_program_catches_it() -> None:
    with pytest.raises(BudgetExhausted):
        await running(catches, Scripted(BudgetExhausted("calls", 10))).answer(TWO, EXAMPLE, DRAW)


async def test_a_failed_call_may_be_caught_and_is_in_the_trace() -> None:
    reply, steps = await running(catches, Scripted(ServerFailed("no", model="m"))).answer(TWO, EXAMPLE, DRAW)
    assert (reply.text, steps[0].error, steps[0].reply) == ("caught", "m: no", "")
    with pytest.raises(ModelError):
        await running(two_calls, Scripted(ServerFailed("no", model="m"))).answer(TWO, EXAMPLE, DRAW)


async def test_the_program_s_time_does_not_run_out_while_it_waits_for_a_call() -> None:
    waited = anyio.Event()

    class Waits(Scripted):
        async def complete(self, request: Request) -> Reply:
            with anyio.move_on_after(0.1):
                await waited.wait()
            return await super().complete(request)

    reply, _ = await running(two_calls, Waits(), 0.05).answer(TWO, EXAMPLE, DRAW)
    assert reply.text == "reply 2"


async def test_an_object_is_answered_as_json() -> None:
    async def answer(inputs: Mapping[str, str], prompts: Prompts, call: Any) -> dict[str, object]:
        return {"department": "logistics", "sure": True}

    reply, steps = await running(answer, Scripted()).answer(TWO, EXAMPLE, DRAW)
    assert (reply.text, steps) == ('{"department":"logistics","sure":true}', ())


@given(st.lists(st.text(max_size=3 * TEXT), max_size=3 * STEPS))
def test_a_trace_keeps_its_ends_is_bounded_and_counts_all(texts: list[str]) -> None:
    trace = Trace()
    for text in texts:
        trace.add(Step("p", text, usage=Usage(1, 1)))
    steps = trace.steps
    assert trace.usage == Usage(len(texts), len(texts))
    assert len(steps) == min(len(texts), STEPS + 1)
    assert all(len(step.reply) <= TEXT + 5 for step in steps)
    if texts:
        assert steps[0].reply[: TEXT // 2] == texts[0][: TEXT // 2]
        assert steps[-1].reply[-10:] == texts[-1][-10:]


@given(st.dictionaries(st.sampled_from(["text", "facts", "extra"]), st.text(), min_size=1))
def test_rendering_fills_what_is_given_and_refuses_what_is_not(values: dict[str, str]) -> None:
    bound = Bound("decide", TWO.of("decide"), frozenset({"facts", "inputs"}), plain)
    if "facts" not in values:
        with pytest.raises(ProgramFailed):
            bound.render(values)
        return
    [message] = bound.render(values)
    assert message.text.startswith(f"Who answers? Think of {values['facts']}.\n\n")
    assert all(f"{name.capitalize()}: {value}" in message.text for name, value in values.items())
