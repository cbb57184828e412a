"""Parses a request for a text: the parts to be written, the examples shown, the advice of a diagnosis.

Only the words of the request are read. A critic's request is recognised by the tags that it requests, an operator's
by these and by the part marked in the prompt, and one for a whole prompt by the parts that it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from protocols.model import ChatMessage

_MARKED = re.compile(r'^<part name="([^"\n]*)" kind="([^"\n]*)">\n', re.MULTILINE)
_TOLD = re.compile(r"(?P<name>[\w.-]+) \((?P<use>[^()\n]*); at most (?P<most>\d{1,6}) (?:words|characters)\)")
_NAMED = re.compile(r"([\w.-]+) \([^()\n]*\)[;.]")
_SECTION = re.compile(r"^(?:\[([\w.-]+)\]|--- .* ---|=== .* ===)$", re.MULTILINE)
_LINE = re.compile(r"(?:Right, and alike: )?- (?P<input>.*) → (?P<answer>.+)")
_FURTHER = re.compile(r"- (?P<input>.*) → .*, expected (?P<answer>.+) \((?P<id>[^()]*)\)")
_BOUND = re.compile(r"(?<![\w.])(\d{1,6}) (?:words|characters)\b")
_DRAFTS = re.compile(r"\b(two|three|four|five) versions between <new>")
_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5}
_USES = {
    "format": r"format|look like",
    "reasoning": r"reason|think",
    "reminders": r"remind|forgotten",
    "knowledge": r"knowledge|facts",
    "definitions": r"definition|means",
}
"""Words in a part's name or in the description of its use that show its kind; any other part is a task."""
_SHOWN = ("right", "data", "only_first_right", "only_second_right", "both_wrong")
"""Blocks with one line per example."""
Form = Literal["critique", "new", "part"]
"""The tags that the reply must use."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An example: its whole input, the expected answer, and its id if the request shows it."""

    input: str
    expected: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a prompt and its text. `most`: limit of a new text in words, or in characters of a script without
    spaces; None: no limit."""

    name: str
    kind: str
    text: str
    most: int | None


@dataclass(frozen=True, slots=True)
class Material:
    """A parsed request for a text. `others`: examples that are not among the `errors`. `most`: the limit in words of
    the whole text."""

    form: Form
    parts: tuple[Part, ...]
    errors: tuple[Shown, ...]
    others: tuple[Shown, ...]
    advice: str
    most: int | None
    drafts: int


def gather(messages: Sequence[ChatMessage]) -> Material | None:
    """Parse a request for a text; None if the request asks for an answer."""
    texts = [message.text for message in messages if message.speaker == "user"]
    prompt = next((found for text in texts for found in _blocks(text, "prompt")), None)
    if prompt is None:
        return None
    instruction = texts[-1].rpartition("\n</")[2]
    bounds = _BOUND.findall(instruction)
    most = int(bounds[-1]) if bounds else None
    marked = _MARKED.search(prompt)
    form: Form
    if "<critique>" in instruction:
        form, parts = "critique", _named(instruction, prompt)
    elif "<new>" in instruction and marked:
        text = prompt[marked.end() :].rpartition("</part>")[0]
        form, parts = "new", [Part(marked[1], marked[2], text.strip("\n"), most)]
    elif "<part name=" in instruction:
        form, parts = "part", _told(instruction, prompt)
    else:
        return None
    errors = {_key(e): e for text in texts for block in _blocks(text, "errors") for e in _records(block)}
    errors |= {_key(e): e for text in texts for block in _blocks(text, "more_errors") for e in _further(block)}
    lined = [block for text in texts for tag in ("errors", *_SHOWN) for block in _blocks(text, tag)]
    others = {_key(e): e for block in lined for e in _lines(block) if _key(e) not in errors}
    advice = "\n".join(block for text in texts for block in _blocks(text, "diagnosis"))
    drafts = _DRAFTS.search(instruction)
    number = _NUMBERS[drafts[1]] if drafts else 1
    return Material(form, tuple(parts), tuple(errors.values()), tuple(others.values()), advice, most, number)


def _blocks(text: str, tag: str) -> Iterator[str]:
    """The contents of each `<tag ...>` at the start of a line, up to the next `</tag>` at the start of a line."""
    position = 0
    for opening in re.finditer(rf"^<{tag}(?: [^<>\n]*)?>\n", text, re.MULTILINE):
        if opening.start() < position:
            continue
        if (end := text.find(f"\n</{tag}>", opening.end() - 1)) < 0:
            return
        yield text[opening.end() : end]
        position = end


def _named(instruction: str, prompt: str) -> list[Part]:
    """The parts that the critic's instruction names, or else all that the prompt shows."""
    names = _NAMED.findall(instruction.partition("parts are ")[2]) or _sections(prompt)
    return [Part(name, "", "", None) for name in names]


def _told(instruction: str, prompt: str) -> list[Part]:
    """The parts that a new prompt may have, with their current texts."""
    texts = _sections(prompt)
    return [
        Part(told["name"], _kind(f"{told['name']} {told['use']}"), texts.get(told["name"], ""), int(told["most"]))
        for told in _TOLD.finditer(instruction)
    ]


def _kind(said: str) -> str:
    return next((kind for kind, words in _USES.items() if re.search(words, said)), "task")


def _sections(prompt: str) -> dict[str, str]:
    """The sections that a prompt shows, by name."""
    heads = [*_SECTION.finditer(prompt)]
    ends = [*[head.start() for head in heads[1:]], len(prompt)][: len(heads)]
    return {head[1]: prompt[head.end() : end].strip("\n") for head, end in zip(heads, ends, strict=True) if head[1]}


def _records(block: str) -> Iterator[Shown]:
    """The records of a block: `Key: value` lines, indented lines that continue a value, empty lines in between."""
    for record in block.split("\n\n"):
        fields: list[tuple[str, list[str]]] = []
        for line in record.split("\n"):
            key, colon, value = line.partition(":")
            if line[:1].isspace() and fields:
                fields[-1][1].append(line.strip())
            elif colon and not _LINE.fullmatch(line):
                fields.append((key, [value.strip()]))
        values = {key: "\n".join(lines) for key, lines in fields}
        inputs = [value for key, value in values.items() if key == "Input" or key.startswith("Input (")]
        if inputs and values.get("Expected"):
            yield Shown("\n".join(inputs), values["Expected"], values.get("Example", ""))


def _lines(block: str) -> Iterator[Shown]:
    """The examples of a block that are written on one line each."""
    for line in block.split("\n"):
        if found := _LINE.fullmatch(line):
            yield Shown(found["input"], found["answer"])


def _further(block: str) -> Iterator[Shown]:
    """The errors of a block that are written on one line each."""
    for line in block.split("\n"):
        if found := _FURTHER.fullmatch(line):
            yield Shown(found["input"], found["answer"], found["id"])


def _key(example: Shown) -> tuple[str, str]:
    return " ".join(example.input.split()), example.expected
