"""Failed calls: the same class as the SDK's, the waiting time, the request's id, and never the key."""

from __future__ import annotations

import traceback
from email.utils import formatdate

import anthropic
import anyio
import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    CallTimeout,
    ConnectionFailed,
    ModelError,
    ModelNotFound,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    TooLong,
)
from protocols.model import ChatMessage, Request, Usage
from protocols.providers.openai import OpenAIModel
from protocols.providers.responses.failures import Answer, classify, retry_after
from protocols.providers.responses.figures import about
from protocols.providers.sdk import OpenAISdkModel
from protocols.providers.transport.http import Endpoint, open_transport
from protocols.text import LONGEST_REASON, redact
from protocols.wrappers.metered import billed
from tests.protocols.providers.conftest import KEY, WAYS, Lab
from tests.wire_server import Fault, WireServer

pytestmark = pytest.mark.anyio

HELLO = Request((ChatMessage("user", "hello"),))


def error_body(message: str, type_: str = "", code: str | None = None, detail: str | None = None) -> bytes:
    error = {"message": message, "type": type_, "code": code, "details": {"error_code": detail} if detail else None}
    return orjson.dumps({"type": "error", "error": error})


TABLE: list[tuple[int, bytes, type[ModelError]]] = [
    (400, error_body("unknown parameter", "invalid_request_error"), BadRequest),
    (400, error_body("Your credit balance is too low to access the API", "invalid_request_error"), QuotaExhausted),
    (401, error_body("wrong key", "authentication_error", "invalid_api_key"), AuthenticationFailed),
    (402, error_body("pay first", "billing_error"), QuotaExhausted),
    (403, error_body("not from your country", "permission_error"), AuthenticationFailed),
    (404, error_body("no such model", "not_found_error", "model_not_found"), ModelNotFound),
    (404, b'{"detail":"Not Found"}', ModelNotFound),
    (404, b"<html>404</html>", ModelNotFound),
    (405, b'{"error":"method not allowed"}', BadRequest),
    (408, b"", ServerFailed),
    (409, error_body("lock timeout, try again", "conflict_error"), ServerFailed),
    (413, error_body("too long", "request_too_large"), TooLong),
    (425, b"too early", ServerFailed),
    (422, b'{"object":"error","message":"max_tokens must be >= 1","code":422}', BadRequest),
    (429, error_body("slow down", "rate_limit_error", "rate_limit_exceeded"), RateLimited),
    (429, error_body("tokens per min", "tokens", "rate_limit_exceeded"), RateLimited),
    (429, error_body("growing too fast", "rate_limit_error", detail="ramp_limit_exceeded"), RateLimited),
    (429, error_body("check your plan", "insufficient_quota", "insufficient_quota"), QuotaExhausted),
    (429, error_body("no credit", "insufficient_quota", "credit_balance_exhausted"), QuotaExhausted),
    (429, error_body("no more", "rate_limit_error", detail="enforced_spend_limit_reached"), QuotaExhausted),
    (429, b"Too Many Requests", RateLimited),
    (500, error_body("oops", "api_error"), ServerFailed),
    (501, b"", ServerFailed),
    (502, b"<html>bad gateway</html>", ServerFailed),
    (503, error_body("Slow Down", "server_error", "slow_down"), RateLimited),
    (503, b"", ServerFailed),
    (504, error_body("took too long", "timeout_error"), ServerFailed),
    (529, error_body("Overloaded", "overloaded_error"), RateLimited),
    (529, b"", RateLimited),
    (500, error_body("Overloaded", "overloaded_error"), RateLimited),
]

