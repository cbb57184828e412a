"""Metrics for answers that are sets of labels: micro-F1, Jaccard, exact, macro-F1."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping

from protocols.errors import ConfigError
from protocols.metrics.match import macro_f1
from protocols.metrics.parsed import ParsedMetric, micro_f1
from protocols.task import Array, Counts, Example, Json, Judgement, labels_of


class LabelSets(ParsedMetric):
    """Compares the distinct labels of an answer with those of the target; the corpus value is the mean score."""

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer.

        :raises ConfigError: it is no list of labels.
        """
        if isinstance(answer, Mapping):
            raise ConfigError("the metrics of lists of labels need a parser that gives a list")
        gold, said = labels_of(example.target), labels_of(answer)
        missed = [label for label in gold if label not in said]
        invented = [label for label in said if label not in gold]
        mistakes = {f"missed {label}": 1.0 for label in missed} | {f"wrongly {label}": 1.0 for label in invented}
        words = [f"missed {', '.join(missed)}"] * bool(missed)
        words += [f"named {', '.join(invented)}, which {_are(invented)} not expected"] * bool(invented)
        score = self.worth(len(gold) - len(missed), len(missed), len(invented))
        counts = self.counts(gold, said)
        return Judgement(score, self._kind.show(answer), "; ".join(words), counts, mistakes)

    @abstractmethod
    def worth(self, right: int, missed: int, invented: int) -> float:
        """The score of an answer with so many labels; 1 if none is missed and none invented."""

    def counts(self, gold: Collection[str], said: Collection[str]) -> Counts:
        """The counts of one answer for the corpus value."""
        return {}

    def missed(self, target: Json) -> Counts:
        """An unreadable reply names no label."""
        return self.counts(labels_of(target), ())


class MicroF1(LabelSets):
    """F1 over the labels of an example, and over those of all examples together."""

    def worth(self, right: int, missed: int, invented: int) -> float:
        """2 tp / (2 tp + fp + fn); 1 if there is nothing to name and nothing is named."""
        return 2 * right / (2 * right + missed + invented) if right or missed or invented else 1.0

    def counts(self, gold: Collection[str], said: Collection[str]) -> Counts:
        """True positives, false negatives, false positives."""
        right = len(set(gold) & set(said))
        return {"tp": right, "fn": len(gold) - right, "fp": len(said) - right}

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """F1 from the sums of the counts."""
        return micro_f1(totals)


class Jaccard(LabelSets):
    """The share of the labels of target or answer that both have."""

    def worth(self, right: int, missed: int, invented: int) -> float:
        """tp / (tp + fp + fn); 1 if there is nothing to name and nothing is named."""
        return right / (right + missed + invented) if right or missed or invented else 1.0


class SameSet(LabelSets):
    """1.0 if the answer has exactly the labels of the target (subset accuracy)."""

    def worth(self, right: int, missed: int, invented: int) -> float:
        """All or nothing."""
        return float(not missed and not invented)


class MacroF1OfSets(MicroF1):
    """The score of `MicroF1`; over a corpus, the unweighted mean of the F1 of every label that is in a target or an
    answer, 1 if there is none."""

    def counts(self, gold: Collection[str], said: Collection[str]) -> Counts:
        """One true positive, false negative or false positive for each label."""
        kinds = {label: "tp" if label in said else "fn" for label in gold}
        return {f"{kinds.get(label, 'fp')} {label}": 1.0 for label in (*gold, *said)}

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """The mean of the F1 of the labels."""
        return macro_f1(totals, empty=1.0)


def _are(labels: Collection[str]) -> str:
    return "is" if len(labels) == 1 else "are"
