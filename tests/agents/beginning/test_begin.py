"""From a data file to a configuration: it loads, its comments are true, and what the data lacked is said."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import get_args

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.beginning.begin import Begun, Said, begin, write_all
from agents.beginning.guess import Wishes
from agents.beginning.sources import look
from agents.check.doctor import diagnose
from agents.config.configuration import build, load
from agents.config.loading import doubts, load_task
from agents.run.opening import read_inputs
from protocols.errors import ConfigError, DataError, InputError
from protocols.task import KindName
from protocols.text import toml_string

LABELS = ("billing", "shipping", "returns")
Row = Mapping[str, object]


def rows(count: int = 30) -> list[dict[str, str]]:
    return [
        {"Kunden-Nachricht": f"Wo ist Paket {n}; \"schnell\"?", "Team": LABELS[n % 3], "Datum": f"2026-01-{n}"}
        for n in range(count)
    ]  # fmt: skip


def as_csv(table: Sequence[Row], delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, [*table[0]], delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def begun(path: Path, wishes: Wishes | None = None, **said: object) -> Begun:
    folder = path.parent / "out"
    made = begin(look(path), wishes or Wishes(), Said(folder=folder, **said), {})  # type: ignore[arg-type]
    write_all(made, overwrite=False)
    return made


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


FILES = {
    "comma.csv": as_csv(rows()),
    "semicolon.csv": "\ufeff" + as_csv(rows(), ";"),
    "quoted.csv": as_csv(rows(), quoting=csv.QUOTE_ALL),
    "tabs.tsv": as_csv(rows(), "\t"),
    "bars.csv": as_csv(rows(), "|"),
    "said.csv": "sep=;\r\n" + as_csv(rows(), ";"),
    "lines.jsonl": "".join(json.dumps(row) + "\n" for row in rows()),
    "array.json": json.dumps(rows()),
    "in an object.json": json.dumps({"source": "ours", "rows": rows()}),
}


@pytest.mark.parametrize("name", FILES)
def test_the_same_rows_in_any_format_are_the_same_task(tmp_path: Path, name: str) -> None:
    made = begun(written(tmp_path / name, FILES[name]))
    given = read_inputs(load(made.configuration, []))
    assert given.task.fields == ("Kunden_Nachricht",)
    every = {
        (e.inputs["Kunden_Nachricht"], e.target) for s in ("train", "validation", "test") for e in given.task.split(s)
    }
    assert every == {(row["Kunden-Nachricht"], row["Team"]) for row in rows()}
    assert made.remarks == ()
    assert {path.name for path in made.files} == {
        f"{made.configuration.stem}.{end}" for end in ("toml", "prompt.txt")
    }


@pytest.mark.parametrize("count", [12, 30, 3_000])
def test_the_sizes_in_the_comment_are_those_of_the_splits(tmp_path: Path, count: int) -> None:
    made = begun(written(tmp_path / "d.csv", as_csv(rows(count))))
    text = made.configuration.read_text(encoding="utf-8")
    [said] = re.findall(r"cut at random: (.*)", text)
    task = load_task(load(made.configuration, []))
    sizes = f"{len(task.train):,} train, {len(task.validation):,} validation, {len(task.test):,} test"
    assert said == sizes
    assert len(task.validation) <= 205


TARGETS: Mapping[KindName, Callable[[int], object]] = {
    "classification": lambda n: n % 2,
    "multilabel": lambda n: [["a"], ["b", "a"]][n % 2],
    "ordinal": lambda n: n % 5,
    "ner": lambda n: {"person": ["Ada"]},
    "reading": lambda n: f"text {n}",
    "generation": lambda n: f"words {n}",
    "reasoning": lambda n: n,
}


@pytest.mark.parametrize("kind", get_args(KindName))
def test_every_line_that_is_a_comment_can_be_used(tmp_path: Path, kind: KindName) -> None:
    """A setting is uncommented by hand, and is then one."""
    numbers = [{"text": f"text {n}", "label": TARGETS[kind](n)} for n in range(30)]
    path = written(tmp_path / "d.jsonl", "".join(json.dumps(row) + "\n" for row in numbers))
    made = begun(path, Wishes(target="label", kind=kind))
    assert made.task.kind.name == kind
    text = made.configuration.read_text(encoding="utf-8")
    settings_ = re.findall(r"^# (\w+ = .*)$", text, re.MULTILINE)
    assert len(settings_) == (6 if kind == "classification" else 5)
    for line in settings_:
        build(tomllib.loads(text.replace(f"# {line}", line)), made.configuration.parent)


TAGS = ("billing", "refund", "late parcel")
SEVERAL = [[tag for bit, tag in enumerate(TAGS) if n & 1 << bit] for n in range(8)]


@pytest.mark.parametrize("separator", [";", "|", ",", "; ", " / ", "\n", "、", "\t"])
@pytest.mark.parametrize("wish", [None, "multilabel"])
def test_labels_in_a_cell_are_told_apart_at_what_stands_between_them(
    tmp_path: Path, separator: str, wish: KindName | None
) -> None:
    table = [{"text": f"text {n}", "tags": separator.join(SEVERAL[n % 8])} for n in range(40)]
    path = written(tmp_path / "d.csv", as_csv(table))
    made = begun(path, Wishes(kind=wish))
    if separator in (" / ", "\t") and wish is None:  # "and/or" and "n/a" are answers of one label
        assert made.task.kind.name == "classification"
        return
    task = load_task(load(made.configuration, []))
    assert task.kind.name == "multilabel"
    assert sorted(task.answers) == sorted(TAGS)
    targets = {one.inputs["text"]: one.target for name in ("train", "validation", "test") for one in task.split(name)}
    assert targets == {f"text {n}": SEVERAL[n % 8] for n in range(40)}
    assert f"separator = {toml_string(separator.strip() or separator)}" in made.configuration.read_text("utf-8")


@pytest.mark.parametrize(
    "labels",
    [["Home, Garden", "Books, Music", "Tools"], ["yes", "no; never"], ["a|b", "c|d"], ["1,5", "2,5", "3,0"]],
)
def test_a_label_with_a_separator_in_it_is_one_label(tmp_path: Path, labels: list[str]) -> None:
    table = [{"text": f"text {n}", "label": labels[n % len(labels)]} for n in range(40)]
    made = begun(written(tmp_path / "d.jsonl", "".join(json.dumps(row) + "\n" for row in table)))
    assert (made.task.kind.name, sorted(made.task.answers)) == ("classification", sorted(labels))


def test_a_copy_keeps_the_separator(tmp_path: Path) -> None:
    table: list[Row] = [
        {"text": f"text {n}" if n != 3 else None, "tags": ";".join(SEVERAL[n % 8])} for n in range(40)
    ]
    made = begun(written(tmp_path / "d.jsonl", "".join(json.dumps(row) + "\n" for row in table)))
    assert any("left out" in remark for remark in made.remarks)
    assert set(load_task(load(made.configuration, [])).answers) == set(TAGS)


ANSWERS: Mapping[str, Callable[[int], object]] = {
    "label": lambda n: LABELS[n % 3],
    "number": lambda n: n % 4,
    "tags": lambda n: ";".join(SEVERAL[n % 8]),
    "list": lambda n: SEVERAL[n % 8],
    "entities": lambda n: {"person": ["Ada"]} if n % 3 else {},
    "words": lambda n: f"an answer of its own, number {n}.",
    "accepted": lambda n: [f"answer {n}", f"Answer {n}"],
}


def cells(table: Sequence[Row]) -> list[Row]:
    return [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in table]


def natively(row: Row) -> Row:
    return {"input": {"text": row["text"]}, "target": row["label"]}


CONTENTS: Mapping[str, Callable[[Sequence[Row]], str]] = {
    "csv": lambda table: as_csv(cells(table)),
    "tabs": lambda table: as_csv(cells(table), "\t"),
    "array": json.dumps,
    "indented": lambda table: json.dumps({"source": "ours", "rows": table}, indent=1),
    "lines": lambda table: "".join(json.dumps(row) + "\n" for row in table),
    "native": lambda table: "".join(json.dumps(natively(row)) + "\n" for row in table),
}


@pytest.mark.anyio
@given(
    st.sampled_from(sorted(ANSWERS)),
    st.sampled_from(sorted(CONTENTS)),
    st.sampled_from(["d.csv", "d.tsv", "d.json", "d.jsonl", "d.txt", "d", "d.data"]),
    st.sampled_from([None, *get_args(KindName)]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
async def test_doctor_passes_what_was_made_of_every_file_that_is_accepted(
    tmp_path_factory: pytest.TempPathFactory, answer: str, form: str, name: str, kind: KindName | None, gap: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    table = [{"text": f"text {n}" if n or not gap else "", "label": ANSWERS[answer](n)} for n in range(40)]
    path = written(folder / name, CONTENTS[form](table))
    try:
        made = begun(path, Wishes(kind=kind), model="embedded")
    except InputError:
        said_wrong = (path.suffix in (".csv", ".tsv")) != (form in ("csv", "tabs"))
        assert kind or said_wrong
        return
    diagnosis = await diagnose(made.configuration, [], {}, offline=True)
    assert diagnosis.exit_code == 0, diagnosis.findings


def test_rows_without_an_answer_or_an_input_are_left_out_and_counted(tmp_path: Path) -> None:
    table = rows(40)
    for n in (3, 7, 11):
        table[n]["Team"] = ""
    table[20]["Kunden-Nachricht"] = "  "
    made = begun(written(tmp_path / "d.csv", as_csv(table)))
    assert list(made.remarks) == [
        "d.csv: 3 of 40 rows left out, with nothing in Team",
        "d.csv: 1 of 40 rows left out, with nothing in Kunden-Nachricht",
    ]
    task = load_task(load(made.configuration, []))
    assert len(task.train) + len(task.validation) + len(task.test) == 36


def test_labels_that_no_reply_could_tell_apart_are_put_together(tmp_path: Path) -> None:
    table = [
        row | {"Team": row["Team"].upper() if n % 7 == 0 else row["Team"] + " " * (n % 2)}
        for n, row in enumerate(rows())
    ]
    made = begun(written(tmp_path / "d.csv", as_csv(table)))
    assert set(made.task.answers) == set(LABELS)
    assert any("differ in case or spaces" in remark for remark in made.remarks)


def test_json_in_cells_is_read(tmp_path: Path) -> None:
    table = [{"text": f"Ada {n} in Paris", "entities": '{"person": ["Ada"]}' if n % 3 else "{}"} for n in range(30)]
    made = begun(written(tmp_path / "d.csv", as_csv(table)))
    assert (made.task.kind.name, set(made.task.answers)) == ("ner", {"person"})


def test_what_is_missing_in_json_is_an_empty_text(tmp_path: Path) -> None:
    table = [{"title": None if n % 2 else f"t {n}", "body": f"body {n}", "label": LABELS[n % 3]} for n in range(30)]
    made = begun(written(tmp_path / "d.jsonl", "".join(json.dumps(row) + "\n" for row in table)))
    assert made.remarks == ("d.jsonl: the copy has an empty text where title is missing",)
    assert made.task.fields == ("body", "title")


def test_three_files_are_three_splits(tmp_path: Path) -> None:
    for number, name in enumerate(("train", "dev", "test")):
        table = [{"text": f"{name} {n}", "label": LABELS[n % 3], "id": str(n)} for n in range(12)]
        written(tmp_path / f"{name}.csv", as_csv(table[number:]))
    for given_ in (tmp_path, tmp_path / "train.csv"):
        made = begin(look(given_), Wishes(), Said(folder=tmp_path), {})
        assert [len(made.task.split(s)) for s in ("train", "validation", "test")] == [12, 11, 10]
        assert b'validation = "dev.csv"' in made.files[made.configuration]


@pytest.mark.parametrize(
    ("model", "cap", "operators"),
    [
        ("local/smollm2-135m", {"minutes": 15.0}, ["few_shot"]),
        ("local/mine", {"minutes": 30.0}, None),
        ("openai/gpt-5-mini", {"dollars": 2.0}, None),
        ("openai/of-nobody", {"calls": 3000}, None),
    ],
)
def test_the_cap_and_the_operators_suit_the_model(
    tmp_path: Path, model: str, cap: Mapping[str, float], operators: list[str] | None
) -> None:
    made = begun(written(tmp_path / "d.csv", as_csv(rows())), model=model)
    table = tomllib.loads(made.configuration.read_text(encoding="utf-8"))
    assert (table["budget"], table["search"].get("operators")) == (cap, operators)
    load(made.configuration, [])


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv", as_csv(rows()))
    first = begun(path)
    first.configuration.write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="--force"):
        begun(path)
    assert first.configuration.read_text(encoding="utf-8") == "mine"
    write_all(first, overwrite=True)
    assert first.configuration.read_text(encoding="utf-8") != "mine"


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("three.csv", as_csv(rows(3)), "three.csv: 3 examples"),
        ("empty.csv", "", "no example"),
        ("head.csv", "text,label\n", "no example"),
        ("old.csv", "text,label\ncafé,a\n".encode("latin-1"), "UTF-8"),
        ("short.csv", "text,label\na,b\nc\n", "short.csv:3"),
        ("book.xlsx", b"PK\x03\x04", "workbook"),
        ("twice.csv", "text,text\na,b\n", "twice"),
    ],
)
def test_data_that_cannot_be_used_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, content: str | bytes, error: str
) -> None:
    with pytest.raises(InputError, match=re.escape(error)):
        begun(written(tmp_path / name, content))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_or_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file"):
        look(tmp_path / "nowhere.csv")
    with pytest.raises(ConfigError, match="train or validation or test"):
        look(tmp_path)


def test_braces_of_the_person_stay_what_they_are(tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv", as_csv(rows()))
    made = begun(path, instruction="Name the team {like_this} of: {Kunden_Nachricht}")
    given = read_inputs(load(made.configuration, []))
    sent = given.first.render({"Kunden_Nachricht": "hello"})
    assert "{like_this} of: hello" in "".join(message.text for message in sent)


names = st.text(min_size=1, max_size=8)


@given(names, names, st.sampled_from([",", ";", "\t", "|"]), st.integers(3, 24))
@settings(max_examples=40, deadline=None)
def test_columns_of_any_name_make_a_task_or_one_clear_line(
    tmp_path_factory: pytest.TempPathFactory, first: str, second: str, delimiter: str, count: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    table = [{first: f"text number {n}", second: LABELS[n % 3]} for n in range(count)]
    path = written(folder / "d.csv", as_csv(table, delimiter).encode("utf-8", "replace"))
    try:
        made = begun(path)
    except InputError as caught:
        error = caught
    else:
        read_inputs(load(made.configuration, []))
        return
    assert "\n" not in str(error)
    assert not (folder / "out").exists()


def test_a_data_set_in_a_published_form_has_its_own_fields(tmp_path: Path) -> None:
    lines = [{"text": f"Ada {n} baut", "label": {"name": {"Ada": [[0, 2]]}}} for n in range(20)]
    made = begun(written(tmp_path / "c.jsonl", "".join(json.dumps(line) + "\n" for line in lines)))
    assert made.task.kind.name == "ner"
    assert 'format = "cluener"' in made.configuration.read_text(encoding="utf-8")


def test_thucnews_is_known_by_its_lines_and_the_names_of_its_classes(tmp_path: Path) -> None:
    written(tmp_path / "class.txt", "sport\nnews\n")
    made = begun(written(tmp_path / "all.txt", "".join(f"headline {n}\t{n % 2}\n" for n in range(30))))
    assert 'format = "thucnews"' in made.configuration.read_text(encoding="utf-8")
    task = load_task(load(made.configuration, []))
    assert (task.kind.name, sorted(task.answers)) == ("classification", ["news", "sport"])


def test_the_error_names_the_file_that_was_given(tmp_path: Path) -> None:
    table = rows(4)
    table[1]["Team"] = ""
    with pytest.raises(DataError) as caught:
        begun(written(tmp_path / "d.csv", as_csv(table)))
    assert str(caught.value).startswith("d.csv: 3 examples")


def test_a_file_without_a_header_begins_nothing_unless_a_column_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "tickets.csv", as_csv(rows()).partition("\n")[2])
    with pytest.raises(DataError, match="the first row looks like an example"):
        begun(path)
    assert not (tmp_path / "out").exists()
    made = begun(path, Wishes(target="billing"))
    assert any("would be lost" in remark for remark in made.remarks)
    configuration = load(made.configuration, [])
    assert [line for line in doubts(configuration) if "tickets.csv:1: the first row looks like" in line]
    warned = anyio.run(diagnose, made.configuration, [], {}, True)
    assert [each.status for each in warned.findings if each.what == "data header"] == ["warning"]
    assert not begun(written(tmp_path / "named.csv", as_csv(rows()))).remarks


@pytest.mark.parametrize(
    ("usual", "other", "labels"),
    [
        (["billing", "shipping"], 'returns, "late"', ["billing", "shipping", 'returns, "late"']),
        (["1", "2", "4"], "5", ["1", "2", "3", "4", "5"]),
    ],
)
def test_labels_that_train_lacks_are_named(tmp_path: Path, usual: list[str], other: str, labels: list[str]) -> None:
    """Also where another split writes a known label in another way, which is the same label."""
    name = "rating" if other == "5" else "label"
    for split in ("train", "validation", "test"):
        table = [{"text": f"{split} {n}", name: usual[n % len(usual)]} for n in range(24)]
        if split == "test":
            table[3][name], table[4][name] = other, usual[1].upper()
        written(tmp_path / f"{split}.csv", as_csv(table))
    made = begun(tmp_path)
    text = made.configuration.read_text(encoding="utf-8")
    assert tomllib.loads(text)["task"]["labels"] == labels
    assert any(f"train has no example of {other}" in remark for remark in made.remarks)
    assert list(read_inputs(load(made.configuration, [])).task.kind.labels) == labels
    lines = [line for line in text.splitlines() if not line.startswith("labels = ")]
    made.configuration.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError) as refused:
        load_task(load(made.configuration, []))
    asked = re.search(r"task\.labels = (\[.*\])", str(refused.value))
    assert asked, refused.value
    assert tomllib.loads(f"labels = {asked[1]}")["labels"] == labels