RATE, SERVER = (RateLimited, QuotaExhausted), (ServerFailed, RateLimited)
OURS: dict[str, tuple[type[ModelError], ...]] = {
    "BadRequestError": (BadRequest, QuotaExhausted, TooLong),
    "AuthenticationError": (AuthenticationFailed,),
    "PaymentRequiredError": (QuotaExhausted,),
    "PermissionDeniedError": (AuthenticationFailed,),
    "NotFoundError": (ModelNotFound,),
    "RequestTimeoutError": (ServerFailed,),
    "ConflictError": (ServerFailed,),
    "ContentTooLargeError": (TooLong,),
    "UnprocessableEntityError": (BadRequest,),
    "RateLimitError": RATE,
    "RampLimitExceededError": RATE,
    "EnforcedSpendLimitReachedError": RATE,
    "InternalServerError": SERVER,
    "HTTPNotImplementedError": SERVER,
    "ServiceUnavailableError": SERVER,
    "GatewayTimeoutError": SERVER,
    "OverloadedError": SERVER,
    "APIStatusError": (BadRequest, TooLong, QuotaExhausted, ServerFailed),
}
"""Ours for each class of the SDKs; APIStatusError is what they call a status that they have no class for."""


@pytest.mark.parametrize(("status", "body", "expected"), TABLE)
async def test_classified_as_the_sdk_does(lab: Lab, status: int, body: bytes, expected: type[ModelError]) -> None:
    headers = {"retry-after": "7", "x-request-id": "r-7", "request-id": "r-7"}
    lab.server.faults.extend([Fault(status=status, headers=headers, body=body)] * (2 + len(WAYS)))
    with pytest.raises(openai.APIStatusError) as theirs_openai:
        await lab.openai_client().chat.completions.create(model="m", messages=[])
    with pytest.raises(anthropic.APIStatusError) as theirs_anthropic:
        await lab.anthropic_client().messages.create(model="m", messages=[], max_tokens=1)
    for theirs in (type(theirs_openai.value), type(theirs_anthropic.value)):
        assert expected in OURS[theirs.__name__]
    for way in WAYS:
        model = lab.model(way)
        with pytest.raises(ModelError) as caught:
            await model.complete(HELLO)
        assert type(caught.value) is expected
        assert (caught.value.status, caught.value.model) == (status, model.name)
        assert (caught.value.retry_after, caught.value.request_id) == (7.0, "r-7")
    assert lab.server.stats.calls == 2 + len(WAYS)  # neither we nor the SDK tried again


FLAGGED = {"code": 403, "message": "your input was flagged", "metadata": {"reasons": ["odd"], "flagged_input": "x"}}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", [FLAGGED, {"message": "no", "code": "content_policy_violation"}])
async def test_a_flagged_input_is_no_fault_of_the_key(lab: Lab, way: str, error: object) -> None:
    lab.server.faults.append(Fault(status=403, body=orjson.dumps({"error": error})))
    with pytest.raises(BadRequest):
        await lab.model(way).complete(HELLO)


@pytest.mark.parametrize("way", ["openai", "openai-sdk"])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 502, "message": "upstream is down"}, ServerFailed),
        ({"code": 429, "message": "upstream is busy"}, RateLimited),
        ({"message": "cut off"}, ServerFailed),
        (FLAGGED, BadRequest),
    ],
)
async def test_a_failure_inside_a_choice(lab: Lab, way: str, error: object, expected: type[ModelError]) -> None:
    """It is no answer, which would be cached and score 0."""
    choice = {"finish_reason": "error", "message": {"content": ""}, "error": error}
    lab.server.faults.append(Fault(body=orjson.dumps({"choices": [choice]})))
    with pytest.raises(ModelError) as caught:
        await lab.model(way).complete(HELLO)
    assert type(caught.value) is expected


async def test_a_client_without_credentials_is_a_failed_connection(lab: Lab) -> None:
    """What fetches tokens for an SDK's client raises what it likes, before the SDK looks."""

    async def token() -> str:
        raise OSError(f"no token for {KEY}")

    client = openai.AsyncAzureOpenAI(
        azure_endpoint=lab.server.url, api_version="1", azure_ad_token_provider=token, max_retries=0
    )
    lab.exits.push_async_callback(client.close)
    with pytest.raises(ConnectionFailed, match="no credentials") as caught:
        await OpenAISdkModel("m", client).complete(HELLO)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 429, "message": "upstream is busy"}, RateLimited),
        ({"code": 502, "message": "upstream is down"}, ServerFailed),
        (FLAGGED, BadRequest),
        ({"code": "odd", "message": "?"}, ServerFailed),
    ],
)
async def test_a_failure_inside_a_200(lab: Lab, way: str, error: object, expected: type[ModelError]) -> None:
    lab.server.faults.append(Fault(body=orjson.dumps({"error": error})))
    with pytest.raises(ModelError) as caught:
        await lab.model(way).complete(HELLO)
    assert type(caught.value) is expected


