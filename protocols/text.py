"""Normalises and tokenises texts for comparison, in scripts with and without spaces between words."""

from __future__ import annotations

import re
import unicodedata

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, kana, Han and Hangul: scripts in which a word need not end at a space."""
LETTER = rf"[^\W{UNSPACED}]"
TOKEN = re.compile(rf"(?=\w)[{UNSPACED}]|{LETTER}+")


def fold(text: str) -> str:
    """The text in NFKC, case folded, with white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def normalise(text: str) -> str:
    """The folded text without punctuation and quotes at its ends."""
    return re.sub(r"^[\W_]+|[\W_]+$", "", fold(text))


def tokens(text: str) -> list[str]:
    """The folded words, and single characters of scripts without spaces; punctuation is dropped.

    The mixed segmentation with which CMRC 2018 scores Chinese answers (Cui et al., arXiv 1810.07366).
    """
    return TOKEN.findall(fold(text))
