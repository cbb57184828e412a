"""What providers say in figures and names is believed within types and ranges, in every wire format."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.answers.labels import LabelParser
from protocols.budget.prices import Price
from protocols.errors import (
    AuthenticationFailed,
    BadReply,
    BadRequest,
    CallTimeout,
    ConnectionFailed,
    ModelError,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
)
from protocols.model import ChatMessage, Reply, Request, Usage
from protocols.prompt import estimate_tokens
from protocols.providers import embeddings
from protocols.providers.responses import chat_reply, messages_reply
from protocols.providers.responses.failures import Answer, retry_after
from protocols.providers.responses.figures import LONGEST_NAME, MOST_TOKENS, about
from protocols.providers.responses.rate_headers import LONGEST, read_allowance, seconds
from protocols.wrappers.metered import billed
from tests.protocols.providers.conftest import WAYS, Lab
from tests.wire_server import Fault, WireServer

pytestmark = pytest.mark.anyio
REQUEST = Request((ChatMessage("system", "Choose a label."), ChatMessage("user", "Text: " + "x" * 200)))
IN, OUT = about(REQUEST), estimate_tokens("billing")
ABSENT = object()
UNKNOWN = [
    ABSENT,
    None,
    True,
    -1,
    50.5,
    "50",
    [50],
    {"n": 50},
    0,
    MOST_TOKENS + 1,
    2**62,
    2**63,
    2**64,
    1e300,
    -1e300,
]
"""What is no count of the tokens of a call."""


def answer(payload: object, **headers: str) -> Answer:
    return Answer(200, headers, json.dumps(payload).encode(), "http://localhost", 0.25)


def openai_reply(usage: object = ABSENT, finish: object = "stop", model: object = "m", **headers: str) -> Reply:
    choice = {"message": {"content": "billing"}, "finish_reason": finish}
    payload = {"choices": [choice], "model": model} | ({} if usage is ABSENT else {"usage": usage})
    return chat_reply.read_reply(answer(payload, **headers), "openai/m", None, REQUEST)


def anthropic_reply(
    usage: object = ABSENT, finish: object = "end_turn", model: object = "m", **headers: str
) -> Reply:
    payload: dict[str, object] = {"content": [{"type": "text", "text": "billing"}], "stop_reason": finish}
    payload |= {"model": model} | ({} if usage is ABSENT else {"usage": usage})
    return messages_reply.read_reply(answer(payload, **headers), "anthropic/m", None, REQUEST)


def embedded(usage: object = ABSENT, vector: object = (0.5, 1), model: object = "m") -> Reply:
    payload = {"data": [{"embedding": vector}], "model": model} | ({} if usage is ABSENT else {"usage": usage})
    return embeddings.read_reply(answer(payload), "openai/m", None, REQUEST)[0]


FORMATS: list[tuple[Callable[..., Reply], str, str]] = [
    (openai_reply, "prompt_tokens", "completion_tokens"),
    (anthropic_reply, "input_tokens", "output_tokens"),
]


def only(**figures: object) -> dict[str, object]:
    return {name: value for name, value in figures.items() if value is not ABSENT}


@pytest.mark.parametrize("figure", UNKNOWN)
@pytest.mark.parametrize(("read", "tokens_in", "tokens_out"), FORMATS)
def test_half_a_usage_keeps_what_is_known_and_estimates_the_rest(
    read: Callable[..., Reply], tokens_in: str, tokens_out: str, figure: object
) -> None:
    assert read(only(**{tokens_in: figure, tokens_out: 7})).usage == Usage(IN, 7, estimated=1)
    assert read(only(**{tokens_in: 60, tokens_out: figure})).usage == Usage(60, OUT, estimated=1)
    assert read(only(**{tokens_in: figure, tokens_out: figure})).usage == Usage(IN, OUT, estimated=1)


@pytest.mark.parametrize("usage", [ABSENT, None, {}, [], "none", 7, True])
@pytest.mark.parametrize("read", [openai_reply, anthropic_reply])
def test_no_usage_is_an_estimate_and_no_zero(read: Callable[..., Reply], usage: object) -> None:
    assert read(usage).usage == Usage(IN, OUT, estimated=1)
    assert embedded(usage).usage == Usage(IN, 0, estimated=1)


OPENAI_USAGES = [
    ({"prompt_tokens": 60.0, "completion_tokens": 7.0}, Usage(60, 7)),
    ({"prompt_tokens": 60, "total_tokens": 67}, Usage(60, 7)),
    ({"completion_tokens": 7, "total_tokens": 67}, Usage(60, 7)),
    ({"completion_tokens": 7, "total_tokens": 5}, Usage(IN, 7, estimated=1)),
    ({"total_tokens": 67}, Usage(IN, OUT, estimated=1)),
    *(
        ({"prompt_tokens": 60, "completion_tokens": 7, "prompt_tokens_details": details}, usage)
        for details, usage in [
            ({"cached_tokens": 40, "cache_write_tokens": 20}, Usage(60, 7, 40, 20)),
            ({"cached_tokens": 40.0}, Usage(60, 7, 40)),
            *(({"cached_tokens": figure}, Usage(60, 7)) for figure in [*UNKNOWN, 61] if figure is not ABSENT),
            ({"cached_tokens": 40, "cache_write_tokens": 21}, Usage(60, 7)),
            ([40], Usage(60, 7)),
        ]
    ),
]
ANTHROPIC_USAGES = [
    ({"input_tokens": 60.0, "output_tokens": 7.0}, Usage(60, 7)),
    ({"input_tokens": 0, "cache_read_input_tokens": 60, "output_tokens": 7}, Usage(60, 7, 60)),
    ({"input_tokens": 10, "cache_creation_input_tokens": None, "output_tokens": 7}, Usage(10, 7)),
    ({"cache_read_input_tokens": 60, "output_tokens": 7}, Usage(IN, 7, estimated=1)),
    *(
        ({"input_tokens": 10, "cache_read_input_tokens": figure, "output_tokens": 7}, Usage(IN, 7, estimated=1))
        for figure in UNKNOWN
        if figure not in (ABSENT, None, 0)
    ),
]


@pytest.mark.parametrize(
    ("read", "told", "usage"),
    [*((openai_reply, *row) for row in OPENAI_USAGES), *((anthropic_reply, *row) for row in ANTHROPIC_USAGES)],
)
def test_usage(read: Callable[..., Reply], told: object, usage: Usage) -> None:
    assert read(told).usage == usage


figures = st.none() | st.booleans() | st.integers(-(2**65), 2**64) | st.floats(allow_nan=False) | st.text(max_size=2)
NAMES = ["prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"]
NAMES += ["cache_read_input_tokens", "cache_creation_input_tokens"]
details = st.dictionaries(st.sampled_from(["cached_tokens", "cache_write_tokens"]), figures)


@given(st.dictionaries(st.sampled_from(NAMES), figures), st.none() | details | figures)
def test_whatever_is_told_costs_something_and_never_less_than_nothing(told: dict[str, Any], parts: object) -> None:
    """And fits into the 64 bits of SQLite a hundred million times."""
    for read in (openai_reply, anthropic_reply, embedded):
        usage = read(told | {"prompt_tokens_details": parts}).usage
        assert usage.input > 0
        assert min(usage.output, usage.cached, usage.written) >= 0
        assert usage.cached + usage.written <= usage.input
        assert usage.total * 10**8 < 2**63
        assert Price(3.0, 15.0, 0.3, 3.75).of(usage) > 0


@pytest.mark.parametrize("reason", [None, ["stop"], {"stop": 1}, 7, True, "novel"])
@pytest.mark.parametrize("read", [openai_reply, anthropic_reply])
def test_a_finish_that_is_no_known_text_is_another(read: Callable[..., Reply], reason: object) -> None:
    assert read(finish=reason).finish == "other"


@pytest.mark.parametrize("read", [openai_reply, anthropic_reply, embedded])
@pytest.mark.parametrize(
    ("model", "name"), [(None, ""), (7, ""), (["m"], ""), ({"m": 1}, ""), ("m" * 9999, "m" * LONGEST_NAME)]
)
def test_a_model_that_is_no_text_has_no_name(read: Callable[..., Reply], model: object, name: str) -> None:
    assert read(model=model).model == name


@pytest.mark.parametrize("vector", [[True, False], ["0.5"], [None], [[0.5]], [10**400], [], "no base64"])
def test_a_vector_holds_numbers(vector: object) -> None:
    body = b'{"data": [{"embedding": %s}]}' % (str(vector).encode() if vector == [10**400] else orjson.dumps(vector))
    with pytest.raises(BadReply) as caught:
        embeddings.read_reply(Answer(200, {}, body, "", 0.0), "openai/m", None, REQUEST)
    assert billed(caught.value, REQUEST) == Usage(IN, estimated=1)


BODIES = [
    (b'{"x": NaN, "y": [Infinity, 1e999]}', "billing", 60),
    (b'{"x": %s}' % (b"9" * 5000), "billing", 60),
    (b'{"x": -%s}' % (b"9" * 30), "billing", 60),
    (b'{"x": "\\ud83d"}', "billing", 60),
    (b'{"x": "\xff\xfe"}', "billing", 60),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("extra", "text", "count"), BODIES)
async def test_a_reply_that_was_paid_for_is_not_lost_for_what_stands_beside_it(
    lab: Lab, way: str, extra: bytes, text: str, count: int
) -> None:
    usage = b'{"prompt_tokens": 60, "completion_tokens": 7, "input_tokens": 60, "output_tokens": 7}'
    content = b'"choices": [{"message": {"content": "billing"}}], "content": [{"type": "text", "text": "billing"}]'
    body = b'{"extra": %s, %s, "usage": %s}' % (extra, content, usage)
    lab.server.faults.append(Fault(headers={"content-type": "application/json"}, body=body))
    reply = await lab.model(way).complete(REQUEST)
    assert (reply.text, reply.usage) == (text, Usage(count, 7))


def test_half_a_character_in_a_reply_asks_no_question() -> None:
    """Cut off within an emoji, say. A question mark in its place would make an answer one that is asked."""
    body = b'{"choices": [{"message": {"content": "shipping \\ud83d"}}], "usage": {"prompt_tokens": 5}}'
    reply = chat_reply.read_reply(Answer(200, {}, body, "", 0.0), "openai/m", None, REQUEST)
    assert LabelParser(("billing", "shipping"))(reply.text) == "shipping"


THOUGHT = "deep thought " * 2000
LONG = estimate_tokens(THOUGHT)


@pytest.mark.parametrize(
    ("read", "written", "finish", "tokens_out"),
    [
        (chat_reply.read_reply, {"content": "", "reasoning_content": THOUGHT}, "stop", LONG),
        (chat_reply.read_reply, {"content": "", "reasoning": THOUGHT}, "stop", LONG),
        (chat_reply.read_reply, {"content": "", "reasoning": THOUGHT, "reasoning_content": THOUGHT}, "stop", LONG),
        (chat_reply.read_reply, {"content": "", "reasoning_details": [{"type": "x", "text": THOUGHT}]}, "stop", LONG),
        (chat_reply.read_reply, {"content": [{"type": "thinking", "thinking": THOUGHT}]}, "stop", LONG),
        (
            chat_reply.read_reply,
            {"content": None, "tool_calls": [{"function": {"arguments": THOUGHT}}]},
            "stop",
            LONG,
        ),
        (chat_reply.read_reply, {"content": "", "refusal": THOUGHT}, "stop", LONG),
        (chat_reply.read_reply, {"content": "billing"}, "length", REQUEST.max_tokens),
        (chat_reply.read_reply, {"content": ""}, "length", REQUEST.max_tokens),
        (chat_reply.read_reply, {"content": "", "reasoning": THOUGHT}, "length", LONG),
        (messages_reply.read_reply, [{"type": "thinking", "thinking": THOUGHT}], "end_turn", LONG),
        (messages_reply.read_reply, [{"type": "tool_use", "input": {"a": [THOUGHT]}}], "end_turn", LONG),
        (messages_reply.read_reply, [{"type": "text", "text": "billing"}], "max_tokens", REQUEST.max_tokens),
    ],
)
@pytest.mark.parametrize("told", [{}, {"usage": {"prompt_tokens": 60, "input_tokens": 60, "output_tokens": None}}])
def test_what_was_thought_and_cut_off_was_written_too(
    read: Callable[..., Reply], written: object, finish: str, tokens_out: int, told: dict[str, object]
) -> None:
    body = {"choices": [{"message": written, "finish_reason": finish}], "content": written, "stop_reason": finish}
    usage = read(answer(body | told), "m", None, REQUEST).usage
    assert (usage.output, usage.estimated) == (tokens_out, 1)


@pytest.mark.parametrize(
    ("told", "allowed", "believed"),
    [(10**6, 10, True), (10**6 + 1, 10, False), (4 * 10**6, 10**6, True), (4 * 10**6 + 1, 10**6, False)],
)
@pytest.mark.parametrize("read", [chat_reply.read_reply, messages_reply.read_reply])
def test_a_count_that_is_far_over_what_was_allowed_is_unknown(
    read: Callable[..., Reply], told: int, allowed: int, believed: bool
) -> None:
    counted = {"prompt_tokens": 60, "completion_tokens": told, "input_tokens": 60, "output_tokens": told}
    content = [{"type": "text", "text": "billing"}]
    body = {"choices": [{"message": {"content": "billing"}}], "content": content, "usage": counted}
    usage = read(answer(body), "m", None, replace(REQUEST, max_tokens=allowed)).usage
    assert usage == (Usage(60, told) if believed else Usage(60, OUT, estimated=1))


# What is billed where nothing can be read


@pytest.mark.parametrize(
    ("error", "usage"),
    [
        (BadReply("broken JSON", model="m"), Usage(IN, estimated=1)),
        (BadReply("no text", model="m", usage=Usage(60, 7)), Usage(60, 7)),
        (ConnectionFailed("cut off", model="m"), Usage(IN, estimated=1)),
        (ConnectionFailed("refused", model="m", reached=False), Usage()),
        (CallTimeout("no reply", model="m"), Usage(IN, estimated=1)),
        (RateLimited("slow down", model="m"), Usage()),
        (QuotaExhausted("no credit", model="m"), Usage()),
        (ServerFailed("oh", model="m"), Usage()),
        (BadRequest("no", model="m"), Usage()),
        (AuthenticationFailed("who", model="m"), Usage()),
        (ZeroDivisionError(), Usage(IN, estimated=1)),
        (KeyboardInterrupt(), Usage(IN, estimated=1)),
    ],
)
def test_what_a_call_without_a_reply_is_taken_to_have_cost(error: BaseException, usage: Usage) -> None:
    assert billed(error, REQUEST) == usage


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("fault", "input_tokens"), [(Fault("drop"), IN), (Fault("truncate"), IN), (Fault(status=500, body=b"{}"), 0)]
)
async def test_what_broke_midway_is_taken_to_have_been_billed(
    lab: Lab, way: str, fault: Fault, input_tokens: int
) -> None:
    lab.server.faults.append(fault)
    with pytest.raises(ModelError) as caught:
        await lab.model(way).complete(REQUEST)
    assert billed(caught.value, REQUEST).input == input_tokens


@pytest.mark.parametrize("way", WAYS)
async def test_what_never_reached_the_server_costs_nothing(lab: Lab, way: str) -> None:
    async with WireServer(str) as gone:
        pass
    model = replace(lab, server=gone).model(way)
    with pytest.raises(ConnectionFailed) as caught:
        await model.complete(REQUEST)
    assert billed(caught.value, REQUEST) == Usage()


# Headers

NO_LIMIT = [
    "",
    "0",
    "-1",
    "many",
    "nan",
    "inf",
    "1e308",
    "0.5",
    "true",
    "²",
    str(2**62),
    str(2**64),
    "9" * 4000,
    "9" * 5000,
]
NO_WAIT = [
    "1e308",
    "9" * 4000,
    "9" * 5000,
    "inf",
    "nan",
    "1e999",
    str(int(LONGEST) + 1),
    "soon",
    "99999999d",
    "9" * 400 + "s",
]
NO_DATE = ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "Fri, 31 Dec 9999 23:59:59 GMT"]
NO_DATE += ["Fri, 99 Dec 99999 99:99:99 GMT", "Mon, 01 Jan 0001 00:00:00 +2359", "1 1 " + "9" * 5000, "0 0 0"]


@pytest.mark.parametrize("dialect", ["x-ratelimit-{part}-{what}", "anthropic-ratelimit-{what}-{part}"])
@pytest.mark.parametrize("what", ["tokens", "requests"])
def test_a_limit_or_a_reset_that_cannot_be_meant_is_unknown(dialect: str, what: str) -> None:
    limit, remaining, reset = (dialect.format(part=part, what=what) for part in ("limit", "remaining", "reset"))
    for value in NO_LIMIT:
        allowance = read_allowance({limit: value, remaining: value, reset: "6ms"})
        assert allowance is not None
        assert (allowance.requests, allowance.tokens) == (None, None)
    for value in [*NO_WAIT, *NO_DATE]:
        allowance = read_allowance({limit: "100", remaining: "0", reset: value})
        assert allowance is not None
        assert allowance.wait in (None, 0.0)
    whole = read_allowance({limit: "100.0", remaining: "0", reset: "2s"})
    assert whole is not None
    assert (getattr(whole, what), whole.wait) == (100, 2.0)


@pytest.mark.parametrize("value", [*NO_WAIT, *NO_DATE])
def test_a_wait_that_cannot_be_meant_is_unknown(value: str) -> None:
    assert retry_after({"retry-after": value, "date": "Thu, 01 Jan 2026 00:00:00 GMT"}) in (None, 0.0)
    assert retry_after({"retry-after-ms": value + "000", "retry-after": "7"}) == 7.0
    assert seconds(value) in (None, 0.0)


@given(st.text(max_size=30) | st.floats().map(str) | st.from_regex(r"\A[0-9:.,TZ+ -]{0,30}\Z"))
def test_no_header_raises(value: str) -> None:
    names = ("limit", "remaining", "reset")
    read_allowance({f"x-ratelimit-{name}-tokens": value for name in names})
    wait = retry_after({"retry-after": value, "date": value})
    assert wait is None or 0 <= wait <= LONGEST


@pytest.mark.parametrize("read", [openai_reply, anthropic_reply])
@pytest.mark.parametrize(("limit", "believed"), [("1", None), ("59", None), ("60", 60), ("9000", 9000)])
def test_a_limit_that_the_call_itself_was_over_is_not_believed(
    read: Callable[..., Reply], limit: str, believed: int | None
) -> None:
    usage = {"prompt_tokens": 60, "completion_tokens": 7, "input_tokens": 60, "output_tokens": 7}
    reply = read(usage, **{"x-ratelimit-limit-tokens": limit})
    assert reply.allowance is not None
    assert reply.allowance.tokens == believed


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_a_bad_reply(body: bytes) -> None:
    for read in (chat_reply.read_reply, messages_reply.read_reply, embeddings.read_reply):
        with suppress(BadReply, BadRequest):  # the latter for events that nobody asked for
            read(Answer(200, {}, body, "", 0.0), "m", None, REQUEST)
