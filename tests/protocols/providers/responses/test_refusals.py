"""Which error a refusal is, by its status, body and headers, in the words of the servers that are out there: for both
wire formats, over the wire."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    ModelError,
    ModelNotFound,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    TemperatureRefused,
    TooLong,
)
from protocols.model import ChatMessage, Request
from protocols.providers.responses.failures import LONGEST_TEXT, Answer, classify, explain
from protocols.providers.responses.refusals import LARGEST, LONGEST, own_words, window_of
from tests.protocols.providers.conftest import Lab
from tests.wire_server import Fault

pytestmark = pytest.mark.anyio

HELLO = Request((ChatMessage("user", "hello"),))


@dataclass(frozen=True)
class Case:
    """What a server answers, and what that is. `window`: of a TooLong. `waits`: the seconds that it asks for."""

    status: int
    body: object
    expected: type[ModelError]
    window: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    waits: float | None = None

    @property
    def content(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else orjson.dumps(self.body)


def says(message: str, type_: str = "invalid_request_error", code: object = None) -> dict[str, object]:
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def long(message: str, window: int | None, status: int = 400, code: object = None) -> Case:
    return Case(status, says(message, code=code), TooLong, window)


OPENAI = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."
TPM = (
    "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 48725. The "
    "input or output tokens must be reduced in order to run successfully."
)
TOO_LONG = [
    long(OPENAI, 8192, code="context_length_exceeded"),
    long("Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000.", 272000),
    long("Your input exceeds the context window of this model. Please adjust your input and try again.", None),
    long("Invalid 'messages[0].content': string too long. Expected a string with maximum length 10485760.", None),
    long("whatever it says", None, code="context_length_exceeded"),
    long(
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the "
        "messages, 1000 in the completion). Please reduce the length of the messages or completion.",
        4096,
        code=400,
    ),
    long(
        "'max_tokens' or 'max_completion_tokens' is too large: 1024. This model's maximum context length is 4096 "
        "tokens and your request has 3900 input tokens (1024 > 4096 - 3900).",
        4096,
    ),
    long(
        "You passed 4097 input tokens and requested 100 output tokens. However, the model's context length is only "
        "4096 tokens, resulting in a maximum input length of 3996 tokens.",
        4096,
    ),
    long(
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that "
        "`max_model_len` is no smaller than the number of text tokens.",
        4096,
    ),
    long("Input length (5000) exceeds model's maximum context length (4096).", 4096),
    long("The input (5000 tokens) is longer than the model's context length (4096 tokens).", 4096),
    long("Requested token count exceeds the model's maximum context length of 4096 tokens.", 4096),
    long(
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and "
        "100 `max_new_tokens`",
        4096,
        status=422,
    ),
    long("`inputs` must have less than 1024 tokens. Given: 2000", 1024, status=422),
    Case(
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size, try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 5000,
                "n_ctx": 2048,
            }
        },
        TooLong,
        2048,
    ),
    long("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it", 4096),
    long("the request exceeds the available context size. try increasing the context size", None, status=500),
    long("input (5000 tokens) is too large to process. increase the physical batch size", None, status=500),
    long(
        "input (5000 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
        512,
        status=500,
    ),
    long("input (5000 tokens) is larger than the max context size (4096 tokens). skipping", 4096, status=500),
    long("prompt is too long: 213462 tokens > 200000 maximum", 200000),
    long(
        "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length or "
        "`max_tokens` and try again",
        200000,
    ),
    Case(
        413,
        {"type": "error", "error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}},
        TooLong,
    ),
    Case(
        400,
        [
            {
                "error": {
                    "code": 400,
                    "status": "INVALID_ARGUMENT",
                    "message": "The input token count (1200000) "
                    "exceeds the maximum number of tokens allowed (1048576).",
                }
            }
        ],
        TooLong,
        1048576,
    ),
    long("The input token count exceeds the maximum number of tokens allowed 1048576.", 1048576),
    long(
        "Unable to submit request because the input token count is 40000 but model only supports up to 32768.", 32768
    ),
    long(
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
        32768,
    ),
    long("Input is too long for requested model.", None),
    long("prompt too long; exceeded max context length by 123 tokens", None),
    Case(400, {"error": "the input length exceeds the context length"}, TooLong),
    Case(500, {"error": "input length exceeds maximum context length"}, TooLong),
    long("too many tokens: total number of tokens in the prompt cannot exceed 4081", None),
    long("This model's maximum prompt length is 131072 but the request contains 537812 tokens.", 131072),
    long("The prompt is too long: 10000, model maximum context length: 8191", 8191),
    long(
        "Trying to keep the first 4989 tokens when context the overflows. However, the model is loaded with context "
        "length of only 4096 tokens, which is not enough.",
        4096,
    ),
    long("<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]", 30720),
    long("Invalid request: Your request exceeded model token limit: 131072", 131072),
    long("prompt token count of 130000 exceeds the limit of 128000", 128000, code="model_max_prompt_tokens_exceeded"),
    long("Request body too large for gpt-4o model. Max size: 8000 tokens.", 8000, 413, "tokens_limit_reached"),
    long("the number of input tokens 5000 cannot exceed the total tokens limit 4096 for this model", 4096),
    long("Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192", 8192),
    long("invalid params, context window exceeds limit (2013)", None),
    long(
        "litellm.ContextWindowExceededError: litellm.BadRequestError: OpenAIException - This model's maximum context "
        "length is 128,000 tokens.",
        128000,
        status=500,
    ),
    Case(413, "<html>413 Request Entity Too Large</html>", TooLong),
    Case(429, says(TPM, "tokens", "rate_limit_exceeded"), TooLong, 30000, {"retry-after": "12"}),
    Case(
        413,
        says(
            "Request too large for model `llama` in organization `org_x` on tokens per minute (TPM): Limit "
            "6000, Requested 7821, please reduce your message size and try again.",
            "tokens",
        ),
        TooLong,
        6000,
    ),
    Case(413, "Request body too large, max limit is 10 MB", TooLong),
    Case(413, says("request entity too large: limit of 1 MB exceeded"), TooLong),
    Case(413, {"message": "Payload too large. Request size limit: 32 MB"}, TooLong),
    Case(413, says("Request exceeds the maximum size limit of 32 MB", "request_too_large"), TooLong),
    long("Your input exceeds the context window: the limit is 32768 characters, reduce the prompt.", None),
    long("The prompt is too long: limit of 5,000 words", None),
    long("Input is too long: maximum input length is 10485760 bytes", None),
    long("prompt is too long: 300 images > 100, reduce the prompt", None),
    Case(429, says("whatever it says", "rate_limit_error", "context_length_exceeded"), TooLong),
    long(
        'litellm.BadRequestError: AnthropicException - {"type":"error","error":{"type":'
        '"invalid_request_error","message":"prompt is too long: 213462 tokens > 200000 maximum"}}',
        200000,
    ),
    long(
        "litellm.BadRequestError: Error code: 400 - {'error': {'message': \"This model's maximum context length is "
        "8192 tokens. However, your messages resulted in 9001 tokens.\", 'code': 'context_length_exceeded'}}",
        8192,
        status=500,
    ),
    Case(200, {"error": OPENAI}, TooLong, 8192),
    Case(200, {"error": {"message": OPENAI, "code": "400"}}, TooLong, 8192),
    Case(200, [{"error": {"message": OPENAI}}], TooLong, 8192),
]
QUOTA = "You exceeded your current quota, please check your plan and billing details."
PER_MINUTE = (
    "This request would exceed your organization's rate limit of 40,000 input tokens per minute. For details, refer "
    "to: https://docs.claude.com/en/api/rate-limits. You can see the response headers for current usage. Please "
    "reduce the prompt length or the maximum tokens requested, or try again later. You may also contact sales at "
    "https://www.anthropic.com/contact-sales to discuss your options for a rate limit increase."
)
PER_MINUTE_BEFORE = (
    "Number of request tokens has exceeded your per-minute rate limit (https://docs.anthropic.com/en/api/rate-limits);"
    " see the response headers for current usage. Please reduce the prompt length or the maximum tokens requested, "
    "or try again later. You may also contact sales at https://www.anthropic.com/contact-sales to discuss your "
    "options for a rate limit increase."
)
EXTRA_USAGE = "Extra usage is required for long context requests."
PROMPT = (
    "Summarise. The prompt is too long if it exceeds the context window limit of 50 tokens; you exceeded your "
    "current quota, and your credit balance is too low"
)
ECHOED = [
    {
        "detail": [
            {"type": "missing", "loc": ["body", "stop"], "msg": "Field required", "input": {"messages": PROMPT}}
        ]
    },
    {"object": "error", "message": {"detail": [{"loc": ["body"], "msg": "Field required", "input": PROMPT}]}},
    says(f'Unknown parameter: top_q. You sent "{PROMPT}".'),
    says(f"1 validation error for Request: stop. Field required [type=missing, input_value='{PROMPT}']"),
    says(f"{'x ' * 300}{PROMPT}"),
]
"""The prompt speaks of limits, and the refusal repeats it."""
ECHOED_TEMPERATURE = [
    says(f"Invalid value for 'temperature' in request: {{'messages': [{{'content': '{PROMPT}'}}]}}"),
    says(f'Invalid value for temperature in {{"model": "m", "input": "{PROMPT}"}}'),
]
OTHERS = [
    *(
        Case(status, says(text, "rate_limit_error"), RateLimited, headers={"retry-after": "9"}, waits=9.0)
        for text in (PER_MINUTE, PER_MINUTE_BEFORE, EXTRA_USAGE)
        for status in (429, 529)
    ),
    Case(200, says(PER_MINUTE, "rate_limit_error"), RateLimited),
    *(Case(status, body, TemperatureRefused) for body in ECHOED_TEMPERATURE for status in (400, 422)),
    *(Case(status, body, BadRequest) for body in ECHOED for status in (400, 422)),
    Case(500, says("Context size has been exceeded.", "server_error", 500), ServerFailed),
    Case(503, says("Loading model: allocating context size 4096", "unavailable_error", 503), ServerFailed),
    Case(500, says("CUDA out of memory while allocating KV cache for context length 32768"), ServerFailed),
    Case(500, says("CUDA out of memory: maximum context length is 32768 tokens, 512 tokens cached"), ServerFailed),
    Case(
        429,
        says(
            "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. "
            "Please try again in 2s.",
            "tokens",
            "rate_limit_exceeded",
        ),
        RateLimited,
    ),
    Case(
        429,
        says("Rate limit reached on requests per min (RPM): Limit 3, Used 3, Requested 1.", "requests"),
        RateLimited,
    ),
    Case(429, says("Too many tokens, please wait before trying again.", "ThrottlingException"), RateLimited),
    Case(
        429,
        says(
            "This request would exceed your organization's rate limit of 40,000 input tokens per minute.",
            "rate_limit_error",
        ),
        RateLimited,
    ),
    Case(
        429,
        says(f"litellm.RateLimitError: RateLimitError: OpenAIException - {QUOTA}", "throttling_error", "429"),
        QuotaExhausted,
    ),
    Case(
        429,
        [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": f"{QUOTA} Please retry in 34.5s."}}],
        RateLimited,
        waits=34.5,
    ),
    Case(409, says("lock timeout, try again", "conflict_error"), ServerFailed),
    Case(400, says("max_tokens is too large: 5000. This model supports at most 4096 completion tokens."), BadRequest),
    Case(400, says("Unsupported parameter: 'max_tokens' is not supported with this model."), BadRequest),
    Case(
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "API key not valid. Please pass a valid API key.",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
        AuthenticationFailed,
    ),
    Case(401, says("prompt is too long for your tier"), AuthenticationFailed),
    Case(500, says("oops", "api_error"), BadRequest, headers={"x-should-retry": "false"}),
    Case(400, says("try once more"), ServerFailed, headers={"x-should-retry": "true"}),
    Case(401, says("wrong key"), AuthenticationFailed, headers={"x-should-retry": "true"}),
    Case(200, {"error": "upstream connect error"}, ServerFailed),
    Case(200, {"error": {"message": "upstream connect error"}}, ServerFailed),
    Case(200, {"error": {"message": "no healthy upstream", "code": "503"}}, ServerFailed),
    Case(200, {"error": {"message": "slow down", "code": "429"}}, RateLimited),
    Case(200, {"error": {"message": "slow down", "type": "rate_limit_error"}}, RateLimited),
    Case(200, {"error": {"message": "wrong key", "code": "401"}}, AuthenticationFailed),
    Case(200, {"error": {"message": "no such model", "code": "model_not_found"}}, ModelNotFound),
    Case(200, {"error": {"message": "no such parameter", "type": "invalid_request_error"}}, BadRequest),
    Case(200, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, RateLimited),
    Case(200, {"object": "error", "message": "oops", "code": 500}, ServerFailed),
    Case(200, [{"error": {"message": "oops", "status": "INTERNAL"}}], ServerFailed),
]


def own_text(body: object) -> str:
    match body:
        case {"error": {"message": str(text)}}:
            return text
    return ""


@pytest.mark.parametrize("way", ["openai", "anthropic", "openai-sdk", "anthropic-sdk"])
@pytest.mark.parametrize("case", [*TOO_LONG, *OTHERS], ids=lambda case: f"{case.status} {str(case.body)[:60]}")
async def test_a_refusal_is_what_it_says(lab: Lab, way: str, case: Case) -> None:
    lab.server.faults.append(Fault(status=case.status, headers=case.headers, body=case.content))
    with pytest.raises(ModelError) as caught:
        await lab.model(way).complete(HELLO)
    error = caught.value
    assert type(error) is case.expected
    if isinstance(error, TooLong):
        assert (error.window, error.retryable, error.fatal) == (case.window, False, False)
    if case.waits is not None:
        assert error.retry_after == case.waits
    if "{" not in own_text(case.body):
        assert "{" not in error.reason  # the person reads what it says, not how that is written


@pytest.mark.parametrize("way", ["openai", "anthropic"])
@pytest.mark.parametrize("body", [{"error": "the pump is off"}, [{"error": {"message": "the pump is off"}}]])
async def test_the_text_of_an_error_in_a_success_is_shown(lab: Lab, way: str, body: object) -> None:
    lab.server.faults.append(Fault(body=orjson.dumps(body)))
    with pytest.raises(ModelError, match="the pump is off"):
        await lab.model(way).complete(HELLO)


@given(st.text() | st.from_regex(r"context length (is|of) [0-9,_]{0,40} tokens \(limit: [0-9]{0,30}\)"))
def test_a_window_is_one_that_a_model_may_have(text: str) -> None:
    window = window_of(text)
    assert window is None or 0 < window <= LARGEST


@pytest.mark.parametrize("size", [10_000, 2_000_000])
@pytest.mark.parametrize(
    "text", ["limit 1 ", "context length ", "requested 1 tokens limit ", '"', "{'a': ", "token "]
)
def test_of_a_long_message_its_beginning_is_looked_at(text: str, size: int) -> None:
    """However it is built: a pattern that is tried from every place would take minutes."""
    said = text * (size // len(text))
    assert len(own_words(said)) <= LONGEST
    for body in (
        said.encode(),
        orjson.dumps({"error": {"message": said}}),
        orjson.dumps({"detail": [{"msg": said}]}),
    ):
        assert len(explain(body).reason.encode()) <= LONGEST_TEXT
        classify(Answer(400, {}, body, "http://localhost", 0.0), "m", None)
