"""A rule by which a search has something to find: the larger the number after `Skill:` in a prompt, the more of the
examples are answered right, and who was right before stays so."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from itertools import count

LABELS = ("alpha", "beta", "gamma", "delta")
FIRST_SKILL = 20
PROMPT = f"""=== task (task) ===
Skill: {FIRST_SKILL:06} (note 000000)
Choose the one label that fits the text: {", ".join(LABELS)}.
=== input (task, frozen) ===
Text: {{text}}
Label:
"""
"""The first prompt, as a prompt file."""


def label(number: int) -> str:
    """The right answer to `message number <number>`."""
    return LABELS[number % len(LABELS)]


def searchable(accepted: bool) -> Callable[[list[tuple[str, str]]], str]:
    """An answerer. `accepted`: a proposal has more skill than its parent; otherwise none at all. No two are equal."""
    notes = count(1)

    def answer(turns: list[tuple[str, str]]) -> str:
        said = "\n".join(text for _, text in turns)
        skill = max(map(int, re.findall(r"Skill: (\d+)", said)), default=0)
        if "<new> and </new>" in said:
            new = skill + 1 if accepted else 0
            return f"<new>Skill: {new:06} (note {next(notes):06})\nChoose the label: {', '.join(LABELS)}.</new>"
        if "<critique> and </critique>" in said:
            return "<critique>\n[task] more skill\n</critique>"
        number = int(re.findall(r"number (\d+)", said)[-1])
        return label(number if _ease(said) < right(skill) else number + 1)

    return answer


def right(skill: int) -> float:
    """The share of examples that is answered right."""
    return 1.0 - math.exp(-(skill + 1) / 100)


def _ease(said: str) -> float:
    """In [0, 1), of an input: the text that follows the last `Text:`."""
    digest = hashlib.blake2b(said.rpartition("Text:")[2].encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
