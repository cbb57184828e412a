"""Embeds texts without a model: hashed character n-grams.

Feature hashing (Weinberger et al., arXiv 0902.2206) of character n-grams as in fastText (arXiv 1607.04606): for any
script, without a vocabulary, with the same vector in every process and on every machine.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
from anyio import to_thread

Vector = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint64]

AT_ONCE = 500
"""Texts of at most this many characters together are embedded on the event loop, in about 0.15 ms."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: Fibonacci hashing spreads consecutive keys
_BASE = np.uint64(0x100000001B3)  # the 64-bit FNV prime


class Embedder(Protocol):
    """Maps texts to unit vectors. Vectors are comparable if `name` and `dimension` are equal."""

    @property
    def name(self) -> str:
        """Changes whenever the vectors would change."""

    @property
    def dimension(self) -> int:
        """The length of a vector."""

    async def embed(self, texts: list[str]) -> Vector:
        """Vectors of shape (len(texts), dimension), rows of L2 norm 1 (0 for a text without features)."""


class HashedNgrams:
    """Signed hashing of character n-grams into `dimension` buckets; square roots of the counts, L2-normalised."""

    def __init__(self, dimension: int = 256, sizes: tuple[int, ...] = (1, 2, 3, 4)) -> None:
        self.dimension, self.sizes = dimension, sizes
        self.name = f"ngrams-{'-'.join(map(str, sizes))}-{dimension}"

    async def embed(self, texts: list[str]) -> Vector:
        """Shape (len(texts), dimension); about 30 µs per 100 characters; texts over `AT_ONCE` in a thread."""
        if sum(map(len, texts)) <= AT_ONCE:
            return self._stacked(texts)
        return await to_thread.run_sync(self._stacked, texts)

    def _stacked(self, texts: list[str]) -> Vector:
        return np.stack([self.vector(text) for text in texts]) if texts else np.zeros((0, self.dimension), np.float32)

    def vector(self, text: str) -> Vector:
        """The vector of one text, shape (dimension,)."""
        counts = self.counts(text)
        weights = np.sign(counts) * np.sqrt(np.abs(counts))
        norm = float(np.linalg.norm(weights))
        return (weights / norm if norm else weights).astype(np.float32)

    def counts(self, text: str) -> npt.NDArray[np.float64]:
        """Signed n-gram counts, shape (dimension,), before weighting."""
        folded = f" {' '.join(unicodedata.normalize('NFKC', text).casefold().split())} "
        codes = code_points(folded)
        if len(codes) <= 2:
            return np.zeros(self.dimension)
        return bucketed(mixed(np.concatenate([hashes for _, hashes in ngrams(codes, self.sizes)])), self.dimension)


def code_points(text: str) -> Hashes:
    """The Unicode code points of a text, shape (len(text),)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)


def ngrams(codes: Hashes, sizes: Collection[int]) -> Iterator[tuple[int, Hashes]]:
    """For each size not longer than the text: the size, and the hashes of the n-grams at every position."""
    hashes = np.zeros(len(codes), np.uint64)
    for size in range(1, min(max(sizes), len(codes)) + 1):
        hashes = hashes[: len(codes) - size + 1] * _BASE + codes[size - 1 :] + np.uint64(size)
        if size in sizes:
            yield size, hashes


def mixed(hashes: Hashes) -> Hashes:
    """The hashes with their information spread over all bits."""
    spread = hashes * _MULTIPLIER
    spread ^= spread >> np.uint64(29)
    spread *= _MULTIPLIER
    return spread


def bucketed(
    hashes: Hashes, dimension: int, weights: float | npt.NDArray[np.float64] = 1.0
) -> npt.NDArray[np.float64]:
    """The signed sums of the weights per bucket, shape (dimension,). `hashes` must be `mixed`."""
    signs = np.where(hashes >> np.uint64(63), 1.0, -1.0)
    buckets = (hashes >> np.uint64(20)) % np.uint64(dimension)
    return np.bincount(buckets.astype(np.int64), signs * weights, dimension).astype(np.float64, copy=False)
