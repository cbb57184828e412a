"""Attention from a question to the lines of a prompt.

Every line or record that mentions an answer is an association: its other words are the key, the answer is the value.
The keys are idf-weighted hashed n-grams; the idf is counted in the prompt itself. Linear attention (Katharopoulos et
al., arXiv 2006.16236) sums similarity times value, so that evidence adds up over examples. A softmax over all lines
gives the share of the attention that reaches evidence, which falls in long prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protocols.providers.embedded.features import DIMENSION, Array, Index, embed, name_words

IDF_POWER = 0.75
NEAR = 3000.0  # characters over which the weight of a line falls from 1 towards FAR
FAR = 0.6
SHARPNESS = 8.0  # inverse temperature of the attention that lines compete for
CAPACITY = 40_000.0  # characters of prompt that halve the attention
NAME = 1.2  # weight of similarity to an answer's name, relative to similarity to its evidence
CENTRED = 0.9  # share of the mean key that is subtracted from each key, so that lines compete
BIAS = 0.01  # weight of the bias towards recent and frequent answers
WORDS_KEPT = 20_000
Shares = tuple[tuple[int, float], ...]
"""(number of an answer, its share of a line) each."""
WINDOW = 512  # lines of evidence that are read at most: the last ones


@dataclass(frozen=True, slots=True)
class Line:
    """A line of evidence: its text without the answers, and the answers' shares. `distance`: characters from its
    beginning to the end of the prompt."""

    text: str
    shares: Shares
    distance: int


@dataclass(frozen=True, slots=True)
class Query:
    """An embedded question: buckets and their signed values, not yet weighted with idf."""

    index: Index
    values: Array


def query(*texts: str) -> Query:
    """Embed texts together as one question."""
    return Query(*embed("\n".join(texts)))


class Memory:
    """The evidence of a prompt for `answers`, prepared for attention."""

    def __init__(self, answers: Sequence[str], lines: Sequence[Line], length: int) -> None:
        """`length`: characters of the whole prompt."""
        lines = lines[-WINDOW:]
        rows = [embed(line.text) for line in lines]
        names = [embed(name_words(name)) for name in answers]
        self.idf = _idf([index for index, _ in rows + names])
        self._reach = 1 / (1 + length / CAPACITY)
        self._weights = np.array([FAR + (1 - FAR) * np.exp(-line.distance / NEAR) for line in lines])
        keys = np.zeros((len(lines), DIMENSION), np.float32)
        for key, (index, parts) in zip(keys, rows, strict=True):
            key[index] = _unit(parts * self.idf[index])
        values = np.zeros((len(lines), len(answers)))
        for number, line in enumerate(lines):
            for answer, share in line.shares:
                values[number, answer] += share
        self._relevant = values.any(axis=1)
        self._bias = BIAS * _draw(values, lines)
        self._matrix = np.vstack([keys, self._evidence(keys, values, names)]).T.copy()
        self._saliences: dict[str, float] = {}

    def _evidence(self, keys: npt.NDArray[np.float32], values: Array, names: Sequence[tuple[Index, Array]]) -> Array:
        """The evidence that linear attention sums for each answer, shape (answers, DIMENSION); the answer's name
        counts as a further line."""
        centred = keys - CENTRED * keys.mean(axis=0) if len(keys) else keys
        evidence = (values * self._weights[:, None]).T @ centred
        for row, (index, parts) in zip(evidence, names, strict=True):
            row[index] += NAME * _unit(parts * self.idf[index])
        mass = self._weights @ values
        return np.asarray(evidence / np.sqrt(np.maximum(mass, 1.0))[:, None], np.float32)

    def scores(self, *queries: tuple[Query, float]) -> Array:
        """One score per answer, rounded so that it is equal on every machine. Each query has a weight."""
        total = np.zeros(len(self._bias))
        for asked, weight in queries:
            found = _unit(asked.values * self.idf[asked.index]) @ self._matrix[asked.index]
            lines = len(self._weights)
            total += weight * self._share(found[:lines]) * found[lines:]
        return np.round(total + self._bias, 6)

    def _share(self, likeness: Array) -> float:
        """The share of the attention that falls on evidence, in (0, 1]."""
        if not self._relevant.any():
            return self._reach
        attention = self._weights * np.exp(SHARPNESS * likeness)
        return float(self._reach * attention[self._relevant].sum() / attention.sum())

    def salience(self, word: str) -> float:
        """How well a word distinguishes the answers: the best answer's evidence minus the mean. Cached."""
        known = self._saliences.get(word)
        if known is None:
            index, values = embed(word)
            found = (values * self.idf[index]) @ self._matrix[index, len(self._weights) :]
            known = float(np.round(found.max() - found.mean(), 6)) if len(found) else 0.0
            if len(self._saliences) < WORDS_KEPT:
                self._saliences[word] = known
        return known


def _idf(rows: Sequence[Index]) -> Array:
    count = np.zeros(DIMENSION)
    for index in rows:
        count[index] += 1
    return np.maximum(np.log((len(rows) + 1.5) / (count + 0.5)), 0.0) ** IDF_POWER


def _unit(values: Array) -> Array:
    norm = float(np.sqrt(values @ values))
    return values / norm if norm else values


def _draw(values: Array, lines: Sequence[Line]) -> Array:
    """Recency and frequency bias of each answer, in [0, 1] (Zhao et al., arXiv 2102.09690)."""
    if not values.size:
        return np.zeros(values.shape[1])
    ages = np.array([line.distance for line in lines], float)
    recent = np.where(values > 0, np.exp(-ages / 1000)[:, None], 0.0).max(axis=0)
    frequent = values.sum(axis=0)
    return np.asarray((recent + frequent / max(frequent.max(), 1.0)) / 2)
