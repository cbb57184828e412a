"""A user's own instructions, in place of the built-in ones: `[operators.<name>] instruction` and
`[critic] instruction`."""

from __future__ import annotations

from pathlib import Path

from agents.config.configuration import Configuration
from protocols.errors import ConfigError
from protocols.files.text_files import read_text

CRITIC = "the critic"


def instructions(configuration: Configuration) -> dict[str, str]:
    """All own instructions, by operator, and the critic's under the key `CRITIC`.

    :raises ConfigError: a file cannot be read, or is empty; or there is no critic.
    """
    found = own_instructions(configuration)
    if text := critic_instruction(configuration):
        found[CRITIC] = text
    return found


def own_instructions(configuration: Configuration) -> dict[str, str]:
    """The operators' own instructions, by operator.

    :raises ConfigError: a file cannot be read, or is empty.
    """
    tables = configuration.operators.items()
    return {name: text for name, table in tables if (text := _read(configuration, table.instruction))}


def critic_instruction(configuration: Configuration) -> str:
    """The critic's own instruction; "" for none.

    :raises ConfigError: the file cannot be read, or is empty; or there is no critic.
    """
    file = configuration.critic.instruction
    if file is not None and not configuration.agents.criticises:
        raise ConfigError("critic.instruction: nobody reads it, for agents.critic is none")
    return _read(configuration, file)


def _read(configuration: Configuration, file: Path | None) -> str:
    if file is None:
        return ""
    path = configuration.path(file)
    text = read_text(path, ConfigError, "the instruction")
    if not text.strip():
        raise ConfigError("the instruction is empty", file=str(path))
    return text
