"""What a request for a text brings along: tagged blocks, the records in them, the text to start from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from protocols.providers.embedded.features import fold, words
from protocols.providers.embedded.reading import Record, keyed

_TAG = re.compile(
    r"<(?P<close>/?)(?P<tag>[A-Za-z][\w-]{0,40})(?P<attributes>(?:\s+[\w-]{1,40}\s*=\s*\"[^\"<>]*\")*)\s*>"
)
_NAME = re.compile(r"\bname\s*=\s*\"([^\"]*)\"")
_PAIR = re.compile(r"<([A-Za-z][\w-]{0,40})>[^<>\n]{0,30}</\1>")
_END = 600  # characters at the end of a message in which a pair of tags is a request


@dataclass(frozen=True, slots=True)
class Block:
    """`<tag name="...">text</tag>`; `name` is "" without the attribute. `start` and `end` are offsets of the whole.

    `depth`: tags that are open around it. `holds_named`: a block with a name is inside.
    """

    tag: str
    name: str
    text: str
    start: int
    end: int
    depth: int
    holds_named: bool


@dataclass(frozen=True, slots=True)
class Material:
    """A request for a text, taken apart.

    `base`: the lines of the current text. `records`: of all record blocks. `advice`: free text in other blocks.
    `instruction`: what the last message says outside its blocks.
    """

    base: tuple[str, ...]
    records: tuple[Record, ...]
    advice: str
    instruction: str
    tags: frozenset[str] = field(default=frozenset())


def requested_tag(text: str) -> str | None:
    """The tag that a message wants its reply in: the last pair `<x> ... </x>` of one line near its end."""
    found = _PAIR.findall(text[-_END:])
    return found[-1] if found else None


def gather(texts: Sequence[str], tag: str) -> Material:
    """Take the texts of a request apart; the last one holds the instruction."""
    found = [(text, blocks(text, tag)) for text in texts]
    instruction = _outside(*found[-1])
    everything = [block for _, among in found for block in among]
    read = [(block, () if block.name else block_records(block.text)) for block in everything]
    records = tuple(record for _, among in read for record in among)
    base = _base(everything, instruction, {value for record in records for _, value in record.fields})
    advice = [block.text for block, among in read if not among and not block.name and not block.holds_named]
    tags = frozenset(fold(block.tag) for block in everything) | {fold(tag)}
    return Material(
        tuple(base.strip("\n").split("\n")) if base else (), records, "\n".join(advice), instruction, tags
    )


def blocks(text: str, skipped: str) -> list[Block]:
    """The closed blocks of `text` in the order of their ends; tags that nothing closes are plain text."""
    found: list[Block] = []
    stack: list[tuple[re.Match[str], int]] = []  # an opening tag, and how many named blocks were closed before it
    waiting: Counter[str] = Counter()
    named = 0
    for match in _TAG.finditer(text):
        tag = match["tag"]
        if tag == skipped:
            continue
        if not match["close"]:
            stack.append((match, named))
            waiting[tag] += 1
        elif waiting[tag]:
            opening, before = stack.pop()
            waiting[opening["tag"]] -= 1
            while opening["tag"] != tag:
                opening, before = stack.pop()
                waiting[opening["tag"]] -= 1
            attribute = _NAME.search(opening["attributes"])
            name = attribute[1] if attribute else ""
            inside = text[opening.end() : match.start()]
            found.append(Block(tag, name, inside, opening.start(), match.end(), len(stack), named > before))
            named += bool(name)
    return found


def block_records(text: str) -> tuple[Record, ...]:
    """The records of a block: `Key: value` lines, indented lines that go on, blank lines between records.

    () unless all of the block is such lines and all records begin with the same key.
    """
    records: list[Record] = []
    fields: list[list[str]] = []
    for number, line in enumerate([*text.splitlines(), ""]):
        found = keyed(line) if line[:1].strip() else None
        if found and found.colon and not found.bulleted:
            if any(fold(found.key) == fold(key) for key, _ in fields):
                records.append(_closed(fields, number))
                fields = []
            fields.append([found.key, found.value])
        elif line.strip() and line[0].isspace() and fields:
            fields[-1][1] += "\n" + line.strip()
        elif line.strip():
            return ()
        elif fields:
            records.append(_closed(fields, number))
            fields = []
    return tuple(records) if len({fold(record.fields[0][0]) for record in records}) == 1 else ()


def _closed(fields: Sequence[Sequence[str]], number: int) -> Record:
    return Record(tuple((key, value.strip()) for key, value in fields), number)


def _outside(text: str, among: Sequence[Block]) -> str:
    parts = []
    position = 0
    for block in sorted((block for block in among if block.depth == 0), key=lambda block: block.start):
        if block.start >= position:
            parts.append(text[position : block.start])
            position = block.end
    return "".join([*parts, text[position:]])


def _base(among: Sequence[Block], instruction: str, values: Collection[str]) -> str:
    """The text of the named block that the instruction is about: the last one that it names, or the only one.

    Blocks whose names are values of records are what the records speak of, not the text to rewrite.
    """
    named = [block for block in among if block.name and block.name not in values]
    said = set(map(fold, words(instruction)))
    told = [block for block in named if block.name in instruction and set(map(fold, words(block.name))) <= said]
    if told:
        return told[-1].text
    outermost = [block for block in named if block.depth == 0] or named
    return outermost[-1].text if len(outermost) == 1 else ""