@pytest.mark.parametrize("way", WAYS)
async def test_dropped_connection(lab: Lab, way: str) -> None:
    lab.server.faults.append(Fault("drop"))
    with pytest.raises(ConnectionFailed):
        await lab.model(way).complete(HELLO)
    assert (lab.server.stats.calls, lab.server.stats.answered) == (1, 0)


@pytest.mark.parametrize("way", WAYS)
async def test_truncated_body(lab: Lab, way: str) -> None:
    lab.server.faults.append(Fault("truncate"))
    with pytest.raises(ConnectionFailed):
        await lab.model(way).complete(HELLO)
    assert (lab.server.stats.calls, lab.server.stats.answered) == (1, 0)


@pytest.mark.parametrize("way", WAYS)
async def test_stalled_call_times_out_and_the_next_one_is_served(lab: Lab, way: str) -> None:
    lab.server.faults.append(Fault("stall"))
    with pytest.raises(CallTimeout) as caught:
        await lab.model(way, timeout=0.1).complete(HELLO)
    assert caught.value.retryable
    lab.server.released.set()
    assert (await lab.model(way).complete(HELLO)).text == "olleh"


async def test_nobody_listens(lab: Lab) -> None:
    model = OpenAIModel("m", Endpoint("http://127.0.0.1:1", KEY), lab.transport)
    with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:1"):
        await model.complete(HELLO)


@pytest.mark.parametrize("way", ["openai", "anthropic"])
async def test_a_redirect_is_not_followed_with_the_key(lab: Lab, way: str) -> None:
    lab.server.faults.append(Fault(status=307, headers={"location": "https://elsewhere.example/v1"}))
    with pytest.raises(ModelNotFound, match=r"elsewhere\.example"):
        await lab.model(way).complete(HELLO)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=401, body=error_body(f"Incorrect API key provided: {KEY}")),
        Fault(status=401, body=error_body("Incorrect API key provided: sk-test********wxyz.")),
        Fault(status=500, body=f"Authorization: Bearer {KEY}".encode()),
        Fault(status=404, headers={"x-request-id": KEY, "request-id": KEY}, body=b"{}"),
        Fault(status=302, headers={"location": f"http://127.0.0.1:1/?key={KEY}"}),
        Fault(body=f"not json {KEY}".encode()),
        Fault(headers={"x-request-id": KEY, "request-id": KEY}, body=b"[]"),
        Fault("drop"),
        Fault("truncate"),
    ],
)
async def test_the_key_is_nowhere_in_an_error(lab: Lab, way: str, fault: Fault) -> None:
    lab.server.faults.append(fault)
    model = lab.model(way)
    with pytest.raises(ModelError) as caught:
        await model.complete(HELLO)
    error = caught.value
    shown = [str(error), repr(error), repr(error.__dict__), repr(model), "".join(traceback.format_exception(error))]
    assert not any(KEY in text or "sk-test" in text for text in shown)
    assert "\n" not in str(error)


@pytest.mark.parametrize("way", ["openai", "anthropic"])
async def test_the_error_of_the_transport_is_not_kept(lab: Lab, way: str) -> None:
    lab.server.faults.append(Fault("drop"))
    with pytest.raises(ConnectionFailed) as caught:
        await lab.model(way).complete(HELLO)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_the_key_is_not_in_the_repr_of_an_endpoint() -> None:
    assert KEY not in repr(Endpoint("http://localhost", KEY))


@given(st.text(min_size=8).filter(str.strip), st.text(), st.text())
def test_redaction_leaves_no_key(key: str, before: str, after: str) -> None:
    left = redact(before + key + after, key).replace("[key]", "")
    assert key not in left or key in (before + after)


