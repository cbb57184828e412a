"""Turns text into the features that attention compares: words and hashed character n-grams.

Scripts written without spaces carry meaning in one to three characters, others in three to five including the spaces
around words. So each is hashed with its own sizes, into the same space.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from protocols.embedding import HashedNgrams

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

DIMENSION = 4096
CHARACTERS = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
UNSPACED = re.compile(f"[{CHARACTERS}]+")
"""Runs of Thai, Lao, Burmese, Khmer, kana and Han: scripts without spaces between words."""

_UNSPACED_GRAMS = HashedNgrams(DIMENSION, (1, 2, 3))
_SPACED_GRAMS = HashedNgrams(DIMENSION, (3, 4, 5))
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_LONGEST = 4000  # characters of one line that are embedded
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def fold(text: str) -> str:
    """The form in which words and names are compared: NFKC, case folded."""
    return unicodedata.normalize("NFKC", text).casefold()


def name_words(name: str) -> str:
    """An identifier as words: `AddToPlaylist` and `add_to_playlist` both become three."""
    return _HUMP.sub(" ", name).replace("_", " ").replace("-", " ")


def embed(text: str) -> tuple[Index, Array]:
    """The non-zero buckets of `text`, ascending, and the signed square roots of their counts."""
    text = text[:_LONGEST]
    counts = _SPACED_GRAMS.counts(UNSPACED.sub(" ", text))
    runs = UNSPACED.findall(text)
    if runs:
        counts = counts + _UNSPACED_GRAMS.counts(" ".join(runs))
    index = np.flatnonzero(counts)
    values = counts[index]
    return index, np.sign(values) * np.sqrt(np.abs(values))


def words(text: str) -> list[str]:
    """The words of `text` in order, as written; for unspaced scripts, all bigrams (or a single character)."""
    found: list[str] = []
    for match in _WORD.finditer(text):
        word = match[0]
        if not UNSPACED.search(word):
            found.append(word)
            continue
        position = 0
        for run in UNSPACED.finditer(word):
            if run.start() > position:
                found.append(word[position : run.start()])
            characters = run[0]
            found.extend(characters[i : i + 2] for i in range(max(1, len(characters) - 1)))
            position = run.end()
        if position < len(word):
            found.append(word[position:])
    return found


def length_in_words(text: str) -> int:
    """Number of words as a reader counts them: runs between spaces, and characters of unspaced scripts."""
    unspaced = sum(len(run) for run in UNSPACED.findall(text))
    return unspaced + len([part for part in UNSPACED.sub(" ", text).split() if any(map(str.isalnum, part))])


def joined(found: Sequence[str]) -> str:
    """A list of words with the punctuation of their script."""
    unspaced = bool(found) and all(UNSPACED.match(word) for word in found)
    return "、".join(found) if unspaced else ", ".join(found)
