"""Metrics for answers that are right or wrong: accuracy, macro F1, exact and numeric match, and being contained."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from protocols.answers.json_objects import is_structured, json_identity, structure, structure_like
from protocols.answers.numbers import equal_numbers
from protocols.metrics.parsed import ParsedMetric
from protocols.task import Array, Counts, Example, Json, Judgement
from protocols.text import fold, normalise


class Match(ParsedMetric):
    """1.0 if the answer matches the target, or one of several targets; the mean over a corpus is accuracy."""

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer."""
        said, wanted = (
            self._kind.show(answer),
            [(self._kind.show(gold), gold) for gold in self._golds(example.target)],
        )
        for shown, gold in wanted:
            same = self._same_json(answer, gold)
            if same or (same is None and self.alike(said, shown)):
                return Judgement(1.0, said, counts=self.right(shown))
        expected = " or ".join(dict.fromkeys(shown for shown, _ in wanted))
        counts, mistakes = self.wrong(said, expected)
        return Judgement(0.0, said, f"answered {said}, expected {expected}", counts, mistakes)

    def _golds(self, target: Json) -> Sequence[Json]:
        """The accepted answers. A list with objects or lists in it is one answer, and of the kind generation any list
        may also be given as a whole."""
        if not isinstance(target, list | tuple) or is_structured(target):
            return [target]
        return [*target, target] if self._kind.name == "generation" else target

    def _same_json(self, answer: Json, gold: Json) -> bool | None:
        """Whether an answer that is JSON, or holds it, is the gold answer, however written; None where one of the two
        is no object or list, so that they are compared as texts."""
        wanted = structure(gold)
        if wanted is None:
            return None
        said = structure(answer) if isinstance(gold, str) else structure_like(wanted, answer)
        try:
            return None if said is None else json_identity(said, self.text) == json_identity(wanted, self.text)
        except RecursionError:
            return False

    @staticmethod
    def text(text: str) -> str:
        """The form in which texts within JSON are compared: folded."""
        return fold(text)

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

    @staticmethod
    def text(text: str) -> str:
        """Texts within JSON are compared unchanged, too."""
        return text

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
