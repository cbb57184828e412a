"""Opens the `ChatModel` of a model string (`openai/…`, `anthropic/…`, `local/…`, `embedded`) and its settings."""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from protocols.errors import ConfigError, MissingKey
from protocols.files.named import Named
from protocols.model import ChatModel
from protocols.providers.anthropic import AnthropicModel
from protocols.providers.completions import CompletionsModel
from protocols.providers.embeddings import OpenAIEmbeddings
from protocols.providers.local.weights import Weights, check_installed, identity
from protocols.providers.local_model import Api, LocalModel, LocalSettings
from protocols.providers.openai import OpenAIModel
from protocols.providers.own_model import OWN
from protocols.providers.parameters import format_of
from protocols.providers.transport.http import Endpoint, Transport
from protocols.providers.wire import HEADER, STANDARD, Wire

if TYPE_CHECKING:
    from protocols.providers.sdk import AnthropicClient, OpenAIClient

EMBEDDED: Final = "embedded"
LOCAL: Final = "local"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider's default base URL, and the environment variables for its key and for another base URL."""

    base_url: str
    key_variable: str
    url_variable: str


PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai": Provider("https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "anthropic": Provider("https://api.anthropic.com", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
}
KNOWN: Final = (*PROVIDERS, LOCAL, EMBEDDED, OWN)
"""Everything that a model string may begin with."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The user's settings of one model.

    `base_url`: replaces the provider's. `api_key_env`: the variable that holds the key, instead of the provider's.
    `client`: `module:function` that returns an SDK client, which has its own address and key. `timeout`: seconds for
    one call. `key_header`: the header for the key, instead of Authorization. `wire`: the server's deviations from its
    wire format. `api`: the API of `openai/…` and `local/…` models; None: chat, or what a local model is made for.
    `local`: how a model `local/…` is loaded.

    :raises ConfigError: a value is invalid, or two exclude each other.
    """

    base_url: str | None = None
    api_key_env: str | None = None
    client: Named | None = None
    timeout: float = 120.0
    key_header: str | None = None
    wire: Wire = STANDARD
    api: Api | None = None
    local: LocalSettings = field(default_factory=LocalSettings)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            raise ConfigError(f"timeout is {self.timeout:g}; it must be a number of seconds above 0")
        if self.client and (self.base_url or self.api_key_env or self.key_header):
            raise ConfigError(
                "client brings its own address and key; remove base_url, api_key_env and key_header beside it"
            )
        if self.key_header is not None and not HEADER.fullmatch(self.key_header):
            raise ConfigError(f"key_header = {self.key_header!r} is no name of a header; write one such as x-api-key")
        if self.client and self.api:
            raise ConfigError("a client uses the API of its SDK; remove api beside it")
        if self.api == "completions":
            self.wire.check_completions()


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a call is billed to: models with equal accounts share one limiter.

    `address`: the base URL, or the function that makes the client. `key`: a fingerprint, "" without a key.
    """

    provider: str
    address: str = ""
    key: str = ""


def open_model(name: str, settings: ModelSettings, environ: Mapping[str, str], transport: Transport) -> ChatModel:
    """The model that `name` and `settings` describe. Nothing is sent yet.

    :raises ConfigError: the model string is wrong, the provider unknown, the key missing, or the proxy unusable; the
        message says what to set.
    """
    provider, model = split(name)
    settings.wire.check(format_of(provider))
    if provider == EMBEDDED:
        from protocols.providers.embedded import EmbeddedModel

        embedded: ChatModel = EmbeddedModel()
        return embedded
    if provider == LOCAL:
        return open_local(name, settings, transport)
    if provider == OWN:
        raise ConfigError(f'model {name!r}: one of your own is named as a table: {{ use = "module:Class" }}')
    if settings.client:
        return open_client(name, settings, settings.client, transport)
    endpoint = resolve(name, settings, environ)
    transport.proxies.of(endpoint.base_url)
    if provider == "openai":
        return open_openai(model, settings, endpoint, transport)
    return AnthropicModel(model, endpoint, transport, settings.wire)


def import_for(name: str, settings: ModelSettings) -> None:
    """Import what `open_model` needs for this model alone, which takes tens of milliseconds, and an SDK a second."""
    if name == EMBEDDED:
        import protocols.providers.embedded
    elif settings.client:
        import protocols.providers.sdk  # noqa: F401


def open_openai(
    model: str, settings: ModelSettings, endpoint: Endpoint, transport: Transport
) -> OpenAIModel | CompletionsModel:
    """A model on a server with OpenAI's chat or completions API."""
    if settings.api == "completions":
        return CompletionsModel(model, endpoint, transport)
    return OpenAIModel(model, endpoint, transport, settings.wire)


