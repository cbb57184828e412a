"""Shortens a text to a limit: the least important parts are dropped first, lines with placeholders never."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from protocols.providers.embedded.features import CHARACTERS, DIMENSION, Array, Index, embed, length_in_words
from protocols.providers.embedded.reading import keyed

_PLACEHOLDER = re.compile(r"\{[^{}\n]+\}")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])")
_ITEM = re.compile(r"[,，、;；]\s*")
_PART = re.compile(rf"\s*(?:[{CHARACTERS}]|[^\s{CHARACTERS}]+)")
_SHARPNESS = 10.0
_MOST = 512  # most atoms that are compared; in a longer text the middle is dropped first


@dataclass(frozen=True, slots=True)
class Atom:
    """The smallest part that can be dropped: a sentence of line `line`, or an item of the list after its key."""

    line: int
    text: str
    fixed: bool
    head: str = ""
    separator: str = " "


def deduplicated(lines: Sequence[str]) -> list[str]:
    """The lines without repetitions; of consecutive blank lines one is kept."""
    kept: list[str] = []
    seen: set[str] = set()
    for line in lines:
        plain = " ".join(line.split()).casefold()
        if plain in seen and not _PLACEHOLDER.search(line):
            continue
        if plain or (kept and kept[-1].strip()):
            kept.append(line)
        if plain:
            seen.add(plain)
    return kept


def length_of(lines: Sequence[str]) -> int:
    """Number of words in a text."""
    return length_in_words("\n".join(lines))


def shorten(lines: Sequence[str], most: int, inputs: Sequence[str], noise: Callable[[], float]) -> list[str]:
    """`lines` shortened to `most` words: the parts with the least attention from the inputs are dropped first. One
    part is always kept, and cut if needed."""
    atoms = [atom for number, line in enumerate(lines) for atom in _atoms(number, line)]
    loose = [atom for atom in atoms if not atom.fixed]
    worth = _saliences(loose, inputs) if loose else np.zeros(0)
    order = np.argsort([value + noise() * 0.2 * (worth.std() + 1e-9) for value in worth], kind="stable")
    gone: set[int] = set()
    size = length_in_words(_text(atoms, gone))
    for position in order[:-1]:
        if size <= most and (size := length_in_words(_text(atoms, gone))) <= most:
            break
        gone.add(id(loose[position]))
        size -= length_in_words(loose[position].text)
    if length_in_words(_text(atoms, gone)) > most:
        atoms = [_cut(atom, atoms, gone, most) if not atom.fixed and id(atom) not in gone else atom for atom in atoms]
    return _text(atoms, gone).split("\n")


def _atoms(number: int, line: str) -> list[Atom]:
    if not line.strip() or _PLACEHOLDER.search(line):
        return [Atom(number, line, True)]
    found = keyed(line)
    items = _ITEM.split(found.value) if found else []
    if found and len(items) > 1 and not re.search(r"[.!?。！？]\s", found.value):
        separator = re.search(r"[,，、;；]", found.value)
        mark = separator[0] if separator else ","
        head = line[: len(line.rstrip()) - len(found.value)]
        return [Atom(number, item.strip(), False, head, mark + " " * mark.isascii()) for item in items if item]
    sentences = [part for part in _SENTENCE.split(line) if part.strip()]
    spaced = " " if line.isascii() else ("" if re.search(r"[。！？；]", line) else " ")
    return [Atom(number, part, False, "", spaced) for part in sentences]


def _text(atoms: Sequence[Atom], gone: set[int]) -> str:
    lines: dict[int, str] = {}
    for atom in atoms:
        if id(atom) in gone:
            continue
        lines[atom.line] = (
            lines[atom.line] + atom.separator + atom.text if atom.line in lines else atom.head + atom.text
        )
    return "\n".join(lines.values())


def _cut(atom: Atom, atoms: Sequence[Atom], gone: set[int], most: int) -> Atom:
    """The last loose part, cut to the room that the fixed parts leave."""
    room = most - length_in_words(_text([other for other in atoms if other is not atom], gone))
    kept = ""
    for part in _PART.findall(atom.text) or [atom.text]:
        if length_in_words(atom.head + kept + part) > room:
            break
        kept += part
    return replace(atom, text=kept.strip()) if kept.strip() else replace(atom, text="", head="")


def _saliences(atoms: Sequence[Atom], inputs: Sequence[str]) -> Array:
    """The attention from the inputs to each atom; without inputs, how little it repeats the others."""
    kept = list(range(len(atoms))) if len(atoms) <= _MOST else [*range(_MOST // 2), *range(-_MOST // 2, 0)]
    keys = [_unit(atoms[number].text) for number in kept]
    if inputs:
        asked = _dense([_unit(text) for text in inputs[-64:]])
        logits = _SHARPNESS * np.stack([asked[:, index] @ values for index, values in keys], axis=1)
        attention = np.exp(logits - logits.max(axis=1, keepdims=True))
        found = (attention / attention.sum(axis=1, keepdims=True)).sum(axis=0)
    else:
        whole = _dense(keys).mean(axis=0)
        found = 1 - np.array([whole[index] @ values for index, values in keys])
    worth = np.full(len(atoms), -1.0)
    worth[kept] = np.round(found, 6)
    return worth


def _unit(text: str) -> tuple[Index, Array]:
    """The non-zero buckets of a text, and its embedding in them, of L2 norm 1 (or 0)."""
    index, values = embed(text)
    return index, values / (np.sqrt(values @ values) or 1.0)


def _dense(rows: Sequence[tuple[Index, Array]]) -> Array:
    whole = np.zeros((len(rows), DIMENSION))
    for row, (index, values) in zip(whole, rows, strict=True):
        row[index] = values
    return whole
