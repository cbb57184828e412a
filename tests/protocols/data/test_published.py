"""The published formats, as they are downloaded."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from protocols.data import Fields, Format
from protocols.errors import DataError
from protocols.task import Example
from tests.protocols.data.files import GOOD, SQUAD, load, write


def cluener(label: object, text: object = "叶老桂在中国") -> bytes:
    return orjson.dumps({"text": text, "label": label})


def test_cluener_becomes_the_entities_of_each_type(tmp_path: Path) -> None:
    line = cluener({"name": {"叶老桂": [[0, 2]]}, "address": {"中国": [[4, 5]], "国": [[5, 5]]}})
    none = orjson.dumps({"id": 7, "text": "没有", "label": {}})
    path = write(tmp_path / "train.json", line + b"\n" + none + b"\n")
    assert load(path, "cluener") == (
        Example("train-1", {"text": "叶老桂在中国"}, {"name": ["叶老桂"], "address": ["中国", "国"]}),
        Example("7", {"text": "没有"}, {}),
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (cluener({"name": {"叶老桂": [[0, 1]]}}), r":1: label name: the span \[0, 1\] is '叶老', not '叶老桂'"),
        (cluener({"name": {"叶老桂": [[0, 2], [3, 5]]}}), r"the span \[3, 5\]"),
        (cluener({"name": {"国": [[-1, -1]]}}), r"a span is \[first, last\], from 0 on"),
        (cluener({"name": {"国": [5, 5]}}), r"a span is \[first, last\]"),
        (cluener({"name": {"国": None}}), "expected a list of spans"),
        (cluener({"name": {"国": []}}), "expected a list of spans"),
        (cluener({"name": ["国"]}), "label name: expected an object of entities"),
        (cluener(None), "no label; the published test file has none"),
        (cluener({}, None), "no text"),
    ],
)
def test_cluener_that_contradicts_itself_is_refused(tmp_path: Path, line: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        load(write(tmp_path / "train.json", line), "cluener")


def test_thucnews_takes_the_names_of_classes_from_beside_it_or_from_the_mapping(tmp_path: Path) -> None:
    path = write(tmp_path / "train.txt", "词汇阅读是关键\t3\n带\t制表符\t0\n\n".encode())
    with pytest.raises(DataError, match=r"the classes need names: class\.txt beside the file, or labels"):
        load(path, "thucnews", Fields())
    write(tmp_path / "class.txt", b"finance\nrealty\nstocks\neducation\n")
    expected = [("词汇阅读是关键", "education"), ("带\t制表符", "finance")]
    assert [(e.inputs["text"], e.target) for e in load(path, "thucnews", Fields())] == expected
    named = Fields(labels=("财经", "房产", "股票", "教育"))
    assert [e.target for e in load(path, "thucnews", named)] == ["教育", "财经"]
    for line, reason in (
        (b"x\t4", ":1: class 4 has no name"),
        (b"x 1", ":1: expected"),
        (b"\t1", ":1: expected"),
    ):
        with pytest.raises(DataError, match=reason):
            load(write(tmp_path / "bad.txt", line), "thucnews", named)


def test_squad_keeps_ids_and_gives_each_answer_once(tmp_path: Path) -> None:
    context = "The kiln burnt from 1901 to 1911."
    assert load(write(tmp_path / "dev-v2.0.json", SQUAD.encode()), "squad") == (
        Example("q1", {"context": context, "question": "Until when?"}, ["1911", "to 1911"]),
        Example("q2", {"context": context, "question": "Who lit it?"}, []),
    )
    first = SQUAD.replace('"is_impossible": false,', "").replace('"is_impossible": true, "answers": [],', "")
    with pytest.raises(DataError, match=r"data\[0\]\.paragraphs\[0\]\.qas\[1\] has no array answers"):
        load(write(tmp_path / "v1.json", first.encode()), "squad")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"data"', '"date"', "the file has no array data"),
        ('"context"', '"contxt"', r"data\[0\]\.paragraphs\[0\] has no text context"),
        ('"q1"', "3", r"data\[0\]\.paragraphs\[0\]\.qas\[0\] has no text id"),
        ('"text": "1911"', '"text": null', r"qas\[0\]\.answers\[0\] has no text text"),
        (
            '"is_impossible": true',
            '"is_impossible": false',
            r"qas\[1\] \(id q2\) has no answer and is not",
        ),
        ('"q2"', '"q1"', "row 2: duplicate ids: q1"),
    ],
)
def test_squad_that_is_none_says_where(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        load(write(tmp_path / "a.json", SQUAD.replace(old, new).encode()), "squad")


@pytest.mark.parametrize("form", ["cluener", "thucnews", "squad"])
def test_a_mapping_of_what_a_published_format_says_itself_is_refused(tmp_path: Path, form: Format) -> None:
    with pytest.raises(DataError, match=f"the format {form} knows its own fields"):
        load(write(tmp_path / "a", GOOD[form]), form, Fields(target="label", labels=("a",)))
