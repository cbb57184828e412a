"""Answers that are JSON are compared by value: what a field costs, and that the way of writing costs nothing."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocols.answers.json_objects import leaves, size
from protocols.kinds.kinds import TASK_KINDS, generation
from protocols.metrics.formats import JsonF1
from protocols.metrics.match import Accuracy, Contains, Exact
from protocols.metrics.parsed import ParsedMetric
from protocols.task import Example, Json, Judgement
from tests.direct import now
from tests.strategies import texts

KIND = generation({})
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values: st.SearchStrategy[Any] = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=12
)
objects: st.SearchStrategy[Any] = st.dictionaries(texts, values, max_size=4)
structures = objects | st.lists(objects, max_size=3)
flat = st.dictionaries(st.text("abc", min_size=1), st.integers(), min_size=1, max_size=6)
WRITTEN = [
    "{}",
    " \n{}\n",
    "```json\n{}\n```",
    "```\n{}\n```",
    "Here it is:\n```json\n{}\n```\nDone.",
    "Answer: {}",
    "`{}`",
]
RECEIPT: Json = {"amount": 58.99, "currency": "EUR", "shop": "Aldi"}


def judged(target: Json, answer: Json, make: type[ParsedMetric] = JsonF1) -> Judgement:
    example = Example("1", {"text": "x"}, target)
    metric = make(KIND)
    return now(metric.judge(example, answer)) if isinstance(answer, str) else now(metric.compare(example, answer))


def shuffled(value: Any, random: Random, lists: bool = False) -> Any:
    """The value with its keys in another order, and, if wanted, the members of its lists, too."""
    if isinstance(value, dict):
        items = [(key, shuffled(one, random, lists)) for key, one in value.items()]
        return dict(random.sample(items, len(items)))
    if isinstance(value, list):
        members = [shuffled(one, random, lists) for one in value]
        return random.sample(members, len(members)) if lists else members
    return value


@pytest.mark.parametrize("make", [JsonF1, Exact, Accuracy, Contains])
@given(structures, st.randoms(use_true_random=False), st.sampled_from([None, 1, 4]), st.sampled_from(WRITTEN))
def test_the_target_is_right_however_it_is_written(
    make: type[ParsedMetric], target: Any, random: Random, indent: int | None, around: str
) -> None:
    assume(around != "`{}`" or indent or "`" not in json.dumps(target))  # backticks within backticks end them
    reply = around.replace("{}", json.dumps(shuffled(target, random), indent=indent, ensure_ascii=False), 1)
    one = judged(target, reply, make)
    assert (one.score, one.feedback, one.mistakes) == (1, "", {}), reply


@given(structures, st.randoms(use_true_random=False))
def test_the_order_of_a_list_counts_for_exact_matches_alone(target: Any, random: Random) -> None:
    assert judged(target, json.dumps(shuffled(target, random, lists=True))).score == 1
    for make in (Exact, Accuracy):
        assert judged({"tags": ["a", "b"]}, '{"tags": ["b", "a"]}', make).score == 0


@given(flat, st.data())
def test_what_one_field_costs(target: dict[str, int], data: st.DataObject) -> None:
    n, key = len(target), data.draw(st.sampled_from(sorted(target)))
    wrong, missing, invented = deepcopy(target), deepcopy(target), {**target, "new": 1}
    wrong[key] += 1
    del missing[key]
    for answer, score, mistake in (
        (wrong, (n - 1) / n, f"wrong {key}"),
        (missing, 2 * (n - 1) / (2 * n - 1) if n > 1 else 0, f"missing {key}"),
        (invented, 2 * n / (2 * n + 1), "invented new"),
    ):
        one = judged(target, json.dumps(answer))
        assert one.score == pytest.approx(score)
        assert dict(one.mistakes) == {mistake: 1}
        assert judged(target, json.dumps(answer), Exact).score == 0


@given(values, values)
def test_any_two_values_can_be_compared(target: Any, said: Any) -> None:
    for answer in (said, json.dumps(said), str(said)):
        for make in (JsonF1, Exact, Accuracy):
            one = judged(target, answer, make)
            assert 0 <= one.score <= 1
            assert (one.score == 1) == (not one.feedback) == (not one.mistakes)
            f"{one}".encode()
    assert size(said) == len(list(leaves(said))) >= 1


@pytest.mark.parametrize(
    ("target", "reply", "score", "feedback"),
    [
        (RECEIPT, '{"amount": 58.990, "currency": "eur ", "shop": "ALDI"}', 1, ""),
        (RECEIPT, '{"amount": "58.99", "currency": "EUR"}', 2 / 5, None),
        ({"paid": True}, '{"paid": 1}', 0, "paid is 1, expected true"),
        ({"vat": None}, '{"vat": 0}', 0, "vat is 0, expected null"),
        ({"a": {"b": [1.0, 2]}}, '{"a": {"b": [2, 1]}}', 1, ""),
        ([{"n": "x", "p": 1}, {"n": "y", "p": 2}], '[{"n": "y", "p": 3}, {"n": "x", "p": 1}]', 3 / 4, None),
        ({"tags": ["a", "b"]}, '{"tags": ["a"]}', 2 / 3, 'missing tags[]: "b"'),
        ({"name": "Zoe\u0301"}, '{"name": "Zo\u00e9"}', 1, ""),
        ('{"a": 1}', '{ "a" : 1.0 }', 1, ""),
        (RECEIPT, 'First {"amount": 1}, no: {"amount": 58.99, "currency": "EUR", "shop": "Aldi"}', 1, ""),
    ],
)
def test_values(target: Json, reply: str, score: float, feedback: str | None) -> None:
    one = judged(target, reply)
    assert one.score == pytest.approx(score)
    assert feedback is None or one.feedback == feedback


@pytest.mark.parametrize(
    "reply", ["58.99 EUR", '{"amount": 58.99, "x": {"amount": 5', '{"a": {"amount": 58.99},}', '{"a": 1} {"b": 2']
)
def test_a_reply_without_whole_json_is_unreadable(reply: str) -> None:
    one = judged(RECEIPT, reply)
    assert (one.score, one.answer, one.mistakes) == (0, None, {"unreadable": 1})
    assert one.feedback.startswith("the reply holds no complete object of JSON; expected {")


def test_what_is_nested_too_deeply_is_wrong() -> None:
    deep = "[" * 900 + "]" * 900
    for make in (JsonF1, Exact):
        assert judged([1], deep, make).score == 0


def test_long_lists_are_compared_in_time() -> None:
    members: list[Json] = [{"n": n, "of": [n, n + 1]} for n in range(2_000)]
    assert judged(members, members[::-1]).score == 1
    assert 0 < judged(members, [{"n": n} for n in range(2_000)]).score < 1


def test_accepted_answers_are_accepted_still() -> None:
    assert judged(["a", "b"], "B", Exact).score == judged(["a", "b"], '["a","b"]', Exact).score == 1
    assert judged([{"a": 1}, {"b": 2}], '{"a": 1}', Exact).score == 0
    reading = TASK_KINDS["reading"]({"train": (Example("1", {}, "x"),)})
    assert now(Exact(reading).judge(Example("1", {}, ["a", "b"]), '["a","b"]')).score == 0
