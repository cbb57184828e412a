"""What was asked and answered, on the page: every example once, the worst first, and in the cells that count it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.config.configuration import load
from agents.directory.run_directory import RESULT
from agents.results.breakdown import by_label, items_of
from agents.results.finished import read_result
from agents.run.opening import open_run
from agents.views.page import document as documents
from agents.views.page.answers import SAMPLES, Answers, cells, taken_apart
from agents.views.page.details import details
from agents.views.page.document import report_document
from memory.journals.exchanges import Exchange
from protocols.files import prompt_file
from protocols.task import KindName
from tests.small_task import SIZES, write_task

pytestmark = pytest.mark.anyio


async def run(folder: Path, *settings: str) -> tuple[Path, dict[str, Any]]:
    config = load(write_task(folder / "task"), ["search.assignments=12", *settings])
    async with open_run(config, {}, folder / "run") as opened:
        await opened.search()
    return folder / "run", orjson.loads((folder / "run" / RESULT).read_bytes())


def splits(row: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    assert row is not None
    return {split["split"]: split for split in row["asked"]["splits"]}


async def test_a_cell_has_as_many_examples_as_it_counts(tmp_path: Path) -> None:
    directory, result = await run(tmp_path)
    parts = taken_apart(directory, "classification", read_result(directory / RESULT), None)
    assert [part["candidate"] for part in parts] == [0, result["candidate"]]
    for part, value in zip(parts, ("first", "best"), strict=True):
        row = details(directory, part["candidate"])
        rows = splits(row)["test"]["rows"]
        there = Counter(cell for each in rows for cell in each["cells"])
        assert len(rows) == part["n"] == SIZES["test"]
        counted = [*part["groups"], *part["pairs"], *(label[of] for label in part["labels"] for of in COUNTS)]
        assert all(there[cell["key"]] == cell["n"] for cell in counted)
        assert sum(label["same"]["n"] for label in part["labels"]) / part["n"] == result["test"][value]
        assert [each["score"] for each in rows] == sorted(each["score"] for each in rows)
        for each in rows:
            said = [row["asked"]["texts"][place] for _, place in each["messages"]] if row else []
            assert each["inputs"][0][1] in said[-1]


COUNTS = ("missed", "added", "same")


async def test_any_candidate_can_be_taken_along_whole(tmp_path: Path) -> None:
    directory, result = await run(tmp_path)
    document = report_document(directory)
    for number in document["details"]:
        row = details(directory, int(number))
        assert row is not None
        assert document["details"][number]["file"] == row["file"]
        assert not row["file"] or prompt_file.dumps(prompt_file.loads(row["file"])) == row["file"]
    best = details(directory, result["candidate"])
    assert best is not None
    assert best["file"] == document["prompt"] == (directory / "best_prompt.txt").read_text(encoding="utf-8")


async def test_a_report_has_the_worst_and_some_of_each_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, result = await run(tmp_path)
    monkeypatch.setattr(documents, "ANSWERS", 1)
    document = report_document(directory)
    for part in document["parts"]:
        short, whole = (row["details"][str(part["candidate"])] for row in (document, {"details": Whole(directory)}))
        rows = splits(short)["test"]["rows"]
        assert rows[0]["score"] == splits(whole)["test"]["rows"][0]["score"]
        there = Counter(cell for each in rows for cell in each["cells"])
        counted = [*part["groups"], *part["pairs"], *(label[of] for label in part["labels"] for of in COUNTS)]
        assert all(there[cell["key"]] >= min(cell["n"], SAMPLES) for cell in counted)
    others = [row for number, row in document["details"].items() if int(number) not in (0, result["candidate"])]
    assert all(len(split["rows"]) <= 1 for row in others for split in row["asked"]["splits"])
    monkeypatch.setattr(documents, "LARGEST", 1)
    kept = [splits(row) for row in report_document(directory)["details"].values()]
    assert [bool(row) and any(split["rows"] for split in row.values()) for row in kept] == [True] + [False] * (
        len(kept) - 1
    )


class Whole:
    """The details of candidates by number, whole."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __getitem__(self, number: str) -> Any:
        return details(self.directory, int(number))


async def test_a_run_that_keeps_no_messages_has_the_answers_of_its_critic(tmp_path: Path) -> None:
    directory, result = await run(tmp_path, "run.exchanges=false")
    found = splits(details(directory, 0))
    assert set(found) == {"train"}
    assert found["train"]["n"] == result["train"]["first"]["n"]
    assert all(each["inputs"] and not each["messages"] for each in found["train"]["rows"])
    parts = taken_apart(directory, "classification", read_result(directory / RESULT), None)
    assert [part["kept"] for part in parts] == [False, False]
    assert sum(pair["n"] for pair in parts[0]["pairs"]) == round((1 - result["test"]["first"]) * SIZES["test"])


async def test_a_run_without_a_test_split_read_is_taken_apart_by_validation(tmp_path: Path) -> None:
    directory, result = await run(tmp_path)
    (directory / RESULT).unlink()
    for part, value in zip(report_document(directory)["parts"], ("first", "best"), strict=True):
        assert (part["split"], part["n"]) == ("validation", SIZES["validation"])
        right = sum(label["same"]["n"] for label in part["labels"])
        assert right / part["n"] == pytest.approx(result[value]["value"])


written = st.sampled_from(["a", "b", "c"])
entities = st.dictionaries(written, st.lists(st.sampled_from(["x", "y", "z"]), unique=True))
exchanges = st.builds(
    Exchange,
    example=written,
    messages=st.just((("user", "q"),)),
    reply=written,
    finish=st.sampled_from(["stop", "length", "refusal"]),
    score=st.sampled_from([0.0, 0.5, 1.0]),
    error=st.sampled_from(["", "", "", "HTTP 500"]),
)


@given(st.lists(exchanges), st.sampled_from(["classification", "ner"]), st.data())
def test_the_cells_of_a_label_have_those_that_are_counted(
    some: list[Exchange], kind: KindName, data: st.DataObject
) -> None:
    text = written if kind == "classification" else entities.map(lambda found: orjson.dumps(found).decode())
    told = [replace(each, target=data.draw(text), answer=data.draw(st.none() | text)) for each in some]
    answered = [each for each in told if not each.error]
    found = [cells(kind, each) for each in answered]
    for label in by_label([(items_of(kind, e.target), items_of(kind, e.answer)) for e in answered]):
        for name, count in (("missed", label.expected - label.right), ("added", label.answered - label.right)):
            key = orjson.dumps([name, label.label]).decode()
            assert (sum(key in each for each in found) > 0) == (count > 0)
    split = Answers(kind, None).split("test", told, None, False)
    assert sorted(row["example"] for row in split["rows"]) == sorted(each.example for each in told)
    assert split["unanswered"] == sum(row["cells"] == ["unanswered"] for row in split["rows"])
    assert split["wrong"] == sum("wrong" in row["cells"] for row in split["rows"])
