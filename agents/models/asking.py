"""Checks of the model parameters in a configuration, before any call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agents.config.catalogue import open_operators
from agents.config.configuration import Configuration
from agents.config.roles import EMBEDDER
from protocols.model import Parameters
from protocols.providers.catalogue import EMBEDDED
from protocols.providers.parameters import asked, check, check_together

ROLES = ("task", "critic", "judge")


def check_asked(configuration: Configuration, operators: Iterable[str] | None = None) -> None:
    """Check the parameters of every role, including the proposers of `operators`; None: those of the configuration.

    :raises ConfigError: a provider's wire format does not have a parameter, or forbids its value.
    """
    for name, given in configuration.providers.items():
        if name != EMBEDDED:
            key = name if name.isidentifier() else f'"{name}"'
            check(given.parameters, name.partition("/")[0], f"providers.{key}.parameters")
    names = open_operators(configuration.search.operators) if operators is None else operators
    for role in (*ROLES, *(f"proposer/{name}" for name in names)):
        model = configuration.models.of(role)
        if model == EMBEDDED:
            continue
        provider = model.partition("/")[0]
        for key, table in configuration.models.parameters.of(role).items():
            check(table, provider, f"models.parameters.{key}")
        room = configuration.provider(model).reply_tokens
        check_together(configuration.asked(role), provider, f"parameters of {role}", room)


def alike(configuration: Configuration, roles: Iterable[str]) -> dict[Parameters, list[str]]:
    """Roles grouped by equal parameters, including those that are `UNSET`; the embedder has none."""
    groups: dict[Parameters, list[str]] = {}
    for role in roles:
        plain = role == EMBEDDER or configuration.models.of(role) == EMBEDDED
        groups.setdefault(Parameters({} if plain else asked(configuration.asked(role))), []).append(role)
    return groups


def described(groups: Mapping[Parameters, Sequence[str]]) -> str:
    """The groups of roles and their parameters, in words."""
    said = []
    for parameters, roles in groups.items():
        asks = ", ".join(f"{name} {value}" for name, value in parameters.fields.items())
        said.append(", ".join(roles) + (f" with {asks}" if asks else ""))
    return "; ".join(said)
