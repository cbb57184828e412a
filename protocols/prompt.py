"""A prompt: an immutable sequence of sections, edited one at a time.

Placeholders are the names of the task's input fields in braces (`{text}`). They are substituted by exact
name, in one pass, and every other brace, in a section or in an example, is plain text.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from protocols.errors import EditRejected, PromptError
from protocols.model import ChatMessage

Kind = Literal["task", "definitions", "reasoning", "examples", "knowledge", "format", "reminders"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NAME = re.compile(r"[a-z][a-z0-9_-]*")
NAMED = re.compile(r"\{([^\W\d]\w*)\}")
BRACED = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a prompt. An empty text renders as nothing and is room for an operator to write in."""

    name: str
    kind: Kind
    text: str = ""
    frozen: bool = False

    def __post_init__(self) -> None:
        """:raises PromptError: the name, the kind or the text cannot be written to a prompt file."""
        if not NAME.fullmatch(self.name):
            raise PromptError(f"section name {self.name!r}: use a-z, 0-9, _ and -, starting with a letter")
        if self.kind not in KINDS:
            raise PromptError(f"section {self.name}: unknown kind {self.kind!r}; kinds are {', '.join(KINDS)}")
        try:
            self.text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise PromptError(f"section {self.name}: the text is not valid Unicode ({error.reason})") from None


@dataclass(frozen=True, slots=True)
class Prompt:
    """An ordered tuple of sections with distinct names."""

    sections: tuple[Section, ...]

    def __post_init__(self) -> None:
        """:raises PromptError: no section, or two of one name."""
        if not self.sections:
            raise PromptError("a prompt needs at least one section")
        for name, count in Counter(section.name for section in self.sections).items():
            if count > 1:
                raise PromptError(f"two sections are named {name!r}")

    def __iter__(self) -> Iterator[Section]:
        return iter(self.sections)

    def __getitem__(self, name: str) -> Section:
        """:raises KeyError: no section of that name."""
        for section in self.sections:
            if section.name == name:
                return section
        raise KeyError(name)

    @property
    def tokens(self) -> int:
        """An estimate of its length that needs no tokeniser."""
        return sum(estimate_tokens(section.text) for section in self.sections)

    def edit(self, name: str, text: str, fields: Collection[str]) -> Prompt:
        """This prompt with the text of one section replaced.

        :raises EditRejected: the section is frozen, or the edit loses or invents a placeholder.
        """
        section = self[name]
        if section.frozen:
            raise EditRejected(f"section {name} is frozen")
        before, after = placeholders(section.text, fields), placeholders(text, fields)
        if lost := before - after:
            raise EditRejected(f"section {name}: the edit loses {braced(lost)}", text=text)
        if invented := after - before:
            raise EditRejected(f"section {name}: the edit invents {braced(invented)}", text=text)
        edited = replace(section, text=text)
        return Prompt(tuple(edited if s.name == name else s for s in self.sections))

    def freeze(self, names: Collection[str]) -> Prompt:
        """This prompt with the sections of these names frozen, as far as it has them."""
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

        What holds no placeholder is the system message, in order; what holds one follows as the user message.
        So all calls of one prompt share one prefix, which providers cache.

        :raises PromptError: see `check_inputs`.
        """
        check_inputs(inputs, names_in(self))
        return self.template(inputs).render(inputs)

    def template(self, fields: Collection[str]) -> Template:
        """What `render` divides the prompt into, for all examples of these fields."""
        varying = [section.text for section in self.sections if holds_placeholder(section.text, fields)]
        fixed = [s.text for s in self.sections if s.text and not holds_placeholder(s.text, fields)]
        return Template((ChatMessage("system", "\n\n".join(fixed)),) if fixed else (), tuple(varying))


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt as it is sent: `fixed` is the same for every example, `varying` texts are filled for each."""

    fixed: tuple[ChatMessage, ...]
    varying: tuple[str, ...]

    def render(self, inputs: Mapping[str, str]) -> tuple[ChatMessage, ...]:
        """The chat messages for one example."""
        if not self.varying:
            return self.fixed
        return (*self.fixed, ChatMessage("user", "\n\n".join([fill(text, inputs) for text in self.varying])))


def estimate_tokens(text: str) -> int:
    """About the number of tokens: a quarter of the UTF-8 bytes, rounded up."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def placeholders(text: str, fields: Collection[str]) -> Counter[str]:
    """How often each of `fields` stands in `text` in braces."""
    return Counter(m[1] for m in BRACED.finditer(text) if m[1] in fields)


def holds_placeholder(text: str, fields: Collection[str]) -> bool:
    """Whether `placeholders` would find one."""
    return "{" in text and any(m[1] in fields for m in BRACED.finditer(text))


def fill(text: str, inputs: Mapping[str, str]) -> str:
    """`text` with `{name}` replaced by `inputs[name]`, in one pass: what is put in is not read again."""
    return BRACED.sub(lambda m: inputs.get(m[1], m[0]), text)


def names_in(prompt: Prompt) -> set[str]:
    """What stands in braces in a prompt and could be the name of a field."""
    return {name for section in prompt for name in NAMED.findall(section.text)}


def check_inputs(inputs: Mapping[str, object], shown: Collection[str], known: Collection[str] | None = None) -> None:
    """Look at what a prompt is to be rendered with. `shown`: the fields that it shows. `known`: those that there may
    be; None where `shown` are names in braces, of which some may be plain text: then only a name that is nearly one
    of them, or no input at all, is a mistake.

    :raises PromptError: a field is missing, or unknown, or no text.
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
