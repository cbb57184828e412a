"""Data files: whatever is in them, they load or one line says where they are wrong."""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.data import Fields, Format
from protocols.data.formats import format_of
from protocols.errors import DataError
from protocols.task import Json
from tests.protocols.data.files import FORMATS, GOOD, attempt, load, parquet, write
from tests.strategies import texts

ROOT = Path(__file__).resolve().parents[3]
quick = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
WHOLE = ("the train split is empty", "cannot read")
"""What is wrong with a file as a whole."""
LINES: frozenset[Format] = frozenset({"jsonl", "csv", "tsv", "cluener", "thucnews"})
values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
KEYS = ("input", "target", "id", "text", "label", "data", "paragraphs", "context", "qas", "question", "answers")
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=5)
BYTES = [
    b"sep=;\n",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"\xff\xfea\x00",
    b" ;|",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\x00",
    b'"',
    b",",
    b"\t",
    b"\r\n",
    b"\n",
    b"\r",
    b"x" * 140_000,
    "付款".encode(),
]
OTHERS = [
    b"sep=;\n",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"\xff\xfea\x00",
    b" ;|",
    gzip.compress(b"text,target\na,b", mtime=0),
]
CELLS = [b"\t1\n", b"\t-1\n", b"\t9\r\n", b"target,text\n", b"a,b\n", b"id\ttarget\ttext\n"]
JSON = [
    *(b"NaN\n", b"[", b"]", b"{", b"}", b'{"a":' * 2000, b"[" * 2000),
    b'{"input": {"text": "a"}, "target": ' + b"[" * 300 + b"]" * 300 + b"}\n",
    b'{"input": {"text": "a"}, "target": "b", "id": 1}\n',
    b'{"input": {"text": null}, "target": {"a": [null]}}\n',
    b'{"input": {"text": "\\ud800"}, "target": 1}\n',
    b'{"input": {"{a}": ""}, "target": 1e300}\n',
    b'{"text": "ab", "label": {"x": {"b": [[1, 1]], "a": [[0, 1]]}}}\n',
]
chunks = st.sampled_from([*BYTES, *OTHERS, *CELLS, *JSON, *GOOD.values()]) | st.binary(max_size=20)


def dumped(value: object) -> bytes:
    """JSON as other libraries write it: with NaN, huge numbers and lone surrogates."""
    return json.dumps(value).encode() + b"\n"


@pytest.mark.parametrize("form", FORMATS)
@quick
@given(st.lists(chunks | objects.map(dumped), max_size=8).map(b"".join))
def test_hostile_bytes_load_or_the_place_is_named(tmp_path: Path, form: Format, data: bytes) -> None:
    check(write(tmp_path / "data", data), form, data)


@pytest.mark.parametrize("form", FORMATS)
@quick
@given(st.data())
def test_a_damaged_file_loads_or_the_place_is_named(tmp_path: Path, form: Format, data: st.DataObject) -> None:
    """Bytes of a good file changed, lost or repeated."""
    good = GOOD[form]
    start, end = sorted((data.draw(st.integers(0, len(good))), data.draw(st.integers(0, len(good)))))
    damaged = good[:start] + data.draw(st.binary(max_size=4) | st.just(good[start:end] * 2)) + good[end:]
    check(write(tmp_path / "data", damaged), form, damaged)


