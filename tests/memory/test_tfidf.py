"""What texts are like: rare n-grams within words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.tfidf import TfIdf, grams
from tests.strategies import texts


@given(st.lists(texts, max_size=6), texts)
def test_vectors_have_length_one_or_none_and_depend_on_the_texts_alone(known: list[str], asked: str) -> None:
    (fitted, vectors), (again, _) = TfIdf.fit(known), TfIdf.fit(known)
    for vector in (*vectors, fitted.vector(asked)):
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5) or not vector.any()
    assert (fitted.vector(asked) == again.vector(asked)).all()
    for text, vector in zip(known, vectors, strict=True):
        assert (fitted.vector(text) == vector).all()


@given(st.lists(st.sampled_from(["amber", "付款", "für", "x", "42"]), min_size=1, max_size=5))
def test_case_spacing_and_punctuation_make_no_difference_between_words(words: list[str]) -> None:
    asked = grams(" ".join(words))
    assert len(asked)
    assert asked.tolist() == grams(f"  {', '.join(words).upper()} !").tolist()


def test_what_is_rare_says_more_than_what_all_share() -> None:
    texts = ["please help me with the invoice", "please help me with the lamp", "please help me with the parcel"]
    fitted, [invoice, lamp, _, _] = TfIdf.fit([*texts, "please help me with the garden"])
    asked = fitted.vector("would you please help me? invoice")
    assert asked @ invoice > asked @ lamp + 0.2


def test_no_gram_spans_two_words() -> None:
    assert set(grams("ab cd").tolist()) == set(grams("cd ab").tolist())
    assert set(grams("ab cd").tolist()) != set(grams("abc d").tolist())


def test_scripts_without_spaces_and_signs_alone_have_grams_too() -> None:
    fitted, vectors = TfIdf.fit(["我要退款", "快递在哪里", "🎈🎉", "+-*/"])
    for text, row in (("请问怎么退款", 0), ("快递没有到", 1), ("🎈🎉🎉", 2), ("+-", 3)):
        assert int((vectors @ fitted.vector(text)).argmax()) == row
