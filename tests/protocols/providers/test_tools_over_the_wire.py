"""Tools, schemas, calls and results in both wire formats, directly and by SDK, as a body and as a stream."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from protocols.errors import BadRequest
from protocols.model import ChatMessage, Offer, Parameters, Reply, Request, ToolCall, show_calls
from protocols.prompt import Prompt, Section
from protocols.providers.completions import CompletionsModel
from protocols.providers.transport.http import Endpoint
from protocols.providers.wire import Wire
from protocols.tools.definitions import Definitions, read_schema, read_tools
from protocols.wrappers.cached import request_key
from tests.protocols.providers.conftest import WAYS, Lab
from tests.wire.formats import stream_of
from tests.wire_server import Fault

pytestmark = pytest.mark.anyio
PARAMETERS = {"type": "object", "properties": {"at": {}}}
WEATHER = {"name": "weather", "description": "The weather.", "parameters": PARAMETERS}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
PROMPT = Prompt((Section("input", "task", "{text}"),))
OFFER = Definitions(read_tools([WEATHER]), read_schema(SCHEMA)).offer(PROMPT)
ASKED = (ChatMessage("user", "And in Rome?"),)
FIRST = ToolCall("weather", '{"at": "Rome"}', "c-1")
BROKEN = ToolCall("weather", '{"at": "Ro', "c-2")
CALLS = (FIRST, BROKEN)


def chat_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def chat_body() -> bytes:
    message = {"role": "assistant", "content": None, "tool_calls": [*map(chat_call, CALLS)]}
    return orjson.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]})


def chat_stream() -> bytes:
    """Arguments in pieces, two calls at once."""
    pieces: list[tuple[int, dict[str, Any]]] = []
    for index, call in enumerate(CALLS):
        pieces.append((index, chat_call(ToolCall(call.name, "", call.id))))
    for index, call in enumerate(CALLS):
        pieces += [(index, {"function": {"arguments": letter}}) for letter in call.arguments]
    deltas = [{"tool_calls": [{"index": index, **piece}]} for index, piece in pieces]
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    return stream_of([("", chunk) for chunk in (*chunks, end)], done=True)


def messages_body() -> bytes:
    """The input is an object, which nothing can break."""
    block = {"type": "tool_use", "id": FIRST.id, "name": FIRST.name, "input": {"at": "Rome"}}
    return orjson.dumps({"content": [{"type": "thinking", "thinking": "hm"}, block], "stop_reason": "tool_use"})


def messages_stream() -> bytes:
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"usage": {"input_tokens": 1}}}]
    for index, call in enumerate(CALLS):
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        for letter in call.arguments:
            delta = {"type": "input_json_delta", "partial_json": letter}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
    events += [{"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}}]
    return stream_of([(event["type"], event) for event in (*events, {"type": "message_stop"})])


def normal(calls: tuple[ToolCall, ...]) -> list[tuple[str, object, str]]:
    return [(call.name, call.value, call.id) for call in calls]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", [False, True])
async def test_calls_are_read(lab: Lab, way: str, stream: bool) -> None:
    chats = way.startswith("openai")
    bodies = (chat_body, chat_stream) if chats else (messages_body, messages_stream)
    kind = "text/event-stream" if stream else "application/json"
    lab.server.faults.append(Fault(body=bodies[stream](), headers={"content-type": kind}))
    reply = await lab.model(way, wire=Wire(stream=stream)).complete(Request(ASKED, offer=OFFER))
    expected = CALLS if chats or stream else CALLS[:1]
    assert normal(reply.calls) == normal(expected)
    assert (reply.text, reply.instead, reply.finish) == ("", None, "stop")
    assert reply.said == show_calls(expected)
    assert orjson.loads(reply.said)[0] == {"name": "weather", "arguments": {"at": "Rome"}}


@pytest.mark.parametrize("way", WAYS)
async def test_calls_of_tools_that_were_not_offered_are_no_answer(lab: Lab, way: str) -> None:
    body = chat_body() if way.startswith("openai") else messages_body()
    lab.server.faults.append(Fault(body=body))
    reply = await lab.model(way).complete(Request(ASKED))
    assert (reply.calls, reply.instead) == ((), "tool calls")


@pytest.mark.parametrize("way", WAYS)
async def test_an_offer_is_sent_and_costs_nothing_where_there_is_none(lab: Lab, way: str) -> None:
    model, bodies = lab.model(way), lab.server.received
    fields = OFFER.openai if way.startswith("openai") else OFFER.anthropic  # type: ignore[union-attr]
    await model.complete(Request(ASKED))
    await model.complete(Request(ASKED, offer=OFFER))
    plain, offered = (dict(call.body) for call in bodies)
    assert {name: offered.pop(name) for name in fields} == fields
    assert offered == plain


async def test_anthropics_effort_stands_beside_the_schema(lab: Lab) -> None:
    effort = Parameters({"output_config": {"effort": "low"}})
    await lab.model("anthropic").complete(Request(ASKED, offer=OFFER, parameters=effort))
    sent: Any = lab.server.received[-1].body["output_config"]
    assert sent == {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}}


TALK = (
    ChatMessage("user", "Rome and Oslo?"),
    ChatMessage("assistant", "Let me see.", calls=(FIRST, ToolCall("weather", "{bad", "c-2"))),
    ChatMessage("tool", "20", calls=(FIRST,)),
    ChatMessage("tool", "unknown", calls=(ToolCall("weather", "{bad", "c-2"),)),
    ChatMessage("assistant", "", calls=(ToolCall("weather", "", "c-3"),)),
    ChatMessage("tool", "7", calls=(ToolCall("weather", "", "c-3"),)),
)


@pytest.fixture
def talking(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A server that reads no texts out of calls."""
    monkeypatch.setattr("tests.wire_server.conversation", lambda body: [("user", "x")])
    return lab


