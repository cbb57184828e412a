"""Metrics for answers that may be partly right: SQuAD's exact match and F1, and F1 over tokens of any script."""

from __future__ import annotations

import re
import string
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence

from protocols.metrics.parsed import ParsedMetric, golds
from protocols.task import Example, Json, Judgement
from protocols.text import tokens


class Overlap(ParsedMetric, ABC):
    """The best score over the gold answers; over a corpus, the mean. [] as a target means that there is no answer,
    and [] as an answer that none was given; these two match."""

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer."""
        said = self.tokens("" if answer == [] else self._kind.show(answer))
        wanted = [gold for text in golds(example.target) if (gold := self.tokens(text))] or [[]]
        best = max(wanted, key=lambda gold: self.score(said, gold))
        score, shown = self.score(said, best), self._kind.show(answer)
        if score == 1.0:
            return Judgement(1.0, shown)
        mistake = _mistake(said, best)
        expected = " or ".join(golds(example.target)) or self._kind.show(example.target)
        return Judgement(score, shown, f"{mistake}: answered {shown}, expected {expected}", mistakes={mistake: 1})

    @abstractmethod
    def score(self, said: Sequence[str], gold: Sequence[str]) -> float:
        """The similarity of the two token lists, in [0, 1]."""

    def tokens(self, text: str) -> Sequence[str]:
        """The words after SQuAD's normalisation."""
        return squad_tokens(text)


class SquadEM(Overlap):
    """Exact match after SQuAD's normalisation (Rajpurkar et al., arXiv 1606.05250; 1806.03822 for no answer)."""

    def score(self, said: Sequence[str], gold: Sequence[str]) -> float:
        """1.0 if equal, else 0.0."""
        return float(said == gold)


class SquadF1(Overlap):
    """F1 over the bag of words after SQuAD's normalisation (see `SquadEM`)."""

    def score(self, said: Sequence[str], gold: Sequence[str]) -> float:
        """2 × common tokens / (said + gold tokens)."""
        if not said or not gold:
            return float(said == gold)
        return 2 * (Counter(said) & Counter(gold)).total() / (len(said) + len(gold))


class TokenF1(SquadF1):
    """F1 over words, and over the single characters of scripts without spaces (as CMRC 2018 scores Chinese)."""

    def tokens(self, text: str) -> Sequence[str]:
        """Words and characters; a text of only punctuation is split at white space, so that it is not empty."""
        return tokens(text) or text.split()


def squad_tokens(text: str) -> list[str]:
    """Lower case, without ASCII punctuation and English articles, split at white space, in this order."""
    bare = text.lower().translate({ord(mark): None for mark in string.punctuation})
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def _mistake(said: Sequence[str], gold: Sequence[str]) -> str:
    if not gold:
        return "an answer where there is none"
    if not said:
        return "no answer where there is one"
    if not Counter(said) & Counter(gold):
        return "wrong answer"
    if Counter(gold) < Counter(said):
        return "too long"
    return "too short" if Counter(said) < Counter(gold) else "partly another answer"
