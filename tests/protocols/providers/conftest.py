"""A wire server, a transport, and the four ways to reach a model: two formats, directly and over an SDK's client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anthropic
import openai
import pytest

from protocols.model import ChatModel
from protocols.providers.anthropic import AnthropicModel
from protocols.providers.openai import OpenAIModel
from protocols.providers.sdk import AnthropicSdkModel, OpenAISdkModel
from protocols.providers.transport.http import Endpoint, Transport, open_transport
from protocols.providers.wire import STANDARD, Wire
from tests.wire_server import WireServer

KEY = "sk-test-0123456789abcdefghijklmnopqrstuvwxyz"
WAYS = ("openai", "anthropic", "openai-sdk", "anthropic-sdk")


@dataclass(frozen=True, slots=True)
class Lab:
    """Opens models and SDK clients on the local server, and closes them at the end of the test."""

    server: WireServer
    transport: Transport
    exits: AsyncExitStack

    def model(self, way: str, *, timeout: float = 30.0, key: str = KEY, wire: Wire = STANDARD) -> ChatModel:
        match way:
            case "openai":
                return OpenAIModel("m-1", Endpoint(self.server.openai_url, key, timeout), self.transport, wire)
            case "anthropic":
                return AnthropicModel("m-1", Endpoint(self.server.url, key, timeout), self.transport, wire)
            case "openai-sdk":
                return OpenAISdkModel("m-1", self.openai_client(key, max_retries=2), timeout, wire)
            case _:
                return AnthropicSdkModel("m-1", self.anthropic_client(key, max_retries=2), timeout, wire)

    def openai_client(self, key: str = KEY, max_retries: int = 0) -> openai.AsyncOpenAI:
        client = openai.AsyncOpenAI(api_key=key, base_url=self.server.openai_url, max_retries=max_retries)
        self.exits.push_async_callback(client.close)
        return client

    def anthropic_client(self, key: str = KEY, max_retries: int = 0) -> anthropic.AsyncAnthropic:
        client = anthropic.AsyncAnthropic(api_key=key, base_url=self.server.url, max_retries=max_retries)
        self.exits.push_async_callback(client.close)
        return client


@pytest.fixture
async def lab(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    for variable in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    async with (
        WireServer(lambda turns: turns[-1][1][::-1]) as server,
        open_transport() as transport,
        AsyncExitStack() as exits,
    ):
        yield Lab(server, transport, exits)
