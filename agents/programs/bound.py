"""The prompts of a program, bound to one example."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import orjson

from agents.programs.trace import Rendered
from protocols.errors import ProgramFailed, PromptError
from protocols.model import ChatMessage
from protocols.prompt import Prompt

INPUTS = "inputs"
"""The placeholder for all values that a prompt is rendered with, one below the other."""
Fill = Callable[[Prompt, Mapping[str, str]], Mapping[str, str]]
"""Adds the values of a prompt's placeholders for examples and passages to the values that it is rendered with."""


class Bound:
    """A `BoundPrompt`. `rendered`: the values and the messages of its last rendering, None before."""

    def __init__(self, name: str, prompt: Prompt, shown: frozenset[str], fill: Fill) -> None:
        self.name, self._prompt, self._shown, self._fill = name, prompt, shown, fill
        self.rendered: Rendered | None = None

    @property
    def text(self) -> str:
        """The whole prompt as it is sent, with placeholders where values belong."""
        return "\n\n".join(section.said for section in self._prompt if section.said)

    def render(self, values: Mapping[str, object] | None = None, /, **more: object) -> list[ChatMessage]:
        """The messages with these values for the placeholders.

        :raises ProgramFailed: the prompt shows a value that is not given.
        """
        texts = {name: as_text(value, name) for name, value in {**(values or {}), **more}.items()}
        if missing := sorted(self._shown - texts.keys() - {INPUTS}):
            shown = ", ".join("{" + name + "}" for name in missing)
            raise ProgramFailed(f"the prompt {self.name} shows {shown}, which render() was not given")
        filled = self._fill(self._prompt, Values(texts))
        try:
            messages = list(self._prompt.template(filled).render(filled))
        except PromptError as error:
            raise ProgramFailed(f"the prompt {self.name}: {error}") from None
        self.rendered = texts, tuple(messages)
        return messages


class Values(Mapping[str, str]):
    """Values by name; `inputs` is all of them, a line each, with their names."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        """:raises KeyError: no such value."""
        if name == INPUTS and INPUTS not in self._values:
            return "\n".join(f"{name.capitalize()}: {value}" for name, value in self._values.items())
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name == INPUTS or name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def as_text(value: object, name: str) -> str:
    """A text unchanged, anything else as JSON.

    :raises ProgramFailed: it cannot be written as JSON.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise ProgramFailed(f"{name} is no text and cannot be written as JSON: {error}") from None
