"""The messages of a chat on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from protocols.model import ChatMessage
from protocols.plain import printable

LONGEST = 4000
"""Characters of a message that are shown, a quarter of them of its end, where the cue of a reply stands."""


def show_messages(console: Console, messages: Sequence[ChatMessage], longest: int = LONGEST) -> None:
    """The lines of each message are indented, so that nothing in it looks like a line of ours; of one that has more
    than `longest` characters the beginning and the end are shown."""
    for message in messages:
        console.print(Text(f"{message.speaker}:", style="bold"))
        lines = cut(printable(message.text), longest).split("\n")
        console.print(Text("\n".join(f"    {line}".rstrip() for line in lines)), soft_wrap=True)


def cut(text: str, longest: int) -> str:
    """The beginning and the end of a text that is too long."""
    left_out, end = len(text) - longest, longest // 4
    if left_out <= 0:
        return text
    return f"{text[: longest - end]}\n[… {left_out:,} characters are not shown …]\n{text[-end:]}"
