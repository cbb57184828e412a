"""The wire server as a process of its own, as benchmarks use it."""

from __future__ import annotations

import re
import sys
from subprocess import PIPE

import anyio
import pytest
from anyio.streams.text import TextReceiveStream

from protocols.model import ChatMessage, Request
from protocols.providers.catalogue import ModelSettings, open_model
from protocols.providers.http import open_transport

pytestmark = pytest.mark.anyio


async def test_as_a_process_it_prints_its_url_answers_and_counts() -> None:
    command = [sys.executable, "-m", "tests.wire_server", "--port", "0", "--answer", "中文"]
    async with await anyio.open_process(command, stdout=PIPE, stderr=None) as process, open_transport() as transport:
        try:
            assert process.stdout is not None
            url = (await TextReceiveStream(process.stdout).receive()).strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
            for name, base_url in (("openai/m", f"{url}/v1"), ("anthropic/m", url)):
                model = open_model(name, ModelSettings(base_url=base_url), {}, transport)
                assert (await model.complete(Request((ChatMessage("user", "12345"),)))).text == "中文"
            async with transport.session.get(f"{url}/stats") as response:
                stats = await response.json()
            assert stats == {"calls": 2, "answered": 2, "input_tokens": 4, "output_tokens": 4}
        finally:
            process.terminate()
