"""What an answer's headers say of the account's limits.

Sources: https://platform.openai.com/docs/guides/rate-limits (headers), https://docs.anthropic.com/en/api/rate-limits.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from protocols.model import Allowance

DIALECTS: Final = ("x-ratelimit-{part}-{what}", "anthropic-ratelimit-{what}-{part}")
PARTS: Final = ("limit", "remaining", "reset")
HEADERS: Final = tuple(
    tuple(tuple(dialect.format(part=part, what=what) for part in PARTS) for what in ("requests", "tokens"))
    for dialect in DIALECTS
)
"""For each dialect the headers of requests, then of tokens: limit, what remains, when all of it is there again."""

UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")


def read_allowance(headers: Mapping[str, str]) -> Allowance | None:
    """The limits that the headers tell of, None if of none. Limits are taken to be for one minute."""
    for requests, tokens in HEADERS:
        if requests[0] in headers or tokens[0] in headers:
            waits = [wait for wait in (wait_for(headers, requests), wait_for(headers, tokens)) if wait is not None]
            limits = count(headers.get(requests[0])), count(headers.get(tokens[0]))
            return Allowance(*limits, max(waits, default=None))
    return None


def count(value: str | None) -> int | None:
    """A limit above 0; some gateways say -1 or 0 for what they do not know."""
    return int(value) if value and value.isascii() and value.isdigit() and int(value) > 0 else None


def wait_for(headers: Mapping[str, str], names: tuple[str, ...]) -> float | None:
    """Seconds until there is room again; None if there is some now."""
    limit, remaining, reset = (headers.get(name) for name in names)
    return seconds(reset) if remaining == "0" and count(limit) else None


def seconds(reset: str | None) -> float | None:
    """From `6m0s`, `12ms`, plain seconds, or Anthropic's RFC 3339 time, >= 0; None if it is none of them."""
    if not reset:
        return None
    spans = SPAN.findall(reset)
    if spans and "".join(value + unit for value, unit in spans) == reset:
        return sum(float(value) * UNITS[unit] for value, unit in spans)
    try:
        plain = float(reset)
        return max(0.0, plain) if math.isfinite(plain) else None
    except ValueError:
        pass
    try:
        return max(0.0, datetime.fromisoformat(reset).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
