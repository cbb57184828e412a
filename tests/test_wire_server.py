"""The wire server as a process of its own, as benchmarks use it."""

from __future__ import annotations

import re
import sys
from subprocess import PIPE

import anyio
import orjson
import pytest
from anyio.streams.text import TextReceiveStream

from protocols.model import ChatMessage, Request
from protocols.providers.catalogue import ModelSettings, open_model
from protocols.providers.http import open_transport

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
