"""A prompt: an immutable sequence of sections, edited one at a time.

Placeholders are the names of the task's input fields in braces (`{text}`). They are substituted by exact
name, in one pass, and every other brace, in a section or in an example, is plain text.

The prompts of a program (`program.py`) are one prompt here: a section's name is its address, `extract.task` for the
section `task` of the prompt `extract`. The names of a prompt that stands alone have no dot.

The form of a section says where its text is sent. `system`: in the system message if the text is the same for every
input, else in the user message. `input`: in the user message always. `turns`: as turns of the chat before the user
message, for worked examples (see `turns.py`).

The value of a field may be a conversation. Its placeholder becomes turns of the chat where it has a line of the user
message for itself, and a transcript elsewhere. An image stands in the user message where its placeholder does.

A section of the kind `tool` describes a tool, or the fields of the schema of a reply (`tools/definitions.py`). It is
part of no message and has no placeholders.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, Protocol, get_args, runtime_checkable

from protocols.errors import EditRejected, PromptError
from protocols.markup import heading, verbatim
from protocols.model import TURN, ChatMessage
from protocols.turns import Conversation, chat, check_turns, load_turns, parts_of, place_in

Kind = Literal["task", "definitions", "reasoning", "examples", "knowledge", "format", "reminders", "tool"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Form = Literal["system", "input", "turns"]
FORMS: tuple[Form, ...] = get_args(Form)
WORD = r"[a-z][a-z0-9_-]*"
WORD_NAME = re.compile(WORD)
NAME = re.compile(rf"{WORD}(?:\.{WORD})?")
NAMED = re.compile(r"\{([^\W\d]\w*)\}")
BRACED = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a prompt. An empty text renders as nothing; operators may fill it.

    In the form `turns` the text is empty, a slot like `{examples:8}`, or turns, in which every brace is plain text.
    """

    name: str
    kind: Kind
    text: str = ""
    frozen: bool = False
    form: Form = "system"

    def __post_init__(self) -> None:
        """:raises PromptError: the name, kind, form or text is invalid, or cannot be written to a prompt file; with
        the line of the text, if one is at fault."""
        if not NAME.fullmatch(self.name):
            raise PromptError(f"section name {self.name!r}: use a-z, 0-9, _ and -, starting with a letter")
        if self.kind not in KINDS:
            raise PromptError(f"section {self.name}: unknown kind {self.kind!r}; kinds are {', '.join(KINDS)}")
        try:
            self.text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise PromptError(f"section {self.name}: the text is not valid Unicode ({error.reason})") from None
        if self.form not in FORMS:
            raise PromptError(f"section {self.name}: unknown form {self.form!r}; forms are {', '.join(FORMS)}")
        if self.form == "turns":
            self._check_turns()
        elif self.kind == "tool" and self.form != "system":
            raise PromptError(f"section {self.name}: it describes a tool, which is in no message; remove {self.form}")

    def _check_turns(self) -> None:
        if self.kind != "examples":
            raise PromptError(f"section {self.name}: only examples can be turns, and it is of the kind {self.kind}")
        try:
            check_turns(self.text)
        except PromptError as error:
            raise PromptError(f"section {self.name}: {error.reason}", line=error.line) from None

    @property
    def prompt(self) -> str:
        """The name of the prompt of a program that the section belongs to; "" in a prompt that stands alone."""
        return prompt_of(self.name)

    @property
    def filled(self) -> str:
        """The text in which names in braces are placeholders: "" if the section has literal turns, or describes a
        tool."""
        if self.kind == "tool":
            return ""
        return self.text if self.form != "turns" or place_in(self.text) else ""

    @property
    def turns(self) -> tuple[ChatMessage, ...]:
        """The literal turns, the same for every input."""
        return load_turns(self.text) if self.form == "turns" and not place_in(self.text) else ()

    @property
    def said(self) -> str:
        """The text as a model reads it, turns without their headers."""
        return self.text if self.form != "turns" else "\n\n".join(turn.text for turn in self.turns)

    @property
    def tokens(self) -> int:
        """The estimated tokens of the section as it is sent, without the values of placeholders."""
        if self.form != "turns":
            return estimate_tokens(self.text)
        return sum(estimate_turn(turn) for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Prompt:
    """An ordered tuple of sections with distinct names. The sections of each prompt of a program stand together."""

    sections: tuple[Section, ...]

    def __post_init__(self) -> None:
        """:raises PromptError: there is no section, two have the same name, or the prompts of a program are mixed."""
        if not self.sections:
            raise PromptError("a prompt needs at least one section")
        for name, count in Counter(section.name for section in self.sections).items():
            if count > 1:
                raise PromptError(f"two sections are named {name!r}")
        runs = [name for name, _ in groupby(section.prompt for section in self.sections)]
        for name, count in Counter(runs).items():
            if count > 1:
                named = f"the sections of the prompt {name!r}" if name else "the sections without a prompt's name"
                raise PromptError(f"{named} do not stand together")

    def __iter__(self) -> Iterator[Section]:
        return iter(self.sections)

    def __getitem__(self, name: str) -> Section:
        """:raises KeyError: no section has this name."""
        for section in self.sections:
            if section.name == name:
                return section
        raise KeyError(name)

    def _repr_html_(self) -> str:
        """The sections that are not empty, for a notebook."""
        shown = (section for section in self.sections if section.text)
        return "".join(heading(f"{section.name} ({section.kind})") + verbatim(section.text) for section in shown)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the prompts of a program, in their order; `("",)` for a prompt that stands alone."""
        return tuple(dict.fromkeys(section.prompt for section in self.sections))

    def of(self, name: str) -> Prompt:
        """The prompt of this name, with the addresses of its sections.

        :raises PromptError: there is none.
        """
        return Prompt(tuple(section for section in self.sections if section.prompt == name))

    @property
    def tokens(self) -> int:
        """The estimated tokens of the prompt; needs no tokeniser."""
        return sum(section.tokens for section in self.sections)

    def edit(self, name: str, text: str, fields: Collection[str], form: Form | None = None) -> Prompt:
        """This prompt with one section's text replaced, and its form unless None.

        :raises EditRejected: the section is frozen, the edit loses or invents a placeholder, or the text does not
            fit the form.
        """
        section = self[name]
        if section.frozen:
            raise EditRejected(f"section {name} is frozen")
        try:
            edited = replace(section, text=text, form=form or section.form)
        except PromptError as error:
            raise EditRejected(str(error), text=text) from None
        before, after = placeholders(section.filled, fields), placeholders(edited.filled, fields)
        if lost := before - after:
            raise EditRejected(f"section {name}: the edit loses {braced(lost)}", text=text)
        if invented := after - before:
            raise EditRejected(f"section {name}: the edit invents {braced(invented)}", text=text)
        return Prompt(tuple(edited if s.name == name else s for s in self.sections))

    def freeze(self, names: Collection[str]) -> Prompt:
        """This prompt with the sections of these names frozen; unknown names are ignored."""
        return Prompt(tuple(replace(s, frozen=True) if s.name in names else s for s in self.sections))

    def reorder(self, names: Collection[str]) -> Prompt:
        """This prompt with its sections in the order of `names`.

        :raises EditRejected: `names` is not a permutation of the names of the sections.
        """
        if sorted(names) != sorted(s.name for s in self.sections):
            raise EditRejected(f"the order {', '.join(names)} does not name every section once")
        return Prompt(tuple(self[name] for name in names))

    def render(self, inputs: Mapping[str, str]) -> tuple[ChatMessage, ...]:
        """The chat messages for one example.

        First comes the prefix that is the same for all examples and that providers cache: the system message, then
        literal turns. Then follow the turns retrieved for the input, and last the user message, or several messages
        if a conversation is a part of it. Within each, the order is that of the sections.

        :raises PromptError: see `check_inputs` and `Template.render`.
        """
        check_inputs(inputs, names_in(self))
        return self.template(inputs).render(inputs)

    def template(self, fields: Collection[str]) -> Template:
        """The fixed and varying parts of the prompt, for all examples with these fields."""
        fixed, varying, places = list[str](), list[str](), list[str]()
        turns = list[ChatMessage]()
        for section in self.sections:
            if section.kind == "tool":
                continue
            if section.form == "turns":
                turns += section.turns
                places += filter(None, [place_in(section.text)])
            elif holds_placeholder(section.text, fields) or (section.text and section.form == "input"):
                varying.append(section.text)
            elif section.text:
                fixed.append(section.text)
        system = [ChatMessage("system", "\n\n".join(fixed))] if fixed else []
        return Template((*system, *turns), tuple(varying), tuple(places))


@runtime_checkable
class Turned(Protocol):
    """Inputs that can retrieve the training examples nearest to them as turns."""

    def turns(self, place: str) -> tuple[ChatMessage, ...]:
        """The turns for a slot such as `examples:8`, the nearest example last."""


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt divided for sending: `fixed` is the same for every example; the turns of the slots `places` and the
    `varying` texts are filled for each."""

    fixed: tuple[ChatMessage, ...]
    varying: tuple[str, ...]
    places: tuple[str, ...] = ()

    def render(self, inputs: Mapping[str, str]) -> tuple[ChatMessage, ...]:
        """The chat messages for one example.

        :raises PromptError: the prompt has a slot for turns, and the inputs are not `Turned`.
        """
        messages = list(self.fixed)
        for place in self.places:
            if not isinstance(inputs, Turned):
                raise PromptError(f"{{{place}}} is filled from training examples, and none are given")
            messages += inputs.turns(place)
        if not self.varying:
            return tuple(messages)
        for value in inputs.values():
            if type(value) is not str:
                spread = [piece for text in self.varying for piece in ("\n\n", *pieces(text, inputs))]
                return (*messages, *chat(spread[1:]))
        messages.append(ChatMessage("user", "\n\n".join([fill(text, inputs) for text in self.varying])))
        return tuple(messages)


def prompt_of(address: str) -> str:
    """The name of the prompt in the address of a section; "" for a prompt that stands alone."""
    name, dot, _ = address.partition(".")
    return name if dot else ""


def without_addresses(prompt: Prompt) -> Prompt:
    """The prompt with the bare names of its sections."""
    if prompt.names == ("",):
        return prompt
    return Prompt(tuple(replace(section, name=section.name.rpartition(".")[2]) for section in prompt))


def with_addresses(prompt: Prompt, name: str) -> Prompt:
    """A prompt that stands alone as the one of this name in a program."""
    return Prompt(tuple(replace(section, name=f"{name}.{section.name}") for section in prompt))


def differing(one: Prompt, other: Prompt) -> list[str]:
    """The names of the prompts of a program that differ, if there are two at least: with one, a swap makes either of
    the two anew."""
    names = [name for name in one.names if one.of(name) != other.of(name)]
    return names if len(names) > 1 else []


def with_prompt(one: Prompt, other: Prompt, name: str) -> Prompt:
    """The program with the prompt of this name from another, in its place."""
    return Prompt(tuple(s for each in one.names for s in (other if each == name else one).of(each)))


def same(one: Section, other: Section) -> bool:
    """Whether two sections have the same text and form."""
    return (one.text, one.form) == (other.text, other.form)


def estimate_tokens(text: str) -> int:
    """Approximate number of tokens: a quarter of the UTF-8 bytes, rounded up."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def estimate_message(message: ChatMessage) -> int:
    """Approximate number of tokens of a message, its images counted."""
    return estimate_tokens(message.text) + sum(image.tokens for image in message.images)


def estimate_turn(turn: ChatMessage) -> int:
    """Approximate number of tokens of a turn with its frame (`TURN`)."""
    return estimate_message(turn) + TURN


def placeholders(text: str, fields: Collection[str]) -> Counter[str]:
    """How often each of `fields` occurs in braces in `text`."""
    return Counter(m[1] for m in BRACED.finditer(text) if m[1] in fields)


def holds_placeholder(text: str, fields: Collection[str]) -> bool:
    """Whether `placeholders` would find one."""
    return "{" in text and any(m[1] in fields for m in BRACED.finditer(text))


def fill(text: str, inputs: Mapping[str, str]) -> str:
    """`text` with `{name}` replaced by `inputs[name]`, in one pass: inserted values are not searched again."""
    return BRACED.sub(lambda m: inputs.get(m[1], m[0]), text)


def pieces(text: str, inputs: Mapping[str, str]) -> Iterator[str]:
    """`text` filled as by `fill`, in pieces: texts, images, and conversations with a line for themselves, see `chat`.
    Any other conversation is its transcript."""
    end = 0
    for found in BRACED.finditer(text):
        value = inputs.get(found[1], found[0])
        yield text[end : found.start()]
        if isinstance(value, Conversation) and value.turns and _is_alone(text, found):
            yield value
        else:
            yield from parts_of(value)
        end = found.end()
    yield text[end:]


def _is_alone(text: str, found: re.Match[str]) -> bool:
    """Whether a placeholder has a line of the text for itself."""
    before, after = text[: found.start()].rpartition("\n")[2], text[found.end() :].partition("\n")[0]
    return not before.strip() and not after.strip()


def names_in(prompt: Prompt) -> set[str]:
    """The texts in braces of a prompt that could be names of fields."""
    return {name for section in prompt for name in NAMED.findall(section.filled)}


def check_inputs(inputs: Mapping[str, object], shown: Collection[str], known: Collection[str] | None = None) -> None:
    """Check the inputs of a prompt. `shown`: the fields that it shows. `known`: the fields that may be given; None if
    `shown` are names in braces, some of which may be plain text: then only a near miss of one of them, or no input at
    all, is an error.

    :raises PromptError: a field is missing, unknown, or not a text.
    """
    missing = sorted(set(shown) - set(inputs))
    strange = sorted(set(inputs) - set(shown if known is None else known))
    meant = {name: difflib.get_close_matches(name, missing, 1, cutoff=0.8) for name in strange}
    hints = [f"{name}: did you mean {like[0]}?" for name, like in meant.items() if like]
    if known is None and inputs and not hints:
        missing, strange = [], []
    said = [f"the prompt shows {braced(missing)}, and no such field is given"] if missing else []
    said += [f"there is no field {', '.join(strange)}"] if strange else []
    if said:
        raise PromptError("; ".join([*said, *hints]))
    for name, value in inputs.items():
        if not isinstance(value, str):
            raise PromptError(f"the field {name} is a {type(value).__name__}; give a text")


def braced(names: Collection[str]) -> str:
    """`{a}, {b}` for an error message."""
    return ", ".join("{" + name + "}" for name in sorted(names))
