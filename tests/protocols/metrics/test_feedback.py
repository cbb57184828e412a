"""What a metric tells a critic: the mistakes by name, and what was missed and invented in words."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.answers.parsers import whole
from protocols.errors import ConfigError
from protocols.kinds.kinds import TASK_KINDS
from protocols.metrics.entities import EntityF1
from protocols.metrics.formats import JsonSchema, Pattern
from protocols.metrics.match import MacroF1
from protocols.metrics.overlap import SquadF1, TokenF1
from protocols.metrics.own import Own, Verdict
from protocols.task import Example, Json, Judgement, Metric, TaskKind
from tests.direct import now
from tests.protocols.metrics.kinds_at_hand import GIVEN

TEXT = TaskKind(parse=whole)


def judge(metric: Metric, target: Json, reply: str) -> Judgement:
    return now(metric.judge(Example("e1", {"text": "x"}, target), reply))


odd_verdicts: list[Any] = [(0.5, "x", 1), (0.5, 7), (0.5,), ()]


@pytest.mark.parametrize("verdict", odd_verdicts)
def test_what_is_no_score_and_no_feedback_is_said_with_the_example(verdict: Any) -> None:
    with pytest.raises(ConfigError, match=r"^metric mine gave .* for example e1: "):
        judge(Own(TEXT, lambda example, answer: verdict, "mine"), "a", "a")


@pytest.mark.parametrize("feedback", ["half \ud800 a pair", None, "whole"])
def test_feedback_can_be_written(feedback: Any) -> None:
    judgement = judge(Own(TEXT, lambda example, answer: (0.5, feedback), "mine"), "a", "b")
    assert judgement.feedback.encode()


@pytest.mark.parametrize(
    ("reply", "score", "mistakes", "feedback"),
    [
        ('{"person": ["Ada", "Bob"]}', 4 / 5, {"missed group": 1}, "missed group: ACM"),
        (
            '{"person": ["Ada", "Bob", "Eve"], "group": ["ACM"]}',
            6 / 7,
            {"invented person": 1},
            "invented person: Eve",
        ),
        (
            '{"person": ["Ada"], "group": ["ACM", "Bob"]}',
            2 / 3,
            {"person taken for group": 1},
            "Bob is person, not group",
        ),
        (
            '{"person": ["Ada", "Bob"], "group": ["the ACM"]}',
            2 / 3,
            {"wrong boundaries of group": 1},
            "answered group: the ACM, expected ACM",
        ),
        (
            "{}",
            0,
            {"missed person": 2, "missed group": 1},
            "missed group: ACM; missed person: Ada; missed person: Bob",
        ),
    ],
)
def test_entities(reply: str, score: float, mistakes: dict[str, int], feedback: str) -> None:
    judged = judge(EntityF1(GIVEN["ner"].kind()), {"person": ["Ada", "Bob"], "group": ["ACM"]}, reply)
    assert judged.score == pytest.approx(score)
    assert (judged.mistakes, judged.feedback) == (mistakes, feedback)


def test_what_cannot_be_read_misses_everything() -> None:
    judged = judge(EntityF1(GIVEN["ner"].kind()), {"person": ["Ada", "Bob"]}, "Ada and Bob")
    assert (judged.score, judged.counts, judged.mistakes) == (0, {"tp": 0, "fn": 2, "fp": 0}, {"unreadable": 1})
    assert 'expected {"person": ["Ada", "Bob"]}' in judged.feedback
    missed = judge(MacroF1(GIVEN["classification"].kind()), "card", "?")
    assert (missed.counts, missed.answer) == ({"fn card": 1}, None)


@pytest.mark.parametrize(
    ("target", "reply", "mistake"),
    [
        ([], "Paris", "an answer where there is none"),
        (["Paris"], "no answer", "no answer where there is one"),
        (["Paris", "in Paris"], "in Paris, France", "too long"),
        (["Paris, France"], "Paris", "too short"),
        (["Paris", "Nice"], "Rome", "wrong answer"),
    ],
)
def test_reading(target: Json, reply: str, mistake: str) -> None:
    judged = judge(SquadF1(TASK_KINDS["reading"]({"train": (Example("1", {}, "x"),)})), target, reply)
    assert judged.mistakes == {mistake: 1}
    assert judged.feedback.startswith(f"{mistake}: answered {judged.answer}, expected ")


def test_characters_count_where_words_have_no_spaces() -> None:
    assert judge(TokenF1(TEXT), "人民日报 2024", "《人民日报》").score == pytest.approx(2 * 4 / (4 + 5))
    assert judge(SquadF1(TEXT), "人民日报", "《人民日报》").score == 0


def test_a_function_of_ones_own_gives_a_score_or_a_score_with_feedback() -> None:
    async def later(example: Example, answer: Json) -> Verdict:
        return (0.5, "half") if answer != example.target else 1

    assert judge(Own(TEXT, later, "m:f"), "x", "y") == Judgement(0.5, "y", "half")
    assert judge(Own(TEXT, later, "m:f"), "x", "x") == Judgement(1.0, "x")
    assert judge(Own(TEXT, lambda example, answer: 0, "m:f"), "x", "y").feedback == "answered y, expected x"


@given(st.floats(0, 1, width=16), st.sampled_from([float, np.float16, np.float32, np.float64, Fraction]))
def test_a_score_may_be_any_real_number(score: float, kind: Callable[[float], float]) -> None:
    judged = judge(Own(TEXT, lambda example, answer: kind(score), "m:f"), "x", "y")
    assert (judged.score, type(judged.score)) == (score, float)


@pytest.mark.parametrize("verdict", [1.5, -0.1, float("nan"), np.float32("nan"), np.float32(1.5), "1", None])
def test_a_function_that_gives_no_score_is_named(verdict: float) -> None:
    with pytest.raises(ConfigError, match=r"m:f gave .* for example e1"):
        judge(Own(TEXT, lambda example, answer: verdict, "m:f"), "x", "y")


SCHEMA: dict[str, object] = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("reply", "mistakes", "feedback"),
    [
        ('{"a": 1}', {}, ""),
        ('Here:\n```json\n{"a": 1}\n```', {}, ""),
        ('{"a": "1"}', {"breaks type": 1}, "the answer breaks the schema at $.a: '1' is not of type 'integer'"),
        ("{}", {"breaks required": 1}, "the answer breaks the schema at $: 'a' is a required property"),
        ('{"a": 1', {"not JSON": 1}, "the answer is not JSON: unexpected end of data: line 1 column 8 (char 7)"),
    ],
)
def test_a_json_schema(reply: str, mistakes: dict[str, int], feedback: str) -> None:
    judged = judge(JsonSchema(TEXT, SCHEMA, "s.json"), None, reply)
    assert (judged.score, judged.mistakes, judged.feedback) == (float(not mistakes), mistakes, feedback)


def test_a_schema_that_is_none_and_one_that_points_elsewhere_are_named() -> None:
    with pytest.raises(ConfigError, match=r"s\.json: no JSON Schema: \$\.type"):
        JsonSchema(TEXT, {"type": "objekt"}, "s.json")
    with pytest.raises(ConfigError, match=r"s\.json: the schema refers to http://localhost/x"):
        judge(JsonSchema(TEXT, {"$ref": "http://localhost/x"}, "s.json"), None, "1")
    deep = JsonSchema(TEXT, {"items": {"$ref": "#"}}, "s.json")
    assert judge(deep, None, "[" * 900 + "]" * 900).feedback in ("", "the answer is nested too deeply")


def test_a_pattern() -> None:
    metric = Pattern(TEXT, r"^\d{4}-\d\d$")
    assert judge(metric, None, "2024-05").score == 1
    assert judge(metric, None, "May 2024").feedback == r"the answer does not match ^\d{4}-\d\d$"
    with pytest.raises(ConfigError, match="no regular expression"):
        Pattern(TEXT, "(")
