"""What is read out of replies as models write them."""

from __future__ import annotations

import pytest

from protocols.answers.labels import FinalLabelParser
from protocols.answers.numbers import equal_numbers
from protocols.answers.parsers import final_answer, number, option, span
from protocols.errors import UnreadableReply
from protocols.metrics.entities import EntityParser
from protocols.metrics.match import Exact
from protocols.task import Example, Json, Parser, TaskKind
from tests.direct import now


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("Paris", "Paris"),
        ("I think.\n\n**Paris**\n", "Paris"),
        ("Reasons.\nAnswer: Paris", "Paris"),
        ("**Final Answer:** Paris\nI am sure.", "Paris"),
        ("**Answer**: `Paris`", "Paris"),
        ("## Answer\nParis", "Paris"),
        ("Answer:\n\nParis", "Paris"),
        ("So the final answer is Paris", "Paris"),
        ("The answer is: Paris\nAnswer:", "Paris"),
        ("推理。\n答案：巴黎", "巴黎"),
        ("所以答案是巴黎", "巴黎"),
        (r"Hence $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        ("Let me answer: why not?\nParis", "Paris"),
        ("10:30", "10:30"),
    ],
)
def test_the_final_answer(reply: str, answer: str) -> None:
    assert final_answer(reply) == answer


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("So 16 - 3 - 4 = 9 eggs, and 9 * 2 = $18.", "18"),
        ("She earns $18 a day.\nAnswer: $1,234.50 dollars", "1234.5"),
        ("Answer: 5 apples (out of 12)", "5"),
        ("He had 3 of 12 left", "12"),
        ("#### -7", "-7"),
        ("Answer: −7 °C", "-7"),
        ("Answer: 3/4", "0.75"),
        ("Answer: 1 1/2 cups", "1.5"),
        (r"\boxed{\frac{3}{4}}", "3/4"),
        ("Answer: 25%", "25"),
        ("Answer: .5", "1/2"),
        ("答案：１，２３４", "1234"),
        ("Answer: 0.333333", "1/3"),
    ],
)
def test_numbers_are_equal_however_they_are_written(reply: str, answer: str) -> None:
    assert equal_numbers(number(reply), answer)


@pytest.mark.parametrize(
    ("left", "right"), [("10000", "10001"), ("-5", "5"), ("1/0", "1"), ("0", "0.0001"), ("x", "x")]
)
def test_numbers_that_are_not_equal(left: str, right: str) -> None:
    assert not equal_numbers(left, right)


@pytest.mark.parametrize(
    "reply",
    [
        "(C)",
        "C",
        "C.",
        "**(C)** 08/28/2003",
        "Answer: C) late",
        "option C",
        "(A) is wrong.\nThe answer is (C), not (D)",
    ],
)
def test_options(reply: str) -> None:
    assert option(reply) == "(C)"


YES_NO = FinalLabelParser(("Yes", "No"))


@pytest.mark.parametrize(
    "reply", ["No", "no.", "Answer: No", "No, they do not", "So the answer is no", "Yes or no?\nSurely no!"]
)
def test_a_closed_set_of_final_answers(reply: str) -> None:
    assert YES_NO(reply) == "No"


@pytest.mark.parametrize("reply", ["no answer", "No answer.", "Answer: unanswerable", "无答案"])
def test_no_answer(reply: str) -> None:
    assert span(reply) == []


ENTITIES = EntityParser(("person", "place"))


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ('{"person": ["Ada"]}', {"person": ["Ada"]}),
        ('Here:\n```json\n{\n  "Person": "Ada",\n  "place": null\n}\n```\nDone.', {"person": ["Ada"], "place": []}),
        ('First {"person": ["Bob"]}, but rather {"person": ["Ada"]} {"note": ["x"]}', {"person": ["Ada"]}),
        ('{"person": ["{}"]}', {"person": ["{}"]}),
        ("There is none: {}", {}),
        ('{"person": ["Ada"], "pet": ["Rex"]}', {"person": ["Ada"], "pet": ["Rex"]}),
    ],
)
def test_entities(reply: str, answer: Json) -> None:
    assert ENTITIES(reply) == answer


@pytest.mark.parametrize(
    ("parse", "reply", "reason"),
    [
        (final_answer, " \n", "empty"),
        (number, "Answer: none", "ends with no number, but with 'none'"),
        (option, "(A) or (B)", r"several options \(A, B\)"),
        (option, "A circle", "no option"),
        (YES_NO, "The text names no answer", "one of Yes, No"),
        (YES_NO, "Yes and no", "one of Yes, No"),
        (ENTITIES, "person: Ada", "no JSON object"),
        (ENTITIES, '{"person": ["Ada"', "no JSON object"),
        (ENTITIES, '{"entities": {"person": ["Ada"]}}', "no JSON object"),
        (ENTITIES, '{"person": ["\\ud800"]}', "no JSON object"),
        (ENTITIES, '{"person": [' * 3000, "no JSON object"),
    ],
)
def test_what_cannot_be_read_says_why(parse: Parser, reply: str, reason: str) -> None:
    with pytest.raises(UnreadableReply, match=reason):
        parse(reply)


@pytest.mark.parametrize(
    ("target", "reply", "score"),
    [
        ("erg fluent hen", "erg, fluent, hen", 1),
        ("erg fluent hen", "Sorted words: erg fluent hen.", 1),
        ("erg fluent hen", "fluent erg hen", 0),
        (["four", "4"], "Answer: Four!", 1),
        (["four", "4"], "five", 0),
        ("1,000", "1000", 0),
        ("+", "-", 0),
    ],
)
def test_exact(target: Json, reply: str, score: float) -> None:
    kind = TaskKind("reasoning", parse=final_answer)
    assert now(Exact(kind).judge(Example("1", {}, target), reply)).score == score
