"""What is refused across splits, and how one file is cut into them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.data import check_labels, check_splits, cut
from protocols.data.checks import label_problems, split_problems
from protocols.errors import DataError
from protocols.task import Example, Json


def example(identity: str, target: Json = "a", text: str | None = None) -> Example:
    return Example(identity, {"text": text if text is not None else identity}, target)


def test_empty_and_overlapping_splits_are_refused() -> None:
    with pytest.raises(DataError, match="the validation split is empty"):
        check_splits({"train": (example("1"),), "validation": ()})
    with pytest.raises(DataError, match=r"the test and train splits share an id: ids 1$"):
        check_splits({"train": (example("1"),), "test": (example("1", text="other"),)})
    with pytest.raises(DataError, match=r"share an input: ids 2 = 1$"):
        check_splits({"train": (example("1"),), "test": (example("2", text="1"),)})
    with pytest.raises(DataError, match="the test split has the fields question, train text"):
        check_splits({"train": (example("1"),), "test": (Example("2", {"question": "x"}, "a"),)})
    check_splits({"train": (example("1"), example("2", text="1")), "test": (example("3"),)})


def test_labels_that_train_lacks_are_named() -> None:
    train = (example("1", "a"), example("2", "c"))
    check_labels({"train": train, "test": (example("4", "c"),)})
    with pytest.raises(DataError, match=r"the test split has labels that the train split lacks: b \(ids 3\)"):
        check_labels({"train": train, "test": (example("3", "b"),)})


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
