"""The tables of a program: what runs it, and its prompts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator

from agents.config.tables.values import Count, Table, as_own, dumped_own, variable
from agents.programs.environment import BASE_URL
from protocols.files.named import Named

WORKERS = 8
MOST_WORKERS = 256


class CommandTable(Table):
    """`[task] program = { command = [...] }`: a program of another environment or language.

    `command`: the program and its arguments; paths are relative to the configuration's file. `workers`: processes at
    work at the same time, each on one example. `base_url_env`, `api_key_env`: the variables that tell a process where
    to send its model calls, and with which key (None: the one of the same provider, such as OPENAI_API_KEY).
    """

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    workers: Annotated[int, Field(ge=1, le=MOST_WORKERS)] = WORKERS
    base_url_env: Annotated[str, AfterValidator(variable)] = BASE_URL
    api_key_env: Annotated[str, AfterValidator(variable)] | None = None


class ProgramPromptTable(Table):
    """`[prompts.NAME]`: a prompt of the task's program, from a file or as a text that is put into a default layout.

    `tools`, `response_schema`: as in `PromptTable`. `literal`: names in braces that are plain text. `reply_tokens`:
    maximum number of tokens of a reply (None: 1,024; for a program of one prompt, as for a task without a program).
    """

    file: Path | None = None
    text: str | None = None
    tools: Path | None = None
    response_schema: Path | None = None
    literal: tuple[str, ...] = ()
    reply_tokens: Count | None = None


def _program(value: object) -> Named | CommandTable:
    if isinstance(value, CommandTable):
        return value
    if isinstance(value, Mapping) and "command" in value:
        return CommandTable.model_validate(value)
    return as_own(value)


def _dumped(value: Named | CommandTable) -> object:
    return value.model_dump(mode="json") if isinstance(value, CommandTable) else dumped_own(value)


Program = Annotated[Named | CommandTable, PlainValidator(_program), PlainSerializer(_dumped)]
"""`module:function`, with or without parameters, an object from Python, or a command."""
