"""Corpora as people have them, and the slot's own word."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.retrieval import CHUNK, Shelf, read_corpus
from memory.tfidf import TfIdf
from protocols.errors import DataError
from tests.strategies import texts


@pytest.mark.parametrize("k", [-1, 0, 1, 5])
def test_an_empty_shelf_and_a_count_of_none(k: int) -> None:
    assert Shelf[int]([], []).nearest("a", k) == []
    assert len(Shelf(["a", "b"], [1, 2]).nearest("c", k)) == max(0, min(k, 2))


@given(st.lists(texts, max_size=12), texts, st.integers(1, 6))
@settings(deadline=None)
def test_what_is_found_is_on_the_shelf_and_not_the_query(keys: list[str], query: str, k: int) -> None:
    found = Shelf(keys, range(len(keys))).nearest(query, k)
    assert len(found) == len(set(found)) == min(k, sum(key != query for key in keys))
    assert all(keys[place] != query for place in found)


@given(st.lists(st.text("ab \n{}付", max_size=900), min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_no_word_of_a_text_is_lost_and_no_passage_is_longer_than_a_chunk(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    file, text = tmp_path_factory.mktemp("corpus") / "a.md", "x" + "\n\n".join(parts)
    file.write_bytes(text.encode())
    passages = read_corpus(file)
    assert "".join("".join(passages).split()) == "".join(text.split())
    assert all(0 < len(passage) <= CHUNK for passage in passages)


def paragraph(rng: Random, length: int, longest: int) -> str:
    """Words of up to `longest` letters, of about so many characters together."""
    words = ["w" * rng.randint(1, longest) for _ in range(length)]
    return " ".join(words)[:length].strip()


def passages_of(text: str, factory: pytest.TempPathFactory) -> list[str]:
    file = factory.mktemp("corpus") / "a.txt"
    file.write_text(text, encoding="utf-8")
    return read_corpus(file)


@given(st.integers(), st.lists(st.integers(1, CHUNK), min_size=1, max_size=6))
@settings(deadline=None, max_examples=30)
def test_paragraphs_are_put_together_while_they_fit(
    tmp_path_factory: pytest.TempPathFactory, seed: int, lengths: list[int]
) -> None:
    rng = Random(seed)
    paragraphs = [paragraph(rng, length, 9) for length in lengths]
    passages = passages_of("\n\n".join(paragraphs), tmp_path_factory)
    assert "\n\n".join(passages) == "\n\n".join(paragraphs)
    assert all(0 < len(passage) <= CHUNK for passage in passages)
    for passage, following in pairwise(passages):
        assert len(passage) + 2 + len(following.split("\n\n")[0]) > CHUNK, "it would have fitted"


@given(st.integers(), st.integers(CHUNK, 4 * CHUNK), st.integers(1, 40))
@settings(deadline=None, max_examples=30)
def test_a_long_paragraph_is_cut_between_words_where_a_passage_is_full(
    tmp_path_factory: pytest.TempPathFactory, seed: int, length: int, longest: int
) -> None:
    text = paragraph(Random(seed), length, longest)
    passages = passages_of(text, tmp_path_factory)
    assert " ".join(passages) == text
    assert all(0 < len(passage) <= CHUNK for passage in passages)
    for passage, following in pairwise(passages):
        assert len(passage) + 1 + len(following.split()[0]) >= CHUNK, "a word more would have fitted"


def test_a_word_that_is_longer_than_a_passage_is_cut_where_that_ends(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * (2 * CHUNK + 5), encoding="utf-8")
    assert list(map(len, read_corpus(tmp_path))) == [CHUNK, CHUNK, 5]


@given(st.lists(st.text("abc ", min_size=1, max_size=20), min_size=1, max_size=12), st.text("abc ", max_size=20))
@settings(deadline=None)
def test_what_is_most_similar_comes_first(keys: list[str], query: str) -> None:
    fitted, vectors = TfIdf.fit(keys)
    likeness = vectors @ fitted.vector(query)
    found = [float(likeness[place]) for place in Shelf(keys, range(len(keys))).nearest(query, len(keys))]
    assert found == pytest.approx(sorted(found, reverse=True), abs=2e-3)
    some = [float(likeness[place]) for place in Shelf(keys, range(len(keys))).nearest(query, 3)]
    assert some == pytest.approx(found[:3], abs=2e-3)


def test_a_folder_is_read_in_order_with_all_below_it(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.txt").write_bytes("\ufeff付款\r\n\r\nsecond".encode())
    (tmp_path / "b" / "c.jsonl").write_bytes(b'{"text": "third {text}", "more": 1}\n\n{"text": "fourth"}\r\n')
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff")
    assert "\n".join(read_corpus(tmp_path)).split() == ["付款", "second", "third", "{text}", "fourth"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"ok\n\xff\xfe", "not UTF-8 at byte 3"),
        ("a.txt", b" \n\n ", "holds no passage"),
        ("a.jsonl", b'{"text": "a"}\n{broken\n', ":2: not JSON"),
        ("a.jsonl", b"[1]\n", ':1: a passage is {"text"'),
        ("a.jsonl", b'{"text": 3}\n', ':1: a passage is {"text"'),
    ],
)
def test_a_hostile_file_is_one_clear_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(DataError) as caught:
            read_corpus(path)
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_corpus_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the corpus"):
        read_corpus(tmp_path / "nowhere.txt")
