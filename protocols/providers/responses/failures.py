"""Classifies failed calls: maps HTTP status, headers and error body to the errors in protocols/errors.py.

Sources: https://platform.openai.com/docs/guides/error-codes, https://docs.anthropic.com/en/api/errors, and the
exception tables of both SDKs, against which the tests check this module.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import orjson

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
from protocols.providers.responses.figures import count
from protocols.providers.responses.rate_headers import plain, read_allowance, wait
from protocols.providers.responses.refusals import (
    is_too_long,
    own_words,
    refuses_system,
    refuses_temperature,
    window_of,
)
from protocols.text import LONGEST_REASON, one_line, redact

NO_CREDIT = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
    }
)
"""Error types and codes that waiting does not cure: OpenAI's, then Anthropic's."""

OVERLOADED = frozenset({"overloaded_error", "slow_down"})
"""Error types and codes that ask all clients to slow down, with any status."""

FLAGGED = frozenset({"content_filter", "content_policy_violation", "flagged"})
"""Error types and codes of an input that moderation refused, with any status; the key is not at fault."""

COME_BACK = re.compile(r"retry in (\d{1,6}(?:\.\d{1,9})?) ?s", re.IGNORECASE)
"""Gemini's wait before the next try, which it gives only in its text."""

WRONG_KEY = re.compile(r"API key (?:not valid|expired|not found)", re.IGNORECASE)
"""Texts of Gemini's 400 for a wrong key, which other providers answer with 401."""

BY_STATUS: Mapping[int, type[ModelError]] = {
    401: AuthenticationFailed,
    403: AuthenticationFailed,
    404: ModelNotFound,
    408: ServerFailed,
    409: ServerFailed,
    413: TooLong,
    425: ServerFailed,  # too early (RFC 8470)
    429: RateLimited,
    529: RateLimited,
}
"""Errors for statuses that differ from the default for their hundred (3xx, 4xx, 5xx)."""

NAMED: Mapping[str, int] = {
    "invalid_request_error": 400,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "BadRequestError": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "UNAUTHENTICATED": 401,
    "billing_error": 402,
    "permission_error": 403,
    "PERMISSION_DENIED": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "NOT_FOUND": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "throttling_error": 429,
    "RESOURCE_EXHAUSTED": 429,
    "api_error": 500,
    "server_error": 500,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "timeout_error": 504,
    "DEADLINE_EXCEEDED": 504,
    "overloaded_error": 529,
}
"""The statuses of error types and codes, for error bodies with a status of success."""

LONGEST_TEXT = 4096
"""Most bytes of an error's text that are examined."""
LONGEST_JSON = 2**20
"""Most bytes of an error body that is parsed as JSON."""

WORDS = ("message", "msg", "detail", "error")
"""The fields that may hold the text of an error."""
DEEPEST, MOST_PARTS = 8, 20


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete HTTP answer. `headers` ignore case; `latency` in seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    latency: float

    def request_id(self, key: str | None) -> str | None:
        """The provider's id of this call, from OpenAI's or Anthropic's header."""
        request_id = self.headers.get("x-request-id") or self.headers.get("request-id")
        return one_line(redact(request_id, key), LONGEST_REASON) if request_id else None


@dataclass(frozen=True, slots=True)
class Said:
    """The contents of an error body: its message, its types and codes, and the HTTP status and the window in tokens
    that it names, if any."""

    reason: str = ""
    codes: frozenset[str] = frozenset()
    status: int | None = None
    window: int | None = None


def classify(answer: Answer, model: str, key: str | None) -> ModelError:
    """The error for a failed answer, or for a success whose body reports a failure; `key` is not in its text."""
    said = explain(answer.body)
    status = answer.status if answer.status >= 300 else said.status or answer.status
    own = own_words(said.reason)
    kind = advised(kind_of(status if status >= 300 else 500, own, said.codes), answer.headers)
    reason = said.reason
    if 300 <= status < 400:
        reason = f"answered with a redirect to {answer.headers.get('location', 'nowhere')}; set the base URL to that"
    if kind is ModelNotFound:
        reason = f"{reason or 'not found'} ({answer.url})"
    if kind is BadRequest and refuses_temperature(said.reason):
        kind = TemperatureRefused
    reason = one_line(redact(reason, key), LONGEST_REASON) or "no reason given"
    if kind in (BadRequest, ServerFailed) and refuses_system(said.reason):
        reason += f'; for a model without system messages set system = "user" under [providers."{model}"]'
    error = kind(
        reason,
        model=model,
        status=status,
        retry_after=retry_after(answer.headers, own),
        request_id=answer.request_id(key),
        allowance=read_allowance(answer.headers),
    )
    if isinstance(error, TooLong):
        error.window = said.window or window_of(own)
    return error


def kind_of(status: int, reason: str, codes: frozenset[str]) -> type[ModelError]:
    """The class of error for a status, refined by the error body."""
    if codes & OVERLOADED:
        return RateLimited
    if is_out_of_credit(status, reason, codes):
        return QuotaExhausted
    kind = BY_STATUS.get(status, ServerFailed if status >= 500 else ModelNotFound if status < 400 else BadRequest)
    if kind is AuthenticationFailed:
        return BadRequest if status == 403 and codes & FLAGGED else kind
    if kind is not ModelNotFound and is_too_long(status, reason, codes):
        return TooLong
    return AuthenticationFailed if status == 400 and WRONG_KEY.search(reason) else kind


def is_out_of_credit(status: int, reason: str, codes: frozenset[str]) -> bool:
    """Whether the account has no credit left. The text is searched too, because Anthropic's 400 has no code, and
    gateways replace OpenAI's. Gemini uses the same text for a limit per minute, but then names a wait."""
    if status == 402 or (status == 400 and "credit balance is too low" in reason):
        return True
    spent = codes & NO_CREDIT or ("exceeded your current quota" in reason and not COME_BACK.search(reason))
    return status in (400, 403, 429) and bool(spent)


