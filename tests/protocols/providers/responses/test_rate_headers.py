"""What the rate-limit headers of both providers say, through both ways of calling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import RateLimited
from protocols.model import Allowance, ChatMessage, Request
from protocols.providers.responses.rate_headers import read_allowance, seconds
from tests.protocols.providers.conftest import WAYS, Lab
from tests.wire_server import Fault

pytestmark = pytest.mark.anyio


def openai_headers(limit: str, remaining: str, reset: str, what: str = "requests") -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": limit,
        f"x-ratelimit-remaining-{what}": remaining,
        f"x-ratelimit-reset-{what}": reset,
    }


@pytest.mark.parametrize(
    ("headers", "allowance"),
    [
        ({}, None),
        ({"retry-after": "3"}, None),
        (openai_headers("5000", "4999", "12ms"), Allowance(5000)),
        (openai_headers("5000", "0", "1m30.5s"), Allowance(5000, None, 90.5)),
        (openai_headers("40000", "0", "20s", "tokens"), Allowance(None, 40000, 20.0)),
        (
            openai_headers("60", "0", "1s") | openai_headers("40000", "0", "6m0s", "tokens"),
            Allowance(60, 40000, 360.0),
        ),
        (openai_headers("-1", "-1", "0"), Allowance()),
        (openai_headers("many", "0", "soon"), Allowance()),
    ],
)
def test_openai(headers: dict[str, str], allowance: Allowance | None) -> None:
    assert read_allowance(headers) == allowance


def test_anthropic() -> None:
    reset = (datetime.now(UTC) + timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {
        "anthropic-ratelimit-requests-limit": "1000",
        "anthropic-ratelimit-requests-remaining": "999",
        "anthropic-ratelimit-requests-reset": reset,
        "anthropic-ratelimit-tokens-limit": "80000",
        "anthropic-ratelimit-tokens-remaining": "0",
        "anthropic-ratelimit-tokens-reset": reset,
    }
    allowance = read_allowance(headers)
    assert allowance is not None
    assert (allowance.requests, allowance.tokens) == (1000, 80000)
    assert allowance.wait is not None
    assert 20 < allowance.wait <= 30


@given(st.text(max_size=12) | st.floats().map(str) | st.from_regex(r"\A(\d{1,9}(ms|s|m|h|d)){1,3}\Z"))
def test_any_time_is_a_number_of_seconds_or_none(reset: str) -> None:
    value = seconds(reset)
    assert value is None or 0 <= value < float("inf")


@pytest.mark.parametrize("way", WAYS)
async def test_a_rate_limit_comes_with_its_allowance(lab: Lab, way: str) -> None:
    lab.server.faults.append(Fault(status=429, headers=openai_headers("60", "0", "2s"), body=b"{}"))
    with pytest.raises(RateLimited) as caught:
        await lab.model(way).complete(Request((ChatMessage("user", "hello"),)))
    assert caught.value.allowance == Allowance(60, None, 2.0)
