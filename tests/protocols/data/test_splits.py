"""What is refused across splits, and how one file is cut into them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.data import check_cut, check_labels, check_splits, cut, told_apart
from protocols.data.checks import label_problems, split_problems
from protocols.data.cutting import classes
from protocols.errors import DataError
from protocols.task import Example, Json, KindName


def example(identity: str, target: Json = "a", text: str | None = None) -> Example:
    return Example(identity, {"text": text if text is not None else identity}, target)


def test_empty_and_overlapping_splits_are_refused() -> None:
    with pytest.raises(DataError, match="the validation split is empty"):
        check_splits({"train": (example("1"),), "validation": ()})
    with pytest.raises(DataError, match=r"the test and train splits share an id: ids 1; if ids mean nothing"):
        check_splits({"train": (example("1"),), "test": (example("1", text="other"),)})
    with pytest.raises(
        DataError, match=r"share an input: ids 2 = 1; delete each from one of the two, as the test split's$"
    ):
        check_splits({"train": (example("1"),), "test": (example("2", text="1"),)})
    with pytest.raises(DataError, match="the test split has the fields question, train text"):
        check_splits({"train": (example("1"),), "test": (Example("2", {"question": "x"}, "a"),)})
    check_splits({"train": (example("1"), example("2", text="1")), "test": (example("3"),)})


def test_labels_that_train_lacks_are_named() -> None:
    train = (example("1", "a"), example("2", "c"))
    check_labels({"train": train, "test": (example("4", "c"),)})
    with pytest.raises(DataError, match=r"the test split has labels that the train split lacks: b \(ids 3\)"):
        check_labels({"train": train, "test": (example("3", "b"),)})


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_a_row_without_an_answer_is_named_as_one(blank: Json) -> None:
    """It says nothing of the kind of task."""
    with pytest.raises(
        DataError, match=r"^the train split has no answer for the ids 2; delete these rows or fill them$"
    ):
        check_labels({"train": (example("1"), example("2", blank), example("3"))})


def test_every_problem_is_found() -> None:
    splits = {"train": (example("1"),), "validation": (), "test": (example("1", ["b"]),)}
    found = [str(problem) for problem in (*split_problems(splits), *label_problems(splits))]
    for part in ("validation split is empty", "share an id", "share an input", "no labels", "train split lacks"):
        assert any(part in problem for problem in found)


@given(st.lists(st.sampled_from("abcdefgh")), st.integers(0, 3), st.integers(1, 5), st.integers(1, 5))
def test_a_cut_loses_nothing_and_keeps_equal_inputs_together(inputs: list[str], seed: int, a: int, b: int) -> None:
    examples = [example(str(number), text=text) for number, text in enumerate(inputs)]
    shares = {"train": float(a), "validation": float(b), "test": 1.0}
    splits = cut(examples, shares, Random(seed))
    assert splits == cut(examples, shares, Random(seed))
    assert sorted((e for split in splits.values() for e in split), key=lambda e: int(e.id)) == examples
    distinct = {name: {e.inputs["text"] for e in split} for name, split in splits.items()}
    assert sum(len(texts) for texts in distinct.values()) == len(set(inputs))
    for name, share in shares.items():
        assert abs(len(distinct[name]) - share / (a + b + 1) * len(set(inputs))) <= 1


def test_another_seed_is_another_cut() -> None:
    examples = [example(str(number)) for number in range(40)]
    shares = {"train": 0.5, "validation": 0.25, "test": 0.25}
    assert cut(examples, shares, Random(0)) != cut(examples, shares, Random(1))


LABELS = st.sampled_from("abcde")


@st.composite
def labelled(draw: st.DrawFn) -> tuple[KindName, list[Example]]:
    """Examples of a kind with classes, some with equal inputs."""
    kind: KindName = draw(st.sampled_from(["classification", "ner"]))
    texts = draw(st.lists(st.integers(0, 30), min_size=1, max_size=40))
    targets: list[Json] = [
        draw(LABELS) if kind == "classification" else {name: ["x"] for name in draw(st.sets(LABELS, max_size=3))}
        for _ in texts
    ]
    made = zip(texts, targets, strict=True)
    return kind, [example(str(n), target, str(text)) for n, (text, target) in enumerate(made)]


@given(labelled(), st.integers(0, 3), st.tuples(*[st.floats(0.01, 5)] * 3))
def test_every_class_is_in_train_whatever_is_cut(
    made: tuple[KindName, list[Example]], seed: int, shares: tuple[float, float, float]
) -> None:
    kind, examples = made
    named = dict(zip(("train", "validation", "test"), shares, strict=True))
    splits = cut(examples, named, Random(seed), kind)
    assert splits == cut(examples, named, Random(seed), kind)
    assert sorted((e for split in splits.values() for e in split), key=lambda e: int(e.id)) == examples
    assert {one for e in splits["train"] for one in classes(e, kind)} == {
        one for e in examples for one in classes(e, kind)
    }
    assert not list(split_problems({name: split for name, split in splits.items() if split}))


@given(st.lists(LABELS, min_size=1, max_size=40), st.integers(0, 3), st.tuples(*[st.floats(0.01, 5)] * 3))
def test_a_class_of_three_inputs_is_in_each_split(
    labels: list[str], seed: int, shares: tuple[float, float, float]
) -> None:
    examples = [example(str(number), label) for number, label in enumerate(labels)]
    named = dict(zip(("train", "validation", "test"), shares, strict=True))
    there = [{e.target for e in split} for split in cut(examples, named, Random(seed), "classification").values()]
    for label in set(labels):
        assert sum(label in having for having in there) == min(3, labels.count(label))


@pytest.mark.parametrize(
    ("labels", "sizes"),
    [("ab" * 50, (40, 30, 30)), ("a" * 90 + "b" * 10, (40, 30, 30)), ("abcdefghij" * 11, (44, 33, 33))],
)
def test_classes_have_their_shares_in_every_split(labels: str, sizes: tuple[int, ...]) -> None:
    examples = [example(str(number), label) for number, label in enumerate(labels)]
    shares = {"train": 0.4, "validation": 0.3, "test": 0.3}
    splits = cut(examples, shares, Random(0), "classification")
    assert tuple(len(split) for split in splits.values()) == sizes
    for name, split in splits.items():
        for label in set(labels):
            assert abs(sum(e.target == label for e in split) - shares[name] * labels.count(label)) <= 1


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ("ab" * 4, "^8 examples of 2 classes are too few .* 2 for test.* give 10 or more"),
        ("abcdefghijkl", "^12 examples of 12 classes are too few .*12 for train, 0 for validation.* give 18 or more"),
        ("a", "^1 examples of 1 classes are too few"),
    ],
)
def test_too_few_to_cut_is_said_with_how_many_it_takes(labels: str, reason: str) -> None:
    examples = [example(str(number), label) for number, label in enumerate(labels)]
    shares = {"train": 0.4, "validation": 0.3, "test": 0.3}
    with pytest.raises(DataError, match=reason):
        check_cut(cut(examples, shares, Random(0), "classification"), shares, "classification")


def test_as_many_as_it_takes_are_enough() -> None:
    examples = [example(str(number), "ab"[number % 2]) for number in range(10)]
    shares = {"train": 0.4, "validation": 0.3, "test": 0.3}
    check_cut(cut(examples, shares, Random(0), "classification"), shares, "classification")


def test_ids_that_count_in_each_split_are_told_apart() -> None:
    splits = {name: (example("0", text=f"{name} a"), example("1", text=f"{name} b")) for name in ("train", "test")}
    apart = told_apart(splits)
    assert [e.id for e in (*apart["train"], *apart["test"])] == ["train-0", "train-1", "test-0", "test-1"]
    check_splits(apart)


@pytest.mark.parametrize("ids", [("x", "x"), ("7", "8"), ("a1", "a1")])
def test_other_ids_stay_as_they_are(ids: tuple[str, str]) -> None:
    splits = {"train": (example(ids[0], text="a"),), "test": (example(ids[1], text="b"),)}
    assert told_apart(splits) == splits
