"""A prompt as it is sent, in turns of texts and variables, for other tools' notations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agents.programs.bound import INPUTS, Values
from agents.prompting.retrieval_slots import EXAMPLES, PLACEHOLDER, Filled, Pair
from agents.results.saved import Item, SavedPrompt
from memory.retrieval import Shelf
from protocols.errors import PromptError
from protocols.model import ChatMessage, Offer
from protocols.prompt import BRACED, Template, placeholders

QUERIES = 200
"""Most examples that are asked for their neighbours, to find those that are most often near."""


@dataclass(frozen=True, slots=True)
class Variable:
    """The place of an input field's value, or of all values together (`inputs`, in a program)."""

    name: str


Piece = str | Variable


@dataclass(frozen=True, slots=True)
class Turn:
    """A message. `varies`: its user message, which is filled for each input; the others are the same for all."""

    role: str
    pieces: tuple[Piece, ...]
    varies: bool = False

    @property
    def text(self) -> str:
        """The text of a message without variables."""
        return "".join(piece for piece in self.pieces if isinstance(piece, str))


@dataclass(frozen=True, slots=True)
class Portable:
    """One prompt for export. `name`: what other tools call it. `fields`: the input fields; of one of several prompts
    of a program, the values that it may show. `texts`: all values are texts; else some may be conversations or
    images."""

    name: str
    saved: SavedPrompt
    fields: tuple[str, ...]
    texts: bool = True

    @property
    def offer(self) -> Offer | None:
        """The tools and the schema that are sent beside the messages."""
        return self.saved.offer

    @property
    def template(self) -> Template:
        """The fixed and the varying parts."""
        blank: Mapping[str, str] = dict.fromkeys(self.fields, "")
        values = Values(blank) if self.saved.of_program else blank
        return self.saved.prompt.template(Filled(values, lambda name, query, k: (), lambda query, k: ()))

    @property
    def required(self) -> tuple[str, ...]:
        """The fields that an input must have: those that are shown, and all if examples or passages are found by
        them."""
        if self.saved.slots and not self.saved.of_program:
            return self.fields
        shown = {name for text in self.template.varying for name in placeholders(text, self.fields)}
        return tuple(name for name in self.fields if name in shown)

    def turns(self, fixed_examples: bool, form: str) -> tuple[Turn, ...]:
        """The messages. `fixed_examples`: what would be found for each input is the same for all, see `central`.
        `form`: the format, for the error.

        :raises PromptError: examples or passages are found for each input and must not be fixed, or a message has an
            image.
        """
        if self.saved.slots and not fixed_examples:
            raise PromptError(
                f"this prompt shows the {' and '.join(sorted(self.saved.slots))} that are nearest to each input, and "
                f"{form} cannot find them: export it to python, promptfoo or dspy, which can, or show the same ones "
                "to all inputs (--fixed-examples), which no run has scored"
            )
        template = self.template
        turns = [Turn(message.speaker, (_text(message, form),)) for message in template.fixed]
        for place in template.places:
            turns += [Turn(m.speaker, (_text(m, form),)) for m in self._pairs(int(place.rpartition(":")[2]))]
        if template.varying:
            spread = [piece for text in template.varying for piece in ("\n\n", *self._pieces(text))]
            turns.append(Turn("user", tuple(_joined(spread[1:])), varies=True))
        return tuple(turns)

    def _pairs(self, k: int) -> list[ChatMessage]:
        pairs: list[Pair] = [item.turns for item in central(self.saved.slots[EXAMPLES], k) if item.turns]
        return [turn for pair in pairs if all(turn.text.strip() for turn in pair) for turn in pair]

    def _pieces(self, text: str) -> Iterator[Piece]:
        end = 0
        for found in BRACED.finditer(text):
            yield text[end : found.start()]
            end, name = found.end(), found[1]
            if name in self.fields or (name == INPUTS and self.saved.of_program):
                yield Variable(name)
            elif slot := PLACEHOLDER.fullmatch(name):
                yield "\n\n".join(item.text for item in central(self.saved.slots[slot[1]], int(slot[2])))
            else:
                yield found[0]
        yield text[end:]


def central(shelf: Shelf[Item], k: int) -> Sequence[Item]:
    """The `k` items that are most often among the `k` nearest to another one, the most frequent last, where the
    nearest stands when items are found for each input."""
    counts = {id(item): 0 for item in shelf.items}
    for query in shelf.keys[:: 1 + len(shelf.keys) // QUERIES]:
        for item in shelf.nearest(query, k):
            counts[id(item)] += 1
    return sorted(shelf.items, key=lambda item: -counts[id(item)])[:k][::-1]


def one_of(saved: SavedPrompt, name: str) -> SavedPrompt:
    """One of the prompts, with what it is filled from; the only one if `name` is ""."""
    return saved.of(name) if name else replace(saved, offers={})


def variables(portable: Portable, turns: Sequence[Turn]) -> tuple[str, ...]:
    """The names of the variables in the turns, in the order of the fields."""
    shown = {piece.name for turn in turns for piece in turn.pieces if isinstance(piece, Variable)}
    return tuple(name for name in (*portable.fields, INPUTS) if name in shown)


def no_offer(portable: Portable, form: str) -> None:
    """:raises PromptError: the prompt offers tools or a schema."""
    if portable.offer:
        offered = list(portable.offer.openai)
        raise PromptError(f"{form} has no place for what this prompt offers ({', '.join(offered)}); use python")


def _joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """The same with neighbouring texts put together, and without empty ones."""
    text = ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
            continue
        if text:
            yield text
        yield piece
        text = ""
    if text:
        yield text


def _text(message: ChatMessage, form: str) -> str:
    """:raises PromptError: the message has an image."""
    if message.parts:
        raise PromptError(f"{form} cannot hold the images of worked examples; use python")
    return message.text
