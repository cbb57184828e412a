"""TF-IDF vectors of texts: hashed character n-grams within words, each weighted by its rarity.

An n-gram that two texts share is stronger evidence of similarity the fewer texts have it (Spärck Jones 1972, A
statistical interpretation of term specificity). The n-grams are those of fastText (arXiv 1607.04606), with word
borders, hashed as in Weinberger et al. (arXiv 0902.2206): works for any script and keeps no vocabulary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from protocols.embedding import Hashes, Vector, bucketed, code_points, mixed, ngrams

SIZES: Final = (2, 3, 4, 5)
DIMENSION: Final = 1024
"""docs/decisions/forms.md compares smaller and larger dimensions."""
SPACE: Final = 32
BETWEEN: Final = re.compile(r"[\W_]+")


class TfIdf:
    """The inverse document frequencies of the n-grams of a collection. `vector` is the same in every process that
    fits the same texts. `known`: the n-grams' hashes, sorted; `rarity`: the inverse document frequency of each."""

    def __init__(self, known: Hashes, rarity: npt.NDArray[np.float64]) -> None:
        self._known, self._rarity = known, rarity

    @classmethod
    def fit(cls, texts: Sequence[str]) -> tuple[TfIdf, Vector]:
        """Fitted to the texts, and their vectors, shape (len(texts), DIMENSION)."""
        counted = [np.unique(grams(text), return_counts=True) for text in texts]
        every = np.concatenate([hashes for hashes, _ in counted]) if counted else np.zeros(0, np.uint64)
        known, holding = np.unique(every, return_counts=True)
        fitted = cls(known, np.log((1 + len(texts)) / (1 + holding)) + 1)
        vectors: Vector = np.zeros((len(texts), DIMENSION), np.float32)
        for row, (hashes, counts) in enumerate(counted):
            vectors[row] = fitted._weighted(hashes, counts)
        return fitted, vectors

    def vector(self, text: str) -> Vector:
        """Shape (DIMENSION,), of L2 norm 1, or 0 where the text shares nothing with the collection."""
        return self._weighted(*np.unique(grams(text), return_counts=True))

    def _weighted(self, hashes: Hashes, counts: npt.NDArray[np.int64]) -> Vector:
        places = np.searchsorted(self._known, hashes)
        known = places < len(self._known)
        known[known] = self._known[places[known]] == hashes[known]
        places, hashes = places[known], hashes[known]
        weights = (1 + np.log(counts[known])) * self._rarity[places]
        summed = bucketed(hashes, DIMENSION, weights)
        norm = float(np.linalg.norm(summed))
        return (summed / norm if norm else summed).astype(np.float32)


def grams(text: str) -> Hashes:
    """Hashes of the n-grams of a text that have spaces only at their ends. Characters other than letters and digits
    count as spaces, unless the text has nothing else."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = BETWEEN.sub(" ", folded).strip() or " ".join(folded.split())
    codes = code_points(f" {words} ")
    spaces = np.concatenate([[0], np.cumsum(codes == SPACE)])
    kept = []
    for size, hashes in ngrams(codes, SIZES):
        inner = spaces[size - 1 : size - 1 + len(hashes)] - spaces[1 : 1 + len(hashes)]
        kept.append(hashes[inner == 0])
    return mixed(np.concatenate(kept))
