"""Writes new texts for the parts of a prompt, and critiques, from the examples in a request.

The kind of the part decides the text: one line for each answer, with the words that distinguish it from the other
answers. Instructions are for language models; only their length limits are followed here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from protocols.providers.embedded.features import fold, joined, words
from protocols.providers.embedded.material import Material, Part, Shown
from protocols.providers.embedded.reading import keyed
from protocols.providers.embedded.shortening import deduplicated, length_of, shorten
from protocols.providers.embedded.telling import Counted, Noise

LINES: Mapping[str, tuple[str, str]] = {
    "task": ("- {answer}: ", ""),
    "definitions": ("- {answer}: ", ""),
    "knowledge": ("Texts about ", " belong to {answer}."),
    "reasoning": ("If the input speaks of ", ", think of {answer}."),
    "reminders": ("Remember that ", " mean {answer}."),
}
"""The texts before and after the words of a line, by the kind of the part; other kinds keep their text."""
WORDS = (10, 5, 20, 3, 15)
"""Number of words in a line, for the first draft and for each further one."""
MOST, LONGEST = 40, 60
"""Most answers that get a line, and most characters of such an answer."""
CRITICISED, IDS = 3, 5
"""Most answers that a critique names for a part, and most example ids for each."""
ADVISED = 1.5
"""Factor of the score of a word that the advice contains."""
_JITTER = 0.5  # noise at temperature 1, in the units of the log-odds


def write(material: Material, temperature: float, rng: np.random.Generator | None) -> str:
    """The reply, in the requested tags."""

    def noise() -> float:
        return float(_JITTER * temperature * rng.standard_normal()) if rng is not None else 0.0

    if material.form == "critique":
        return f"<critique>\n{_critique(material, noise)}\n</critique>"
    if material.form == "part":
        parts = [(part.name, _text(part, material, WORDS[0], noise)) for part in _own(material.parts)]
        return "\n".join(f'<part name="{name}">\n{text}\n</part>' for name, text in parts)
    (part,) = material.parts
    drafts = [_text(part, material, most, noise) for most in WORDS[: material.drafts]]
    return "\n".join(f"<new>\n{text}\n</new>" for text in drafts)


def _own(parts: Sequence[Part]) -> list[Part]:
    """The parts to write for a whole new prompt: without the task part if there are definitions, because these
    explain the answers."""
    defined = any(part.kind == "definitions" for part in parts)
    return [part for part in parts if part.kind != "task" or not defined]


def _text(part: Part, material: Material, most: int, noise: Noise) -> str:
    """The new text of a part. A part over its limit is only shortened."""
    there = part.text.split("\n") if part.text else []
    lines = deduplicated(there)
    shown = [*material.errors, *material.others]
    if part.kind in LINES and (part.most is None or length_of(there) <= part.most):
        counted = _counted(shown, material.advice, noise)
        for answer in _answers(shown, noise)[:MOST]:
            found = counted.telling(answer)[:most]
            lines = merged(lines, part.kind, answer, found) if found else lines
    if part.most is not None:
        lines = shorten(lines, part.most, [text for e in shown for text in (e.input, e.expected)], noise)
    return "\n".join(lines).strip("\n")


def _critique(material: Material, noise: Noise) -> str:
    """One line for each part and each of the answers missed most often."""
    counted = _counted([*material.errors, *material.others], "", noise)
    said = []
    for answer in _answers(material.errors, noise)[:CRITICISED]:
        found = joined(counted.telling(answer)[: WORDS[0]])
        ids = [example.id for example in material.errors if example.expected == answer and example.id][:IDS]
        said.append(f"inputs about {found} must lead to {answer} ({', '.join(ids)})")
    lines = [f"[{part.name}] {line}" for part in material.parts for line in said]
    if material.most is not None:
        lines = shorten(lines, material.most, [example.input for example in material.errors], noise)
    return "\n".join(lines)


def _answers(examples: Sequence[Shown], noise: Noise) -> list[str]:
    """The expected answers that are short enough to be one of several, the most frequent first."""
    count = Counter(e.expected for e in examples if len(e.expected) <= LONGEST and "\n" not in e.expected)
    worth = {answer: np.log1p(number) + noise() for answer, number in count.items()}
    return sorted(worth, key=lambda answer: -worth[answer])


def _counted(examples: Sequence[Shown], advice: str, noise: Noise) -> Counted:
    boost = {fold(word): ADVISED for word in words(advice)}
    return Counted([(example.input, example.expected) for example in examples], boost, noise)


def merged(lines: Sequence[str], kind: str, answer: str, found: Sequence[str]) -> list[str]:
    """`lines` with a line for this answer. An existing line is renewed in its place, its old words after the `found`
    ones; else a new line is appended."""
    head, tail = (text.replace("{answer}", answer) for text in LINES[kind])
    for number, old in enumerate(lines):
        if (held := _held(old, head, tail, answer)) is not None:
            return [*lines[:number], f"{head}{_both(joined(found), held)}{tail}", *lines[number + 1 :]]
    return [*lines, f"{head}{joined(found)}{tail}"]


def _held(line: str, head: str, tail: str, answer: str) -> str | None:
    """The words of a line about this answer; None if the line is about something else."""
    if line.startswith(head) and line.endswith(tail) and len(line) >= len(head) + len(tail):
        return line[len(head) : len(line) - len(tail)]
    found = keyed(line) if not tail else None
    return found.value if found is not None and fold(found.key) == fold(answer) else None


def _both(new: str, old: str) -> str:
    items = [item for text in (new, old) for item in map(str.strip, re.split(r"[,，、;；]", text)) if item]
    return joined(list({fold(item): item for item in reversed(items)}.values())[::-1])