def advised(kind: type[ModelError], headers: Mapping[str, str]) -> type[ModelError]:
    """The class of error, changed if the header `x-should-retry`, which both SDKs read, says that a retry is useless
    or useful."""
    match headers.get("x-should-retry"):
        case "false" if kind.retryable:
            return BadRequest
        case "true" if kind is BadRequest:
            return ServerFailed
    return kind


def explain(body: bytes, depth: int = 0) -> Said:
    """Parse an error body.

    Reads `{"error": {"message", "type", "code", "details": {"error_code"}}}` of both providers; OpenRouter's
    `"metadata": {"reasons", "flagged_input"}` as the code "flagged", and its `"raw"`, the error of its provider; the
    flatter bodies of compatible servers (`error` a text, or `message` or `detail` at the top); Gemini's, which are in
    a list; and plain text. `depth`: nesting level of `"raw"` errors.
    """
    if len(body) > LONGEST_JSON:
        return Said(beginning(body))
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Said(beginning(body))
    if isinstance(payload, list) and payload:
        payload = payload[0]
    if not isinstance(payload, dict):
        return Said(beginning(body))
    error = payload.get("error") or payload
    if not isinstance(error, dict):
        text, status = words(error), status_of(payload.get("code")) or status_of(payload.get("status"))
        return Said(text[:LONGEST_TEXT], status=status)
    named = [error.get("code"), error.get("status"), error.get("type")]
    match error:
        case {"details": {"error_code": code}}:
            named.append(code)
        case {"metadata": {"flagged_input": _} | {"reasons": _}}:
            named.append("flagged")
    status = next((found for name in named if (found := status_of(name))), None)
    codes = frozenset(name for name in named if isinstance(name, str) and name)
    reason = message_of(error)
    match error:
        case {"metadata": {"raw": str(raw)}} if depth < DEEPEST:
            inner = explain(raw.encode("utf-8", "replace"), depth + 1).reason
            reason = ": ".join(said for said in (reason, inner) if said)
    return Said(reason[:LONGEST_TEXT], codes, status, count(error.get("n_ctx")) or None)


def beginning(body: bytes) -> str:
    """The first `LONGEST_TEXT` bytes of a body as text."""
    return body[:LONGEST_TEXT].decode("utf-8", "replace")


def message_of(error: Mapping[str, object]) -> str:
    """The text of an error object, "" if it has none."""
    return next((text for name in WORDS if (text := words(error.get(name)))), "")


def words(said: object, depth: int = 0) -> str:
    """The text of a message: a text, FastAPI's list of faults of fields, or an object that holds one of these. Other
    fields may repeat the request (`input`), and are left out."""
    match said:
        case str():
            return said
        case list() if depth < DEEPEST:
            return "; ".join(text for part in said[:MOST_PARTS] if (text := words(part, depth + 1)))
        case {"msg": str(text), "loc": list(place)}:
            return f"{'.'.join(map(str, place[:DEEPEST]))}: {text}"
        case dict() if depth < DEEPEST:
            return next((text for name in WORDS if (text := words(said.get(name), depth + 1))), "")
    return ""


def status_of(name: object) -> int | None:
    """The HTTP status, 400 to 599, of an error's type or code: a number, a number as a text, or a name in `NAMED`;
    None for any other."""
    if isinstance(name, str):
        return int(name) if re.fullmatch("[45][0-9]{2}", name) else NAMED.get(name)
    return name if isinstance(name, int) and 400 <= name < 600 else None


def is_failure(payload: object) -> bool:
    """Whether the body of a success reports a failure, as a gateway's does whose model failed after accepting the
    request. A reply with an additional remark, or with an empty error, is a reply."""
    match payload:
        case [{"error": dict() | str()}, *_]:
            return True
        case {"error": dict(error)} if is_reply(payload):
            return says_something(error)
        case {"error": dict(error) | str(error)} if not is_reply(payload):
            return bool(error) or is_named_one(payload)
    return is_named_one(payload)


def is_named_one(payload: object) -> bool:
    """Whether a body names itself an error."""
    match payload:
        case {"object": "error"} | {"type": "error"}:
            return True
    return False


def is_reply(payload: object) -> bool:
    """Whether a body is a reply in one of the wire formats."""
    match payload:
        case {"choices": [{"message": dict()}, *_]} | {"content": [dict(), *_]}:
            return True
    return False


def says_something(error: Mapping[str, object]) -> bool:
    """Whether an error object has a text, a code or a status; gateways send empty errors with their replies."""
    try:
        said = explain(orjson.dumps({"error": error}))
    except orjson.JSONEncodeError:  # deeper than is written, though not than is read
        return False
    return bool(said.reason.strip() or said.codes or said.status)


def retry_after(headers: Mapping[str, str], reason: str = "") -> float | None:
    """Seconds to wait, >= 0: `retry-after-ms`, else `retry-after` as seconds or as an HTTP date (RFC 9110, 10.2.3),
    else the wait named in the `reason`; None if there is none.

    A date is relative to the answer's own `Date`, so that the clocks need not agree.
    """
    for header, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        number = plain(headers.get(header))
        if number is not None and (meant := wait(number * unit)) is not None:
            return meant
    until = timestamp(headers.get("retry-after"))
    if until is None:
        said = COME_BACK.search(reason)
        return float(said[1]) if said else None
    now = timestamp(headers.get("date"))
    return wait(until - (time.time() if now is None else now))


def timestamp(date: str | None) -> float | None:
    """An HTTP date as seconds since the epoch; None if it is not one."""
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        return None
