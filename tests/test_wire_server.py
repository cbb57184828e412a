"""The wire server: as a process of its own, as benchmarks use it, and the limits and faults that it keeps to."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from itertools import islice
from subprocess import PIPE

import anyio
import orjson
import pytest
from anyio.streams.text import TextReceiveStream
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import RateLimited
from protocols.model import ChatMessage, Request
from protocols.providers.catalogue import ModelSettings, open_model
from protocols.providers.transport.http import open_transport
from tests.wire.books import MINUTE, Window
from tests.wire_server import Weather, WireServer

pytestmark = pytest.mark.anyio


async def test_as_a_process_it_prints_its_url_answers_and_counts() -> None:
    command = [sys.executable, "-m", "tests.wire_server", "--port", "0", "--answer", "中文"]
    async with await anyio.open_process(command, stdout=PIPE, stderr=None) as process, open_transport() as transport:
        assert process.stdout is not None
        output = TextReceiveStream(process.stdout)
        url = (await output.receive()).strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        for name, base_url in (("openai/m", f"{url}/v1"), ("anthropic/m", url)):
            model = open_model(name, ModelSettings(base_url=base_url), {}, transport)
            assert (await model.complete(Request((ChatMessage("user", "12345"),)))).text == "中文"
        async with transport.session.get(f"{url}/counts") as response:
            counts = await response.json()
        process.terminate()
        at_the_end = orjson.loads("".join([chunk async for chunk in output]))
    assert {name: counts[name] for name in ("calls", "answered", "input_tokens", "output_tokens")} == {
        "calls": 2, "answered": 2, "input_tokens": 4, "output_tokens": 4,
    }  # fmt: skip
    assert [account["model"] for account in counts["accounts"]] == ["m"]
    assert at_the_end["calls"] == 2


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


ASK = Request((ChatMessage("user", "12345678"),))


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("weather", [Weather(requests=3), Weather(tokens=9)], ids=["requests", "tokens"])
async def test_a_minute_never_holds_more_than_is_allowed(provider: str, weather: Weather) -> None:
    """Two tokens go in and one comes out: three calls a minute by either limit."""
    clock = Clock()
    async with (
        WireServer(lambda turns: "ok", weather=weather, clock=clock) as server,
        open_transport() as transport,
    ):
        url = server.openai_url if provider == "openai" else server.url
        model = open_model(f"{provider}/m", ModelSettings(base_url=url), {}, transport)
        for moment in (0.0, 10.0, 20.0):
            clock.now = moment
            await model.complete(ASK)
        clock.now = 30.0
        with pytest.raises(RateLimited) as caught:
            await model.complete(ASK)
        assert caught.value.retry_after == pytest.approx(30.0)
        clock.now = 60.0
        await model.complete(ASK)
        [account] = server.books.accounts.values()
    assert (account.calls, account.answered, account.refused) == (5, 4, 1)
    assert (account.minute_calls.most, account.minute_tokens.most) == (3, 9)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "/v1/chat/completions",
            {
                "x-ratelimit-limit-requests": "2",
                "x-ratelimit-remaining-requests": "1",
                "x-ratelimit-reset-requests": "60.000s",
            },
        ),
        ("/v1/messages", {"anthropic-ratelimit-requests-limit": "2", "anthropic-ratelimit-requests-remaining": "1"}),
    ],
)
async def test_limits_are_told_as_the_providers_tell_them(path: str, expected: dict[str, str]) -> None:
    async with (
        WireServer(lambda turns: "ok", weather=Weather(requests=2), clock=Clock()) as server,
        open_transport() as transport,
    ):
        body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}]})
        async with transport.session.post(f"{server.url}{path}", data=body) as response:
            headers = response.headers
    assert {name: headers[name] for name in expected} == expected
    assert "anthropic-ratelimit-requests-reset" in headers or "x-ratelimit-reset-requests" in headers


def test_latencies_and_faults_are_those_of_the_weather() -> None:
    weather = Weather(latency=2.0, sigma=0.5, seed=3, faults={"429": 0.1, "drop": 0.1})
    latencies = sorted(islice(weather.latencies(), 2001))
    assert latencies[1000] == pytest.approx(2.0, rel=0.1)
    assert latencies[1682] / latencies[1000] == pytest.approx(math.exp(0.5), rel=0.1)  # one standard deviation
    faults = Counter(fault.name for fault in islice(weather.troubles(), 2000) if fault)
    assert faults.keys() == {"429", "drop"}
    assert all(150 < number < 250 for number in faults.values())
    assert list(islice(weather.troubles(), 50)) == list(islice(weather.troubles(), 50))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=60))
def test_a_window_holds_the_last_minute(steps: list[tuple[int, int]]) -> None:
    """In whole seconds, where sums are exact."""
    window, entries, now = Window(), [], 0
    for passed, amount in steps:
        now += passed
        window.add(now, amount)
        entries.append((now, amount))
        assert window.sum == sum(a for moment, a in entries if moment > now - MINUTE)
        wait = window.wait(10, 3, now)
        later = [a for moment, a in entries if moment > now + wait - MINUTE]
        assert sum(later) + 3 <= 10 or wait == MINUTE
