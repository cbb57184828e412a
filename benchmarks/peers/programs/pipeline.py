"""The program of examples/pipeline, for environments that have nothing of ours: only the standard library.

A prompt is the messages of its chat, in which the name of a value in braces stands for the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from benchmarks.peers.programs.job import Message

Prompts = Mapping[str, list[Message]]
FIELDS = {"extract": ("text", "order"), "write": ("order", "line")}
"""What each prompt is rendered with, and what its reply is."""


def answer(inputs: Mapping[str, str], prompts: Prompts, call: Callable[[str, list[Message]], str]) -> dict[str, str]:
    """The replies of both prompts; that of `write` is the answer. It is `answer` in examples/pipeline/program.py."""
    order = call("extract", filled(prompts["extract"], inputs))
    return {"extract": order, "write": call("write", filled(prompts["write"], {"order": order}))}


def filled(messages: Sequence[Message], values: Mapping[str, str]) -> list[Message]:
    """The messages with values in place of names in braces; other braces are text."""

    def fill(text: str) -> str:
        return re.sub(r"\{([^{}]+)\}", lambda found: values.get(found[1], found[0]), text)

    return [{**message, "content": fill(message["content"])} for message in messages]


def instructed(messages: Sequence[Message], instruction: str) -> list[Message]:
    """The prompt with another system message."""
    return [{"role": "system", "content": instruction}, *messages[1:]]


def shown(name: str, messages: Sequence[Message]) -> list[dict[str, str]]:
    """The worked examples among the messages of the prompt `name`, its system message first and the input last: the
    fields of each."""
    takes, gives = FIELDS[name]
    before, after = messages[-1]["content"].split(f"{{{takes}}}")
    asked, replies = messages[1:-1:2], messages[2:-1:2]
    return [
        {takes: one["content"].removeprefix(before).removesuffix(after), gives: two["content"]}
        for one, two in zip(asked, replies, strict=True)
    ]


def unframed(reply: str, field: str) -> str:
    """The field's content, if the reply has DSPy's frame around it, which says where each field begins; else all of
    the reply."""
    parts = re.split(r"^\s*\[\[ ## (\w+) ## \]\]", reply, flags=re.MULTILINE)
    found = {name: text.strip() for name, text in reversed(list(zip(parts[1::2], parts[2::2], strict=True)))}
    return found.get(field, reply)
