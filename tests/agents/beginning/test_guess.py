"""What is guessed of a data file: the answer, the input, the ids, and the kind of task."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.beginning.columns import columns_of, flat
from agents.beginning.guess import Guess, Wishes, guess
from protocols.errors import ConfigError
from protocols.task import KindName

FILE = Path("data.csv")
LABELS = ("billing", "shipping", "returns")
TEXTS = [f"message {number} about parcel {number * 7}" for number in range(30)]


def guessed(rows: Sequence[dict[str, Any]], wishes: Wishes | None = None) -> Guess:
    return guess(columns_of([flat(row) for row in rows]), wishes or Wishes(), FILE)


def rows_of(**columns: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def labels(count: int = 30) -> list[str]:
    return [LABELS[number % 3] for number in range(count)]


QUESTIONS = [f"How much is {number} and {number}?" for number in range(30)]
KINDS: list[tuple[KindName, str, list[dict[str, Any]]]] = [
    ("classification", "label", rows_of(text=TEXTS, label=labels())),
    ("ordinal", "stars", rows_of(review=TEXTS, stars=[str(1 + n % 5) for n in range(30)])),
    ("classification", "stars", rows_of(review=TEXTS, stars=[("bad", "fair", "good")[n % 3] for n in range(30)])),
    ("classification", "label", rows_of(text=TEXTS, label=[n % 3 for n in range(30)])),
    ("classification", "intent", rows_of(question=QUESTIONS, intent=labels())),
    ("reasoning", "answer", rows_of(question=QUESTIONS, answer=[str(2 * n) for n in range(30)])),
    ("reasoning", "answer", rows_of(question=QUESTIONS, answer=[f"({'ABC'[n % 3]})" for n in range(30)])),
    ("reasoning", "answer", rows_of(question=QUESTIONS, answer=[("Yes", "No")[n % 2] for n in range(30)])),
    ("reasoning", "solution", rows_of(question=QUESTIONS, solution=[f"word {n} of {n}" for n in range(30)])),
    ("reading", "answer", rows_of(context=TEXTS, question=QUESTIONS, answer=[f"parcel {n * 7}" for n in range(30)])),
    ("reading", "answers.text", [
        {"context": t, "question": q, "answers": {"text": [t[:9]], "answer_start": [0]}}
        for t, q in zip(TEXTS, QUESTIONS, strict=True)
    ]),
    ("ner", "spans", rows_of(text=TEXTS, spans=[{"item": ["parcel"]} if n % 2 else {} for n in range(30)])),
    ("ner", "spans", rows_of(text=TEXTS, spans=['{"item": ["parcel"]}' if n % 2 else "{}" for n in range(30)])),
    ("generation", "summary", rows_of(article=TEXTS, summary=[f"It is {n}. No more." for n in range(30)])),
    ("generation", "output", rows_of(text=TEXTS, output=[{"n": n, "s": "x"} for n in range(30)])),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "target", "rows"), KINDS, ids=lambda value: value if isinstance(value, str) else "")
def test_the_kind_and_the_answer_are_told_by_names_and_values(
    kind: KindName, target: str, rows: list[dict[str, Any]]
) -> None:
    found = guessed(rows)
    assert (found.kind, found.target.name.partition(".")[0]) == (kind, target.partition(".")[0])
    assert found.target.name not in {column.name for column in found.inputs}


def test_a_column_of_another_name_is_the_answer_by_its_values() -> None:
    found = guessed(rows_of(wohin=labels(), was=TEXTS))
    assert (found.target.name, [column.name for column in found.inputs], found.sure) == ("wohin", ["was"], False)


def test_what_could_be_the_answer_as_well_is_said() -> None:
    found = guessed(rows_of(msg=TEXTS, canal=[("web", "app")[n % 2] for n in range(30)], ort=labels()))
    assert (found.target.name, found.rivals) == ("ort", ("canal",))


@pytest.mark.parametrize("aside", ["date", "source_url", "annotator", "created_at", "confidence"])
def test_what_is_beside_the_matter_is_not_shown_to_a_model(aside: str) -> None:
    found = guessed(rows_of(text=TEXTS, **{aside: [f"2026-01-{1 + n:02d}" for n in range(30)]}, label=labels()))
    assert [column.name for column in found.inputs] == ["text"]
    assert found.others == (aside,)


def test_the_answer_in_other_words_is_never_an_input() -> None:
    """Else the model would be shown it."""
    numbers = [str(LABELS.index(label)) for label in labels()]
    found = guessed(rows_of(text=TEXTS, label=numbers, label_text=labels()))
    assert found.target.name == "label_text"
    assert [column.name for column in found.inputs] == ["text"]


def test_ids_are_ids_only_if_none_occurs_twice() -> None:
    rows = rows_of(ticket_id=[f"t{n}" for n in range(30)], text=TEXTS, label=labels())
    assert guessed(rows).id == "ticket_id"
    assert guessed([*rows[:-1], rows[0]]).id is None


def test_a_rare_label_counts_where_one_label_is_most() -> None:
    found = guessed(rows_of(text=TEXTS, label=["usual"] * 28 + ["rare", "rare"]))
    assert found.metric == "macro_f1"
    assert guessed(rows_of(text=TEXTS, label=labels())).metric is None


@pytest.mark.parametrize("wrap", [dict, json.dumps, lambda row: [row, row]])
def test_targets_that_are_json_are_compared_by_their_fields(wrap: Callable[[dict[str, Any]], Any]) -> None:
    rows = [{"text": text, "answer": wrap({"amount": n, "shop": f"shop {n}"})} for n, text in enumerate(TEXTS)]
    found = guessed(rows)
    assert (found.kind, found.metric, found.target.name) == ("generation", "json_f1", "answer")
    assert guessed(rows_of(text=TEXTS, answer=[f"{text} is so. And more." for text in TEXTS])).metric is None


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (Wishes(target="lable"), "no column lable; it has a, b"),
        (Wishes(), "no column looks like the answer; name it with --target: a, b"),
        (Wishes(target="a", inputs=("c",)), "no column c"),
        (Wishes(target="a", id="c"), "no column c"),
    ],
)
def test_what_cannot_be_guessed_is_asked_for(wishes: Wishes, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        guessed([{"a": f"one {n}", "b": f"two {n}"} for n in range(9)], wishes)
    assert said in str(caught.value)


def test_lists_of_labels_are_told_from_lists_of_answers() -> None:
    """Alternatives of an answer differ from row to row."""
    lists = [[["a", "b"], ["c"], ["b"]][number % 3] for number in range(30)]
    assert guessed(rows_of(text=TEXTS, what=lists)).kind == "multilabel"
    assert guessed(rows_of(question=QUESTIONS, answers=[[f"{n}", f"{n}.0"] for n in range(30)])).kind == "reasoning"


def test_wishes_are_obeyed() -> None:
    rows = rows_of(text=TEXTS, title=TEXTS[::-1], label=labels(), other=labels())
    found = guessed(rows, Wishes("other", ("title",), "text", "generation"))
    assert (found.target.name, found.inputs[0].name, found.id, found.kind) == ("other", "title", "text", "generation")


values = st.none() | st.text(max_size=5) | st.integers() | st.booleans() | st.lists(st.text(max_size=3), max_size=2)
tables = st.lists(st.dictionaries(st.text(min_size=1, max_size=6), values, max_size=4), min_size=1, max_size=12)


@given(tables)
@settings(max_examples=60, deadline=None)
def test_any_rows_have_a_guess_or_one_clear_line(rows: list[dict[str, Any]]) -> None:
    try:
        found = guessed(rows)
    except ConfigError as error:
        said = str(error)
    else:
        assert found.inputs
        assert found.target.name not in {column.name for column in found.inputs}
        return
    assert "\n" not in said


@pytest.mark.parametrize(("target", "shown"), [("label", "label"), ("a", "a.b"), ("a.b", "a")])
def test_the_answer_is_never_an_input(target: str, shown: str) -> None:
    rows = rows_of(text=TEXTS, label=labels(), a=[{"b": label} for label in labels()])
    with pytest.raises(ConfigError, match="is the answer, and cannot be an --input"):
        guessed(rows, Wishes(target, ("text", shown)))
