"""Renders a prompt for an input: the messages that the search has sent, in the form of OpenAI's API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Message = dict[str, Any]  # {"role": ..., "content": ...}


class Prompt:
    """The parts of a prompt as they are sent, see the data above."""

    def __init__(
        self,
        fixed: list[Any],
        nearest: list[Any],
        varying: list[Any],
        fields: tuple[str, ...],
        required: tuple[str, ...],
        found: Callable[[str, str, int], list[Any]],
        of_program: bool,
    ) -> None:
        self.fixed, self.nearest, self.varying, self.fields, self.required = fixed, nearest, varying, fields, required
        self.found, self.of_program = found, of_program

    def render(self, inputs: Mapping[str, str]) -> list[Message]:
        """The messages for one input, whose fields are given by name.

        :raises ValueError: a field is missing, unknown, or no text.
        """
        self.check(inputs)
        messages = [dict(message) for message in self.fixed]
        for place in self.nearest:
            pairs = self.found("turns", key(inputs), int(place.rpartition(":")[2]))
            messages += [dict(turn) for pair in reversed(pairs) for turn in pair]
        if self.varying:
            messages += self.said(inputs)
        return messages

    def said(self, inputs: Mapping[str, str]) -> list[Message]:
        """The user message."""
        texts = [BRACED.sub(lambda found: self.value(found[1], inputs), text) for text in self.varying]
        return [{"role": "user", "content": "\n\n".join(texts)}]

    def check(self, inputs: Mapping[str, str]) -> None:
        missing = [name for name in self.required if name not in inputs]
        strange = [] if self.of_program else [name for name in inputs if name not in self.fields]
        other = [name for name, value in inputs.items() if not isinstance(value, str)]
        for names, what in ((missing, "is missing"), (strange, "is unknown"), (other, "is no text")):
            if names:
                raise ValueError(f"{', '.join(map(str, names))} {what}; the fields are {', '.join(self.fields)}")

    def value(self, name: str, inputs: Mapping[str, str]) -> str:
        """What stands in the place of `{name}`: the braces themselves unless it is a field or a slot."""
        if name in inputs:
            return inputs[name]
        if slot := SLOT.fullmatch(name):
            found = self.found(slot[1], key(inputs), int(slot[2]))
            return "\n\n".join(reversed(found))
        if name == "inputs" and self.of_program:
            return "\n".join(f"{field.capitalize()}: {value}" for field, value in inputs.items())
        return "{" + name + "}"


BRACED = re.compile(r"\{([^{}]+)\}")
SLOT = re.compile(r"(examples|passages):([1-9]\d{0,2})")


def key(inputs: Mapping[str, str]) -> str:
    """What the input is searched by."""
    texts = {name: value.strip().replace("\n", "\n  ") for name, value in sorted(inputs.items())}
    if len(texts) == 1:
        return f"Input: {next(iter(texts.values()))}"
    return "\n".join(f"Input ({name}): {text}" for name, text in texts.items())
