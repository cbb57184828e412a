"""The shared transport: one pooled aiohttp session, and one function that posts and maps transport failures."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from urllib.request import getproxies

import aiohttp
import orjson

from protocols.errors import BadReply, BadRequest, CallTimeout, ConnectionFailed, ModelError
from protocols.model import Usage
from protocols.providers.failures import Answer, classify, is_failure, redact

JsonObject = dict[str, object]


@dataclass(frozen=True, slots=True)
class Transport:
    """What every model of a process shares. `closing` also closes the client objects that were opened by name."""

    session: aiohttp.ClientSession
    closing: AsyncExitStack


@dataclass(frozen=True)
class Endpoint:
    """Where to call and as whom. `base_url` has no trailing slash; `timeout` in seconds, for one whole call."""

    base_url: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 120.0

    @cached_property
    def client_timeout(self) -> aiohttp.ClientTimeout:
        """The timeout as aiohttp takes it."""
        return aiohttp.ClientTimeout(total=self.timeout)

    def headers(self) -> dict[str, str]:
        """Both SDKs send the key as a bearer token (anthropic since 2.0)."""
        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "promptflow"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return headers


@asynccontextmanager
async def open_transport(connections: int = 256, keep_alive: float = 60.0) -> AsyncIterator[Transport]:
    """Open the pool, and close it at the end.

    `connections`: how many may be open at once (a call beyond that waits, and its timeout runs); at least the sum
    of the limiters' concurrency. `keep_alive`: seconds that an idle connection stays open.
    """
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=keep_alive, ttl_dns_cache=300)
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        # With trust_env aiohttp looks for a proxy (and ~/.netrc) at every call, so only where a proxy is set.
        trust_env=bool(getproxies()),
    )
    async with session, AsyncExitStack() as closing:
        yield Transport(session, closing)


async def post(
    transport: Transport, endpoint: Endpoint, path: str, headers: Mapping[str, str], body: JsonObject, model: str
) -> Answer:
    """Post `body` as JSON and read the whole answer, whatever its status. Sends once.

    :raises BadRequest: the body cannot be written as UTF-8.
    :raises CallTimeout: `endpoint.timeout` ran out.
    :raises ConnectionFailed: no connection, or one that broke before the answer was whole.
    """
    url = endpoint.base_url + path
    data = encode(body, model)
    failure: ModelError
    started = time.perf_counter()
    try:
        async with transport.session.post(
            url,
            data=aiohttp.BytesPayload(data),  # as it is; of bytes aiohttp asks at every call what they are
            headers=headers,
            timeout=endpoint.client_timeout,
            allow_redirects=False,
        ) as response:
            content = await response.read()
            return Answer(response.status, response.headers, content, url, time.perf_counter() - started)
    except TimeoutError:
        failure = CallTimeout(f"no reply from {endpoint.base_url} within {endpoint.timeout:g} s", model=model)
    except (aiohttp.ClientError, OSError) as error:
        what = redact(str(error) or type(error).__name__, endpoint.key)
        failure = ConnectionFailed(f"no whole reply from {endpoint.base_url}: {what}", model=model)
    # Raised out here because aiohttp's errors carry the request's headers, and with them the key.
    raise failure


def encode(body: JsonObject, model: str) -> bytes:
    """UTF-8 JSON, nothing escaped that need not be.

    :raises BadRequest: a text holds half of a surrogate pair, which UTF-8 cannot carry.
    """
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise BadRequest(f"the request cannot be written as UTF-8 JSON: {error}", model=model) from None


def decode(answer: Answer, model: str, key: str | None) -> JsonObject:
    """The JSON object of an answer.

    :raises ModelError: the status or the body says that the call failed; the class says how.
    :raises BadReply: a success whose body is not a JSON object.
    """
    if not 200 <= answer.status < 300:
        raise classify(answer, model, key)
    try:
        payload = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise unusable(f"is not JSON ({error})", answer, model, key) from None
    if is_failure(payload):
        raise classify(answer, model, key)
    if not isinstance(payload, dict):
        raise unusable("is not a JSON object", answer, model, key)
    return payload


def unusable(what: str, answer: Answer, model: str, key: str | None, usage: Usage | None = None) -> BadReply:
    """A success that cannot be read: `what` completes "the reply …"; it was billed for `usage`, if that is known."""
    request_id = answer.request_id(key)
    return BadReply(f"the reply {what}", model=model, status=answer.status, request_id=request_id, usage=usage)


def number(value: object) -> int:
    """A count in an answer; 0 where there is none."""
    return value if isinstance(value, int) else 0
