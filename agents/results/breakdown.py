"""A score taken apart: by label or entity type, by what was answered instead, and by metric of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson

from agents.ring.evaluator import by_model
from memory.journals.exchanges import Exchange
from protocols.messages import Outcome
from protocols.metrics.bootstrap import Judged
from protocols.metrics.judge import COMPARED, FIRST_TWICE, LONGER, SECOND_TWICE, SHORTER, UNHEARD, Preference
from protocols.metrics.weighted import OverModels, Weighted
from protocols.task import KindName, Metric, tally

MOST = 200
"""Most labels, and most pairs of an expected and another answer, that are kept, the most frequent."""


Item = tuple[str, str]
"""A label or a type of entities, and the text of the entity, "" for a label."""


@dataclass(frozen=True, slots=True)
class OfLabel:
    """A label, or a type of entities. `expected`: how often it is in a target; `answered`: how often in an answer;
    `right`: how often in both. `precision`, `recall`, `f1`: in [0, 1], 0 where there is nothing to divide by."""

    label: str
    expected: int
    answered: int
    right: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Confused:
    """How often one label was answered where another was expected; `answered` None: the reply held no answer."""

    expected: str
    answered: str | None
    n: int


@dataclass(frozen=True, slots=True)
class Comparisons:
    """`n`: answers that a judge was asked to compare with the opponent's. `first` and `second`: those of them where
    it preferred the answer shown first, or second, in both orders, a tie; `unheard`: those with a verdict that could
    not be read, a tie, too. `longer` and `shorter`: those where it preferred the longer or the shorter answer in both
    orders."""

    n: int
    first: int
    second: int
    unheard: int
    longer: int
    shorter: int


@dataclass(frozen=True, slots=True)
class Breakdown:
    """`labels`: by frequency in the targets, empty where answers are neither labels nor entities. `confused`: the
    cells of the confusion matrix off its diagonal, the most frequent first, of labels alone. `metrics`: the value of
    each metric, if several are combined. `comparisons`: None if no answer was compared with another. `models`: the
    value of each model, if several answer; all else is then of the worst reply to each example, but for `metrics`."""

    labels: tuple[OfLabel, ...] = ()
    confused: tuple[Confused, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    comparisons: Comparisons | None = None
    models: Mapping[str, float] = field(default_factory=dict)


def breakdown(kind: KindName, metric: Metric, outcomes: Sequence[Outcome]) -> Breakdown:
    """Take the score of some outcomes apart."""
    return Breakdown(
        by_label([(items_of(kind, each.target), items_of(kind, each.answer)) for each in outcomes]),
        confusion(outcomes) if has_confusion(kind) else (),
        by_metric(metric, outcomes),
        compared(outcomes),
        {name: each.value for name, each in by_model(metric, outcomes).items()},
    )


def compared(outcomes: Sequence[Outcome]) -> Comparisons | None:
    """What the judge of these outcomes was asked to compare; None if nothing. Counts of repeats are means."""
    totals = Counter[str]()
    for name, count in tally((outcome.score, outcome.counts) for outcome in outcomes).items():
        totals[name.rpartition("/")[2]] += count  # type: ignore[assignment]  # of several metrics, under its name
    return _comparisons(totals)


def heard_by(metric: Metric) -> Comparisons | None:
    """What was compared by this metric since it was made; None if nothing was."""
    parts = metric.metrics if isinstance(metric, Weighted) else [metric]
    return next((_comparisons(part.heard) for part in parts if isinstance(part, Preference)), None)


def _comparisons(totals: Mapping[str, float]) -> Comparisons | None:
    names = (COMPARED, FIRST_TWICE, SECOND_TWICE, UNHEARD, LONGER, SHORTER)
    return Comparisons(*(round(totals.get(name, 0)) for name in names)) if totals.get(COMPARED) else None


def by_label(pairs: Iterable[tuple[set[Item], set[Item]]]) -> tuple[OfLabel, ...]:
    """The counts of each label over pairs of the items of a target and of an answer."""
    expected, answered, right = Counter[str](), Counter[str](), Counter[str]()
    for target, answer in pairs:
        expected.update(label for label, _ in target)
        answered.update(label for label, _ in answer)
        right.update(label for label, _ in target & answer)
    labels = sorted({*expected, *answered}, key=lambda label: (-expected[label], -answered[label], label))
    return tuple(_of_label(label, expected[label], answered[label], right[label]) for label in labels[:MOST])


def _of_label(label: str, expected: int, answered: int, right: int) -> OfLabel:
    return OfLabel(
        label,
        expected,
        answered,
        right,
        precision=right / answered if answered else 0.0,
        recall=right / expected if expected else 0.0,
        f1=2 * right / (expected + answered),
    )


def _label(written: str | None) -> set[Item]:
    return set() if written is None else {(written, "")}


def _listed(written: str | None) -> set[Item]:
    """The labels of a target or an answer, which are written as a list in JSON."""
    try:
        found = orjson.loads(written or "[]")
    except orjson.JSONDecodeError:
        return set()
    return {(str(label), "") for label in found} if isinstance(found, list) else set()


def _entities(written: str | None) -> set[Item]:
    """The entities of a target or an answer, which are written as JSON; none of what a user's parser writes
    otherwise."""
    try:
        found = orjson.loads(written or "{}")
    except orjson.JSONDecodeError:
        return set()
    listed = found.items() if isinstance(found, dict) else ()
    return {(kind, str(text)) for kind, texts in listed if isinstance(texts, list) for text in texts}


ITEMS: Mapping[KindName, Callable[[str | None], set[Item]]] = {
    "classification": _label,
    "ordinal": _label,
    "multilabel": _listed,
    "ner": _entities,
}


def items_of(kind: KindName, written: str | None) -> set[Item]:
    """The labels, or the entities, of a target or an answer as a reply has it; none without an answer, and for other
    kinds of task."""
    return ITEMS[kind](written) if kind in ITEMS else set()


def has_confusion(kind: KindName) -> bool:
    """Whether an answer of this kind of task is one label, so that another may stand in its place."""
    return ITEMS.get(kind) is _label


def confusion(outcomes: Iterable[Outcome | Exchange]) -> tuple[Confused, ...]:
    """The cells off the diagonal."""
    cells = Counter((each.target, each.answer) for each in outcomes if each.answer != each.target)
    most = sorted(cells.items(), key=lambda cell: (-cell[1], cell[0][0], cell[0][1] or ""))
    return tuple(Confused(expected, answered, n) for (expected, answered), n in most[:MOST])


def by_metric(metric: Metric, outcomes: Sequence[Judged]) -> Mapping[str, float]:
    """The value of each metric of several; {} for one. Over several models, the mean or the lowest of theirs."""
    if isinstance(metric, OverModels):
        each = [by_metric(metric.metric, metric.marks(model, outcomes)) for model in metric.models]
        return {name: metric.combined([one[name] for one in each]) for name in each[0]}
    if not isinstance(metric, Weighted) or not outcomes:
        return {}
    totals = {name: np.array(total) for name, total in tally((o.score, o.counts) for o in outcomes).items()}
    return {name: float(value) for name, value in metric.parts(totals).items()}
