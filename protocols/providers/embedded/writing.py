"""Writing: a new text from the current one, the records and the instruction of a request."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from protocols.model import ChatMessage
from protocols.providers.embedded.features import fold, joined, words
from protocols.providers.embedded.filling import Filled, Weights, bound_slots, fill
from protocols.providers.embedded.material import Material, gather
from protocols.providers.embedded.reading import keyed, slots, template
from protocols.providers.embedded.shortening import deduplicated, find_bound, shorten

ADVISED = 1.5  # how much more a word weighs that the advice holds
_QUOTED = re.compile(r"[\"`“「]([^\"`”」\n]{3,300})[\"`”」]")
_JITTER = 0.5  # the noise of temperature 1, in the units of the log-odds


def write(messages: Sequence[ChatMessage], tag: str, temperature: float, rng: np.random.Generator | None) -> str:
    """The text that goes between the tags."""
    material = gather([message.text for message in messages], tag)

    def noise() -> float:
        return float(_JITTER * temperature * rng.standard_normal()) if rng is not None else 0.0

    base = deduplicated(material.base)
    lines, added = list(base), False
    for group in _templates(material):
        boost = {fold(word): ADVISED for word in words(material.advice)}
        filled = fill(group, material.records, Weights(boost, noise))
        lines = merged(lines, filled)
        added = added or bool(filled)
    for line in _quoted(material):
        if line not in lines:
            lines.append(line)
        added = True
    bound = find_bound(material.instruction)
    if bound is not None or (not added and lines == list(material.base)):
        lines = shorten(lines, bound, [record.text() for record in material.records], noise)
    return "\n".join(lines).strip("\n")


def _templates(material: Material) -> list[list[str]]:
    """The runs of instruction lines that have a slot for a key of the records."""
    keys = list(dict.fromkeys(key for record in material.records for key, _ in record.fields))
    runs: list[list[str]] = []
    previous = -2
    for number, line in enumerate(material.instruction.splitlines()):
        held = [text for text in _QUOTED.findall(line) if bound_slots(text, keys)]
        wanted = held[-1] if held else line
        if keys and len(line) < 1000 and bound_slots(wanted, keys):
            if number - previous > 1:
                runs.append([])
            runs[-1].append(wanted)
            previous = number
    return runs


def _quoted(material: Material) -> list[str]:
    """The lines that the instruction wants copied: quoted ones, and template lines whose slots no record fills."""
    keys = {key for record in material.records for key, _ in record.fields}
    found: list[str] = []
    for line in material.instruction.splitlines():
        if len(line) >= 1000 or bound_slots(line, list(keys)):
            continue
        quoted = [text for text in _QUOTED.findall(line) if len(text.split()) > 2 or _own_slots(text, material)]
        steps, _ = template([line]) if _own_slots(line, material) else ([], set())
        found += quoted or [f"{step.before}<{step.slot}>{step.after}" for step in steps]
    return list(dict.fromkeys(found))


def _own_slots(text: str, material: Material) -> bool:
    return any(fold(wording) not in material.tags for _, _, wording in slots(text))


def merged(lines: Sequence[str], filled: Sequence[Filled]) -> list[str]:
    """`lines` with the new ones: a line of the same key or pattern is renewed in its place, the others come after."""
    result = list(lines)
    for group in filled:
        if len(group.lines) > 1:
            block = "\n".join(group.lines)
            if block not in "\n".join(result):
                result += [*([""] if result else []), *block.split("\n")]
            continue
        line, pattern = group.lines[0], re.compile(group.patterns[0])
        same = next((i for i, old in enumerate(result) if _same(old, line, pattern)), None)
        if same is None:
            result.append(line)
        else:
            result[same] = _union(result[same], line, pattern)
    return result


def _same(old: str, new: str, pattern: re.Pattern[str]) -> bool:
    if pattern.fullmatch(old):
        return True
    left, right = keyed(old), keyed(new)
    return left is not None and right is not None and fold(left.key) == fold(right.key)


def _union(old: str, new: str, pattern: re.Pattern[str]) -> str:
    """The new line with the words of the old one after its own."""
    before, after = pattern.fullmatch(old), pattern.fullmatch(new)
    if after is None or not after.groups():
        return new
    if before is None:
        left, right = keyed(old), keyed(new)
        return (
            new
            if left is None or right is None
            else new[: len(new) - len(right.value)] + _both(right.value, left.value)
        )
    text, position = "", 0
    for number in range(1, len(after.groups()) + 1):
        text += new[position : after.start(number)] + _both(after[number], before[number])
        position = after.end(number)
    return text + new[position:]


def _both(new: str, old: str) -> str:
    items = [item for text in (new, old) for item in map(str.strip, re.split(r"[,，、;；]", text)) if item]
    return joined(list({fold(item): item for item in reversed(items)}.values())[::-1])
