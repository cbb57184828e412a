"""Text of models, data and errors, made fit for a terminal."""

from __future__ import annotations

import re
import unicodedata

ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|.)", re.DOTALL
)
DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What turns the direction of text: it could make a line read as something else."""


def printable(text: str) -> str:
    """`text` without escape sequences, control characters (but line ends and tabs) and lone surrogates."""
    text = ANSI.sub("", text.replace("\r\n", "\n"))
    return "".join(c for c in text if c in "\n\t" or (unicodedata.category(c) not in UNFIT and c not in DIRECTIONS))


def one_line(text: str, most: int = 160) -> str:
    """`printable`, white space collapsed, cut at `most` characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, surrogates, and line and paragraph separators."""
