"""Worked examples as turns of a chat, written as text.

    --- user ---
    Message: I was charged twice
    --- assistant ---
    billing

A header says whose turn it is; the lines up to the next header are the turn, to the letter. A line of a turn that
looks like a header is written with a backslash before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from protocols.errors import PromptError
from protocols.model import ChatMessage, Speaker

HEADER = re.compile(r"--- (user|assistant) ---\s*")
LOOKS = re.compile(r"\\*-+ *(?:system|user|assistant) *-+\s*", re.IGNORECASE)
"""A line that is a header, nearly one, or either with backslashes before it."""
PLACE = re.compile(r"\{(examples:[1-9]\d{0,2})\}")
"""What stands in a text instead of turns that are found for each input."""
ORDER: Final[tuple[Speaker, Speaker]] = ("user", "assistant")
WANTED = "turns begin with `--- user ---`, then `--- assistant ---`, and so on"


def place_in(text: str) -> str:
    """`examples:8` for a text that is this place and nothing else; "" for any other."""
    found = PLACE.fullmatch(text.strip())
    return found[1] if found else ""


def dump_turns(turns: Sequence[ChatMessage]) -> str:
    """The turns as text, "" for none."""
    return "\n".join(
        line for turn in turns for line in (f"--- {turn.speaker} ---", *map(_escaped, turn.text.split("\n")))
    )


def load_turns(text: str) -> tuple[ChatMessage, ...]:
    """The turns that a text says: none where it is blank.

    :raises PromptError: with the line at fault, counted from 1: a line before the first header or one that is nearly
        a header, turns that do not alternate, the last one not the assistant's, or one that is blank.
    """
    turns: list[tuple[Speaker, int, list[str]]] = []
    for number, line in enumerate(text.split("\n") if text.strip() else (), start=1):
        if header := HEADER.fullmatch(line):
            speaker = ORDER[len(turns) % 2]
            if header[1] != speaker:
                raise PromptError(
                    f"a turn of the {header[1]} where one of the {speaker} belongs; {WANTED}", line=number
                )
            turns.append((speaker, number, []))
        elif LOOKS.fullmatch(line) and not line.startswith("\\"):
            raise PromptError(f"not a header of a turn; {WANTED}; a backslash before it makes it text", line=number)
        elif turns:
            turns[-1][2].append(line[1:] if LOOKS.fullmatch(line) else line)
        elif line.strip():
            raise PromptError(f"text before the first turn; {WANTED}", line=number)
    for speaker, number, lines in turns:
        if not "".join(lines).strip():
            raise PromptError(f"an empty turn of the {speaker}", line=number)
    if len(turns) % 2:
        raise PromptError("the last turn is the user's; the assistant's reply is missing", line=turns[-1][1])
    return tuple(ChatMessage(speaker, "\n".join(lines)) for speaker, _, lines in turns)


def check_turns(text: str) -> None:
    """:raises PromptError: as `load_turns`, for a text that is no place either."""
    if not place_in(text):
        load_turns(text)


def _escaped(line: str) -> str:
    return "\\" + line if LOOKS.fullmatch(line) else line