def open_local(name: str, settings: ModelSettings, transport: Transport, dimension: int | None = None) -> LocalModel:
    """A model on this machine, which is loaded at its first call. `dimension`: length of the vectors of a model that
    embeds; None: it generates text.

    :raises ConfigError: llama.cpp or the weights are missing.
    """
    check_installed(name)
    identity(name, settings.local.path)
    direct = transport.direct()

    def opened(weights: Weights, endpoint: Endpoint) -> ChatModel:
        form: Api = settings.api or ("chat" if weights.header.chats else "completions")
        model: OpenAIModel | CompletionsModel | OpenAIEmbeddings
        if dimension is not None:
            model = OpenAIEmbeddings(name, endpoint, direct, dimension)
        else:
            wire = settings.wire if form == "chat" else STANDARD
            model = open_openai(name, replace(settings, api=form, wire=wire), endpoint, direct)
        model.name = name
        return model

    return LocalModel(name, settings.local, direct, opened, settings.timeout, dimension)


def open_embeddings(
    name: str, settings: ModelSettings, environ: Mapping[str, str], transport: Transport, dimension: int
) -> ChatModel:
    """The model `openai/…` or `local/…` that embeds texts as vectors of length `dimension`. Nothing is sent yet.

    :raises ConfigError: see `open_model`; also for a client, which can only chat.
    """
    if split(name)[0] == LOCAL:
        return open_local(name, settings, transport, dimension)
    if settings.client:
        raise ConfigError(f"model {name!r} embeds without a client; set base_url and api_key_env instead")
    endpoint = resolve(name, settings, environ)
    transport.proxies.of(endpoint.base_url)
    return OpenAIEmbeddings(split(name)[1], endpoint, transport, dimension)


def identify(name: str, settings: ModelSettings, environ: Mapping[str, str]) -> Account:
    """The account that calls to this model use.

    :raises ConfigError: see `open_model`.
    """
    provider, _ = split(name)
    if provider in (EMBEDDED, LOCAL):
        return Account(provider)
    if provider == OWN:
        return Account(provider, name)
    if settings.client:
        return Account(provider, str(settings.client))
    endpoint = resolve(name, settings, environ)
    fingerprint = hashlib.sha256(endpoint.key.encode()).hexdigest()[:16] if endpoint.key else ""
    return Account(provider, endpoint.base_url, fingerprint)


def scope(name: str, settings: ModelSettings, environ: Mapping[str, str]) -> str:
    """The model's part of the reply cache's key: everything outside a request that changes the reply.

    :raises ConfigError: see `open_model`.
    """
    account, form = identify(name, settings, environ), f" {settings.api}" if settings.api else ""
    place = identity(name, settings.local.path) if account.provider == LOCAL else account.address
    return f"{account.provider} {place} {name}{form}"


def is_local(name: str) -> bool:
    """Whether a model string names a model on this machine."""
    return name.partition("/")[0] == LOCAL


def is_theirs(name: str, settings: ModelSettings, environ: Mapping[str, str]) -> bool:
    """Whether calls to this model go to the provider in its name, at the provider's public address."""
    provider = PROVIDERS.get(name.partition("/")[0])
    if provider is None or settings.client:
        return False
    address = settings.base_url or environ.get(provider.url_variable, "").strip() or provider.base_url
    return address.rstrip("/") == provider.base_url


