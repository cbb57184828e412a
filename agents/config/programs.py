"""The program of a configuration: its code, and the prompts that a search begins with, in their default layouts."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from agents.config.configuration import Configuration
from agents.config.metrics import open_definitions
from agents.config.tables.program import CommandTable, ProgramPromptTable
from agents.programs.bound import INPUTS
from agents.programs.environment import Command
from agents.programs.functions import FunctionProgram
from agents.programs.workers import CommandProgram
from protocols.errors import ConfigError, PromptError
from protocols.files import prompt_file
from protocols.files.named import Named
from protocols.files.own_code import check_takes
from protocols.prompt import WORD_NAME, Prompt, Section, names_in, placeholders, with_addresses, without_addresses
from protocols.task import GENEROUS, Task, TaskProgram

KEY = "task.program"
LONGEST = 64
"""Most characters of a prompt's name, which is the name of a file, too."""


def open_program(configuration: Configuration, fields: Sequence[str]) -> TaskProgram | None:
    """The task's program, None if it has none. `fields`: the input fields of the examples.

    :raises ConfigError: it cannot be found, takes other arguments, or does not go together with the prompts.
    :raises PromptError: a prompt's file cannot be read.
    """
    table, prompts = configuration.task, configuration.prompts
    if table.program is None:
        if prompts:
            raise ConfigError("[prompts] belong to a program; name it under task.program, or use [prompt]")
        return None
    _check_prompts(configuration)
    named = {name for each, prompt in prompts.items() for name in _shown(configuration, each, prompt)}
    computed = (INPUTS, *sorted(named - {*fields, INPUTS}))
    definitions = {name: open_definitions(configuration, prompt) for name, prompt in prompts.items()}
    offers = {name: each.offer for name, each in definitions.items() if each.tools or each.schema}
    limits = {name: prompt.reply_tokens or (GENEROUS if name in offers else None) for name, prompt in prompts.items()}
    if isinstance(table.program, CommandTable):  # it keeps the time itself, for examples wait for a free process
        return TaskProgram(_command(configuration, table.program), limits, computed, math.inf, offers)
    function = FunctionProgram(_function(table.program), table.program_timeout)
    return TaskProgram(function, limits, computed, table.program_timeout, offers)


def _check_prompts(configuration: Configuration) -> None:
    if not configuration.prompts:
        raise ConfigError("task.program needs its prompts; give each a table [prompts.NAME]")
    if configuration.prompt.file or configuration.prompt.text is not None:
        raise ConfigError("a task with a program has its prompts under [prompts]; remove prompt.file and prompt.text")
    if configuration.prompt.tools or configuration.prompt.response_schema:
        raise ConfigError("a program's tools and schemas are those of single prompts; name them under [prompts.NAME]")
    for name in configuration.prompts:
        if not WORD_NAME.fullmatch(name):
            raise ConfigError(f"prompts.{name}: use a-z, 0-9, _ and -, starting with a letter")
        if len(name) > LONGEST:
            raise ConfigError(f"prompts.{name}: the name has {len(name)} characters; {LONGEST} are the most")
        if hasattr(Mapping, name):
            raise ConfigError(f"prompts.{name}: a program could not write prompts.{name}; give it another name")


def _command(configuration: Configuration, table: CommandTable) -> CommandProgram:
    command = Command(
        table.command,
        configuration.origin,
        table.base_url_env,
        table.api_key_env or "",
        table.workers,
        configuration.task.program_timeout,
    )
    return CommandProgram(command)


def _function(program: Named) -> Callable[..., Any]:
    """A function, or the method `answer` of an object or of a class, which is made with the parameters."""
    found, arguments = program.found(KEY), ("inputs", "prompts", "call")
    if inspect.isroutine(found) or not hasattr(found, "answer"):
        return program.function(KEY, *arguments)
    answer = getattr(program.made(KEY, {}, "answer"), "answer", None)
    if not callable(answer):
        raise ConfigError(f"{KEY}: {program} is no function of {', '.join(arguments)}, and has no method answer")
    check_takes(answer, f"{program}.answer", KEY, *arguments)
    return answer  # type: ignore[no-any-return]


