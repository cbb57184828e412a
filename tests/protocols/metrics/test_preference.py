"""A judge of preferences: both orders are asked, and a place in them gains nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.answers.parsers import whole
from protocols.metrics.judge import Preference
from protocols.model import Finish, Reply, Request
from protocols.task import Example, Judgement, TaskKind
from tests.direct import now

KIND = TaskKind(parse=whole)
EXAMPLE = Example("1", {"text": "a {rubric} question"}, None)
answers = st.sampled_from(["", "a", "b", "a b", "{first}"])
ORDERS = st.dictionaries(st.tuples(answers, answers), st.sampled_from(["0", "1", "2", "what?"]))


@dataclass
class Judge:
    """Says what `verdict` says of two answers in their order."""

    verdict: Callable[[str, str], str]
    name: str = "judge"
    asked: list[Request] = field(default_factory=list)

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        text = request.messages[0].text
        first, second = (text.split(f"<answer_{n}>\n")[1].split(f"\n</answer_{n}>")[0] for n in (1, 2))
        return Reply(f"It lacks warmth.\nBetter: {self.verdict(first, second)}")


def compared(judge: Judge, answer: str, other: str) -> Judgement:
    async def opponent(example: Example, sample: int) -> tuple[str, Finish]:
        return other, "stop"

    return now(Preference(KIND, "Be warm.", judge, opponent).judge(EXAMPLE, answer))


@given(answers, answers, ORDERS)
def test_what_one_prompt_wins_the_other_loses_whatever_the_judge_says(
    one: str, two: str, said: dict[tuple[str, str], str]
) -> None:
    judge = Judge(lambda first, second: said.get((first, second), "1"))
    forth, back = compared(judge, one, two), compared(judge, two, one)
    assert forth.score == 1 - back.score


@given(answers, answers, st.sampled_from(["0", "1", "2", "what?"]))
def test_a_judge_that_goes_by_the_place_makes_ties_alone(one: str, two: str, place: str) -> None:
    judged = compared(Judge(lambda first, second: place), one, two)
    readable = bool(one.strip() and two.strip())
    if readable or one == two:
        assert judged.score == 0.5
    if readable and one != two:
        counted = {"1": "first twice", "2": "second twice", "what?": "unheard"}.get(place)
        assert judged.counts == {"compared": 1, **({counted: 1} if counted else {})}


@given(answers, answers)
def test_the_longer_answer_wins_in_both_orders_if_the_judge_likes_it(one: str, two: str) -> None:
    judge = Judge(lambda first, second: "1" if len(first) > len(second) else "2")
    judged = compared(judge, one, two)
    if len(one) != len(two):
        assert judged.score == (len(one) > len(two))
    assert (judged.feedback == "") == (judged.score == 1)
    assert len(judge.asked) == (2 if one and two and one != two else 0)


def test_the_reasons_say_which_answer_is_meant() -> None:
    judge = Judge(lambda first, second: "1" if first == "warm" else "2")
    lost = compared(judge, "cold", "warm")
    assert (lost.score, lost.mistakes) == (0.0, {"the other answer is preferred": 1})
    assert "(answer 1 is this one) It lacks warmth." in lost.feedback
    assert "(answer 2 is this one) It lacks warmth." in lost.feedback
    assert lost.answer == "cold"


def test_no_verdict_is_asked_for_once_more_and_then_a_tie() -> None:
    judge = Judge(lambda first, second: "who knows")
    tie = compared(judge, "a", "b")
    assert (tie.score, tie.counts) == (0.5, {"compared": 1, "unheard": 1})
    assert [request.sample for request in judge.asked] == [0, 1]


@pytest.mark.parametrize("target", [None, "the reference"])
def test_the_judge_sees_the_rubric_the_input_and_the_reference_if_there_is_one(target: str | None) -> None:
    metric = Preference(KIND, "Be {first}.", None, None)
    text = metric.question(Example("1", {"text": "a {second}"}, target), "one {rubric}", "two")
    for tag, said in (("rubric", "Be {first}."), ("input", "text: a {second}"), ("answer_1", "one {rubric}")):
        assert f"<{tag}>\n{said}\n</{tag}>" in text
    assert ("<reference>\nthe reference\n</reference>" in text) == (target is not None)
    assert ("<reference>" in text) == (target is not None)
