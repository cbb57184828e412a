"""A score taken apart agrees with scikit-learn's definitions, and with the corpus metrics."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.results.breakdown import MOST, breakdown
from agents.ring.evaluator import value_of
from protocols.kinds.kinds import TASK_KINDS
from protocols.messages import Outcome
from protocols.metrics.entities import EntityF1
from protocols.metrics.match import MacroF1
from protocols.metrics.sets import MicroF1
from protocols.metrics.weighted import Weighted
from protocols.task import Example, Json, KindName, Metric

LABELS = ("red", "green", "blue", "退款")
labels = st.sampled_from(LABELS)
listed = st.lists(st.sampled_from("abc"), min_size=1)
entities = st.dictionaries(st.sampled_from(("person", "place")), listed, max_size=2)
EXAMPLES: dict[KindName, tuple[Example, ...]] = {
    "classification": tuple(Example(label, {"text": "t"}, label) for label in LABELS),
    "multilabel": (Example("m", {"text": "t"}, list(LABELS)), Example("n", {"text": "t"}, [])),
    "ner": (Example("e", {"text": "t"}, {"person": ["a"], "place": ["b"]}),),
}
KINDS = {name: TASK_KINDS[name]({"train": examples}) for name, examples in EXAMPLES.items()}


def judged(metric: Metric, kind: KindName, target: Json, reply: str) -> Outcome:
    example = Example("x", {"text": "t"}, target)

    async def judge() -> Outcome:
        found = await metric.judge(example, reply)
        shown = KINDS[kind].show(target)
        return Outcome("x", {}, shown, reply, found.answer, found.score, found.feedback, found.counts)

    return anyio.run(judge)


@given(st.lists(st.tuples(labels, labels | st.just("none")), min_size=1, max_size=12))
def test_labels_add_up_to_macro_f1_and_the_matrix_to_the_errors(pairs: list[tuple[str, str]]) -> None:
    kind = KINDS["classification"]
    metric = MacroF1(kind)
    outcomes = [judged(metric, "classification", target, said) for target, said in pairs]
    found = breakdown("classification", metric, outcomes)
    assert sum(row.f1 for row in found.labels) / len(found.labels) == pytest.approx(value_of(metric, outcomes))
    assert sum(row.expected for row in found.labels) == len(pairs)
    wrong = Counter((target, said if said in LABELS else None) for target, said in pairs if target != said)
    assert {(cell.expected, cell.answered): cell.n for cell in found.confused} == wrong
    assert [cell.n for cell in found.confused] == sorted(wrong.values(), reverse=True)
    for row in found.labels:
        of_target = [said for target, said in pairs if target == row.label]
        assert row.recall == pytest.approx(of_target.count(row.label) / len(of_target) if of_target else 0.0)


@given(st.lists(st.tuples(entities, entities), min_size=1, max_size=8))
def test_entity_types_add_up_to_micro_f1(pairs: list[tuple[dict[str, list[str]], dict[str, list[str]]]]) -> None:
    kind = KINDS["ner"]
    metric = EntityF1(kind)
    outcomes = [judged(metric, "ner", target, kind.show(said)) for target, said in pairs]
    found = breakdown("ner", metric, outcomes)
    right, both = sum(row.right for row in found.labels), sum(row.expected + row.answered for row in found.labels)
    if both:
        assert 2 * right / both == pytest.approx(value_of(metric, outcomes))
    assert not found.confused


@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=8))
def test_metrics_of_several_are_each_what_they_are_alone(pairs: list[tuple[str, str]]) -> None:
    kind = KINDS["classification"]
    alone: dict[str, Metric] = {"f1": MacroF1(kind), "again": MacroF1(kind)}
    metric = Weighted([("f1", 2.0, alone["f1"]), ("again", 1.0, alone["again"])])
    outcomes = [judged(metric, "classification", target, said) for target, said in pairs]
    each = [judged(alone["f1"], "classification", target, said) for target, said in pairs]
    found = breakdown("classification", metric, outcomes)
    assert found.metrics == pytest.approx(dict.fromkeys(alone, value_of(alone["f1"], each)))


@given(st.lists(st.tuples(st.sets(labels), st.sets(labels)), min_size=1, max_size=8))
def test_lists_of_labels_add_up_to_micro_f1(pairs: list[tuple[set[str], set[str]]]) -> None:
    kind = KINDS["multilabel"]
    metric = MicroF1(kind)
    outcomes = [judged(metric, "multilabel", [*target], kind.show([*said])) for target, said in pairs]
    found = breakdown("multilabel", metric, outcomes)
    right, both = sum(row.right for row in found.labels), sum(row.expected + row.answered for row in found.labels)
    if both:
        assert 2 * right / both == pytest.approx(value_of(metric, outcomes))
    assert not found.confused


def test_a_free_text_has_nothing_to_take_apart_and_many_labels_are_cut() -> None:
    free = [Outcome("x", {}, "a", "b", "b", 0.0, "")]
    metric = MacroF1(KINDS["classification"])
    nothing = breakdown("generation", metric, free)
    assert (nothing.labels, nothing.confused, nothing.metrics) == ((), (), {})
    many = [Outcome("x", {}, f"l{n}", "b", f"m{n}", 0.0, "") for n in range(MOST + 9)]
    found = breakdown("classification", metric, many)
    assert (len(found.labels), len(found.confused)) == (MOST, MOST)


@pytest.mark.parametrize("written", ["", "no JSON", "[1]", '{"person": "Ada"}', '{"person": [1]}'])
def test_what_a_parser_of_the_users_writes_is_no_error(written: str) -> None:
    found = breakdown("ner", EntityF1(KINDS["ner"]), [Outcome("x", {}, written, "r", written, 1.0, "")])
    assert len(found.labels) == ("[1]}" in written)
