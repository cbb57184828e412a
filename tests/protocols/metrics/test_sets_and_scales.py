"""Metrics of lists of labels and of ratings, compared with what their definitions say of whole corpora."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.config.metrics import PLAIN
from protocols.kinds.labelled import multilabel, ordinal
from protocols.task import Example, Json, Judgement, Metric, corpus_value
from tests.direct import now

LABELS = ("a", "b", "c")
subsets = st.lists(st.sampled_from(LABELS), unique=True)
pairs_of_sets = st.lists(st.tuples(subsets, subsets), min_size=1, max_size=12)
LEVELS = (1, 2, 3, 4, 5)
levels = st.sampled_from(LEVELS)
pairs_of_levels = st.lists(st.tuples(levels, levels), min_size=1, max_size=20)


def of_sets(name: str) -> Metric:
    return PLAIN[name](multilabel({"train": (Example("1", {}, list(LABELS)),)}))


def of_levels(name: str) -> Metric:
    return PLAIN[name](ordinal({"train": (Example("1", {}, 1), Example("2", {}, 5))}))


def judged(metric: Metric, pairs: Sequence[tuple[Json, Json]], reply: Callable[[Json], str] = str) -> list[Judgement]:
    return [now(metric.judge(Example("1", {}, target), reply(said))) for target, said in pairs]


def value(metric: Metric, judgements: Sequence[Judgement]) -> float:
    return corpus_value(metric, [(one.score, one.counts) for one in judgements])


def listed(labels: Json) -> str:
    return f"Labels: {', '.join(map(str, labels)) or 'none'}"  # type: ignore[arg-type]


@given(pairs_of_sets)
def test_sets_are_scored_as_their_definitions_say(pairs: list[tuple[list[str], list[str]]]) -> None:
    rows = [(set(gold), set(said)) for gold, said in pairs]
    both, either = [len(g & s) for g, s in rows], [len(g | s) for g, s in rows]
    sizes = [len(g) + len(s) for g, s in rows]
    scores = {
        "micro_f1": [2 * b / n if n else 1.0 for b, n in zip(both, sizes, strict=True)],
        "jaccard": [b / n if n else 1.0 for b, n in zip(both, either, strict=True)],
        "exact": [float(g == s) for g, s in rows],
    }
    for name, expected in scores.items():
        found = judged(of_sets(name), pairs, listed)
        assert [one.score for one in found] == pytest.approx(expected)
        assert [bool(one.mistakes) for one in found] == [one < 1 for one in expected]
        together = name == "micro_f1" and any(sizes)
        corpus = 2 * sum(both) / sum(sizes) if together else float(np.mean(expected))
        assert value(of_sets(name), found) == pytest.approx(corpus)
    f1 = [
        2 * sum(x in g & s for g, s in rows) / n
        for x in LABELS
        if (n := sum(x in labels for row in rows for labels in row))
    ]
    macro = of_sets("macro_f1")
    assert value(macro, judged(macro, pairs, listed)) == pytest.approx(np.mean(f1) if f1 else 1.0)


@given(pairs_of_levels)
def test_the_error_of_ratings_is_the_mean_distance(pairs: list[tuple[int, int]]) -> None:
    found = judged(of_levels("mae"), pairs)
    error = np.mean([abs(gold - said) for gold, said in pairs])
    assert value(of_levels("mae"), found) == pytest.approx(1 - error / 4)
    assert all((one.score == 1) == (gold == said) for one, (gold, said) in zip(found, pairs, strict=True))


@given(pairs_of_levels)
def test_kappa_from_sums_is_that_of_the_table_of_targets_and_answers(pairs: list[tuple[int, int]]) -> None:
    table = np.zeros((5, 5))
    for gold, said in pairs:
        table[gold - 1, said - 1] += 1
    weights = np.array([[(row - column) ** 2 for column in range(5)] for row in range(5)])
    chance = (weights * np.outer(table.sum(axis=1), table.sum(axis=0))).sum() / len(pairs)
    observed = (weights * table).sum()
    expected = max(0.0, 1 - observed / chance) if chance else float(observed == 0)
    metric = of_levels("quadratic_kappa")
    assert value(metric, judged(metric, pairs)) == pytest.approx(expected, abs=1e-9)


def test_an_unreadable_reply_is_worth_nothing_and_counts_against_the_corpus() -> None:
    for metric, target in ((of_sets("micro_f1"), ["a"]), (of_levels("mae"), 3), (of_levels("quadratic_kappa"), 3)):
        right = judged(
            metric, [(target, target)] * 3, lambda said: listed(said) if isinstance(said, list) else str(said)
        )
        [lost] = judged(metric, [(target, "who knows")])
        assert (lost.score, lost.answer) == (0, None)
        assert value(metric, right) == 1
        assert value(metric, [*right, lost]) < 1


def test_feedback_names_what_is_missed_and_what_is_not_expected() -> None:
    [one] = judged(of_sets("micro_f1"), [(["a", "b"], ["b", "c"])], listed)
    assert one.feedback == "missed a; named c, which is not expected"
    assert one.mistakes == {"missed a": 1, "wrongly c": 1}
    [one] = judged(of_levels("mae"), [(5, 2)])
    assert (one.score, one.feedback) == (0.25, "answered 2, expected 5: too low")
