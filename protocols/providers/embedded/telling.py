"""Finds words that distinguish some texts from others: log-odds with a Dirichlet prior (Monroe, Colaresi & Quinn
2008, "Fightin' Words", eq. 22)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from protocols.providers.embedded.features import UNSPACED, fold, words

PRIOR = 1.0  # pseudo-count of each word, in the group and outside

Noise = Callable[[], float]
"""Draws a random number; 0 without a temperature."""


class Counted:
    """The word counts of texts by the answer of each text.

    `boost`: factors of the scores of (folded) words.
    """

    def __init__(self, texts: Iterable[tuple[str, str]], boost: Mapping[str, float], noise: Noise) -> None:
        self._boost, self._noise = boost, noise
        self._written: dict[str, str] = {}
        self._of: dict[str, Counter[str]] = {}
        self._all = Counter[str]()
        for text, answer in texts:
            pairs = [(fold(word), word) for word in words(text)]
            for folded, word in pairs:
                self._written.setdefault(folded, word)
            count = Counter(folded for folded, _ in pairs)
            self._of.setdefault(answer, Counter()).update(count)
            self._all.update(count)

    def telling(self, answer: str) -> list[str]:
        """The words that are more frequent in the answer's texts than in the others, the most distinctive first."""
        inside = self._of[answer]
        here, there = inside.total(), self._all.total() - inside.total()
        scores = {}
        for word, count in inside.items():
            ours, theirs = count + PRIOR, self._all[word] - count + PRIOR
            rest = max(here + PRIOR * len(inside) - ours, PRIOR)  # a group may have no other word
            more = max(there + PRIOR * len(inside) - theirs, PRIOR)
            odds = np.log(ours / rest) - np.log(theirs / more)
            z = float(odds / np.sqrt(1 / ours + 1 / theirs))
            scores[word] = z * self._boost.get(word, 1.0) + self._noise()
        best = sorted(scores, key=lambda word: -scores[word])
        return _apart([self._written[word] for word in best if scores[word] > 0 or not there])


def _apart(found: Sequence[str]) -> list[str]:
    """The words without bigrams of unspaced scripts that overlap a better one."""
    kept: list[str] = []
    for word in found:
        unspaced = UNSPACED.match(word)
        if not unspaced or not any(word[0] == other[-1] or word[-1] == other[0] for other in kept):
            kept.append(word)
    return kept
