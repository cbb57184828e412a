"""Data files: whatever is in them, they load or one line says where they are wrong."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.data import check_labels, check_splits, load_examples
from protocols.errors import DataError
from protocols.task import Example, Json
from tests.strategies import texts

quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
json: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
rows = st.fixed_dictionaries(
    {}, optional={"input": json | st.dictionaries(texts, texts), "target": json, "id": json, "more": json}
)
FRAGMENTS = [
    b"\xef\xbb\xbf",
    b"\xff",
    b"\x00",
    b'"',
    b",",
    b"\r\n",
    b"\n",
    b"target,text\n",
    b'{"a":' * 2000,
    b"x" * 140_000,
]
FRAGMENTS += [b'{"input": {"text": "a"}, "target": "b"}\n', b'{"input": {"text": null}, "target": {"a": [null]}}\n']
FRAGMENTS += [
    b'{"input": {"text": "\\ud800"}, "target": 1}\n',
    b"a,b\n",
    b"\xe4\xbb\x98\xe6\xac\xbe",
    b"NaN\n",
    b"\r",
]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@quick
@given(
    data=st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=20) | rows.map(orjson.dumps), max_size=8).map(
        b"".join
    ),
    suffix=st.sampled_from([".jsonl", ".csv", ".tsv", ""]),
)
def test_hostile_bytes_load_or_name_the_file(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = write(tmp_path / f"data{suffix}", data)
    loaded = attempt(path)
    if isinstance(loaded, DataError):
        assert str(loaded).startswith(f"{path}:")
        assert "\n" not in loaded.reason
        # What is wrong between lines, rather than in one, names ids.
        assert loaded.line is not None or "ids" in loaded.reason
        assert loaded.line is None or 1 <= loaded.line <= data.count(b"\n") + data.count(b"\r") + 1
    else:
        assert len({example.id for example in loaded}) == len(loaded)
        assert all(isinstance(text, str) for example in loaded for text in example.inputs.values())


def attempt(path: Path) -> tuple[Example, ...] | DataError:
    try:
        return load_examples(path)
    except DataError as error:
        return error


examples = st.lists(
    st.builds(
        Example,
        id=st.text(st.characters(codec="utf-8"), min_size=1),
        inputs=st.fixed_dictionaries({"text": texts, "问题": texts}),
        target=json,
    ),
    unique_by=lambda example: example.id,
    max_size=5,
)


@quick
@given(examples, st.booleans(), st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
def test_json_lines_load_what_was_written(tmp_path: Path, wanted: list[Example], bom: bool, end: bytes) -> None:
    lines = [orjson.dumps({"id": e.id, "input": e.inputs, "target": e.target}) + end for e in wanted]
    path = write(tmp_path / "data.jsonl", (b"\xef\xbb\xbf" if bom else b"") + b"".join(lines))
    assert load_examples(path) == tuple(wanted)


@quick
@given(
    st.lists(st.tuples(texts, texts), max_size=5),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([(".csv", ","), (".tsv", "\t"), (".CSV", ",")]),
)
def test_csv_loads_what_was_written(
    tmp_path: Path, wanted: list[tuple[str, str]], bom: bool, end: str, form: tuple[str, str]
) -> None:
    suffix, delimiter = form
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "target"), *wanted])
    path = write(tmp_path / f"data{suffix}", text.getvalue().encode("utf-8-sig" if bom else "utf-8"))
    assert [(e.inputs["text"], e.target) for e in load_examples(path)] == wanted


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("a.jsonl", b'\n{"input": {"text": "x"}, "target": "y"}\n{oops\n', 3),
        ("a.jsonl", b'{"input": {"text": "x"}, "target": "y"}\n[1]\n', 2),
        ("a.jsonl", b'{"input": {"text": null}, "target": "y"}\n', 1),
        ("a.jsonl", b'{"input": {}, "target": "y"}\n', 1),
        ("a.jsonl", b'{"input": {"text": "x"}}\n', 1),
        ("a.jsonl", b'{"input": {"text": "x"}, "target": "y", "id": [1]}\n', 1),
        ("a.jsonl", b"\xef\xbb\xbf\n\xff", 2),
        ("a.csv", b"text,target\na,b\na,b,c\n", 3),
        ("a.csv", b'text,target\n"a\nb",c\nd\n', 4),
        ("a.csv", b'text,target\na,"b', 2),
        ("a.csv", b"text,label\n", 1),
        ("a.csv", b"text,text,target\n", 1),
        ("a.csv", b"target\nx\n", 2),
        ("a.csv", b"", 1),
    ],
)
def test_the_line_at_fault_is_named(tmp_path: Path, name: str, data: bytes, line: int) -> None:
    with pytest.raises(DataError) as caught:
        load_examples(write(tmp_path / name, data))
    assert caught.value.line == line


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: cannot read the examples: No such file"):
        load_examples(tmp_path / "none.jsonl")


def test_duplicate_ids_are_named(tmp_path: Path) -> None:
    line = b'{"input": {"text": "x"}, "target": "y", "id": "%d"}\n'
    path = write(tmp_path / "a.jsonl", b"".join(line % (n % 7) for n in range(14)))
    with pytest.raises(DataError, match="duplicate ids: 0, 1, 2, 3, 4 and 2 more"):
        load_examples(path)


def example(identity: str, target: Json = "a", text: str | None = None) -> Example:
    return Example(identity, {"text": text if text is not None else identity}, target)


def test_empty_and_overlapping_splits_are_refused() -> None:
    with pytest.raises(DataError, match="the validation split is empty"):
        check_splits({"train": (example("1"),), "validation": ()})
    with pytest.raises(DataError, match=r"the test and train splits share an id: ids 1$"):
        check_splits({"train": (example("1"),), "test": (example("1", text="other"),)})
    with pytest.raises(DataError, match=r"share an input: ids 2 = 1$"):
        check_splits({"train": (example("1"),), "test": (example("2", text="1"),)})
    check_splits({"train": (example("1"), example("2", text="1")), "test": (example("3"),)})


def test_labels_that_train_lacks_are_named() -> None:
    train = (example("1", "a"), example("2", "c"))
    check_labels({"train": train, "test": (example("4", "c"),)})
    with pytest.raises(DataError, match=r"the test split has labels that the train split lacks: b \(ids 3\)"):
        check_labels({"train": train, "test": (example("3", "b"),)})
