"""Labels: what names exactly the right one scores, whatever else a reply says."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocols.answers.labels import LabelParser
from protocols.errors import DataError
from protocols.metrics.match import Accuracy
from protocols.task import Example, Judgement, TaskKind
from protocols.text import fold
from tests.direct import now
from tests.strategies import texts

SETS = [
    ("card", "card_arrival", "card arrival"),
    ("C", "C++", "C#", "F#"),
    ("付款", "付款失败", "退款"),
    ("+", "-", "++"),
    ("positive", "negative", "neutral"),
    ("billing: refund", "refund", "billing"),
    ("0", "1", "10"),
    ("да", "нет", "данные"),
    ("환불", "배송"),
    ("(a)", "(b)", "N/A"),
    ("Straße", "straße 2"),
    ("été", "hiver"),
]
label_sets = st.sampled_from(SETS)


def judged(labels: tuple[str, ...], target: str, reply: str) -> Judgement:
    metric = Accuracy(TaskKind("classification", parse=LabelParser(labels)))
    return now(metric.judge(Example("1", {"text": "x"}, target), reply))


def judge(labels: tuple[str, ...], target: str, reply: str) -> float:
    judgement = judged(labels, target, reply)
    assert (judgement.score == 1.0) == (judgement.answer == target)
    assert judgement.score in (0.0, 1.0)
    assert bool(judgement.feedback) == (judgement.score < 1.0)
    assert judgement.answer is None or judgement.answer in labels
    return judgement.score


@given(label_sets, texts, st.data())
def test_any_reply_is_judged(labels: tuple[str, ...], reply: str, data: st.DataObject) -> None:
    judge(labels, data.draw(st.sampled_from(labels)), reply)


FRAMES = [
    "{}",
    "{}.",
    "**{}**",
    "Label: {}",
    "标签：{}",
    '"{}"',
    "It is {} here",
    "{}\n",
    "\n\n{}",
    "so:\n{}",
    "- {}",
    "`{}`",
]


@given(label_sets, st.sampled_from(FRAMES), st.sampled_from([str.upper, str.lower, str]), st.data())
def test_a_reply_that_names_one_label_scores_exactly_if_it_is_the_target(
    labels: tuple[str, ...], frame: str, case: type[str], data: st.DataObject
) -> None:
    named, target = data.draw(st.sampled_from(labels)), data.draw(st.sampled_from(labels))
    assume(not (frame == "- {}" and "-" in labels))
    assume(not (frame == "It is {} here" and named == "billing: refund"))
    assert judge(labels, target, frame.replace("{}", case(named))) == (named == target)


@given(label_sets, st.data())
def test_the_last_line_decides_over_what_was_said_on_the_way(labels: tuple[str, ...], data: st.DataObject) -> None:
    target = data.draw(st.sampled_from(labels))
    reasoning = "It could be " + " or ".join(data.draw(st.permutations(labels)))
    assert judge(labels, target, f"{reasoning}\nAnswer: {target}") == 1.0
    assert judge(labels, target, f"{reasoning}\n{target}") == 1.0
    if "+" not in labels:
        assert judge(labels, target, f"{reasoning}\nSo it must be {target} here") == 1.0


@given(label_sets.filter(lambda labels: "+" not in labels), st.data())
def test_a_reply_that_names_several_scores_nothing_and_says_so(labels: tuple[str, ...], data: st.DataObject) -> None:
    first, second = data.draw(st.permutations(labels))[:2]
    judgement = judged(labels, first, f"{first} | {second}, who knows")
    assert (judgement.score, judgement.answer) == (0.0, None)
    assert "several labels" in judgement.feedback


@pytest.mark.parametrize(
    ("labels", "reply"),
    [
        (("card", "cash"), "cardinal sins"),
        (("card", "cash"), "my_card"),
        (("да", "нет"), "дата"),
        (("été", "hiver"), "étés"),
        (("1", "2"), "21st"),
        (("no", "yes"), ""),
        (("no", "yes"), "nothing"),
    ],
)
def test_part_of_a_word_names_no_label(labels: tuple[str, ...], reply: str) -> None:
    judgement = judged(labels, labels[0], reply)
    assert judgement.answer is None
    assert "names no label" in judgement.feedback


@pytest.mark.parametrize(
    ("labels", "reply"),
    [(("付款", "退款"), "这是付款问题。"), (("환불", "배송"), "환불입니다"), (("คืนเงิน", "จัดส่ง"), "ขอคืนเงินครับ")],
)
def test_scripts_that_do_not_space_words_need_no_spaces(labels: tuple[str, ...], reply: str) -> None:
    assert judge(labels, labels[0], reply) == 1.0


@pytest.mark.parametrize("labels", [("US", "us"), ("a b", "a  b"), ("ﬁ", "fi")])
def test_labels_that_no_reply_can_tell_apart_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="apart"):
        LabelParser(labels)


letters = st.characters(categories=("Lu", "Ll", "Lo", "Nd")).filter(lambda c: fold(c).isalnum())


@given(st.lists(st.text(letters, min_size=1, max_size=5), min_size=1, max_size=6, unique_by=fold), st.data())
def test_any_label_on_its_own_is_read(labels: list[str], data: st.DataObject) -> None:
    """Letters and digits; what is made of punctuation is told apart by `SETS` above."""
    target = data.draw(st.sampled_from(labels))
    assert judge(tuple(labels), target, f"Answer: {target}") == 1.0
