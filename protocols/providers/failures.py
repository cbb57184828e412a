"""What a failed call means: from HTTP status, headers and error body to the tree in protocols/errors.py.

Sources: https://platform.openai.com/docs/guides/error-codes, https://docs.anthropic.com/en/api/errors, and the
exception tables of both SDKs, against which the tests check this one.
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
)
from protocols.providers.limits import plain, read_allowance, wait

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
"""Error types and codes that ask everybody to slow down, whatever the status."""

FLAGGED = frozenset({"content_filter", "content_policy_violation", "flagged"})
"""Error types and codes of an input that moderation has refused, whatever the status: no fault of the key."""

KEY_LIKE = re.compile(r"\b(?:sk|rk|pk)-[\w*.-]{6,}|\bbearer\s+\S+", re.IGNORECASE)
LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, read whole. `headers` ignore case; `latency` in seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    latency: float

    def request_id(self, key: str | None) -> str | None:
        """The provider's name for this call: OpenAI's header, or Anthropic's."""
        request_id = self.headers.get("x-request-id") or self.headers.get("request-id")
        return one_line(redact(request_id, key)) if request_id else None


def classify(answer: Answer, model: str, key: str | None) -> ModelError:
    """The error that an answer without success stands for. `key` is kept out of its text."""
    reason, codes = explain(answer.body)
    kind = kind_of(answer.status, reason, codes)
    if answer.status < 400:
        reason = f"answered with a redirect to {answer.headers.get('location', 'nowhere')}; set the base URL to that"
    if kind is ModelNotFound:
        reason = f"{reason or 'not found'} ({answer.url})"
    return kind(
        one_line(redact(reason, key)) or "no reason given",
        model=model,
        status=answer.status,
        retry_after=retry_after(answer.headers),
        request_id=answer.request_id(key),
        allowance=read_allowance(answer.headers),
    )


def kind_of(status: int, reason: str, codes: frozenset[str]) -> type[ModelError]:
    """The class for a status, refined by the types and codes of the error body."""
    if codes & OVERLOADED:
        return RateLimited
    if status == 402 or (status == 429 and codes & NO_CREDIT):
        return QuotaExhausted
    if status == 400 and "credit balance is too low" in reason:  # Anthropic's, which has no code of its own
        return QuotaExhausted
    match status:
        case 403 if codes & FLAGGED:
            return BadRequest
        case 401 | 403:
            return AuthenticationFailed
        case 404:
            return ModelNotFound
        case 429 | 529:
            return RateLimited
        case _ if status == 408 or status >= 500:
            return ServerFailed
        case _ if status < 400:
            return ModelNotFound
        case _:
            return BadRequest


def explain(body: bytes) -> tuple[str, frozenset[str]]:
    """The message of an error body and its types and codes.

    Reads `{"error": {"message", "type", "code", "details": {"error_code"}}}` of both providers, OpenRouter's
    `"metadata": {"reasons", "flagged_input"}` as the code "flagged", the flatter ones of compatible servers (`error`
    a text, or `message` or `detail` at the top), and plain text.
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace"), frozenset()
    if not isinstance(payload, dict):
        return body.decode("utf-8", "replace"), frozenset()
    error = payload.get("error") or payload
    if not isinstance(error, dict):
        return str(error), frozenset()
    codes = [error.get("type"), error.get("code")]
    match error:
        case {"details": {"error_code": code}}:
            codes.append(code)
        case {"metadata": {"flagged_input": _} | {"reasons": _}}:
            codes.append("flagged")
    message = error.get("message") or error.get("detail") or ""
    return str(message), frozenset(code for code in codes if isinstance(code, str))


def hidden_status(payload: Mapping[str, object]) -> int | None:
    """The status that a gateway reports inside a 200, because the model behind it failed after it had accepted."""
    match payload:
        case {"error": {"code": int(status)}} if 400 <= status < 600:
            return status
    return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, >= 0: `retry-after-ms`, else `retry-after` as seconds or as an HTTP date (RFC 9110, 10.2.3).

    A date counts from the answer's own `Date`, so that the clocks need not agree.
    """
    for header, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        number = plain(headers.get(header))
        if number is not None and (meant := wait(number * unit)) is not None:
            return meant
    until = timestamp(headers.get("retry-after"))
    if until is None:
        return None
    now = timestamp(headers.get("date"))
    return wait(until - (time.time() if now is None else now))


def timestamp(date: str | None) -> float | None:
    """Seconds since the epoch of an HTTP date; None if it is not one."""
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        return None


def redact(text: str, key: str | None) -> str:
    """`text` without the key, or anything that looks like one.

    A stand-in of fewer than eight letters (`x`, `EMPTY`, which local servers take) is no secret and stays.
    """
    if key and len(key) >= 8:
        text = text.replace(key, "[key]")
    return KEY_LIKE.sub("[key]", text)


def one_line(text: str) -> str:
    """White space collapsed, cut at `LONGEST_REASON` characters."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"