@pytest.mark.parametrize("way", WAYS)
async def test_calls_and_results_are_sent(talking: Lab, way: str) -> None:
    await talking.model(way).complete(Request(TALK, offer=OFFER))
    sent: Any = talking.server.received[-1].body["messages"]
    if way.startswith("openai"):
        assert [turn["role"] for turn in sent] == ["user", "assistant", "tool", "tool", "assistant", "tool"]
        assert sent[1] == {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [chat_call(call) for call in TALK[1].calls],
        }
        assert sent[2] == {"role": "tool", "tool_call_id": "c-1", "content": "20"}
        assert sent[4]["content"] is None
        return
    assert [turn["role"] for turn in sent] == ["user", "assistant", "user", "assistant", "user"]
    assert [block["type"] for block in sent[1]["content"]] == ["text", "tool_use", "tool_use"]
    assert [block["input"] for block in sent[1]["content"][1:]] == [{"at": "Rome"}, {"arguments": "{bad"}]
    assert [(block["type"], block["tool_use_id"]) for block in sent[2]["content"]] == [
        ("tool_result", "c-1"),
        ("tool_result", "c-2"),
    ]
    assert sent[3]["content"] == [{"type": "tool_use", "id": "c-3", "name": "weather", "input": {}}]


async def test_a_completion_refuses_tools_before_anything_is_sent(lab: Lab) -> None:
    model = CompletionsModel("m", Endpoint(lab.server.openai_url, None, 1.0), lab.transport)
    for request in (Request(ASKED, offer=OFFER), Request(TALK)):
        with pytest.raises(BadRequest, match="without tools"):
            await model.complete(request)
    assert not lab.server.received


def test_the_key_of_a_request_knows_its_offer_and_its_calls() -> None:
    schema = Definitions((), read_schema(SCHEMA)).offer(PROMPT)
    requests = [
        Request(ASKED),
        Request(ASKED, offer=OFFER),
        Request(ASKED, offer=schema),
        Request(TALK),
        Request((*TALK[:-1], ChatMessage("tool", "7"))),
    ]
    assert len({request_key("s", request) for request in requests}) == len(requests)
    again = Offer(OFFER.openai, OFFER.anthropic)  # type: ignore[union-attr]
    assert request_key("s", Request(ASKED, offer=again)) == request_key("s", requests[1])
    assert hash(again) == hash(OFFER)


def test_offers_and_calls_count() -> None:
    assert OFFER is not None
    plain, offered = Request(ASKED), Request(ASKED, offer=OFFER)
    assert offered.size == plain.size + OFFER.size
    assert OFFER.size > len(orjson.dumps(PARAMETERS))
    assert Request((ChatMessage("assistant", "", calls=(FIRST,)),)).size == len("weather") + len(FIRST.arguments)
    assert offered.sent_by(lambda request: request).offer is OFFER


def test_a_reply_says_its_text_and_its_calls() -> None:
    assert Reply("yes").said == "yes"
    assert Reply("Let me see.\n", calls=(FIRST,)).said == f"Let me see.\n{show_calls((FIRST,))}"
    assert Reply("", calls=(BROKEN,)).said == '[{"name": "weather", "arguments": "{\\"at\\": \\"Ro"}]'
