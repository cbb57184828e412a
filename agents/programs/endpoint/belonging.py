"""Which prompt a model call of a program belongs to.

1. The one that `model` names.
2. The one whose fixed text the messages contain: compared line by line, because programs join and split messages, and
   only between placeholders. At least half of it must be there; of several prompts, the one with most text there.
3. The only one, if the program has one.
4. None: the call is made under the name "".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from agents.programs.endpoint.asked import Asked
from protocols.model import ChatMessage
from protocols.program import Prompts
from protocols.prompt import NAMED

LEAST: Final = 0.5
"""Share of a prompt's fixed text, in characters, that its calls contain at least."""


class Owners:
    """The prompts of one example, and what is fixed in their texts."""

    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts
        self._fixed: Mapping[str, tuple[str, ...]] | None = None

    def of(self, asked: Asked) -> str:
        """The name of the prompt that this call belongs to, "" if there is none."""
        if asked.model in self._prompts:
            return asked.model
        if len(self._prompts) == 1:
            return next(iter(self._prompts))
        if self._fixed is None:
            self._fixed = {name: fixed(prompt.text) for name, prompt in self._prompts.items()}
        return nearest(said_in(asked), self._fixed)


def nearest(said: str, known: Mapping[str, Sequence[str]]) -> str:
    """The name whose fixed lines are found in `said`; "" if none is, or two are equally near."""
    found = list[tuple[int, float, str]]()
    for name, lines in known.items():
        whole, there = sum(map(len, lines)), sum(len(line) for line in lines if line in said)
        if there and there >= LEAST * whole:
            found.append((there, there / whole, name))
    found.sort(reverse=True)
    if len(found) > 1 and found[0][:2] == found[1][:2]:
        return ""
    return found[0][2] if found else ""


def fixed(text: str) -> tuple[str, ...]:
    """The lines between the placeholders of a prompt, without the space around them."""
    lines = (line.strip() for piece in NAMED.split(text)[::2] for line in piece.splitlines())
    return tuple(line for line in lines if line)


def said_in(asked: Asked) -> str:
    """The texts of all messages."""
    texts = (turn.text if isinstance(turn, ChatMessage) else turn.get("content") for turn in asked.messages)
    return "\n".join(text for text in texts if isinstance(text, str))
