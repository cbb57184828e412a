"""How many tokens a reply to a task may have: what a right one needs, and what models put around it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

THOUGHT: Final = 512
"""Beside its limit, for a reply that is asked to think first: several times what a few short steps take."""
AROUND: Final = 24
"""What stands around an answer: a cue, quotes, a fence, `{"label": ...}`, or a sentence that leads up to it
(docs/decisions/limits.md)."""
LEAST: Final = 32


def limit_of(answers: Iterable[str], least: int = LEAST, times: int = 1) -> int:
    """The limit for replies of which these are right ones: `times` the longest and what stands around it, and no less
    than `least`."""
    longest = max(map(tokens_at_most, answers), default=0)
    return max(least, AROUND + times * longest)


def tokens_at_most(text: str) -> int:
    """More tokens than nearly any tokeniser makes of `text`: one for two characters of ASCII, one for each digit, and
    one for each byte of other characters, which tokenisers for other scripts spell out."""
    ascii_only = text.encode("ascii", "ignore")
    digits = sum(character.isdigit() for character in ascii_only.decode("ascii"))
    others = len(text.encode("utf-8", "replace")) - len(ascii_only)
    return math.ceil((len(ascii_only) - digits) / 2) + digits + others
