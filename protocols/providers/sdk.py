"""Models on a client object of an official SDK: Azure, Bedrock, Vertex, Foundry, a custom transport.

The SDK does authentication, addressing and transport. The JSON of requests and replies is written and read by the
same functions as on the direct path: `client.post(path, body=…, cast_to=httpx2.Response)` is the SDKs' documented way
to do this, and costs half of their `create`. We retry ourselves, so the SDKs' retries are off.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anthropic
import anyio
import httpx2
import openai

from protocols.errors import AuthenticationFailed, BadReply, BadRequest, CallTimeout, ConfigError, ConnectionFailed
from protocols.files.named import Named
from protocols.files.users_code import users_code
from protocols.model import Reply, Request
from protocols.providers import anthropic as messages
from protocols.providers import openai as chat
from protocols.providers.responses import chat_reply, messages_reply
from protocols.providers.responses.failures import Answer, classify
from protocols.providers.wire import Wire
from protocols.text import LONGEST_REASON, one_line, redact

OpenAIClient = openai.AsyncOpenAI
AnthropicClient = (
    anthropic.AsyncAnthropic
    | anthropic.AsyncAnthropicAWS
    | anthropic.AsyncAnthropicBedrock
    | anthropic.AsyncAnthropicBedrockMantle
    | anthropic.AsyncAnthropicGoogleCloud
    | anthropic.AsyncAnthropicVertex
)


class OpenAISdkModel:
    """A `ChatModel` on an `openai.AsyncOpenAI` or one of its subclasses. The maker of the client closes it.

    `timeout`: in seconds for one whole call, in addition to the client's own timeouts.
    """

    def __init__(
        self,
        model: str,
        client: OpenAIClient,
        timeout: float = 120.0,
        wire: Wire | None = None,
    ) -> None:
        self._model, self._timeout = model, timeout
        self.name = f"openai/{model}"
        self._client = client.with_options(max_retries=0)
        self._wire = chat.settled(wire or Wire(), str(client.base_url))

    async def complete(self, request: Request) -> Reply:
        body = chat.request_body(request, self._model, self._wire)
        started = time.perf_counter()
        errors = sdk_errors(self.name, key_of(self._client))
        with users_code(f"the client of {self.name}"), errors, anyio.fail_after(self._timeout):
            response = await self._client.post(
                chat.PATH, cast_to=httpx2.Response, body=body, options={"security": {"bearer_auth": True}}
            )
        answer = answer_of(response, time.perf_counter() - started)
        return chat_reply.read_reply(answer, self.name, key_of(self._client), request, stream=self._wire.stream)


class AnthropicSdkModel:
    """A `ChatModel` on one of the `AnthropicClient` classes. The maker of the client closes it.

    `timeout`: see `OpenAISdkModel`.
    """

    def __init__(self, model: str, client: AnthropicClient, timeout: float = 120.0, wire: Wire | None = None) -> None:
        self._model, self._timeout, self._wire = model, timeout, wire or Wire()
        self.name = f"anthropic/{model}"
        self._client = client.with_options(max_retries=0)

    async def complete(self, request: Request) -> Reply:
        body = messages.request_body(request, self._model, self._wire)
        headers = {"anthropic-version": self._wire.version or messages.api_version(request)}
        started = time.perf_counter()
        errors = sdk_errors(self.name, key_of(self._client))
        with users_code(f"the client of {self.name}"), errors, anyio.fail_after(self._timeout):
            response = await self._client.post(
                messages.PATH, cast_to=httpx2.Response, body=body, options={"headers": headers}
            )
        answer = answer_of(response, time.perf_counter() - started)
        return messages_reply.read_reply(answer, self.name, key_of(self._client), request, stream=self._wire.stream)


@contextmanager
def sdk_errors(model: str, key: str | None) -> Iterator[None]:
    """Map the SDKs' errors to ours.

    The SDK's error is not kept as the cause (`from None`), because it holds the request and so the key.
    """
    try:
        yield
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        raise classify(answer_of(error.response, 0.0), model, key) from None
    except (TimeoutError, openai.APITimeoutError, anthropic.APITimeoutError):
        raise CallTimeout("no reply within the time allowed", model=model) from None
    except (openai.APIConnectionError, anthropic.APIConnectionError) as error:
        cause = error.__cause__ or error
        reached = not isinstance(cause, httpx2.ConnectError | httpx2.UnsupportedProtocol)
        raise ConnectionFailed(f"no whole reply: {explain(cause, key)}", model=model, reached=reached) from None
    except UnicodeEncodeError as error:
        raise BadRequest(f"the request cannot be written as UTF-8 JSON: {error.reason}", model=model) from None
    except (openai.APIResponseValidationError, anthropic.APIResponseValidationError, json.JSONDecodeError):
        raise BadReply("the reply is not what the SDK expects", model=model) from None
    except (openai.OpenAIError, anthropic.AnthropicError) as error:  # the remaining SDK errors concern credentials
        raise AuthenticationFailed(explain(error, key), model=model) from None
    except Exception as error:  # a library that fetches credentials for the client has its own errors
        reason = f"no credentials, or no connection: {explain(error, key)}"
        raise ConnectionFailed(reason, model=model, reached=False) from None


def explain(error: BaseException, key: str | None) -> str:
    return one_line(redact(f"{type(error).__name__}: {error}", key), LONGEST_REASON)


def key_of(client: OpenAIClient | AnthropicClient) -> str | None:
    """The client's current key, if any; some clients renew their key."""
    key: object = getattr(client, "api_key", None)
    return key if isinstance(key, str) else None


def answer_of(response: httpx2.Response, latency: float) -> Answer:
    """An SDK's response as an `Answer` of the direct path."""
    url = str(response.url.copy_with(query=None))
    return Answer(response.status_code, response.headers, response.content, url, latency)


def load_client(named: Named) -> object:
    """Call the function that is named, and return the client that it returns.

    :raises ConfigError: the function does not exist, fails, or is asynchronous.
    """
    reference = named.use
    if not named.nameless and not all(reference.partition(":")[::2]):
        raise ConfigError(f"client {reference!r} names no function; write module:function")
    client: object = named.made("client", {})
    if inspect.iscoroutine(client):
        client.close()
        raise ConfigError(f"client {reference!r} is asynchronous; write a plain function that returns the client")
    return client
