"""The shared transport: one pooled aiohttp session, and one function that posts and maps transport failures."""

from __future__ import annotations

import io
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

import aiohttp
import orjson

from protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    CallTimeout,
    ConfigError,
    ConnectionFailed,
    ModelError,
)
from protocols.providers.local.processes import LocalModels
from protocols.providers.responses.decoding import JsonObject
from protocols.providers.responses.failures import Answer
from protocols.providers.transport.clients import Clients
from protocols.providers.transport.proxies import Proxies, Proxy
from protocols.text import redact

PROXY_AUTHENTICATION = 407
KEEP_ALIVE = 60.0
"""Seconds that an idle connection stays open."""
WHOLE = 2**20
"""Longest body in bytes that is sent in one piece."""
UNSENT = (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, aiohttp.InvalidURL)
"""aiohttp's errors that are raised before anything is sent to the server."""


@dataclass(frozen=True, slots=True)
class Transport:
    """The resources shared by all models of a process. `closing` also closes SDK clients, unless other users in
    `clients` still use them. `local`: the models on this machine, which end with the process."""

    session: aiohttp.ClientSession
    closing: AsyncExitStack
    proxies: Proxies = field(default_factory=lambda: Proxies({}))
    clients: Clients = field(default_factory=Clients)
    local: LocalModels = field(default_factory=LocalModels)

    def direct(self) -> Transport:
        """The same connections without proxies, for models on this machine."""
        return replace(self, proxies=Proxies({}))

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Transport]:
        """The same connections for one search: its clients are closed or given back when the block ends."""
        async with AsyncExitStack() as closing:
            yield replace(self, closing=closing)


@dataclass(frozen=True)
class Endpoint:
    """The address and the key of calls. `base_url`: without a trailing slash. `timeout`: in seconds for one whole
    call. `key_header`: the header that holds only the key, instead of a bearer token."""

    base_url: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 120.0
    key_header: str | None = None

    @cached_property
    def client_timeout(self) -> aiohttp.ClientTimeout:
        """The timeout for aiohttp."""
        return aiohttp.ClientTimeout(total=self.timeout)

    def headers(self) -> dict[str, str]:
        """The headers of a call. As in both SDKs (anthropic since 2.0), the key is sent as a bearer token."""
        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "promptflow"}
        if self.key and self.key_header:
            headers[self.key_header] = self.key
        elif self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return headers


@asynccontextmanager
async def open_transport(environ: Mapping[str, str] | None = None) -> AsyncIterator[Transport]:
    """Open the pool, and close it at the end.

    The pool has no limit of its own: the limiters say how many calls are out, and one that waited for a connection
    would wait while its timeout runs. `environ` None: the process's variables; of those, proxies and certificates are
    read.

    :raises ConfigError: the file or folder of SSL_CERT_FILE or SSL_CERT_DIR cannot be read.
    """
    variables = os.environ if environ is None else environ
    connector = aiohttp.TCPConnector(
        limit=0, keepalive_timeout=KEEP_ALIVE, ttl_dns_cache=300, ssl=certificates(variables)
    )
    # With trust_env aiohttp would read ~/.netrc and send its passwords to model servers.
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
    clients, local = Clients(), LocalModels(variables)
    async with session, aclosing(clients), aclosing(local), AsyncExitStack() as closing:
        yield Transport(session, closing, Proxies(variables), clients, local)


def certificates(environ: Mapping[str, str]) -> ssl.SSLContext | bool:
    """The trusted certificates: the system's, and those in SSL_CERT_FILE and SSL_CERT_DIR. True: only the system's.

    :raises ConfigError: the file or the folder cannot be read.
    """
    file, folder = (environ.get(name, "").strip() or None for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    if file is None and folder is None:
        return True
    context = ssl.create_default_context()
    for variable, path, read in (("SSL_CERT_FILE", file, os.path.isfile), ("SSL_CERT_DIR", folder, os.path.isdir)):
        if path is not None and not read(path):
            raise ConfigError(f"{variable} names {path}, which is not there; mend it, or unset it")
    try:
        context.load_verify_locations(file, folder)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"SSL_CERT_FILE names {file}, which holds no certificates ({error})") from None
    return context


