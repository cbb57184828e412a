"""The default layout of a first prompt around an instruction."""

from __future__ import annotations

from collections.abc import Collection

from agents.programs.bound import INPUTS
from protocols.prompt import Prompt, Section, placeholders
from protocols.task import Task


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
