"""The token limit of replies to a task: the length of correct answers, plus the text that models put around them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

THOUGHT: Final = 512
"""Tokens added to the limit of a reply that is asked to think first: several times a few short steps."""
AROUND: Final = 24
"""Tokens for text around an answer: a cue, quotes, a fence, `{"label": ...}`, or an introductory sentence
(docs/decisions/limits.md)."""
LEAST: Final = 32


def limit_of(answers: Iterable[str], least: int = LEAST, times: int = 1) -> int:
    """The token limit for replies with correct `answers`: `times` the longest plus `AROUND`, but at least `least`."""
    longest = max(map(tokens_at_most, answers), default=0)
    return max(least, AROUND + times * longest)


def tokens_at_most(text: str) -> int:
    """Upper bound of the tokens of `text` for nearly any tokeniser: one per two ASCII characters, one per digit, and
    one per byte of other characters, which tokenisers made for other scripts encode byte by byte."""
    ascii_only = text.encode("ascii", "ignore")
    digits = sum(character.isdigit() for character in ascii_only.decode("ascii"))
    others = len(text.encode("utf-8", "replace")) - len(ascii_only)
    return math.ceil((len(ascii_only) - digits) / 2) + digits + others
