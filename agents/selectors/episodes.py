"""Episodes: states in which an operator was applied, retrieved by similarity."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import faiss
import numpy as np

from agents.selectors.selector import Choice
from memory.bayesian_regression import Array, Places
from memory.index import vector_index
from protocols.embedding import Vector

Level = Literal["kind", "cell"]

NEIGHBOURS = 64
SHARPNESS = 2.0


@dataclass(frozen=True, slots=True)
class Near:
    """The `k` nearest episodes of each of the `s` distinct states of `n` choices.

    `number`: indices of episodes, shape (s, k); `weight`: weights by similarity, in [0, 1], same shape. `row`: index
    of each choice's state, shape (n,). `labels`: by level, the labels of all episodes, shape (episodes,), and of the
    choices, shape (n,).
    """

    number: Places
    weight: Array
    row: Places
    labels: dict[Level, tuple[Places, Places]]

    def sums(self, level: Level, weight: Array, value: Array) -> tuple[Array, Array]:
        """For each choice, the sums of weight and of weight times value over its near episodes, shapes (n,).

        Only episodes with the same label count: with the same kind of section at level "kind", and with the same
        operator, too, at level "cell". `weight` and `value`: of each near episode, shape (s, k); `weight` is
        multiplied by the weight of similarity.
        """
        episodes, choices = self.labels[level]
        if not self.number.size:
            return np.zeros(len(choices)), np.zeros(len(choices))
        size = int(max(episodes.max(), choices.max())) + 1
        bins = (episodes[self.number] + size * np.arange(len(self.number))[:, None]).ravel()
        weights = (self.weight * weight).ravel()
        wanted = self.row * size + choices
        total = size * len(self.number)
        return (
            np.bincount(bins, weights, total)[wanted],
            np.bincount(bins, weights * value.ravel(), total)[wanted],
        )


class Episodes:
    """A FAISS index of states with their operators and kinds of section."""

    def __init__(self) -> None:
        self._index = vector_index(0)
        self._names: dict[tuple[str, ...], int] = {}
        self._known: dict[Choice, tuple[int, int]] = {}
        self._labels: dict[Level, array[int]] = {"kind": array("q"), "cell": array("q")}

    def __len__(self) -> int:
        return len(self._labels["cell"])

    def add(self, operator: str, kind: str, state: Vector) -> None:
        """Add an episode; episodes are numbered from 0."""
        if not len(self):
            self._index = vector_index(len(state))
        self._index.add(state[np.newaxis])
        self._labels["kind"].append(self._label(kind))
        self._labels["cell"].append(self._label(kind, operator))

    def near(self, choices: Sequence[Choice]) -> Near:
        """The nearest episodes, weighted by exp(-SHARPNESS d^2 / m): d is the Euclidean distance, and m the mean of
        d^2 over those of the NEIGHBOURS nearest that are of the same kind. The scale m follows Never Give Up (arXiv
        2002.06038), because distances depend on the embedder and on the length of the texts."""
        states = {id(choice.state): choice for choice in choices}
        rows = {key: place for place, key in enumerate(states)}
        own = self._numbers([self._of(choice) for choice in choices])
        labels: dict[Level, tuple[Places, Places]] = {
            "kind": (self._numbers(self._labels["kind"]), own[:, 0]),
            "cell": (self._numbers(self._labels["cell"]), own[:, 1]),
        }
        row = self._numbers([rows[id(choice.state)] for choice in choices])
        count = min(NEIGHBOURS, len(self))
        if not count:
            return Near(np.zeros((len(states), 0), np.int64), np.zeros((len(states), 0)), row, labels)
        faiss.omp_set_num_threads(1)  # for this thread: OpenMP is 10 to 100 times slower on busy cores
        likeness, number = self._index.search(np.stack([choice.state for choice in states.values()]), count)
        squared = np.maximum(2 - 2 * likeness.astype(np.float64), 0)
        kinds = self._numbers([self._of(choice)[0] for choice in states.values()])
        same = labels["kind"][0][number] == kinds[:, None]
        scale = (squared * same).sum(axis=1, keepdims=True) / np.maximum(same.sum(axis=1, keepdims=True), 1)
        return Near(number, same * np.exp(-SHARPNESS * squared / (scale + 1e-6)), row, labels)

    @staticmethod
    def _numbers(values: Sequence[int] | Sequence[tuple[int, int]]) -> Places:
        return np.array(values, np.int64)

    def _of(self, choice: Choice) -> tuple[int, int]:
        """The labels of a choice at the levels kind and cell."""
        if choice not in self._known:
            self._known[choice] = self._label(choice.kind), self._label(choice.kind, choice.action.operator)
        return self._known[choice]

    def _label(self, *names: str) -> int:
        return self._names.setdefault(names, len(self._names))