def check(path: Path, form: Format, data: bytes) -> None:
    loaded = attempt(path, form)
    if isinstance(loaded, DataError):
        assert str(loaded).startswith(f"{path}:")
        assert "\n" not in loaded.reason
        assert loaded.line is not None or form not in LINES or loaded.reason.startswith(WHOLE)
        packed = data.startswith(b"\x1f\x8b")  # then the lines are those of the text
        lines = math.inf if packed else data.count(b"\n") + data.count(b"\r") + 1
        assert loaded.line is None or 1 <= loaded.line <= lines
    else:
        assert len({example.id for example in loaded}) == len(loaded)
        for example in loaded:
            assert all(isinstance(text, str) for text in example.inputs.values())
            # What is loaded can be written, read back unchanged, and told apart from nothing.
            assert orjson.loads(orjson.dumps(example.target)) == example.target is not None


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_loads_its_good_file_with_a_byte_order_mark_and_other_line_ends(
    tmp_path: Path, form: Format
) -> None:
    wanted = load(write(tmp_path / "good", GOOD[form]), form)
    assert wanted
    if form != "parquet":
        other = b"\xef\xbb\xbf" + GOOD[form].replace(b"\n", b"\r\n")
        assert load(write(tmp_path / "other", other), form) == wanted


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_no_file_is_one_line(tmp_path: Path, form: Format) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    os.mkfifo(tmp_path / "pipe")
    places = (tmp_path, loop, tmp_path / "none", tmp_path / "nul\0", tmp_path / "pipe", Path("/dev/zero"))
    for path in places:
        with pytest.raises(DataError, match="cannot read the examples: ") as caught:
            load(path, form)
        assert caught.value.file == str(path)


@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_file_is_an_error(tmp_path: Path, form: Format) -> None:
    with pytest.raises(DataError, match="empty:"):
        load(write(tmp_path / "empty", b""), form)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"text,target\n"),
        ("a.jsonl", b"\n\n"),
        ("a.json", b"[]"),
        ("a.csv.gz", gzip.compress(b"text,target", mtime=0)),
    ],
)
def test_a_file_without_an_example_says_so(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(DataError, match="holds no example"):
        load(write(tmp_path / name, data))


TABLE = "text,target\nthe first,a\nthe second,b\n"
ARRAY = b'[{"text": "the first", "target": "a"},{"text": "the second", "target": "b"}]'
JSON_LINES = b'{"text": "the first", "target": "a"}\n{"text": "the second", "target": "b"}\n'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", TABLE.encode("utf-8-sig")),
        ("a.csv", TABLE.replace("\n", "\r\n").encode()),
        ("a.csv", TABLE.replace("\n", "\r").encode()),
        ("a.csv", TABLE.replace(",", ";").encode()),
        ("a.csv", TABLE.replace(",", "\t").encode()),
        ("a.csv", TABLE.replace(",", "|").encode()),
        ("a.tsv", TABLE.encode()),
        ("a.csv", TABLE.replace(",", ", ").encode()),
        ("a.csv", TABLE.replace("target", " target ").encode()),
        ("a.csv", TABLE.replace("text,target", '"text", "target"').replace("t,a", 't, "a"').encode()),
        ("a.csv", b"sep=,\n" + TABLE.encode()),
        ("a.csv", b"\xef\xbb\xbfsep=;\r\n" + TABLE.replace(",", ";").replace("\n", "\r\n").encode()),
        ("a.csv", TABLE.replace("\n", ",\n").encode() + b",,\n"),
        ("a.csv", TABLE.replace("\n", ",,,\n").encode() + b"\n,,,,\n"),
        ("a.csv", TABLE.replace("d,b", "d,b,").encode()),
        ("a.csv", b",text,target\n0,the first,a\n1,the second,b\n"),
        ("a.csv.gz", gzip.compress(TABLE.encode(), mtime=0)),
        ("a.jsonl.GZ", gzip.compress(JSON_LINES, mtime=0)),
        ("a.jsonl", gzip.compress(JSON_LINES, mtime=0)),
        ("a.jsonl", b"\xef\xbb\xbf" + JSON_LINES.replace(b"\n", b"\r\n\r\n")),
        ("a.json", JSON_LINES),
        ("a.json.gz", gzip.compress(JSON_LINES, mtime=0)),
        ("a.jsonl", ARRAY),
        ("a.ndjson", JSON_LINES),
        ("a.jsonl", b'{\n"rows": ' + ARRAY + b"}"),
        ("a.txt", TABLE.encode()),
        ("a.txt", b'"text";"target"\r\n"the first";a\r\n"the second";b\r\n'),
        ("a", b"\xef\xbb\xbf" + TABLE.replace(",", "\t").encode()),
        ("data", ARRAY),
        ("a.jsonl", parquet([{"text": "the first", "target": "a"}, {"text": "the second", "target": "b"}])),
    ],
)
def test_a_file_as_other_programs_write_it_is_read(tmp_path: Path, name: str, data: bytes) -> None:
    loaded = load(write(tmp_path / name, data))
    assert [(dict(one.inputs), one.target) for one in loaded] == [
        ({"text": "the first"}, "a"),
        ({"text": "the second"}, "b"),
    ]


