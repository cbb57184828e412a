"""Checks of the model parameters in a configuration, before any call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agents.config.catalogue import open_operators
from agents.config.configuration import Configuration
from agents.config.metrics import open_definitions
from agents.config.roles import EMBEDDER
from protocols.errors import ConfigError
from protocols.model import Parameters
from protocols.providers.catalogue import EMBEDDED
from protocols.providers.parameters import UNSET, asked, check, check_together
from protocols.tools.definitions import Definitions, open_objects

ROLES = ("task", "critic", "judge")


def check_asked(configuration: Configuration, operators: Iterable[str] | None = None) -> None:
    """Check the parameters of every role, including the proposers of `operators`; None: those of the configuration.

    :raises ConfigError: a provider's wire format does not have a parameter, or forbids its value.
    """
    for name, given in configuration.providers.items():
        if name != EMBEDDED:
            key = name if name.isidentifier() else f'"{name}"'
            check(given.parameters, name.partition("/")[0], f"providers.{key}.parameters")
    names = open_operators(configuration.search_operators) if operators is None else operators
    tables = configuration.models
    every = (*ROLES, *(f"proposer/{name}" for name in names))
    for role, model in (pair for one in every for pair in tables.each(one).items()):
        if model == EMBEDDED:
            continue
        provider = model.partition("/")[0]
        for key, table in configuration.models.parameters.of(role).items():
            check(table, provider, f"models.parameters.{key}")
        room = configuration.provider(model).reply_tokens
        check_together(configuration.asked(role), provider, f"parameters of {role}", room)
        check_tools_of(configuration, role)
    for key, (role, prompt) in configuration.offering.items():
        for model in tables.each(role).values():
            check_offered(configuration, key, model, open_definitions(configuration, prompt))


def check_tools_of(configuration: Configuration, role: str) -> None:
    """:raises ConfigError: a role without tools has parameters for them."""
    tables = configuration.prompts.values() or [configuration.prompt]
    if _is_task(role) and all(table.tools for table in tables):
        return
    for name in ("tool_choice", "parallel_tool_calls"):
        if asked(configuration.asked(role)).get(name, UNSET) != UNSET:
            hint = "name their file under [prompt], tools"
            if not _is_task(role):
                hint = "set it under [models.parameters.task]"
            elif configuration.prompts:
                hint = f"name the tools of each prompt, or give {name} to single calls of the program"
            raise ConfigError(
                f"parameters of {role}: {name} is for calls that offer tools, which these do not; {hint}"
            )


def _is_task(role: str) -> bool:
    return role.partition("/")[0] == "task"


def check_offered(configuration: Configuration, where: str, name: str, definitions: Definitions) -> None:
    """Check that the model `name` can be offered the tools and the schema of the prompt with the table `where`.

    :raises ConfigError: it cannot, or a parameter sets another format of replies.
    """
    key = f"{where}.tools" if definitions.tools else f"{where}.response_schema"
    if name == EMBEDDED:
        raise ConfigError(f"{key}: the simulator reads messages only; name a model that is offered them")
    if configuration.provider(name).api == "completions":
        raise ConfigError(f"{key}: {name} is asked for completions of a text, without tools and schemas; remove api")
    if not definitions.schema:
        return
    given = asked(configuration.asked("task", name))
    key = f"{where}.response_schema"
    output = given.get("output_config")
    if "response_format" in given or (isinstance(output, Mapping) and "format" in output):
        raise ConfigError(f"{key}: the parameters of task set a format of replies too; keep one")
    if name.startswith("anthropic/") and (places := open_objects(definitions.schema.schema)):
        raise ConfigError(
            f'{key}: {name} takes no schema without "additionalProperties": false in each object; '
            f"it is missing in {', '.join(places)}"
        )


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
