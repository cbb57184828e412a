"""Which of two answers a judge prefers is read in many forms, and never where it does not say so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.answers.verdicts import Better, read_verdict
from protocols.errors import UnreadableReply
from tests.strategies import texts

WORDS: dict[Better, tuple[str, ...]] = {
    0: ("0", "tie", "Neither", "equal"),
    1: ("1", "Answer 1", "the first", "answer_1", "A"),
    2: ("2", "**2**", "Response 2", "second", "<2>", "\\boxed{2}"),
}
verdicts = st.sampled_from([(better, word) for better, words in WORDS.items() for word in words])
FORMS = ("Better: {}", "**Better:** {}.", "The better answer is {}", "Winner: {} (slightly)", "- better：{}")


@given(texts, verdicts, st.sampled_from(FORMS))
def test_the_last_line_is_the_verdict_and_what_stands_before_it_are_the_reasons(
    reasons: str, verdict: tuple[Better, str], form: str
) -> None:
    better, word = verdict
    found = read_verdict(f"Better: {3 - better}\nNo: it is colder.\n{form.replace('{}', word)}")
    assert (found.better, found.reasons) == (better, f"Better: {3 - better}\nNo: it is colder.")


@pytest.mark.parametrize(
    ("reply", "better"),
    [
        ("2", 2),
        ("It is warm. [[A]]", 1),
        ("Overall, answer 2 is better.", 2),
        ("Neither is better.", 0),
        ('{"reason": "colder", "better": 2}', 2),
        ('```json\n{"winner": "Answer 1"}\n```', 1),
        ("<think>Better: 1</think>Better: 2", 2),
        ("Better: 1\nIt is warmer.", 1),
    ],
)
def test_other_forms_are_read(reply: str, better: Better) -> None:
    assert read_verdict(reply).better == better


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Both are good.",
        "Better: 3",
        "Better: 10",
        "Better: 1 or 2",
        "Better: not 1",
        '{"better": true}',
        "I do not know",
    ],
)
def test_what_is_no_verdict_is_not_read_as_one(reply: str) -> None:
    with pytest.raises(UnreadableReply):
        read_verdict(reply)


def test_a_verdict_that_was_cut_off_is_none() -> None:
    with pytest.raises(UnreadableReply):
        read_verdict("It is warm.\nBetter: 1", "length")
    assert read_verdict("Better: 1\nIt is", "length").better == 1