def _shown(configuration: Configuration, name: str, table: ProgramPromptTable) -> set[str]:
    return names_in(_given(configuration, name, table)) - {*table.literal}


def first_prompts(configuration: Configuration, task: Task) -> Prompt:
    """The prompts of the program as one; with addresses if there are several.

    :raises PromptError, ConfigError: a file cannot be read, or a prompt has neither a file nor a text.
    """
    tables = configuration.prompts
    if len(tables) == 1:
        [(name, table)] = tables.items()
        given = layout(table.text, task) if table.file is None else _given(configuration, name, table)
        return completed(configuration, given)
    sections: list[Section] = []
    for name, table in tables.items():
        given = _given(configuration, name, table)
        if table.file is None:
            sections += part_layout(name, table.text or "", task.placeholders)
        else:
            sections += with_addresses(given, name)
    return completed(configuration, Prompt(tuple(sections)))


def completed(configuration: Configuration, prompt: Prompt, file: str | None = None) -> Prompt:
    """The prompt, or the prompts of a program, with the sections that describe tools and schemas. A prompt without a
    file of tools may describe those that the program offers.

    :raises PromptError: see `Definitions.completed`. `file`: where all of it was read, else each has its own.
    :raises ConfigError: a file of definitions cannot be read.
    """
    tables = configuration.prompts
    if not tables:
        named = file or (str(configuration.prompt.file) if configuration.prompt.file else None)
        return open_definitions(configuration, configuration.prompt).completed(prompt, named)
    sections: list[Section] = []
    for name in prompt.names:
        part, table = prompt.of(name), tables.get(name or next(iter(tables)))
        if table is not None and (table.tools or table.response_schema):
            definitions, named = open_definitions(configuration, table), file or (str(table.file or "") or None)
            part = definitions.completed(without_addresses(part), named, others=table.tools is None)
            part = with_addresses(part, name) if name else part
        sections += part
    return Prompt(tuple(sections))


def _given(configuration: Configuration, name: str, table: ProgramPromptTable) -> Prompt:
    """The prompt as the user wrote it, without a layout."""
    if (table.file is None) == (table.text is None):
        raise ConfigError(f"prompts.{name}: give either file or text")
    if table.file is None:
        return Prompt((Section("task", "task", table.text or ""),))
    path = configuration.path(table.file)
    given = prompt_file.load(path)
    if given.names != ("",):
        raise PromptError("a section's name has no dot here: the prompt has its name from [prompts]", file=str(path))
    return given


def layout(text: str | None, task: Task) -> Prompt:
    """The default layout around a first instruction; the empty sections are for the operators to fill.

    The section `format` always states the form of an answer, regardless of the instruction; the input comes last,
    unless the instruction shows it.
    """
    kind = task.kind
    sections = [
        Section("task", "task", kind.instruction if text is None else text),
        Section("definitions", "definitions"),
        Section("reasoning", "reasoning"),
        Section("examples", "examples"),
        Section("format", "format", kind.format),
        Section("reminders", "reminders"),
    ]
    if text is None or not placeholders(text, task.fields):
        shown = [f"{field.capitalize()}: {{{field}}}" for field in task.fields]
        sections.append(Section("input", "task", "\n".join([*shown, *[kind.cue] * bool(kind.cue)]), frozen=True))
    return Prompt(tuple(sections))


def part_layout(name: str, text: str, known: Collection[str]) -> tuple[Section, ...]:
    """The sections of one of several prompts of a program. `known`: the placeholders that the text may show; unless
    it shows one, all values that the program renders the prompt with come last."""
    sections = [
        Section(f"{name}.task", "task", text),
        Section(f"{name}.reasoning", "reasoning"),
        Section(f"{name}.examples", "examples"),
        Section(f"{name}.format", "format"),
    ]
    if not placeholders(text, known):
        sections.append(Section(f"{name}.input", "task", f"{{{INPUTS}}}", frozen=True))
    return tuple(sections)