@given(
    st.lists(st.dictionaries(texts, texts), min_size=2, max_size=5),
    st.sampled_from([".json", ".jsonl", ".txt", "", ".JSON"]),
    st.booleans(),
)
@quick
def test_json_and_json_lines_are_told_apart_whatever_the_suffix(
    tmp_path: Path, records: list[dict[str, str]], suffix: str, indented: bool
) -> None:
    path = tmp_path / f"any{suffix}"
    path.write_text(json.dumps(records, indent=2 if indented else None, ensure_ascii=True), "utf-8")
    assert format_of(path) == "json"
    path.write_text("\n".join(map(json.dumps, records)), "utf-8")
    assert format_of(path) == "jsonl"


FORMS: list[tuple[Format, bytes, str]] = [
    ("jsonl", ARRAY, 'set format = "json"'),
    ("jsonl", b'[\n{"text": "a", "target": "b"}\n]', 'set format = "json"'),
    ("jsonl", b'{\n"text": "a",\n"target": "b"\n}', 'set format = "json"'),
    ("jsonl", TABLE.encode(), 'such as format = "csv"'),
    ("json", JSON_LINES, 'set format = "jsonl"'),
]


@pytest.mark.parametrize(("form", "data", "reason"), FORMS)
def test_a_format_that_the_configuration_names_is_taken_at_its_word(
    tmp_path: Path, form: Format, data: bytes, reason: str
) -> None:
    with pytest.raises(DataError) as caught:
        load(write(tmp_path / "a.txt", data), form)
    assert reason in caught.value.reason


def test_yaml_and_a_document_that_is_no_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give CSV, TSV"):
        load(write(tmp_path / "a.yaml", b"- text: a\n  target: b\n"))
    with pytest.raises(DataError, match="must hold one array"):
        load(write(tmp_path / "a.jsonl", b'{\n"text": "a",\n"target": "b"\n}'))


