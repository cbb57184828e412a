"""A reply that comes as a stream is the reply that would have come at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import orjson
import pytest
from anyio.abc import SocketStream
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import BadRequest, ConnectionFailed, ModelError, RateLimited, ServerFailed
from protocols.model import ChatMessage, Reply, Request, Usage
from protocols.providers.anthropic import AnthropicModel
from protocols.providers.openai import OpenAIModel
from protocols.providers.parameters import EXTRA, UNSET, check
from protocols.providers.parameters import asked as fields_of
from protocols.providers.responses import chat_reply, messages_reply
from protocols.providers.responses.failures import Answer
from protocols.providers.responses.streaming import events, is_stream
from protocols.providers.transport.http import Endpoint, open_transport
from protocols.providers.wire import Wire
from protocols.wrappers.asking import AskingModel
from tests.protocols.providers.conftest import WAYS, Lab
from tests.wire.formats import FORMATS, stream_of
from tests.wire_server import Fault

pytestmark = pytest.mark.anyio

HELLO = Request((ChatMessage("system", "Be kind."), ChatMessage("user", "olá 中文 🙂 {x}\u2028\x85")))
STREAM = Wire(stream=True)
EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8"}
READ: dict[str, Callable[..., Reply]] = {"openai": chat_reply.read_reply, "anthropic": messages_reply.read_reply}
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
FORMAT = {way: FORMATS[path] for way, path in PATHS.items()}
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def read(way: str, body: bytes, status: int = 200) -> Reply:
    return READ[way](Answer(status, EVENT_STREAM, body, "http://localhost", 0.25), "m", "key", HELLO, stream=True)


@pytest.mark.parametrize("way", WAYS)
async def test_the_call_is_the_sdks_and_the_reply_is_whole(lab: Lab, way: str) -> None:
    turns: list[Any] = [{"role": turn.speaker, "content": turn.text} for turn in HELLO.messages]
    if way.startswith("openai"):
        theirs: Any = await lab.openai_client().chat.completions.create(
            model="m-1", messages=turns, max_tokens=1024, stream=True, stream_options={"include_usage": True}
        )
    else:
        system: Any = [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]
        theirs = await lab.anthropic_client().messages.create(
            model="m-1", messages=turns[1:], system=system, max_tokens=1024, stream=True
        )
    await theirs.close()
    reply = await lab.model(way, wire=STREAM).complete(HELLO)
    assert lab.server.received[1].body == lab.server.received[0].body
    plain = await lab.model(way).complete(HELLO)
    assert replace(reply, latency=0.0) == replace(plain, latency=0.0)
    assert reply.text == HELLO.messages[-1].text[::-1]


@pytest.mark.parametrize("way", WAYS)
async def test_a_server_that_streams_unasked_names_the_setting(lab: Lab, way: str) -> None:
    lab.server.streams = True
    name = f"{way.removesuffix('-sdk')}/m-1"
    with pytest.raises(BadRequest) as caught:
        await lab.model(way).complete(HELLO)
    assert f'stream = true under [providers."{name}"]' in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("way", WAYS)
async def test_a_server_that_does_not_stream_is_read_all_the_same(lab: Lab, way: str) -> None:
    form = FORMAT[way.removesuffix("-sdk")]
    lab.server.faults.append(Fault(body=orjson.dumps(form.answer("m-1", "yes", 3, 1))))
    reply = await lab.model(way, wire=STREAM).complete(HELLO)
    assert (reply.text, reply.usage) == ("yes", Usage(3, 1))


@pytest.mark.parametrize("way", WAYS)
async def test_a_refusal_before_the_stream_is_one(lab: Lab, way: str) -> None:
    lab.server.faults.append(Fault(status=429, body=b'{"error": {"message": "slow down", "type": "x"}}'))
    with pytest.raises(RateLimited, match="slow down"):
        await lab.model(way, wire=STREAM).complete(HELLO)


@given(
    st.sampled_from(["openai", "anthropic"]),
    texts,
    st.integers(1, 9999),
    st.integers(1, 99),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.sampled_from([": ping", "retry: 10", "id: 3", ":", "event: x"]), max_size=4),
    st.randoms(use_true_random=False),
)
def test_a_stream_says_what_an_answer_says(
    way: str, text: str, tokens_in: int, tokens_out: int, end: str, noise: list[str], rng: Any
) -> None:
    """Whatever ends its lines, and with comments and other fields between its events."""
    form = FORMAT[way]
    parts = [stream_of([event], end) for event in form.events("m-2", text, tokens_in, tokens_out)]
    for line in noise:
        parts.insert(rng.randrange(len(parts) + 1), f"{line}{end}{end}".encode())
    plain = Answer(200, {}, orjson.dumps(form.answer("m-2", text, tokens_in, tokens_out)), "http://localhost", 0.25)
    expected = READ[way](plain, "m", "key", HELLO)
    assert read(way, b"".join(parts)) == expected
    assert read(way, b"\xef\xbb\xbf" + b"".join(parts)) == expected
    if way == "openai":
        assert read(way, b"".join(parts) + b"data: [DONE]\n\n") == expected


def test_a_choice_without_a_number_is_the_first() -> None:
    choices: list[object] = [
        {"index": None, "delta": {"content": "hi"}},
        {"index": 1, "delta": {"content": "no"}},
        {"index": None, "delta": {}, "finish_reason": "stop"},
    ]
    assert read("openai", stream_of([("", {"choices": [choice]}) for choice in choices])).text == "hi"


@pytest.mark.parametrize("value", [UNSET, {"include_usage": False}])
@pytest.mark.parametrize("way", ["openai", "openai-sdk"])
async def test_what_a_stream_tells_can_be_set_and_removed(lab: Lab, way: str, value: object) -> None:
    for asked in ({"stream_options": value}, {EXTRA: {"stream_options": value}}):
        check(asked, "openai", "k")
        await AskingModel(lab.model(way, wire=STREAM), fields_of(asked)).complete(HELLO)
        body = lab.server.received[-1].body
        assert body["stream"] is True
        assert body.get("stream_options", UNSET) == value


@given(
    st.lists(st.lists(texts.filter(lambda text: not set(text) & {"\r", "\n"}), min_size=1, max_size=3), max_size=5)
)
def test_the_lines_of_an_event_are_joined(data: list[list[str]]) -> None:
    body = "".join("".join(f"data: {line}\n" for line in lines) + "\n" for lines in data).encode()
    assert [event.decode() for event in events(body)] == ["\n".join(lines) for lines in data]


@given(st.sampled_from(["openai", "anthropic"]), texts, st.data())
def test_a_stream_that_breaks_off_is_no_reply(way: str, text: str, data: st.DataObject) -> None:
    """Wherever it is cut before the event that says how it ended, no half of a reply is taken for one."""
    form = FORMAT[way]
    said = form.events("m", text, 3, 2)
    whole = stream_of(said)
    last = stream_of(said[:-2] if way == "openai" else said[:-1])
    cut = data.draw(st.integers(1, len(last) - 2))
    body = whole[:cut]
    if not is_stream(body):
        with pytest.raises(ModelError):
            read(way, body)
        return
    with pytest.raises(ConnectionFailed, match="broke off") as caught:
        read(way, body)
    assert caught.value.reached


ERROR = {"message": "Overloaded", "type": "overloaded_error"}


@pytest.mark.parametrize(
    ("way", "event", "expected"),
    [
        ("openai", {"error": ERROR}, RateLimited),
        ("openai", {"error": "the worker died"}, ServerFailed),
        ("openai", {"object": "error", "message": "the worker died", "code": 500}, ServerFailed),
        ("openai", {"choices": [{"index": 0, "delta": {}, "error": {"message": "no", "code": 502}}]}, ServerFailed),
        ("anthropic", {"type": "error", "error": ERROR}, RateLimited),
        ("anthropic", {"type": "error", "error": {"type": "api_error", "message": "no"}}, ServerFailed),
    ],
)
def test_an_error_in_the_middle_of_a_stream_is_one(way: str, event: Any, expected: type[ModelError]) -> None:
    said = FORMAT[way].events("m", "yes", 30, 1)
    end = [("", {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]})] if way == "openai" else []
    with pytest.raises(expected) as caught:
        read(way, stream_of([*said[:3], ("error", event), *end]))
    assert caught.value.usage is not None
    if way == "anthropic":
        assert caught.value.usage.input == 30


def test_thoughts_are_no_part_of_the_text() -> None:
    def chunk(delta: object, reason: str | None = None) -> tuple[str, object]:
        return "", {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    thought = [chunk({"reasoning_content": "bil"}), chunk({"reasoning_content": "ling?", "content": None})]
    reply = read("openai", stream_of([*thought, chunk({"content": "billing"}), chunk({}, "stop")]))
    assert (reply.text, reply.instead, reply.finish) == ("billing", None, "stop")
    reply = read("openai", stream_of([*thought, chunk({}, "length")]))
    assert (reply.text, reply.instead, reply.finish) == ("", "reasoning", "length")
    reply = read("openai", stream_of([chunk({"refusal": "I "}), chunk({"refusal": "won't."}), chunk({}, "stop")]))
    assert (reply.text, reply.finish) == ("I won't.", "refusal")
    reply = read("openai", stream_of([chunk({"tool_calls": [{"index": 0}]}), chunk({}, "tool_calls")]))
    assert reply.instead == "tool calls"
    said = [
        ("", {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 3}}}),
        ("", {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        ("", {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        ("", {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 9}}),
        ("", {"type": "message_stop"}),
    ]
    reply = read("anthropic", stream_of(said))
    assert (reply.text, reply.instead, reply.finish, reply.usage) == ("", "reasoning", "length", Usage(3, 9))


@given(st.binary(max_size=60))
def test_any_bytes_are_a_reply_or_an_error_of_ours(body: bytes) -> None:
    for way in READ:
        for beginning in (b"data: ", b"data: {", b": \n"):
            with pytest.raises(ModelError):
                read(way, beginning + body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "message",
                    "content",
                    "usage",
                    "type",
                    "text",
                    "error",
                    "index",
                    "finish_reason",
                    "content_block",
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)
KINDS = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop", "error", "ping"]
)


@given(st.lists(json_values | st.dictionaries(st.just("type"), KINDS, min_size=1), max_size=6))
def test_any_events_are_a_reply_or_an_error_of_ours(told: list[object]) -> None:
    body = stream_of([("", one) for one in told], done=True)
    for way in READ:
        try:
            reply = read(way, body)
        except ModelError:
            continue
        assert isinstance(reply.text, str)


@asynccontextmanager
async def pieces(body: bytes, size: int, *, whole: bool) -> AsyncIterator[str]:
    """A server that sends `body` in chunks of so many bytes; not `whole`: it hangs up without the last one."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.receive(65536)
            head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            await stream.send(head.encode())
            for at in range(0, len(body), size):
                part = body[at : at + size]
                await stream.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            if whole:
                await stream.send(b"0\r\n\r\n")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(listener.serve, serve))
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        yield f"http://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 4096])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("way", ["openai", "anthropic"])
async def test_a_stream_may_be_cut_into_chunks_anywhere(way: str, size: int, whole: bool) -> None:
    """Also within a character. One whose connection breaks is none, even if the last event came."""
    text = "é中🙂 {x}"
    body = stream_of(FORMAT[way].events("m", text, 3, 2), done=way == "openai")
    async with pieces(body, size, whole=whole) as url, open_transport({}) as transport:
        make = OpenAIModel if way == "openai" else AnthropicModel
        model = make("m", Endpoint(url, None, 10.0), transport, STREAM)
        if whole:
            assert (await model.complete(HELLO)).text == text
        else:
            with pytest.raises(ConnectionFailed):
                await model.complete(HELLO)
