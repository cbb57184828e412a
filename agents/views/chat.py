"""Prints chat messages."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from protocols.model import ChatMessage
from protocols.text import printable

LONGEST = 4000
"""Most characters shown of a message; a quarter of them from its end, which asks for the reply."""


def show_messages(console: Console, messages: Sequence[ChatMessage], longest: int = LONGEST) -> None:
    """Print messages with indented lines, so that their text cannot look like our output. A message of more than
    `longest` characters is shown by its beginning and end."""
    for message in messages:
        console.print(Text(f"{message.speaker}:", style="bold"))
        lines = cut(printable(message.text), longest).split("\n")
        console.print(Text("\n".join(f"    {line}".rstrip() for line in lines)), soft_wrap=True)


def cut(text: str, longest: int) -> str:
    """The text, or its beginning and end if it has more than `longest` characters."""
    left_out, end = len(text) - longest, longest // 4
    if left_out <= 0:
        return text
    return f"{text[: longest - end]}\n[… {left_out:,} characters are not shown …]\n{text[-end:]}"
