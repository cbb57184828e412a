"""The messages of a chat on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from agents.views.plain import printable
from protocols.model import ChatMessage

LONGEST, END = 4000, 1000
"""Characters of a message that are shown, and of its end: the cue that a reply continues stands there."""


def show_messages(console: Console, messages: Sequence[ChatMessage]) -> None:
    """The lines of each message are indented, so that nothing in it looks like a line of ours."""
    for message in messages:
        console.print(Text(f"{message.speaker}:", style="bold"))
        lines = cut(printable(message.text)).split("\n")
        console.print(Text("\n".join(f"    {line}".rstrip() for line in lines)), soft_wrap=True)


def cut(text: str) -> str:
    """The beginning and the end of a text that is too long."""
    left_out = len(text) - LONGEST
    if left_out <= 0:
        return text
    return f"{text[: LONGEST - END]}\n[… {left_out:,} characters are not shown …]\n{text[-END:]}"