@pytest.mark.parametrize(
    ("name", "data", "line", "reason"),
    [
        ("a.xlsx", b"PK\x03\x04\x14\0\x06\0" + b"x" * 60, 1, "an Excel workbook; save its sheet as CSV"),
        ("a.csv", b"PK\x03\x04 only ascii", 1, "an Excel workbook; save its sheet as CSV"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", 1, "an old Excel workbook; save its sheet as CSV"),
        ("a.csv", TABLE.encode("utf-16"), 1, "UTF-16; save it as UTF-8"),
        ("a.csv", TABLE.encode("utf-16-le"), 1, "UTF-16 or UTF-32; save it as UTF-8"),
        ("a.json", JSON_LINES.decode().encode("utf-16-be"), 1, "UTF-16 or UTF-32; save it as UTF-8"),
        ("a.jsonl", JSON_LINES.decode().encode("utf-32"), 1, "save it as UTF-8"),
        ("a.csv", "text,target\na,b\ncafé,b\n".encode("cp1252"), 3, "not UTF-8 at byte 19; save it as UTF-8"),
        ("a.csv.zst", b"\x28\xb5\x2f\xfd\x04", 1, "compressed with zstd; unpack it"),
        ("a.csv.bz2", b"BZh91AY&SY\xff", 1, "compressed with bzip2; unpack it"),
        ("a.csv.xz", b"\xfd7zXZ\0\0", 1, "compressed with xz; unpack it"),
        ("a.jsonl", b"%PDF-1.7\n%\xe2\xe3", 1, "a PDF; give a text file"),
        ("a.jsonl", b"\0" * 500, 1, "zero bytes; restore the file"),
        ("a.jsonl", gzip.compress(JSON_LINES, mtime=0)[:-9], None, "cannot read the examples: "),
        ("a.jsonl", b'{"text": "a", "target": ' + b"[" * 3000 + b"]" * 3000 + b"}", 1, "depth limit exceeded"),
        ("a.jsonl", b'{"text": "a", "target": ' + b"9" * 5000 + b"}", 1, "not JSON: number"),
        ("a.csv", b"text,target,text\na,b,c\n", 1, "a column twice: text, target, text"),
        ("a.csv", b"Text,Target\na,b\n", 1, 'such as target = "Target"'),
        ("a.csv", b"text;label\na;b\n", 1, "has no column target; it has text, label; say under [task.fields] which"),
        ("a.csv", b"text,label\na,b\n", 1, 'such as target = "label", or'),
        ("a.csv", b"message,sentiment\na,b\n", 1, 'such as target = "sentiment", or'),
        ("a.csv", b"targets,text\na,b\n", 1, 'such as target = "targets", or'),
        ("a.csv", b"text,target,\nyes, no,b\nfine,b,c\n", 2, "column 3 has no name in the header, and holds 'b'"),
        ("a.csv", b",text,target\nx,a,b\n", 2, "column 1 has no name in the header, and holds 'x'"),
        ("a.csv", b"text,target\nyes, no,b\n", 2, "needs quotes around it"),
        ("a.csv", b'text,target\n"a",b\n"a "x" b",c\n', 3, "not CSV: "),
        ("a.jsonl", b'{"text": "a", "label": "b"}', 1, "no target; there are text, label; name the keys under"),
    ],
)
def test_what_a_file_is_instead_is_said_with_what_to_do(
    tmp_path: Path, name: str, data: bytes, line: int | None, reason: str
) -> None:
    with pytest.raises(DataError) as caught:
        load(write(tmp_path / name, data))
    assert reason in caught.value.reason
    assert caught.value.line == line


LONG = b"x" * 10_000_000
LONG_FILES: dict[Format, bytes] = {
    "jsonl": b'{"input": {"text": "%s"}, "target": "y"}' % LONG,
    "json": b'[{"text": "%s", "target": "y"}]' % LONG,
    "csv": b'text,target\n"%s",y' % LONG,
    "tsv": b"text\ttarget\n%s\ty" % LONG,
    "cluener": b'{"text": "%s", "label": {}}' % LONG,
    "thucnews": b"%s\t1" % LONG,
    "squad": GOOD["squad"].replace(b"The kiln", LONG),
}


LOADING = """
import resource, sys
from pathlib import Path
from protocols.data import Fields, Source, load_examples

for number, path in enumerate(sorted(Path(sys.argv[1]).iterdir())):
    form = path.suffix[1:]
    labels = ("a", "b") if form == "thucnews" else ()
    assert load_examples(Source(str(path), form, Fields(labels=labels)), "train")
    if not number:  # what importing and loading one example take
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count the peak in other units")
def test_files_of_ten_megabytes_load_in_a_small_multiple_of_that(tmp_path: Path) -> None:
    """One line of 10 MB, and many examples; the peak is of the process, so it is the worst of all."""
    write(tmp_path / "0.parquet", GOOD["parquet"])
    for form, content in LONG_FILES.items():
        write(tmp_path / f"long.{form}", content)
    rows = [{"text": f"{n} {'The parcel came late and it was open. ' * 4}", "target": "y"} for n in range(50_000)]
    write(tmp_path / "many.jsonl", b"".join(orjson.dumps(row) + b"\n" for row in rows))
    write(tmp_path / "many.json", orjson.dumps(rows))
    write(tmp_path / "many.csv", "\n".join(["text,target", *(f"{row['text']},y" for row in rows)]).encode())
    write(tmp_path / "many.parquet", parquet(rows))
    command = [sys.executable, "-c", LOADING, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 100


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("a.jsonl", b'\n{"input": {"text": "x"}, "target": "y"}\n{oops\n', 3),
        ("a.jsonl", b'{"input": {"text": "x"}, "target": "y"}\n[1]\n', 2),
        ("a.jsonl", b'{"input": {"text": null}, "target": "y"}\n', 1),
        ("a.jsonl", b'{"input": {}, "target": "y"}\n', 1),
        ("a.jsonl", b'{"input": {"text": "x"}}\n', 1),
        ("a.jsonl", b'{"input": {"text": "x"}, "target": null}\n', 1),
        ("a.jsonl", b'{"input": {"text": "x"}, "target": "y", "id": [1]}\n', 1),
        ("a.jsonl", b'{"input": {"text": "x"}, "target": "y", "id": 123456789012345678901}\n', 1),
        ("a.jsonl", b'{"input": {"text": "x"}, "target": [{"a": 123456789012345678901}]}\n', 1),
        ("a.jsonl", b'{"input": {"text": "x"}, "target": "y", "lable": "z"}\n', 1),
        ("a.jsonl", b'{"text": "x", "target": "y"}\n{"txt": "x", "target": "y"}\n', 2),
        ("a.jsonl", b"\xef\xbb\xbf\n\xff", 2),
        ("a.json", b'[\n{"text": "a", "target": "b"},\noops]', 3),
        ("a.json", b"[\n\xff]", 2),
        ("a.csv", b"text,target\na,b\na,b,c\n", 3),
        ("a.csv", b'text,target\n"a\nb",c\nd\n', 4),
        ("a.csv", b'text,target\na,"b', 2),
        ("a.csv", b"text,target\na,b\n\xe4,c\n", 3),
        ("a.csv", b"text,label\n", 1),
        ("a.csv", b"text,text,target\n", 1),
        ("a.csv", b"text,target,\nx,y,z\n", 2),
        ("a.csv", b"sep=;\ntext;target\na;b\na;b;c\n", 4),
        ("a.csv", b"text,target\n\n,\na,b,c\n", 4),
        ("a.csv", b"target\nx\n", 2),
        ("a.csv", b"", 1),
    ],
)
def test_the_line_at_fault_is_named(tmp_path: Path, name: str, data: bytes, line: int) -> None:
    with pytest.raises(DataError) as caught:
        load(write(tmp_path / name, data))
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.json", b'{"a": [], "b": []}', r"must hold one array, the examples; it has 2 \(a, b\)"),
        ("a.json", b'{"a": {}}', "it has none"),
        ("a.json", b"3", "expected an array of objects"),
        ("a.json", b'[{"text": "a", "target": "b"}, 3]', "row 2: expected an object"),
        ("a.json", b'[{"text": "a"}]', "row 1: no target; there are text"),
        ("a.json", b'[{"text": "a", "n": 3, "target": "b"}]', r"row 1: input field 'n' is not a text; name those"),
        ("a.parquet", b"PAR1", "not Parquet that can be read, after row 0"),
        ("a.parquet", parquet([{"text": "a", "target": float("nan")}]), "row 1: the target holds a number"),
        ("a.parquet", parquet([{"text": "a", "target": b"b"}]), "row 1: the target holds a bytes"),
    ],
)
def test_where_there_are_no_lines_the_row_is_named(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        load(write(tmp_path / name, data))


def test_duplicate_ids_are_named_at_the_first_that_repeats(tmp_path: Path) -> None:
    line = b'{"input": {"text": "x"}, "target": "y", "id": "%d"}\n'
    path = write(tmp_path / "a.jsonl", b"".join(line % (n % 7) for n in range(14)))
    with pytest.raises(
        DataError, match=r"a\.jsonl:8: duplicate ids: 0, 1, 2, 3, 4 and 2 more; 0 is that of line 1, too"
    ):
        load(path)
    ignored = load(path, fields=Fields(id="none"))
    assert [example.id for example in ignored] == [f"train-{line}" for line in range(1, 15)]


def test_the_limit_of_the_csv_module_is_as_it_was(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    load(write(tmp_path / "a.csv", b"text,target\n" + b"x" * (before + 1) + b",y\n"))
    assert csv.field_size_limit() == before
