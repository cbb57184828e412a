"""What a prompt must go on saying for replies to be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import EditRejected
from protocols.naming import Names, closed, listed, schema_names
from protocols.prompt import Prompt, Section
from protocols.text import fold
from tests.strategies import texts

LABELS = closed(["spam", "not_spam", "refund request", "C", "C++", "退款", "付款"], loose=True)
STARS = closed(["1", "2", "3", "4", "5"], loose=True)
MARKED = Names({"Yes": ("Yes",), "Answer:": ("Answer:", "answer is", r"\boxed")}, optional=("Answer:",))

NAMED: list[tuple[Names, str, set[str]]] = [
    (LABELS, "Say spam or not spam.", {"spam", "not_spam"}),
    (LABELS, "Only NOT-SPAM, never spammy", {"not_spam"}),
    (LABELS, "Is it a refund\n request?", {"refund request"}),
    (LABELS, "a refund, a request", set()),
    (LABELS, "Written in C++", {"C++"}),
    (LABELS, "C or c++", {"C", "C++"}),
    (LABELS, "选择退款或付款", {"退款", "付款"}),
    (LABELS, "", set()),
    (STARS, "From 1 to 4 stars", {"1", "2", "3", "4"}),
    (STARS, "4 stars", {"4"}),
    (MARKED, "End with\nAnswer: yes", {"Yes", "Answer:"}),
    (MARKED, r"Put it into \boxed{}", {"Answer:"}),
    (closed(["first_name"]), "the first name", set()),
    (closed(["first_name"]), '{"First_Name": 1}', {"first_name"}),
]


@pytest.mark.parametrize(("names", "text", "said"), NAMED)
def test_names_are_found_as_whole_words_the_longest_first(names: Names, text: str, said: set[str]) -> None:
    assert names.named(text) == said


@given(st.lists(st.from_regex(r"[a-z]{1,3}( [a-z]{1,3})?", fullmatch=True), min_size=1, unique=True))
def test_a_list_of_all_names_names_them_all(several: list[str]) -> None:
    assert closed(several).named("Labels: " + "; ".join(several)) == set(several)


@given(st.lists(texts, max_size=6, unique=True), texts)
def test_only_what_stands_in_a_text_is_named(several: list[str], text: str) -> None:
    for name in closed(several).named(text):
        assert not fold(name).strip() or "".join(fold(name).split()) in "".join(fold(text).split())


def prompt(**sections: str) -> Prompt:
    kinds = {"format": "format", "definitions": "definitions", "examples": "examples"}
    return Prompt(tuple(Section(name, kinds.get(name, "task"), text) for name, text in sections.items()))  # type: ignore[arg-type]


PARENT = prompt(task="Which is it?", definitions="", examples="", format="Labels: spam, not_spam")
EDITS: list[tuple[str, Prompt, str]] = [
    ("shortened", prompt(task="Which is it?", definitions="", examples="", format="Labels: spam"), "not_spam"),
    ("emptied", prompt(task="Which is it?", definitions="", examples="", format=""), "spam, not_spam"),
    ("shown only", prompt(task="?", definitions="", examples="a: spam\nb: not_spam", format=""), "spam, not_spam"),
    ("renamed", prompt(task="Which is it?", definitions="", examples="", format="Labels: junk, not junk"), "spam"),
    ("moved", prompt(task="?", definitions="spam: ads\nnot spam: the rest", examples="", format=""), ""),
    ("spelt otherwise", prompt(task="?", definitions="", examples="", format="Not-Spam | SPAM"), ""),
    ("added to", prompt(task="C++?", definitions="", examples="", format="Labels: spam, not_spam, C++"), ""),
]


@pytest.mark.parametrize(("what", "child", "lost"), EDITS)
def test_what_stood_in_the_parent_stands_in_the_child(what: str, child: Prompt, lost: str) -> None:
    if not lost:
        LABELS.check(PARENT, child, "edited")
        return
    with pytest.raises(EditRejected, match=f"the edit loses {lost}") as caught:
        LABELS.check(PARENT, child, "edited")
    assert caught.value.text == "edited"


def test_worked_examples_come_and_go() -> None:
    shown = prompt(task="Which is it?", examples="a: spam\nb: not_spam")
    LABELS.check(shown, prompt(task="Which is it?", examples="{examples:4}"), "")


def test_what_is_missing_is_said_and_what_is_optional_is_not_missed() -> None:
    assert MARKED.missing(prompt(task="Yes?")) == []
    assert LABELS.missing(prompt(task="spam, C", examples="C++")) == ["not_spam", "refund request", "退款", "付款"]
    assert "not_spam, refund request, 退款, 付款 stand nowhere" in LABELS.warning(prompt(task="spam, C, C++"))
    assert LABELS.warning(prompt(task=" ".join(LABELS.all))) == ""
    assert closed(["a"]).warning(prompt(task="x")).startswith("a stands nowhere in the prompt")


def test_a_section_holds_what_no_other_says() -> None:
    both = prompt(task="spam?", format="Labels: spam, not_spam")
    assert LABELS.held(both, "format") == ["not_spam"]
    assert LABELS.held(both, "task") == []


def test_a_long_list_is_cut() -> None:
    assert listed([str(n) for n in range(77)]) == "0, 1, 2, 3, 4 and 72 more"


def test_a_schema_expects_required_keys_and_texts_of_an_enumeration() -> None:
    schema = {
        "required": ["name", "mood"],
        "properties": {
            "name": {"type": "string"},
            "note": {"type": "string"},
            "mood": {"enum": ["good", "bad", 3]},
            "items": {"items": {"required": ["id"], "properties": {"kind": {"const": "row"}}}},
        },
    }
    assert schema_names(schema) == ["name", "mood", "good", "bad", "id", "row"]
    assert schema_names({"required": True, "enum": "x", "allOf": [{"required": [1, "y"]}]}) == ["y"]


def test_a_deep_schema_is_walked() -> None:
    schema: dict[str, object] = {"required": ["end"]}
    for _ in range(5000):
        schema = {"not": schema}
    assert schema_names(schema) == ["end"]


def test_many_labels_are_found_in_a_long_text() -> None:
    names = closed([f"label_{n} of {n % 7}" for n in range(5000)], loose=True)
    assert len(names.named(", ".join(names.all))) == 5000
