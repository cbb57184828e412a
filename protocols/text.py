"""Texts made comparable, in scripts with spaces between words and in those without."""

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
    """NFKC, case folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def normalise(text: str) -> str:
    """Folded, outer punctuation and quotes gone."""
    return re.sub(r"^[\W_]+|[\W_]+$", "", fold(text))


def tokens(text: str) -> list[str]:
    """Words, and single characters of scripts without spaces, folded; punctuation is none.

    The mixed segmentation that CMRC 2018 scores Chinese answers by (Cui et al., arXiv 1810.07366).
    """
    return TOKEN.findall(fold(text))