async def post(
    transport: Transport, endpoint: Endpoint, path: str, headers: Mapping[str, str], body: JsonObject, model: str
) -> Answer:
    """Post `body` as JSON and read the whole answer, with any status. It is sent once.

    :raises BadRequest: the body cannot be written as UTF-8.
    :raises ModelError, ConfigError: as `exchange`.
    """
    return await exchange(transport, endpoint, path, headers, encode(body, model), model)


async def exchange(
    transport: Transport, endpoint: Endpoint, path: str, headers: Mapping[str, str], data: bytes | None, model: str
) -> Answer:
    """Post the bytes, or get the path if they are None, and read the whole answer, with any status. It is sent once.

    :raises CallTimeout: `endpoint.timeout` has passed.
    :raises ConfigError: the proxy that the environment names for this address cannot be used.
    :raises AuthenticationFailed: the proxy asks for a password.
    :raises ConnectionFailed: no connection was made, or it broke before the answer was complete.
    """
    url = endpoint.base_url + path
    proxy = transport.proxies.of(endpoint.base_url)
    tunnel = None
    if proxy is not None:
        headers, tunnel = through(proxy, url, headers)
    failure: ModelError
    started = time.perf_counter()
    try:
        async with transport.session.request(
            "GET" if data is None else "POST",
            url,
            data=None if data is None else payload_of(data),
            headers=headers,
            timeout=endpoint.client_timeout,
            allow_redirects=False,
            proxy=proxy.url if proxy else None,
            proxy_headers=tunnel,
        ) as response:
            content = await response.read()
            answer = Answer(response.status, response.headers, content, url, time.perf_counter() - started)
            if proxy is None or answer.status != PROXY_AUTHENTICATION:
                return answer
            failure = refused_by(proxy, model)
    except TimeoutError:
        failure = CallTimeout(
            f"no reply from {by_way_of(endpoint, proxy)} within {endpoint.timeout:g} s", model=model
        )
    except aiohttp.ClientHttpProxyError as error:
        what = f"it answered {error.status} {redact(error.message, endpoint.key)}"
        failure = ConnectionFailed(
            f"no connection to {by_way_of(endpoint, proxy)}: {what}", model=model, reached=False
        )
        if proxy is not None and error.status == PROXY_AUTHENTICATION:
            failure = refused_by(proxy, model)
    except (aiohttp.ClientError, OSError) as error:
        what = redact(str(error) or type(error).__name__, endpoint.key)
        reached = not isinstance(error, UNSENT)
        whom = by_way_of(endpoint, proxy)
        failure = ConnectionFailed(f"no whole reply from {whom}: {what}", model=model, reached=reached)
    # Raised here, outside `except`, because aiohttp's errors hold the request's headers and so the key.
    raise failure


def payload_of(data: bytes) -> aiohttp.Payload:
    """The body for aiohttp: it would look up the type of plain bytes at every call, and it sends many bytes piece by
    piece only if they are a file."""
    return aiohttp.BytesPayload(data) if len(data) <= WHOLE else aiohttp.BytesIOPayload(io.BytesIO(data))


def through(proxy: Proxy, url: str, headers: Mapping[str, str]) -> tuple[Mapping[str, str], dict[str, str]]:
    """The headers of a call, and those of the request for a tunnel, which https uses through a proxy. Only the proxy
    gets its password; it removes the password from calls that it forwards."""
    password = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
    return (headers, password) if url.startswith("https:") else ({**headers, **password}, {})


def by_way_of(endpoint: Endpoint, proxy: Proxy | None) -> str:
    """The called address and the proxy, for messages."""
    return endpoint.base_url if proxy is None else f"{endpoint.base_url} through {proxy}"


def refused_by(proxy: Proxy, model: str) -> AuthenticationFailed:
    """The error for a proxy that asks for a password, or refuses the given one."""
    reason = f"{proxy} asks for a user and a password: write them into it as http://user:password@host:port"
    return AuthenticationFailed(reason, model=model, status=PROXY_AUTHENTICATION)


def encode(body: JsonObject, model: str) -> bytes:
    """UTF-8 JSON, without unnecessary escapes.

    :raises BadRequest: a text holds a lone surrogate, which UTF-8 cannot hold.
    """
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise BadRequest(f"the request cannot be written as UTF-8 JSON: {error}", model=model) from None
