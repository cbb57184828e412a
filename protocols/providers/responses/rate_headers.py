"""Reads the account's rate limits in the headers of an answer.

Sources: https://platform.openai.com/docs/guides/rate-limits (headers), https://docs.anthropic.com/en/api/rate-limits.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from protocols.model import Allowance, Usage

DIALECTS: Final = ("x-ratelimit-{part}-{what}", "anthropic-ratelimit-{what}-{part}")
PARTS: Final = ("limit", "remaining", "reset")
HEADERS: Final = tuple(
    tuple(tuple(dialect.format(part=part, what=what) for part in PARTS) for what in ("requests", "tokens"))
    for dialect in DIALECTS
)
"""For each dialect the headers of requests, then of tokens: the limit, the rest of it, the time of its reset."""

PLAIN: Final = re.compile(r"-?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?")
UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
HIGHEST: Final = 10**12
"""Highest credible limit per minute: a thousand times that of any account."""
LONGEST: Final = 31 * 86400.0
"""Longest credible wait in seconds: no quota is for longer than a month."""


def read_allowance(headers: Mapping[str, str], used: Usage | None = None) -> Allowance | None:
    """The limits in the headers, None if there are none. They are assumed to be per minute.

    A token limit below the input that the answered call `used` is ignored, because such a call would be refused.
    """
    for requests, tokens in HEADERS:
        if requests[0] in headers or tokens[0] in headers:
            waits = [wait for wait in (wait_for(headers, requests), wait_for(headers, tokens)) if wait is not None]
            limit = count(headers.get(tokens[0]))
            if limit is not None and used is not None and limit < used.input:
                limit = None
            return Allowance(count(headers.get(requests[0])), limit, max(waits, default=None))
    return None


def count(value: str | None) -> int | None:
    """A limit above 0 and up to `HIGHEST`; else None, because some gateways send -1 or 0 for an unknown limit."""
    limit = plain(value)
    return int(limit) if limit is not None and 0 < limit <= HIGHEST and limit == int(limit) else None


def wait_for(headers: Mapping[str, str], names: tuple[str, ...]) -> float | None:
    """Seconds until an exhausted limit has room again; None if it is not exhausted."""
    limit, remaining, reset = (headers.get(name) for name in names)
    return seconds(reset) if plain(remaining) == 0 and count(limit) else None


def plain(value: str | None) -> float | None:
    """A finite number of a header, written in digits; else None. Python's float() accepts other forms too."""
    number = float(value) if value and PLAIN.fullmatch(value.strip()) else math.inf
    return number if math.isfinite(number) else None


def wait(seconds: float) -> float | None:
    """Seconds to wait, >= 0; None for a wait that is not credible."""
    return max(0.0, seconds) if seconds <= LONGEST else None


def seconds(reset: str | None) -> float | None:
    """The seconds, >= 0, in `6m0s`, `12ms`, plain seconds, or until Anthropic's RFC 3339 time; else None."""
    if not reset:
        return None
    spans = SPAN.findall(reset)
    if spans and "".join(value + unit for value, unit in spans) == reset:
        return wait(sum(float(value) * UNITS[unit] for value, unit in spans))
    if (number := plain(reset)) is not None:
        return wait(number)
    try:
        return wait(datetime.fromisoformat(reset).timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None
