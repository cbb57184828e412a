"""Worked examples as turns of a chat, written as text.

    --- user ---
    Message: I was charged twice
    --- assistant ---
    billing

A header names the speaker; the lines up to the next header are the turn's text, verbatim. A line of a turn that looks
like a header is written with a backslash before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from protocols.errors import PromptError
from protocols.model import ChatMessage, Speaker

HEADER = re.compile(r"--- (user|assistant) ---\s*")
LOOKS = re.compile(r"\\*-+ *(?:system|user|assistant) *-+\s*", re.IGNORECASE)
"""A header or a near miss of one, also with backslashes before it."""
PLACE = re.compile(r"\{(examples:[1-9]\d{0,2})\}")
"""A slot for turns that are retrieved for each input."""
ORDER: Final[tuple[Speaker, Speaker]] = ("user", "assistant")
WANTED = "turns begin with `--- user ---`, then `--- assistant ---`, and so on"


def place_in(text: str) -> str:
    """The slot's name, such as `examples:8`, if the text is nothing but the slot; else ""."""
    found = PLACE.fullmatch(text.strip())
    return found[1] if found else ""


def dump_turns(turns: Sequence[ChatMessage]) -> str:
    """The turns as text, "" if there are none."""
    return "\n".join(
        line for turn in turns for line in (f"--- {turn.speaker} ---", *map(_escaped, turn.text.split("\n")))
    )


def load_turns(text: str) -> tuple[ChatMessage, ...]:
    """The turns in a text, none if it is blank.

    :raises PromptError: there is text before the first header or a near miss of a header, turns do not alternate, the
        last is not the assistant's, or one is blank; with the line at fault, counted from 1.
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
    """:raises PromptError: the text is neither a slot nor valid for `load_turns`."""
    if not place_in(text):
        load_turns(text)


def _escaped(line: str) -> str:
    return "\\" + line if LOOKS.fullmatch(line) else line
