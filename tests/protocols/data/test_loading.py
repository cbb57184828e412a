"""What is written is what is loaded, in every general format and under every mapping."""

from __future__ import annotations

import csv
import importlib
import io
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.data import Fields, Source, load_examples
from protocols.data.huggingface import Reference, parse
from protocols.errors import DataError
from protocols.task import Example, Json
from tests.protocols.data.files import load, parquet, write
from tests.strategies import texts

quick = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
lists = st.lists(texts, max_size=3)
targets: st.SearchStrategy[Json] = texts | lists | st.dictionaries(texts, lists, max_size=3)
wanted = st.lists(
    st.builds(
        Example,
        id=st.text(st.characters(codec="utf-8"), min_size=1),
        inputs=st.fixed_dictionaries({"text": texts, "问题": texts}),
        target=targets,
    ),
    unique_by=lambda example: example.id,
    min_size=1,
    max_size=5,
)


@quick
@given(wanted, st.booleans(), st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
def test_json_lines_load_what_was_written(tmp_path: Path, wanted: list[Example], bom: bool, end: bytes) -> None:
    """An example's input nested or flat."""
    nested = [orjson.dumps({"id": e.id, "input": e.inputs, "target": e.target}) + end for e in wanted]
    flat = [orjson.dumps({"id": e.id, "target": e.target, **e.inputs}) + end for e in wanted]
    for lines in (nested, flat):
        path = write(tmp_path / "data.jsonl", (b"\xef\xbb\xbf" if bom else b"") + b"".join(lines))
        assert load(path) == tuple(wanted)


@quick
@given(wanted, st.booleans())
def test_json_loads_what_was_written(tmp_path: Path, wanted: list[Example], bare: bool) -> None:
    items = [{"id": e.id, "input": e.inputs, "target": e.target} for e in wanted]
    document = items if bare else {"version": 1, "examples": items, "more": {}}
    assert load(write(tmp_path / "data.json", orjson.dumps(document))) == tuple(wanted)


@quick
@given(
    st.lists(st.tuples(texts, texts).filter(lambda row: any(cell.strip() for cell in row)), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from(["\n", "\r\n", "\r"]),
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
    assert [(e.inputs["text"], e.target) for e in load(path)] == wanted


@quick
@given(st.lists(st.tuples(texts, st.lists(texts, max_size=3)), min_size=1, max_size=5))
def test_parquet_loads_what_was_written(tmp_path: Path, wanted: list[tuple[str, list[str]]]) -> None:
    path = write(tmp_path / "data.parquet", parquet([{"text": text, "target": target} for text, target in wanted]))
    assert [(e.inputs["text"], e.target) for e in load(path)] == wanted


def test_an_example_without_an_id_is_called_by_its_split_and_place(tmp_path: Path) -> None:
    lines = write(tmp_path / "a.jsonl", b'\n{"text": "x", "target": "y"}\n{"text": "x", "target": "y", "id": ""}\n')
    assert [e.id for e in load(lines)] == ["train-2", "train-3"]
    array = write(tmp_path / "a.json", b'[{"text": "x", "target": "y", "id": 7}, {"text": "x", "target": "y"}]')
    assert [e.id for e in load_examples(Source(str(array)), "test")] == ["7", "test-2"]


def test_a_mapping_names_columns_keys_and_classes(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", b"sentence,label,idx,junk\nfine,1,s1,x\nbad,0,s2,y\n")
    fields = Fields({"text": "sentence"}, "label", "idx", ("negative", "positive"))
    assert load(table, fields=fields) == (
        Example("s1", {"text": "fine"}, "positive"),
        Example("s2", {"text": "bad"}, "negative"),
    )
    nested = {"context": "c", "question": "q", "answers": {"text": ["a", "b"], "start": [0, 1]}, "a.b": "dotted"}
    lines = write(tmp_path / "a.jsonl", orjson.dumps(nested))
    fields = Fields({"question": "question", "more": "a.b"}, "answers.text")
    assert load(lines, fields=fields) == (Example("train-1", {"question": "q", "more": "dotted"}, ["a", "b"]),)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (Fields({"text": "sentense"}), r":1: the header has no column sentense, target; it has sentence, label, n"),
        (Fields({"text": "sentense"}, "label"), r'which column is which, such as input = \{ text = "sentence" \}$'),
        (Fields({"text": "sentence"}, "lable"), r'such as target = "label"$'),
        (Fields({"text": "sentence"}, "label", "m"), r'such as id = "n"$'),
        (Fields(target="label", labels=("a", "b")), ":2: the class is 'x'; with names of labels it must be a number"),
        (Fields(target="id", labels=("a", "b")), ":1: the header has no column id"),
        (Fields(target="n", labels=("a", "b")), ":2: class 2 has no name; there are 2 names"),
        (Fields({"{x}": "sentence"}, "label"), ":2: input field '{x}' can be no placeholder"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(tmp_path: Path, fields: Fields, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        load(write(tmp_path / "a.csv", b"sentence,label,n\ns,x,2\n"), fields=fields)


@pytest.mark.parametrize("target", [b"true", b"1.0", b"-1", b"null", b"[" * 900 + b"]" * 900])
def test_what_is_no_class_number_is_refused(tmp_path: Path, target: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.jsonl:1: the class is "):
        load(write(tmp_path / "a.jsonl", b'{"text": "a", "target": %s}' % target), fields=Fields(labels=("a", "b")))


def test_a_cell_or_a_list_has_several_classes(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", b"text,target\nx,a; b ;\ny,\nz,c\n")
    fields = Fields(separator=";")
    assert [example.target for example in load(table, fields=fields)] == [["a", "b"], [], ["c"]]
    numbered = Fields(labels=("no", "yes"), separator="|")
    lines = write(tmp_path / "a.jsonl", b'{"text": "x", "target": [1, 0]}\n{"text": "y", "target": "1|0|1"}\n')
    assert [example.target for example in load(lines, fields=numbered)] == [["yes", "no"], ["yes", "no", "yes"]]
    with pytest.raises(DataError, match=r"a\.jsonl:1: class 1 has no name; there are 1 names"):
        load(lines, fields=Fields(labels=("no",)))


def test_a_key_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.jsonl:1: no answers\.txt; there are q, answers"):
        load(
            write(tmp_path / "a.jsonl", b'{"q": "?", "answers": {"text": []}}'),
            fields=Fields({"q": "q"}, "answers.txt"),
        )


def test_a_missing_library_is_one_line_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(module: str) -> None:
        raise ModuleNotFoundError(module)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(DataError, match=r'Parquet files need an extra: pip install "promptflow-agents\[parquet\]"'):
        load(write(tmp_path / "a.parquet", b""))
    with pytest.raises(DataError, match=r'^hf:a/b: .* pip install "promptflow-agents\[huggingface\]"'):
        load_examples(Source("hf:a/b"), "train")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("hf:a/b", Reference("a/b", None, "test", None)),
        ("hf:b?split=train[:10%]&revision=refs/pr/1", Reference("b", None, "train[:10%]", "refs/pr/1")),
        ("hf:a/b?config=en", Reference("a/b", "en", "test", None)),
    ],
)
def test_a_location_on_the_hub_has_parts(location: str, expected: Reference) -> None:
    assert parse(location, "test") == expected


@pytest.mark.parametrize("location", ["hf:", "hf:?split=a", "hf:a/b?spilt=train", "hf:a/b?split="])
def test_a_location_that_names_nothing_is_refused(location: str) -> None:
    with pytest.raises(DataError, match="write hf:owner/name"):
        parse(location, "test")


def test_a_data_set_of_the_library_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`owner/name` may be a folder of the working directory: written and read by the library itself."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    Path("owner/name").mkdir(parents=True)
    classes = datasets.ClassLabel(names=["bad", "good"])
    features = {"sentence": datasets.Value("string"), "label": classes, "all": datasets.Sequence(classes)}
    for split, labels in (("train", [1, 0]), ("validation", [0]), ("test", [-1])):
        rows = {
            "sentence": [f"{split} {n}" for n in range(len(labels))],
            "label": labels,
            "all": [[1, 0]] * len(labels),
        }
        made = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
        made.to_parquet(f"owner/name/{split}.parquet")
    fields = Fields({"text": "sentence"}, "label")
    expected = (Example("train-1", {"text": "train 0"}, "good"), Example("train-2", {"text": "train 1"}, "bad"))
    assert load_examples(Source("hf:owner/name", fields=fields), "train") == expected
    listed = Source("hf:owner/name", fields=Fields({"text": "sentence"}, "all"))
    assert [example.target for example in load_examples(listed, "train")] == [["good", "bad"]] * 2
    [other] = load_examples(Source("hf:owner/name?split=validation", fields=fields), "test")
    assert other == Example("test-1", {"text": "validation 0"}, "bad")
    with pytest.raises(DataError, match="row 1: the target is null"):
        load_examples(Source("hf:owner/name", fields=fields), "test")
    with pytest.raises(DataError, match=r"^hf:owner/name\?split=dev: cannot be loaded: .*dev"):
        load_examples(Source("hf:owner/name?split=dev", fields=fields), "test")
    with pytest.raises(DataError, match=r"^hf:\./nowhere: cannot be loaded: "):
        load_examples(Source("hf:./nowhere"), "train")
