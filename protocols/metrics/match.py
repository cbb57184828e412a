"""Metrics for answers that are right or wrong: accuracy, macro F1, exact and numeric match, and being contained."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from protocols.answers.numbers import equal_numbers
from protocols.metrics.parsed import ParsedMetric, accepted
from protocols.task import Array, Counts, Example, Json, Judgement
from protocols.text import fold, normalise


class Match(ParsedMetric):
    """1.0 if the answer matches the target, or one of several targets; the mean over a corpus is accuracy."""

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer."""
        said, wanted = self._kind.show(answer), [self._kind.show(gold) for gold in accepted(example.target)]
        if any(self.alike(said, gold) for gold in wanted):
            return Judgement(1.0, said, counts=self.right(said))
        expected = " or ".join(wanted)
        counts, mistakes = self.wrong(said, expected)
        return Judgement(0.0, said, f"answered {said}, expected {expected}", counts, mistakes)

    @abstractmethod
    def alike(self, answer: str, gold: str) -> bool:
        """Whether the answer matches the gold answer."""

    def right(self, label: str) -> Counts:
        """The counts of a right answer."""
        return {}

    def wrong(self, answer: str, expected: str) -> tuple[Counts, Counts]:
        """The counts and the mistakes of a wrong answer."""
        return {}, {"wrong answer": 1}


class Exact(Match):
    """Equal after normalisation (case, width, white space, outer punctuation), with or without the text before the
    answer's last colon; commas between words count as spaces."""

    def alike(self, answer: str, gold: str) -> bool:
        """Compare the texts as normalised by `_words`."""
        tail = re.split(r"[:：]", answer)[-1]
        return _words(gold) in (_words(answer), _words(tail))


class Contains(Match):
    """The target is somewhere in the answer, whatever their case, width and white space."""

    def alike(self, answer: str, gold: str) -> bool:
        """Search the folded answer for the folded gold answer."""
        return fold(gold) in fold(answer)


class Numeric(Match):
    """Equal as numbers, in any notation: `1,234`, `$1234.00`, `3/4`, `0.75`."""

    def alike(self, answer: str, gold: str) -> bool:
        """Compare the first number of each text."""
        return equal_numbers(answer, gold)


class Accuracy(Match):
    """The share of answers that are identical to the target, for answers of a closed set."""

    def alike(self, answer: str, gold: str) -> bool:
        """Compare the unchanged texts."""
        return answer == gold

    def wrong(self, answer: str, expected: str) -> tuple[Counts, Counts]:
        """The mistake names both labels."""
        return {}, {f"{expected} answered as {answer}": 1}


class MacroF1(Accuracy):
    """The unweighted mean of the F1 of every label that is a target or an answer in the corpus."""

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """The mean over labels of 2 tp / (2 tp + fp + fn), without labels that are neither target nor answer."""
        return macro_f1(totals)

    def right(self, label: str) -> Counts:
        """A true positive."""
        return {f"tp {label}": 1}

    def wrong(self, answer: str, expected: str) -> tuple[Counts, Counts]:
        """One false negative, and one false positive."""
        return {f"fn {expected}": 1, f"fp {answer}": 1}, super().wrong(answer, expected)[1]

    def missed(self, target: Json) -> Counts:
        """One false negative."""
        return {f"fn {self._kind.show(target)}": 1}


def macro_f1(totals: Mapping[str, Array], empty: float = 0.0) -> Array:
    """The mean over labels of 2 tp / (2 tp + fp + fn), from counts such as `tp <label>`, without labels that are
    neither target nor answer; `empty` if all are."""
    zeros = np.zeros_like(totals["n"])
    labels = sorted({name.partition(" ")[2] for name in totals if name.startswith(("tp ", "fp ", "fn "))})
    value, present = zeros, zeros
    for label in labels:
        tp, fp, fn = (totals.get(f"{count} {label}", zeros) for count in ("tp", "fp", "fn"))
        said = 2 * tp + fp + fn
        value = value + 2 * tp / np.where(said > 0, said, 1)
        present = present + (said > 0)
    return np.where(present > 0, value / np.where(present > 0, present, 1), empty)


def _words(text: str) -> str:
    return re.sub(r"\s*[,，、;；](?:\s+|(?!\d))", " ", normalise(text)) or fold(text)
