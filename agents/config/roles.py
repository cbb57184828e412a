"""The roles that call models and the model of each, derived from the configuration only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.config.catalogue import open_operators
from agents.config.configuration import Configuration
from agents.config.metrics import asks_judge
from agents.config.tables.models import ProviderTable
from protocols.embedding import HashedNgrams
from protocols.model import ChatModel
from protocols.providers.catalogue import PROVIDERS, ModelSettings, identify, is_local, open_model
from protocols.providers.local.weights import identity
from protocols.providers.local_model import LocalSettings
from protocols.providers.own_model import open_own
from protocols.providers.transport.http import Transport
from protocols.providers.wire import Wire

EMBEDDER = "embedder"
"""The role of the memory's embedding model, if it uses one."""


def secrets(configuration: Configuration, environ: Mapping[str, str]) -> frozenset[str]:
    """All provider keys in the environment, used or not. They must never be written anywhere."""
    variables = {provider.key_variable for provider in PROVIDERS.values()}
    variables |= {table.api_key_env for table in configuration.providers.values() if table.api_key_env}
    return frozenset(key for variable in variables if (key := environ.get(variable, "").strip()))


def variables(configuration: Configuration) -> frozenset[str]:
    """The environment variables that hold the keys and the addresses of the models of all roles."""
    found = set[str]()
    for model in set(roles(configuration).values()):
        provider, table = PROVIDERS.get(model.partition("/")[0]), configuration.provider(model)
        if provider is not None:
            found |= {table.api_key_env or provider.key_variable, provider.url_variable}
    return frozenset(found)


def roles(configuration: Configuration) -> dict[str, str]:
    """The model of every role, except credit, which calls the task's; see `ModelsTable.each` for several of the
    task."""
    judge = ["judge"] if asks_judge(configuration) else []
    critic = ["critic"] if configuration.agents.criticises else []
    proposers = [f"proposer/{name}" for name in open_operators(configuration.search_operators)]
    prompts = [f"task/{name}" for name in configuration.models.prompts]
    others = {role: configuration.models.of(role) for role in (*prompts, *critic, *judge, *proposers)}
    models = configuration.models.each("task") | others
    embedder = configuration.memory.embedder
    return models | {EMBEDDER: embedder} if embedder else models


def embedder_of(configuration: Configuration, environ: Mapping[str, str]) -> tuple[str, int]:
    """Name and dimension of the memory's embedder; a model's name includes its address or its weights' identity.

    :raises ConfigError: the model cannot be reached as configured.
    """
    model, dimension = configuration.memory.embedder, configuration.memory.dimension
    if not (model and dimension):
        return HashedNgrams().name, HashedNgrams().dimension
    settings = model_settings(configuration.provider(model))
    if is_local(model):
        return f"{model} with {identity(model, settings.local.path)}", dimension
    return f"{model} at {identify(model, settings, environ).address}", dimension


def open_adapter(
    configuration: Configuration, name: str, environ: Mapping[str, str], transport: Transport
) -> ChatModel:
    """The model of that name, a user's own or a provider's; nothing is sent yet.

    :raises ConfigError: it cannot be reached as it is configured.
    """
    settings = model_settings(configuration.provider(name))
    if own := configuration.models.own(name):
        return open_own(own, "models", settings.timeout)
    return open_model(name, settings, environ, transport)


def measures_credit(configuration: Configuration) -> bool:
    """Whether section credit calls the task's model, under the role `credit`."""
    return bool(configuration.search.credit_share) and configuration.agents.criticises


def model_settings(table: ProviderTable) -> ModelSettings:
    """The settings for the catalogue of providers, from a provider's table.

    :raises ConfigError: two of its keys exclude each other.
    """

    def given(*names: str) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(table, name)) is not None}

    wire = Wire(**given("token_parameter", "system", "stream", "version"))
    local = LocalSettings(table.path, table.context, table.slots, table.threads)
    return ModelSettings(
        **given("base_url", "api_key_env", "client", "timeout", "key_header", "api"), wire=wire, local=local
    )