def split(name: str) -> tuple[str, str]:
    """The provider and the model's name in a model string. The name may contain slashes.

    :raises ConfigError: the provider is unknown, or the name is missing; the message says what to write.
    """
    provider, _, model = name.partition("/")
    if provider not in (*PROVIDERS, LOCAL, OWN) and name != EMBEDDED:
        meant = _meant(name)
        known = 'openai/<model>, anthropic/<model>, local/<model>, embedded, or { use = "module:Class" } for your own'
        raise ConfigError(f"model {name!r}: unknown provider; write " + (f"{meant} ({known})" if meant else known))
    if name not in (EMBEDDED, LOCAL) and (not model or not model.isprintable() or model != model.strip()):
        raise ConfigError(f"model {name!r} names no model; write {provider}/<model>, without spaces around it")
    return provider, model


def _meant(name: str) -> str:
    """The likely meaning of a model string without a known provider; "" if it is empty."""
    provider, slash, model = name.strip().replace(":", "/", 1).partition("/")
    near = difflib.get_close_matches(provider.strip().lower(), KNOWN, 1)
    if near == [EMBEDDED] or (near == [LOCAL] and not slash):
        return near[0]
    if slash and near:
        return f"{near[0]}/{model.strip()}"
    if not name.strip():
        return ""
    theirs = "anthropic" if "claude" in name.lower() else "openai"
    hint = ", with base_url, where a server of another provider speaks OpenAI's format" if slash else ""
    return f"{theirs}/{name.strip()}{hint}"


def resolve(name: str, settings: ModelSettings, environ: Mapping[str, str]) -> Endpoint:
    """The address and the key of a model. Blank variables count as unset.

    :raises MissingKey: there is no key.
    :raises ConfigError: the key is malformed, or the address or the name is invalid.
    """
    provider = PROVIDERS[split(name)[0]]
    variable = settings.api_key_env or provider.key_variable
    base_url = settings.base_url or environ.get(provider.url_variable, "").strip() or provider.base_url
    base_url = check_url(base_url.rstrip("/"), name)
    key = environ.get(variable, "").strip()
    if not key and (settings.api_key_env or base_url == provider.base_url):
        hint = "" if settings.api_key_env else ", or name another variable with api_key_env"
        raise MissingKey(f"model {name!r} has no key; set {variable} in the environment or in .env{hint}")
    if base_url == provider.base_url and len(name.split()) > 1:
        raise ConfigError(f"model {name!r}: no model of this provider has a space in its name; mend it")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{variable} holds characters that no key has; copy the key again")
    return Endpoint(base_url, key or None, settings.timeout, settings.key_header)


def check_url(url: str, name: str) -> str:
    """`url` if it is a valid base URL.

    :raises ConfigError: it is not. The message does not show the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"the base URL of model {name!r} must begin with http:// or https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            f"the base URL of model {name!r} must have no user, password or query; a key belongs in api_key_env, "
            "and an address that needs more in a client"
        )
    return url


def open_client(name: str, settings: ModelSettings, named: Named, transport: Transport) -> ChatModel:
    """A model on the SDK client that `named` makes; the transport closes the client."""
    from protocols.providers import sdk  # both SDKs together take a second to import, and few runs need them

    client, reference = sdk.load_client(named), named.use
    provider, model = split(name)
    if provider == "openai" and isinstance(client, sdk.OpenAIClient):
        lend(client, reference, transport)
        return sdk.OpenAISdkModel(model, client, settings.timeout, settings.wire)
    if provider == "anthropic" and isinstance(client, sdk.AnthropicClient):
        lend(client, reference, transport)
        return sdk.AnthropicSdkModel(model, client, settings.timeout, settings.wire)
    raise ConfigError(f"client {reference!r} returns {type(client).__name__}, which {provider}/… cannot use")


def lend(client: OpenAIClient | AnthropicClient, reference: str, transport: Transport) -> None:
    """Use a client until the transport is closed.

    :raises ConfigError: the client is already closed.
    """
    if client.is_closed():
        raise ConfigError(f"client {reference!r} returns one that is closed; let it make a new one at every call")
    transport.clients.take(client)
    transport.closing.push_async_callback(transport.clients.give_back, client)
