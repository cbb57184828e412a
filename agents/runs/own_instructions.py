"""Instructions of the user's, in place of ours: `[operators.<name>] instruction` and `[critic] instruction`."""

from __future__ import annotations

from pathlib import Path

from agents.runs.configuration import Configuration
from protocols.errors import ConfigError
from protocols.files import read_text


def own_instructions(configuration: Configuration) -> dict[str, str]:
    """By operator.

    :raises ConfigError: a file cannot be read, or is empty.
    """
    tables = configuration.operators.items()
    return {name: text for name, table in tables if (text := own_instruction(configuration, table.instruction))}


def own_instruction(configuration: Configuration, file: Path | None) -> str:
    """The text of one; "" for none.

    :raises ConfigError: the file cannot be read, or is empty.
    """
    if file is None:
        return ""
    path = configuration.path(file)
    text = read_text(path, ConfigError, "the instruction")
    if not text.strip():
        raise ConfigError("the instruction is empty", file=str(path))
    return text
