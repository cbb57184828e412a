"""The endpoint, asked with the SDKs of its wire formats."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import anthropic
import anyio
import openai
import pytest
from anyio.lowlevel import checkpoint

from agents.programs.endpoint.calls import Calls, Patience
from agents.programs.endpoint.server import Endpoint
from protocols.errors import BadRequest, BudgetExhausted, TooLong
from protocols.model import ChatMessage, Finish, Reply
from protocols.program import Answered, Call, Prompts
from tests.agents.programs.helpers import ONE, TWO, Scripted, bound

pytestmark = pytest.mark.anyio
HELLO = [{"role": "user", "content": "hello"}]


@asynccontextmanager
async def serving(call: Call, prompts: Prompts = TWO) -> AsyncIterator[tuple[Endpoint, Calls]]:
    """An endpoint at which one worker, w1, is at an example."""
    async with Endpoint() as endpoint, anyio.create_task_group() as tasks:
        calls = Calls(tasks, prompts, call, Patience(60))
        with endpoint.serving("w1", calls):
            yield endpoint, calls


@asynccontextmanager
async def asking(endpoint: Endpoint) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=endpoint.token, base_url=endpoint.base_url("w1")) as client:
        yield client


@asynccontextmanager
async def asking_anthropic(endpoint: Endpoint, base: str = "/w1") -> AsyncIterator[anthropic.AsyncAnthropic]:
    url = endpoint.base_url("w1").removesuffix("/w1/v1") + base
    async with anthropic.AsyncAnthropic(api_key=endpoint.token, auth_token=None, base_url=url) as client:
        yield client


async def post(endpoint: Endpoint, path: str, body: object = None, **headers: str) -> tuple[int, str]:
    url = endpoint.base_url("w1").removesuffix("/w1/v1") + path
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize(("finish", "told"), [("stop", "stop"), ("length", "length"), ("refusal", "content_filter")])
async def test_chat_completions(finish: Finish, told: str) -> None:
    call = Scripted(finish=finish)
    async with serving(call) as (endpoint, _), asking(endpoint) as client:
        reply = await client.chat.completions.create(
            model="extract",
            messages=[
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            ],
            temperature=0.5,
            max_completion_tokens=7,
            stop=["x"],
            user="somebody",
            response_format={"type": "json_object"},
        )
    assert reply.choices[0].message.content == "to a\nb"
    assert reply.choices[0].finish_reason == told
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (12, 3, 15)
    assert reply.usage.prompt_tokens_details is not None
    assert reply.usage.prompt_tokens_details.cached_tokens == 4
    messages = (ChatMessage("system", "be brief"), ChatMessage("user", "a\nb"))
    parameters = {"stop": ["x"], "response_format": {"type": "json_object"}}
    assert call.asked == [("extract", messages, 0.5, 7, parameters)]


@pytest.mark.parametrize("counted", [True, False])
async def test_chat_completions_as_a_stream(counted: bool) -> None:
    async with serving(Scripted()) as (endpoint, _), asking(endpoint) as client:
        stream = await client.chat.completions.create(
            model="any",
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
            stream_options={"include_usage": counted},
        )
        chunks = [chunk async for chunk in stream]
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == "to hello"
    assert choices[-1].finish_reason == "stop"
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == ([15] if counted else [])


@pytest.mark.parametrize("base", ["/w1", "/w1/v1"])
async def test_messages(base: str) -> None:
    call = Scripted(finish="length")
    async with serving(call) as (endpoint, _), asking_anthropic(endpoint, base) as client:
        reply = await client.messages.create(
            model="decide",
            max_tokens=9,
            system=[{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}],
            messages=[{"role": "user", "content": "hello"}],
            stop_sequences=["x"],
            metadata={"user_id": "somebody"},
        )
    assert [block.text for block in reply.content if block.type == "text"] == ["to hello"]
    assert reply.stop_reason == "max_tokens"
    usage = reply.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (8, 4, 3)
    messages = (ChatMessage("system", "be\nbrief"), ChatMessage("user", "hello"))
    assert call.asked == [("decide", messages, None, 9, {"stop_sequences": ["x"]})]


async def test_messages_as_a_stream() -> None:
    async with (
        serving(Scripted()) as (endpoint, _),
        asking_anthropic(endpoint) as client,
        client.messages.stream(model="any", max_tokens=9, messages=[{"role": "user", "content": "hello"}]) as stream,
    ):
        texts = [text async for text in stream.text_stream]
        reply = await stream.get_final_message()
    assert "".join(texts) == "to hello"
    assert (reply.stop_reason, reply.usage.output_tokens, reply.usage.input_tokens) == ("end_turn", 3, 8)


async def test_responses() -> None:
    call = Scripted()
    tool = {"type": "function", "name": "look", "parameters": {}, "strict": True}
    async with serving(call) as (endpoint, _), asking(endpoint) as client:
        reply = await client.responses.create(
            model="extract",
            instructions="be brief",
            input=[
                {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
                {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "seen"},
            ],
            max_output_tokens=5,
            tools=[tool],  # type: ignore[list-item]  # a TypedDict that is written as a dict
        )
    assert reply.output_text == "to seen"
    assert (reply.status, reply.usage and reply.usage.total_tokens) == ("completed", 15)
    [(prompt, messages, _, limit, parameters)] = call.asked
    assert (prompt, limit) == ("extract", 5)
    assert [m.speaker if isinstance(m, ChatMessage) else m["role"] for m in messages] == [
        *("system", "user", "assistant", "tool")
    ]
    function = {"name": "look", "parameters": {}, "strict": True}
    assert parameters == {"tools": [{"type": "function", "function": function}]}


async def test_responses_as_a_stream() -> None:
    async with (
        serving(Scripted(finish="length")) as (endpoint, _),
        asking(endpoint) as client,
        client.responses.stream(model="any", input="hello") as stream,
    ):
        events = [event async for event in stream]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "to hello"
    [last] = [event.response for event in events if event.type == "response.incomplete"]
    assert last.incomplete_details is not None
    assert (last.output_text, last.incomplete_details.reason) == ("to hello", "max_output_tokens")


async def test_the_models_are_the_prompts() -> None:
    async with serving(Scripted()) as (endpoint, _):
        async with asking(endpoint) as client:
            assert [model.id async for model in client.models.list()] == ["extract", "decide"]
        async with asking_anthropic(endpoint) as other:
            assert [model.id async for model in other.models.list()] == ["extract", "decide"]


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (BudgetExhausted("calls", 10), True),
        (BadRequest("too odd", model="m", status=400), False),
        (TooLong("too long", model="m"), False),
        (RuntimeError("a bug"), True),
    ],
)
async def test_an_error_is_told_once_and_not_repeated(error: Exception, ends: bool) -> None:
    call = Scripted(error=error)
    async with serving(call) as (endpoint, calls):
        async with asking(endpoint) as client:
            with pytest.raises(openai.BadRequestError, match=str(error).split("(")[0]) as told:
                await client.chat.completions.create(model="any", messages=[{"role": "user", "content": "hello"}])
            assert (told.value.code == "context_length_exceeded") is isinstance(error, TooLong)
            assert len(call.asked) == 1
            with pytest.raises(openai.BadRequestError):
                await client.chat.completions.create(
                    model="any", messages=[{"role": "user", "content": "hello"}], stream=True
                )
        async with asking_anthropic(endpoint) as other:
            with pytest.raises(anthropic.BadRequestError, match=str(error).split("(")[0]):
                await other.messages.create(
                    model="any", max_tokens=1, messages=[{"role": "user", "content": "hello"}]
                )
        assert calls.ending is (error if ends else None)
        assert calls.failed is (None if ends else error)
        assert len(call.asked) == (1 if ends else 3)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"x-api-key": "wröng"}])
async def test_without_the_token_nothing_is_served(headers: dict[str, str]) -> None:
    call = Scripted()
    async with serving(call) as (endpoint, _):
        assert (await post(endpoint, "/w1/v1/chat/completions", {"messages": HELLO}, **headers))[0] == 401
        assert (await post(endpoint, "/w1/v1/models", {}, **headers))[0] == 401
        async with openai.AsyncOpenAI(api_key="wrong", base_url=endpoint.base_url("w1")) as client:
            with pytest.raises(openai.AuthenticationError, match="from the environment"):
                await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
    assert call.asked == []


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        ("/w1/v1/embeddings", {}, 404, "is not served"),
        ("/w2/v1/chat/completions", {"messages": HELLO}, 400, "has ended"),
        ("/w1/v1/chat/completions", [], 400, "not a JSON object"),
        ("/w1/v1/chat/completions", {}, 400, "messages is a list"),
        ("/w1/v1/chat/completions", {"messages": []}, 400, "no message"),
        ("/w1/v1/chat/completions", {"messages": ["hi"]}, 400, "each message"),
        ("/w1/v1/chat/completions", {"messages": HELLO, "n": 2}, 400, "one reply"),
        ("/w1/v1/chat/completions", {"messages": HELLO, "max_tokens": "many"}, 400, "whole number"),
        ("/w1/v1/chat/completions", {"messages": HELLO, "temperature": "hot"}, 400, "temperature is a number"),
        ("/w1/v1/messages", {"messages": HELLO, "system": [{"type": "image"}]}, 400, "system is a text"),
        ("/w1/v1/responses", {"input": 3}, 400, "input is a text"),
        ("/w1/v1/responses", {"input": "x", "previous_response_id": "r"}, 400, "whole conversation"),
        ("/w1/v1/responses", {"input": "x", "tools": [{"type": "web_search"}]}, 400, "runs at OpenAI"),
        ("/w1/v1/responses", {"input": [{"type": "computer_call"}]}, 400, "computer_call is not served"),
    ],
)
async def test_what_cannot_be_served_is_refused_in_plain_words(
    path: str, body: object, status: int, why: str
) -> None:
    call = Scripted()
    async with serving(call) as (endpoint, _):
        said = await post(endpoint, path, body, Authorization=f"Bearer {endpoint.token}")
    assert said[0] == status
    assert why in said[1]
    assert call.asked == []


async def test_a_request_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.programs.endpoint.server.LARGEST", 1000)
    async with serving(Scripted()) as (endpoint, _):
        body, key = {"messages": HELLO, "junk": "x" * 1000}, f"Bearer {endpoint.token}"
        status, said = await post(endpoint, "/w1/v1/chat/completions", body, Authorization=key)
    assert (status, "larger than 1000 bytes" in said) == (400, True)


async def test_a_client_may_ask_before_it_sends_a_body() -> None:
    """As curl does: https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1"""
    async with serving(Scripted()) as (endpoint, _), aiohttp.ClientSession() as session:
        url, headers = f"{endpoint.base_url('w1')}/chat/completions", {"Authorization": f"Bearer {endpoint.token}"}
        async with session.post(url, json={"messages": HELLO}, headers=headers, expect100=True) as answer:
            assert answer.status == 200


async def test_fields_with_the_names_of_our_arguments_do_no_harm() -> None:
    call = Scripted()
    async with serving(call) as (endpoint, calls):
        body = {"messages": HELLO, "self": 1, "prompt": "x", "seed": 3}
        status, _ = await post(endpoint, "/w1/v1/chat/completions", body, Authorization=f"Bearer {endpoint.token}")
        assert (status, calls.ending) == (200, None)
    assert call.asked[0][4] == {"seed": 3}


async def test_a_reply_that_is_calls_of_tools_is_not_an_empty_text() -> None:
    async def call(prompt: str, messages: object, **parameters: object) -> Answered:
        return Answered(Reply("", instead="tool calls"))

    async with serving(call) as (endpoint, _), asking(endpoint) as client:
        with pytest.raises(openai.BadRequestError, match="calls of tools"):
            await client.chat.completions.create(model="any", messages=[{"role": "user", "content": "hello"}])


async def test_a_call_under_way_ends_with_its_example() -> None:
    call = Scripted(wait=anyio.sleep_forever)
    async with Endpoint() as endpoint, asking(endpoint) as client, anyio.create_task_group() as others:
        refused = anyio.Event()

        async def ask() -> None:
            with pytest.raises(openai.BadRequestError, match="has ended"):
                await client.chat.completions.create(model="any", messages=[{"role": "user", "content": "hello"}])
            refused.set()

        async with anyio.create_task_group() as tasks:
            calls = Calls(tasks, TWO, call, Patience(60))
            with endpoint.serving("w1", calls):
                others.start_soon(ask)
                while not call.asked:
                    await checkpoint()
        await refused.wait()


@pytest.mark.parametrize(
    ("prompts", "model", "text", "owner"),
    [
        (TWO, "decide", "anything", "decide"),
        (TWO, "gpt-5", "List the facts.\nmy parcel", "extract"),
        (TWO, "gpt-5", "Answer in JSON.\n  Which department?  \nfacts: none", "decide"),
        (TWO, "gpt-5", "something else", ""),
        (TWO, "gpt-5", "List the facts.\nWhich department?", "decide"),
        (ONE, "gpt-5", "something else", "decide"),
        (bound(a="Same.\n{text}", b="Same."), "gpt-5", "Same.\nx", ""),
        (bound(a="Same.\nAnd more of a.", b="Same.\nOther of b, longer."), "gpt-5", "Same.\nAnd more of a.", "a"),
    ],
)
async def test_a_call_belongs_to_a_prompt(prompts: Prompts, model: str, text: str, owner: str) -> None:
    call = Scripted()
    async with serving(call, prompts) as (endpoint, _), asking(endpoint) as client:
        await client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])
    assert [asked[0] for asked in call.asked] == [owner]
