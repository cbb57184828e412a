"""Checks of the names in a configuration: operators, providers, and keys that only some providers have."""

from __future__ import annotations

from agents.config.catalogue import open_operators
from agents.config.configuration import Configuration
from agents.config.tables.models import ProviderTable
from protocols.errors import ConfigError
from protocols.providers.catalogue import EMBEDDED, KNOWN, LOCAL
from protocols.providers.own_model import OWN

ON_THIS_MACHINE = frozenset({"path", "context", "slots", "threads"})
ELSEWHERE = {
    "openai": ON_THIS_MACHINE,
    "anthropic": ON_THIS_MACHINE | {"api"},
    LOCAL: frozenset({"base_url", "api_key_env", "key_header", "client", "token_parameter", "stream", "version"}),
    EMBEDDED: ON_THIS_MACHINE | {"api"},
    OWN: ON_THIS_MACHINE
    | {"api", "base_url", "api_key_env", "key_header", "client", "token_parameter", "stream", "version", "system"},
}
"""By provider: the keys that its table must not have."""


def check_names(configuration: Configuration) -> None:
    """:raises ConfigError: a table names an operator that is not used, or a provider that does not exist, or has a
    key that its provider does not have."""
    operators = open_operators(configuration.search_operators)
    known = ", ".join(operators)
    tables = {
        "models.proposers": configuration.models.proposers,
        "models.parameters.proposers": configuration.models.parameters.proposers,
        "agents.proposers": configuration.agents.proposers,
        "budget.operators": configuration.budget.operators,
        "operators": configuration.operators,
    }
    for table, names in tables.items():
        for name in names:
            if name not in operators:
                raise ConfigError(f"{table}.{name}: no such operator in search.operators ({known})")
    for name in configuration.models.prompts:
        if name not in configuration.prompts:
            there = ", ".join(configuration.prompts) or "none"
            raise ConfigError(f"models.prompts.{name}: no such prompt under [prompts] ({there})")
    for name in configuration.providers:
        provider = name.partition("/")[0]
        if provider not in KNOWN:
            known = ", ".join(KNOWN)
            raise ConfigError(f"providers.{name}: unknown provider; there are {known}, or a model's whole name")
        check_keys(name, configuration.providers[name])


def check_keys(name: str, table: ProviderTable) -> None:
    """:raises ConfigError: a provider's table has a key that only other providers have."""
    provider, given = name.partition("/")[0], table.model_dump(exclude_none=True).keys()
    for key in sorted(given & ELSEWHERE.get(provider, ON_THIS_MACHINE)):
        if key in ON_THIS_MACHINE:
            hint = "; the window of another is set with context_tokens" if key == "context" else ""
            raise ConfigError(f"providers.{name}.{key}: only a model local/… has it{hint}")
        if provider == OWN:
            raise ConfigError(f"providers.{name}.{key}: a model of your own is reached by its own code")
        if key == "api":
            raise ConfigError(f"providers.{name}.api: only models openai/… and local/… have it")
        raise ConfigError(
            f"providers.{name}.{key}: a model on this machine is reached without; for a server of your own name a "
            "model openai/…"
        )
