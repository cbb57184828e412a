"""Lists of labels: whatever names exactly the right ones is read as these; unreadable is right, wrong never."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.answers.label_lists import LabelListParser
from protocols.errors import UnreadableReply
from protocols.task import Json
from tests.protocols.answers.list_readings import CUT_OFF, LABELS, READINGS
from tests.strategies import texts

SETS = [
    LABELS,
    ("card", "card_arrival", "card fee"),
    ("C", "C++", "C#", "F#"),
    ("付款", "付款失败", "退款"),
    ("0", "1", "10"),
    ("Food, drink", "Travel; hotels", "Music"),
    ("joy", "anger", "neutral", "none"),
]
chosen = st.sampled_from(SETS).flatmap(
    lambda labels: st.tuples(st.just(labels), st.lists(st.sampled_from(labels), min_size=1, unique=True))
)
FORMS: list[Callable[[Sequence[str]], str]] = [
    json.dumps,
    partial(json.dumps, ensure_ascii=False, indent=2),
    lambda labels: json.dumps({"labels": list(labels)}),
    lambda labels: f"```json\n{json.dumps(labels)}\n```",
    "\n".join,
    "; ".join,
    " | ".join,
    lambda labels: "Labels: " + " and ".join(labels),
    lambda labels: "\n".join(f"* {label}" for label in labels),
    lambda labels: "Labels:\n" + "\n".join(f"- **{label}**" for label in labels),
    lambda labels: "Let me see what fits here.\n\n" + ", ".join(f'"{label}"' for label in labels),
]


def reading(labels: Sequence[str], reply: str, cut: bool = False) -> Json:
    """None where it is unreadable."""
    try:
        return LabelListParser(tuple(labels))(reply, "length" if cut else "stop")
    except UnreadableReply:
        return None


@pytest.mark.parametrize(("reply", "labels"), READINGS)
def test_replies_as_models_write_them(reply: str, labels: list[str] | None) -> None:
    assert reading(LABELS, reply) == labels


@pytest.mark.parametrize(("reply", "labels"), CUT_OFF)
def test_a_list_that_may_have_gone_on_is_not_read(reply: str, labels: list[str] | None) -> None:
    assert reading(LABELS, reply, cut=True) == labels


@settings(max_examples=200)
@given(chosen, st.sampled_from(FORMS), st.sampled_from([str.upper, str.title, str]))
def test_every_way_to_list_labels_reads_as_these(
    drawn: tuple[Sequence[str], list[str]], form: Callable[[Sequence[str]], str], case: Callable[[str], str]
) -> None:
    labels, listed = drawn
    written = form([case(label) for label in listed])
    assert reading(labels, written) == [label for label in labels if label in listed]


@settings(max_examples=200)
@given(chosen, st.sampled_from(FORMS), st.data())
def test_what_is_left_of_a_list_that_was_cut_off_is_never_a_part_of_it(
    drawn: tuple[Sequence[str], list[str]], form: Callable[[Sequence[str]], str], data: st.DataObject
) -> None:
    labels, listed = drawn
    written = form(listed)
    cut = written[: data.draw(st.integers(0, len(written)))]
    assert reading(labels, cut, cut=True) in (None, [label for label in labels if label in listed])


@given(st.sampled_from(SETS), texts)
def test_any_reply_reads_as_a_list_or_not_at_all(labels: Sequence[str], reply: str) -> None:
    for cut in (False, True):
        read = reading(labels, reply, cut)
        assert read is None or isinstance(read, list)


def test_what_is_no_label_is_kept_so_that_it_counts() -> None:
    assert reading(LABELS, '["login", "Sales", "billing"]') == ["billing", "login", "Sales"]


def test_none_is_a_label_where_there_is_one() -> None:
    assert reading(("joy", "none"), "none") == ["none"]
    assert reading(("joy", "anger"), "none") == []
