"""A model as judge: what it is asked, how its verdict is read, and that no verdict is no score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.answers.parsers import whole
from protocols.errors import BadReply
from protocols.metrics.judge import ModelJudge
from protocols.model import Reply, Request
from protocols.task import Example, TaskKind
from tests.direct import now
from tests.strategies import texts

KIND = TaskKind(parse=whole)
EXAMPLE = Example("1", {"text": "a {rubric} question"}, "the reference")


@dataclass
class Says:
    """Answers with `replies` in turn, the last one again and again."""

    replies: Sequence[str]
    name: str = "judge"
    asked: list[Request] = field(default_factory=list)

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        return Reply(self.replies[min(len(self.asked), len(self.replies)) - 1])


@given(
    st.integers(0, 10), st.sampled_from(["Score: {}", "**Score: {}**", "Score: {}/10", "score：{}", "- Score: {}."])
)
def test_the_last_grade_is_the_score_and_the_reasons_are_the_feedback(grade: int, form: str) -> None:
    model = Says([f"Score: 3 would be harsh.\nIt is vague.\n{form.replace('{}', str(grade))}\n"])
    judged = now(ModelJudge(KIND, "Be clear.", model).judge(EXAMPLE, "an answer"))
    assert judged.score == grade / 10
    assert judged.feedback == ("Score: 3 would be harsh.\nIt is vague." if grade < 10 else "")
    assert judged.answer == "an answer"


@given(texts.filter(str.strip))
def test_the_judge_sees_the_rubric_the_input_the_reference_and_the_answer(answer: str) -> None:
    model = Says(["Fine.\nScore: 10"])
    now(ModelJudge(KIND, "Be {answer} clear.", model).judge(EXAMPLE, answer))
    [request] = model.asked
    text = request.messages[-1].text
    for tag, said in (
        ("rubric", "Be {answer} clear."),
        ("input", "text: a {rubric} question"),
        ("reference", "the reference"),
    ):
        assert f"<{tag}>\n{said}\n</{tag}>" in text
    assert f"<answer>\n{answer.strip()}\n</answer>" in text


def test_a_verdict_that_cannot_be_read_is_asked_for_once_more_and_never_a_score() -> None:
    model = Says(["I cannot tell.", "Score: 8"])
    judged = now(ModelJudge(KIND, "r", model).judge(EXAMPLE, "a"))
    assert (judged.score, judged.feedback) == (0.8, "graded 8 of 10")
    assert [request.sample for request in model.asked] == [0, 1]
    silent = Says(["Score: eleven", "Score: 11"])
    with pytest.raises(BadReply, match="no last line such as Score: 7"):
        now(ModelJudge(KIND, "r", silent).judge(EXAMPLE, "a"))
    assert len(silent.asked) == 2


def test_nobody_is_asked_about_a_reply_that_holds_no_answer() -> None:
    model = Says(["Score: 10"])
    assert now(ModelJudge(KIND, "r", model).judge(EXAMPLE, "  ")).score == 0
    assert not model.asked
