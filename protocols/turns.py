"""Turns of a chat: worked examples, written as text, and conversations that are the value of an input field.

    --- user ---
    Message: I was charged twice
    --- assistant ---
    billing

A header names the speaker; the lines up to the next header are the turn's text, verbatim. A line of a turn that looks
like a header is written with a backslash before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Self

from protocols.errors import PromptError
from protocols.images.image import Image
from protocols.model import ChatMessage, Speaker, joined, spoken

HEADER = re.compile(r"--- (user|assistant) ---\s*")
LOOKS = re.compile(r"\\*-+ *(?:system|user|assistant) *-+\s*", re.IGNORECASE)
"""A header or a near miss of one, also with backslashes before it."""
PLACE = re.compile(r"\{(examples:[1-9]\d{0,2})\}")
"""A slot for turns that are retrieved for each input."""
ORDER: Final[tuple[Speaker, Speaker]] = ("user", "assistant")
OPENING: Final = "(The assistant speaks first.)"
"""The user's turn before a conversation that the assistant begins, since many chat templates, and Anthropic's API,
want the user's first."""
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


class Mixed(str):
    """A text with images in it, as the value of an input field. `parts`: its texts and images, see `ChatMessage`."""

    parts: tuple[str, ...]

    def __new__(cls, parts: Iterable[str]) -> Self:
        """The text of these parts."""
        whole = joined(parts)
        made = super().__new__(cls, "".join(whole))
        made.parts = whole
        return made

    def __deepcopy__(self, memo: object) -> Self:
        return self


class Conversation(Mixed):
    """A conversation as the value of an input field. Its text is the transcript, a turn a line: `user: ...`.
    `turns`: any number, of any speaker, without blank ones."""

    turns: tuple[ChatMessage, ...]

    @classmethod
    def of(cls, turns: Iterable[ChatMessage]) -> Self:
        """The conversation of these turns; blank ones are left out, since providers refuse them."""
        said = tuple(turn for turn in turns if turn.text.strip())
        lines = [part for turn in said for part in (f"\n{turn.speaker}: ", *parts_of(turn))]
        made = cls([lines[0][1:], *lines[1:]] if lines else [])
        made.turns = said
        return made


def parts_of(value: str | ChatMessage) -> tuple[str, ...]:
    """The texts and images of a value or a turn."""
    if isinstance(value, ChatMessage):
        return value.pieces
    return value.parts if isinstance(value, Mixed) else (value,)


def images_of(value: str) -> tuple[Image, ...]:
    """The images in the value of an input field."""
    return tuple(part for part in parts_of(value) if isinstance(part, Image))


def transcribed(inputs: Mapping[str, str]) -> Mapping[str, str]:
    """The inputs with conversations as transcripts, which keep their images."""
    if not any(isinstance(value, Conversation) for value in inputs.values()):
        return inputs
    return {name: Mixed(value.parts) if isinstance(value, Conversation) else value for name, value in inputs.items()}


def chat(pieces: Sequence[str]) -> Iterator[ChatMessage]:
    """The messages of a user message in `pieces`: texts, images, and conversations that become turns.

    Texts before, between and after conversations are turns of the user, without blank lines at their ends. A
    conversation that ends with the assistant's turn stays a transcript if no text follows, because a model would
    continue that turn instead of answering, and several refuse to.
    """
    pieces = _with_end(pieces)
    if not any(isinstance(piece, Conversation) for piece in pieces):
        yield spoken("user", pieces)
        return
    text: list[str] = []
    begun = False
    for piece in pieces:
        if not isinstance(piece, Conversation):
            text.append(piece)
            continue
        for turn in (*_asked(text), *piece.turns):
            if not begun and turn.speaker == "assistant":
                yield ChatMessage("user", OPENING)
            begun = begun or turn.speaker != "system"
            yield turn
        text = []
    yield from _asked(text)


def _with_end(pieces: Sequence[str]) -> Sequence[str]:
    """The pieces, the last conversation as a transcript if it has to be."""
    last = max((n for n, piece in enumerate(pieces) if isinstance(piece, Conversation)), default=-1)
    found = pieces[last] if last >= 0 else None
    if not isinstance(found, Conversation) or found.turns[-1].speaker != "assistant":
        return pieces
    if any(piece.strip() for piece in pieces[last + 1 :]):
        return pieces
    return [*pieces[:last], *found.parts, *pieces[last + 1 :]]


def _asked(text: Sequence[str]) -> tuple[ChatMessage, ...]:
    """A turn of the user with this text, without white space at its ends; none if it is blank."""
    parts = list(joined(text))
    for place, strip in ((0, str.lstrip), (-1, str.rstrip)):
        if parts and not isinstance(parts[place], Image):
            parts[place] = strip(parts[place])
    turn = spoken("user", parts)
    return (turn,) if turn.text else ()
