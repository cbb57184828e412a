"""The SDKs are the oracle: for the same request, our JSON and headers are theirs. What comes back is read whole."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from typing import Any

import anthropic
import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Ledger
from protocols.errors import BadReply, BadRequest, ServerFailed
from protocols.model import ChatMessage, Finish, Reply, Request, Usage
from protocols.providers import anthropic as messages
from protocols.providers import openai as chat
from protocols.providers.responses import chat_reply, messages_reply
from protocols.providers.responses.failures import Answer
from protocols.providers.responses.figures import about
from protocols.providers.responses.streaming import holds_events
from protocols.providers.transport.http import encode
from protocols.providers.wire import Wire
from protocols.wrappers.metered import MeteredModel
from protocols.wrappers.recorded import RecordedModel
from tests.memory.helpers import Kept
from tests.protocols.providers.conftest import WAYS, Lab
from tests.wire_server import Call, Fault, count_tokens

pytestmark = pytest.mark.anyio

TRICKY = 'Ünïcode 中文 한국어 🙂🏳️‍🌈 {text} {{x}} {0} %s "quoted" \\n back\\slash\ttab\nline\u2028 \x00 €'
RELEVANT = ("accept", "authorization", "content-type", "anthropic-version")
REQUESTS = (
    Request((ChatMessage("user", "hello"),)),
    Request((ChatMessage("system", "Be brief."), ChatMessage("user", TRICKY)), temperature=0.0, max_tokens=1),
    Request(
        (
            ChatMessage("system", TRICKY),
            ChatMessage("system", "And kind."),
            ChatMessage("user", "a"),
            ChatMessage("assistant", "b"),
            ChatMessage("user", "c"),
        ),
        temperature=0.7,
        sample=3,
    ),
)


def relevant(call: Call) -> dict[str, str]:
    return {name.lower(): value for name, value in call.headers.items() if name.lower() in RELEVANT}


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("way", ["openai", "openai-sdk"])
async def test_openai_call_is_the_sdks(lab: Lab, way: str, request_: Request) -> None:
    turns: list[Any] = [{"role": message.speaker, "content": message.text} for message in request_.messages]
    temperature = openai.omit if request_.temperature is None else request_.temperature
    await lab.openai_client().chat.completions.create(
        model="m-1", messages=turns, max_tokens=request_.max_tokens, temperature=temperature
    )
    await lab.model(way).complete(request_)
    theirs, ours = lab.server.received
    assert ours.body == theirs.body
    assert ours.path == theirs.path
    assert relevant(ours) == relevant(theirs)


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("way", ["anthropic", "anthropic-sdk"])
async def test_anthropic_call_is_the_sdks(lab: Lab, way: str, request_: Request) -> None:
    """The SDK has no `temperature` any more: its migration guide sends it so, under the API version before."""
    turns: list[Any] = [
        {"role": message.speaker, "content": message.text}
        for message in request_.messages
        if message.speaker != "system"
    ]
    system: list[Any] = [
        {"type": "text", "text": message.text} for message in request_.messages if message.speaker == "system"
    ]
    if system:
        system[-1]["cache_control"] = {"type": "ephemeral"}
    heated = request_.temperature is not None
    await lab.anthropic_client().messages.create(
        model="m-1",
        messages=turns,
        max_tokens=request_.max_tokens,
        system=system or anthropic.omit,
        extra_body={"temperature": request_.temperature} if heated else None,
        extra_headers={"anthropic-version": "2023-06-01"} if heated else None,
    )
    await lab.model(way).complete(request_)
    theirs, ours = lab.server.received
    assert ours.body == theirs.body
    assert ours.path == theirs.path
    assert relevant(ours) == relevant(theirs)


@pytest.mark.parametrize("way", WAYS)
async def test_text_arrives_byte_for_byte(lab: Lab, way: str) -> None:
    model = lab.model(way)
    reply = await model.complete(Request((ChatMessage("user", TRICKY),)))
    assert lab.server.received[-1].body["messages"] == [{"role": "user", "content": TRICKY}]
    assert "中文 한국어 🙂🏳️‍🌈 {text} {{x}} {0} %s".encode() in lab.server.received[-1].raw
    assert reply.text == TRICKY[::-1]
    assert reply.model == "m-1"
    assert reply.usage == Usage(count_tokens(TRICKY), count_tokens(TRICKY[::-1]))
    assert (reply.finish, reply.from_cache) == ("stop", False)
    assert reply.latency > 0


@pytest.mark.parametrize("way", WAYS)
async def test_the_servers_books_are_the_replies_sums(lab: Lab, way: str) -> None:
    model = lab.model(way)
    replies = [await model.complete(Request((ChatMessage("user", "x" * length),))) for length in range(1, 20)]
    usage = sum((reply.usage for reply in replies), Usage())
    stats = lab.server.stats
    assert (stats.calls, stats.answered) == (19, 19)
    assert (stats.input_tokens, stats.output_tokens) == (usage.input, usage.output)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]))


@given(st.lists(st.builds(ChatMessage, st.sampled_from(["system", "user", "assistant"]), texts), min_size=1))
def test_bodies_hold_the_text_as_it_is(turns: list[ChatMessage]) -> None:
    request = Request(tuple(turns))
    bodies = (chat.request_body(request, "m", Wire()), messages.request_body(request, "m", Wire()))
    for body in bodies:
        raw = encode(body, "m")
        assert orjson.loads(raw) == body
        for turn in turns:
            if turn.text:
                assert turn.text.replace("\\", "\\\\").replace('"', '\\"').encode() in raw


@given(st.lists(st.builds(ChatMessage, st.sampled_from(["system", "user", "assistant"]), texts), min_size=1))
def test_anthropic_marks_one_prefix_the_last_of_the_first_system_texts(turns: list[ChatMessage]) -> None:
    body = messages.request_body(Request(tuple(turns)), "m", Wire())
    blocks = body.get("system", [])
    assert isinstance(blocks, list)
    said = [turn.text for turn in takewhile(lambda turn: turn.speaker == "system", turns) if turn.text]
    assert [block["text"] for block in blocks] == said
    assert [("cache_control" in block) for block in blocks] == [False] * (len(blocks) - 1) + [True] * bool(blocks)


@pytest.mark.parametrize("way", WAYS)
async def test_half_a_surrogate_pair_is_refused_before_it_is_sent(lab: Lab, way: str) -> None:
    with pytest.raises(BadRequest, match="UTF-8"):
        await lab.model(way).complete(Request((ChatMessage("user", "\ud83d"),)))
    assert lab.server.stats.calls == 0


def answer(body: object) -> Answer:
    return Answer(200, {"x-request-id": "r-1"}, orjson.dumps(body), "http://localhost", 0.25)


@pytest.mark.parametrize(
    ("message", "reason", "text", "finish"),
    [
        ({"content": "yes"}, "stop", "yes", "stop"),
        ({"content": "ye"}, "length", "ye", "length"),
        ({"content": None}, "length", "", "length"),
        ({"content": None}, "content_filter", "", "refusal"),
        ({"content": None, "refusal": "I will not."}, "stop", "I will not.", "refusal"),
        ({"content": None, "refusal": None, "tool_calls": []}, "tool_calls", "", "other"),
        ({"content": "yes"}, None, "yes", "other"),
        ({"role": "assistant"}, "content_filter", "", "refusal"),
        ({"reasoning": "hm"}, "length", "", "length"),
        (
            {"content": [{"type": "thinking", "thinking": []}, *({"type": "text", "text": text} for text in "ye")]},
            "stop",
            "ye",
            "stop",
        ),
    ],
)
def test_openai_finish(message: object, reason: str | None, text: str, finish: Finish) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 2},
    }
    body = {"model": "m-1-2026", "choices": [{"message": message, "finish_reason": reason}], "usage": usage}
    reply = chat_reply.read_reply(answer(body), "m", None)
    assert replace(reply, instead=None) == Reply(text, Usage(10, 3, 6, 2), finish, 0.25, "m-1-2026")
    assert (reply.instead is None) == bool(text or finish == "refusal")


THOUGHT = {"type": "thinking", "thinking": "billing?"}
CALL = {"id": "c", "type": "function", "function": {"name": "label", "arguments": "{}"}}
TEXTLESS: list[tuple[str, object, str, str | None, Finish, str]] = [
    ("openai", {"content": None, "tool_calls": [CALL]}, "tool_calls", "tool calls", "other", ""),
    ("openai", {"content": "", "function_call": {"name": "label"}}, "function_call", "tool calls", "other", ""),
    ("openai", {"content": [{"type": "tool_use", "name": "label"}]}, "stop", "tool calls", "stop", ""),
    ("openai", {"content": None, "reasoning_content": "billing"}, "stop", "reasoning", "stop", ""),
    ("openai", {"content": "", "reasoning": "billing"}, "length", "reasoning", "length", ""),
    ("openai", {"content": " \n", "reasoning_details": [{"text": "billing"}]}, "stop", "reasoning", "stop", ""),
    ("openai", {"content": [THOUGHT]}, "stop", "reasoning", "stop", ""),
    ("openai", {"content": []}, "stop", "nothing", "stop", ""),
    ("openai", {"content": None}, "stop", "nothing", "stop", ""),
    ("openai", {"content": ""}, "length", "nothing", "length", ""),
    ("openai", {"content": [{"type": "refusal", "refusal": "I can't."}]}, "stop", None, "refusal", "I can't."),
    ("openai", {"content": [{"type": "output_text", "text": "billing"}]}, "stop", None, "stop", "billing"),
    ("openai", {"content": "billing", "reasoning_content": "hm"}, "stop", None, "stop", "billing"),
    (
        "anthropic",
        [{"type": "tool_use", "id": "t", "name": "label", "input": {}}],
        "tool_use",
        "tool calls",
        "other",
        "",
    ),
    ("anthropic", [THOUGHT, {"type": "server_tool_use", "name": "s"}], "pause_turn", "tool calls", "other", ""),
    ("anthropic", [THOUGHT], "end_turn", "reasoning", "stop", ""),
    ("anthropic", [{"type": "redacted_thinking", "data": "x"}], "max_tokens", "reasoning", "length", ""),
    ("anthropic", [], "end_turn", "nothing", "stop", ""),
    ("anthropic", [{"type": "text", "text": ""}], "end_turn", "nothing", "stop", ""),
    ("anthropic", [], "refusal", None, "refusal", ""),
    ("anthropic", [THOUGHT, {"type": "text", "text": "billing"}], "end_turn", None, "stop", "billing"),
]


@pytest.mark.parametrize(("way", "content", "reason", "instead", "finish", "text"), TEXTLESS)
def test_what_came_in_place_of_a_text(
    way: str, content: object, reason: str, instead: str | None, finish: Finish, text: str
) -> None:
    if way == "openai":
        body: object = {"choices": [{"message": content, "finish_reason": reason}], "usage": OPENAI_BILLS}
        reply = chat_reply.read_reply(answer(body), "m", None)
    else:
        body = {"content": content, "stop_reason": reason, "usage": ANTHROPIC_BILLS}
        reply = messages_reply.read_reply(answer(body), "m", None)
    assert (reply.text.strip(), reply.instead, reply.finish) == (text, instead, finish)


OPENAI_BILLS = {"prompt_tokens": 10, "completion_tokens": 3}
ANTHROPIC_BILLS = {"input_tokens": 10, "output_tokens": 3}
ESTIMATED = Usage(about(REQUESTS[0]), estimated=1)


@pytest.mark.parametrize(
    ("way", "body", "usage"),
    [
        ("openai", {"choices": [{"text": "yes"}], "usage": OPENAI_BILLS}, Usage(10, 3)),
        ("openai", {"choices": [{"message": {"content": 7}}], "usage": OPENAI_BILLS}, Usage(10, 3)),
        ("openai", {"choices": []}, ESTIMATED),
        ("anthropic", {"content": None, "usage": ANTHROPIC_BILLS}, Usage(10, 3)),
        ("anthropic", {"content": None}, ESTIMATED),
    ],
)
async def test_a_bad_reply_that_is_billed_is_in_the_books(lab: Lab, way: str, body: object, usage: Usage) -> None:
    lab.server.faults.append(Fault(body=orjson.dumps(body)))
    ledger, kept = Ledger(Caps(), {}, lambda: 0.0), Kept()
    adapter = lab.model(way)
    model = MeteredModel(RecordedModel(adapter, kept, "task", lambda: 0.0), ledger, "task")
    with pytest.raises(BadReply) as caught:
        await model.complete(REQUESTS[0])
    assert caught.value.usage == usage
    account = ledger.account("task", model.name)
    assert (account.calls, account.failed, account.usage) == (1, 1, usage)
    assert ledger.tokens == account.usage.total
    assert [(call.usage, call.error) for call in kept.ended] == [(account.usage, "BadReply")]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        ("pause_turn", "other"),
    ],
)
def test_anthropic_finish_and_usage(reason: str, finish: Finish) -> None:
    usage = {
        "input_tokens": 5,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 300,
        "output_tokens": 7,
    }
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ye"}, {"type": "text", "text": "s"}]
    body = {"model": "m-1-2026", "content": blocks, "stop_reason": reason, "usage": usage}
    reply = messages_reply.read_reply(answer(body), "m", None)
    assert reply == Reply("yes", Usage(325, 7, 300, 20), finish, 0.25, "m-1-2026")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "usage", "type", "text", "error", "input_tokens"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_a_reply_or_a_bad_reply(body: object) -> None:
    for read in (chat_reply.read_reply, messages_reply.read_reply):
        with suppress(BadReply, ServerFailed):
            reply = read(answer(body), "m", None)
            assert isinstance(reply.text, str)
            assert isinstance(reply.usage.input + reply.usage.output + reply.usage.cached, int)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_reply_or_a_bad_reply(body: bytes) -> None:
    for read in (chat_reply.read_reply, messages_reply.read_reply):
        with pytest.raises(BadRequest if holds_events(body) else BadReply):
            read(Answer(200, {}, body, "", 0.0), "m", None)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", [b"{not json", b"", b"[]", b"{}", b'{"content": 1, "choices": []}', b"\xff\xfe"])
async def test_a_success_that_cannot_be_read_is_a_bad_reply(lab: Lab, way: str, body: bytes) -> None:
    lab.server.faults.append(Fault(headers={"content-type": "application/json", "request-id": "r-2"}, body=body))
    with pytest.raises(BadReply) as caught:
        await lab.model(way).complete(REQUESTS[0])
    assert caught.value.request_id == "r-2"


def test_what_is_nested_too_deeply_to_be_written_is_no_text() -> None:
    """orjson reads 1,024 levels and writes 254."""
    deep: dict[str, object] = {"message": "x"}
    for _ in range(400):
        deep = {"inner": deep}
    error = '{"inner":' * 400 + "{}" + "}" * 400
    body = f'{{"choices": [{{"message": {{"content": "yes"}}, "error": {error}}}]}}'.encode()
    assert chat_reply.read_reply(Answer(200, {}, body, "", 0.0), "m", None).text == "yes"
    assert chat_reply.arguments_of(deep) == "{}"