@given(
    st.integers(300, 599),
    st.binary(max_size=60)
    | st.recursive(
        st.text() | st.none(),
        lambda x: st.dictionaries(st.sampled_from(["error", "message", "type", "code", "details", "detail"]), x),
    ).map(orjson.dumps),
    st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date", "location"]), st.text()),
)
def test_any_failure_is_one_short_line(status: int, body: bytes, headers: dict[str, str]) -> None:
    error = classify(Answer(status, headers, body, "http://localhost/v1", 0.0), "openai/m", KEY)
    assert error.reason == " ".join(error.reason.split())
    assert 0 < len(error.reason) <= LONGEST_REASON
    assert error.retry_after is None or error.retry_after >= 0


NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "7"}, 7.0),
        ({"retry-after": formatdate(NOW + 90, usegmt=True), "date": formatdate(NOW, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True), "date": formatdate(NOW, usegmt=True)}, 0.0),
        ({"retry-after": formatdate(0, usegmt=True)}, 0.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


async def test_the_session_is_closed_whatever_happens() -> None:
    with pytest.raises(KeyError):
        async with open_transport() as transport:
            raise KeyError
    assert transport.session.closed


async def test_no_timeout_runs_while_a_call_waits_for_a_connection() -> None:
    """All calls that the limiters let through are sent at once, however many they are."""
    many, arrived, all_there = 400, 0, anyio.Event()

    async def wait_for_all() -> None:
        nonlocal arrived
        arrived += 1
        if arrived == many:
            all_there.set()
        await all_there.wait()

    async with WireServer(lambda turns: "hi", delay=wait_for_all) as server, open_transport() as transport:
        model = OpenAIModel("m", Endpoint(server.openai_url, None, 10.0), transport)
        async with anyio.create_task_group() as tasks:
            for _ in range(many):
                tasks.start_soon(model.complete, Request((ChatMessage("user", "hello"),)))


SILENT = [{"code": 0, "message": ""}, {"message": None}, {"code": None, "type": ""}, {}, None, "", "a remark"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", SILENT)
async def test_a_reply_beside_an_error_that_says_nothing_is_a_reply(lab: Lab, way: str, error: object) -> None:
    choice = {"message": {"content": "hi"}} | ({} if isinstance(error, str) else {"error": error})
    body = {"error": error, "choices": [choice], "content": [{"type": "text", "text": "hi"}]}
    lab.server.faults.append(Fault(body=orjson.dumps(body)))
    assert (await lab.model(way).complete(HELLO)).text == "hi"


COUNTED = {"prompt_tokens": 100, "completion_tokens": 2000, "input_tokens": 100, "output_tokens": 2000}
DOWN = {"code": 502, "message": "upstream died"}
WRITTEN = "x" * 9000


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("body", "usage"),
    [
        ({"error": DOWN, "usage": COUNTED}, Usage(100, 2000)),
        ({"error": "upstream died", "usage": COUNTED}, Usage(100, 2000)),
        ({"error": {"code": 429, "message": "busy"}, "usage": COUNTED}, Usage(100, 2000)),
        ({"error": DOWN}, Usage(about(HELLO), estimated=1)),
        ([{"error": DOWN}], Usage(about(HELLO), estimated=1)),
    ],
)
async def test_a_failure_inside_a_200_is_billed(lab: Lab, way: str, body: object, usage: Usage) -> None:
    lab.server.faults.append(Fault(body=orjson.dumps(body)))
    with pytest.raises(ModelError) as caught:
        await lab.model(way).complete(HELLO)
    assert billed(caught.value, HELLO) == usage


@pytest.mark.parametrize("way", ["openai", "openai-sdk"])
@pytest.mark.parametrize(
    ("told", "usage"),
    [({"usage": COUNTED}, Usage(100, 2000)), ({}, Usage(about(HELLO), len(WRITTEN) // 4, estimated=1))],
)
async def test_a_failure_inside_a_choice_is_billed(lab: Lab, way: str, told: dict[str, object], usage: Usage) -> None:
    body = {"choices": [{"error": DOWN, "message": {"content": WRITTEN}}], **told}
    lab.server.faults.append(Fault(body=orjson.dumps(body)))
    with pytest.raises(ServerFailed) as caught:
        await lab.model(way).complete(HELLO)
    assert billed(caught.value, HELLO) == usage
