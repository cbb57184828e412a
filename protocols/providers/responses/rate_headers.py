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

from protocols.model import Allowance, Usage

DIALECTS: Final = ("x-ratelimit-{part}-{what}", "anthropic-ratelimit-{what}-{part}")
PARTS: Final = ("limit", "remaining", "reset")
HEADERS: Final = tuple(
    tuple(tuple(dialect.format(part=part, what=what) for part in PARTS) for what in ("requests", "tokens"))
    for dialect in DIALECTS
)
"""For each dialect the headers of requests, then of tokens: limit, what remains, when all of it is there again."""

PLAIN: Final = re.compile(r"-?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?")
UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
HIGHEST: Final = 10**12
"""The highest limit that is believed, a minute: a thousand times what any account has."""
LONGEST: Final = 31 * 86400.0
"""The longest wait that is believed, in seconds: no quota is for longer than a month."""


def read_allowance(headers: Mapping[str, str], used: Usage | None = None) -> Allowance | None:
    """The limits that the headers tell of, None if of none. Limits are taken to be for one minute.

    A limit on tokens below what the answered call itself has `used` of them is not believed: such a call is refused.
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
    """A limit above 0 and up to `HIGHEST`; some gateways say -1 or 0 for what they do not know."""
    limit = plain(value)
    return int(limit) if limit is not None and 0 < limit <= HIGHEST and limit == int(limit) else None


def wait_for(headers: Mapping[str, str], names: tuple[str, ...]) -> float | None:
    """Seconds until there is room again; None if there is some now."""
    limit, remaining, reset = (headers.get(name) for name in names)
    return seconds(reset) if plain(remaining) == 0 and count(limit) else None


def plain(value: str | None) -> float | None:
    """A finite number of a header, written out in digits; Python's float() knows other forms as well."""
    number = float(value) if value and PLAIN.fullmatch(value.strip()) else math.inf
    return number if math.isfinite(number) else None


def wait(seconds: float) -> float | None:
    """Seconds to wait, >= 0; None for a wait that no provider means."""
    return max(0.0, seconds) if seconds <= LONGEST else None


def seconds(reset: str | None) -> float | None:
    """From `6m0s`, `12ms`, plain seconds, or Anthropic's RFC 3339 time, >= 0; None if it is none of them."""
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
