"""Functions that a configuration could name as `client`. Their transports answer in place of a cloud."""

from __future__ import annotations

import anthropic
import httpx2
import openai

MADE: list[openai.AsyncOpenAI | anthropic.AsyncAnthropicBedrock] = []
ASKED: list[httpx2.Request] = []


def reply_openai(request: httpx2.Request) -> httpx2.Response:
    ASKED.append(request)
    return httpx2.Response(200, json={"model": "m", "choices": [{"message": {"content": "from azure"}}]})


def reply_anthropic(request: httpx2.Request) -> httpx2.Response:
    ASKED.append(request)
    usage = {"input_tokens": 1, "output_tokens": 1}
    return httpx2.Response(200, json={"content": [{"type": "text", "text": "from bedrock"}], "usage": usage})


def azure() -> openai.AsyncAzureOpenAI:
    client = openai.AsyncAzureOpenAI(
        api_key="azure-key-0123456789",
        api_version="2026-01-01",
        azure_endpoint="https://unit.openai.azure.com",
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(reply_openai)),
    )
    MADE.append(client)
    return client


def bedrock() -> anthropic.AsyncAnthropicBedrock:
    client = anthropic.AsyncAnthropicBedrock(
        api_key="bedrock-key-0123456789",
        aws_region="eu-central-1",
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(reply_anthropic)),
    )
    MADE.append(client)
    return client


def broken() -> openai.AsyncOpenAI:
    raise RuntimeError("no credentials: sk-0123456789abcdef\nlook elsewhere")


async def asynchronous() -> openai.AsyncOpenAI:
    return azure()


def not_a_client() -> str:
    return "sk-0123456789abcdef"
