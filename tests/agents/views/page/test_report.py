"""The report of a run: what it says, that it says so of any run, and that nothing in a run can make it say else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.config.configuration import load
from agents.directory.run_directory import JOURNAL, REPORT, RESULT
from agents.run.opening import open_run
from agents.views.page import document as documents
from agents.views.page.changes import MATCHED, changes, lines
from agents.views.page.document import report_document
from agents.views.page.html import live_page, report_page
from agents.views.page.markdown import markdown
from agents.views.page.report import add_report, write_report
from memory.journals.reading import read_journal
from protocols.errors import ConfigError
from protocols.messages import Critique
from protocols.prompt import Prompt, Section
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
HOSTILE = (
    "</script><script>alert(1)</script>",
    "</pre><img src=x onerror=alert(1)>",
    "\x1b[2J\x1b]0;title\x07",
    "\u202egnp.exe\u2066",
    "{policy}{script}",
    "<!--",
    "]]>&amp;",
    "```\n# heading",
    "| a | [b](javascript:alert(1)) |",
)
hostile = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=8), max_size=5).map("".join)


async def run(folder: Path, *settings: str) -> Path:
    """A run of the small task on the embedded model."""
    async with open_run(load(write_task(folder / "task"), [*settings]), {}, folder / "run") as opened:
        await opened.search()
    return folder / "run"


class Reader(HTMLParser):
    """What a browser would find: the elements, and the text of the one with the data."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.data = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.data += data if self.tags[-1:] == ["pre"] else ""


def read(page: str) -> tuple[list[str], Any]:
    reader = Reader()
    reader.feed(page)
    return reader.tags, orjson.loads(reader.data) if reader.data.strip() else None


async def test_a_report_says_what_the_run_found(tmp_path: Path) -> None:
    directory = await run(tmp_path, "search.assignments=12")
    tags, document = read(write_report(directory).read_text(encoding="utf-8"))
    result = orjson.loads((directory / RESULT).read_bytes())
    assert tags.count("script") == tags.count("style") == 1
    assert document == orjson.loads(orjson.dumps(report_document(directory)))
    assert document["best"] == document["lineage"][-1] == result["candidate"]
    assert document["held"]["interval"] == result["test"]["interval"]
    assert document["examples"]["gained"] == result["test"]["gained"]
    assert sum(role["calls"] for role in document["roles"]) == sum(result["calls"].values())
    points = {point["assignment"]: point for point in document["points"]}
    ended = [e.message for e in read_journal(directory / JOURNAL) if isinstance(e.message, Critique)]
    assert {c.assignment: c.evaluation.gain for c in ended} == {
        n: p["gain"] for n, p in points.items() if p["kind"] in ("first", "survived", "lost")
    }
    assert points[result["candidate"]]["value"] == result["best"]["value"]
    calls = [point["calls"] for point in document["points"]]
    assert calls == sorted(calls)
    assert 0 < calls[0] < calls[-1] <= sum(result["calls"].values())
    assert set(document["details"]) >= {str(number) for number in document["lineage"]}
    for detail in document["details"].values():
        assert detail["summary"]
        assert set(map(str, detail["recalled"])) <= set(document["experiences"])


async def test_a_changed_example_says_what_was_answered(tmp_path: Path) -> None:
    directory = await run(tmp_path, "search.assignments=12")
    examples = report_document(directory)["examples"]
    shown = {row["example"]: row for row in examples["changed"]}
    assert set(shown) == {*examples["gained"], *examples["lost"]}
    assert shown
    for name, row in shown.items():
        assert (row["scores"][1] > row["scores"][0]) == (name in examples["gained"])
        assert row["inputs"]["text"]
        assert row["replies"][0] != row["replies"][1]


async def test_a_run_without_a_result_has_a_report(tmp_path: Path) -> None:
    directory = await run(tmp_path)
    result = orjson.loads((directory / RESULT).read_bytes())
    del result["test"]["changed"]  # as earlier releases wrote it
    (directory / RESULT).write_bytes(orjson.dumps(result))
    assert report_document(directory)["examples"]["changed"] == []
    (directory / RESULT).unlink()
    document = report_document(directory)
    assert (document["state"]["phase"], document["held"], document["examples"]) == ("halted", None, None)
    assert document["lineage"]
    assert markdown(document)
    with pytest.raises(ConfigError, match="not a run directory"):
        report_document(tmp_path)


async def test_a_page_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    directory = await run(tmp_path)
    (directory / REPORT).mkdir()
    said: list[str] = []
    await add_report(directory, said.append)
    assert len(said) == 1
    assert said[0].startswith("report.html could not be written: ")
    assert (directory / RESULT).is_file()


async def test_a_report_has_the_details_of_so_many_candidates_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = await run(tmp_path, "search.assignments=12")
    monkeypatch.setattr(documents, "DETAILED", 3)
    monkeypatch.setattr(documents, "SHORT", 10)
    document = report_document(directory)
    assert len(document["details"]) == 3
    assert str(document["best"]) in document["details"]
    texts = [line for d in document["details"].values() for s in d["sections"] for _, line in s["lines"]]
    assert max(map(len, texts)) < 60


@given(st.recursive(hostile, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3)))
def test_nothing_in_a_document_is_read_as_html(value: Any) -> None:
    document = {"value": value}
    tags, found = read(report_page(document))
    assert found == document
    assert tags == read(live_page())[0]


@given(hostile, hostile)
def test_nothing_in_a_document_is_read_as_markdown(title: str, text: str) -> None:
    section = {"section": title, "kind": "task", "change": "changed", "lines": lines("", text)}
    document: dict[str, Any] = {"title": title, "state": {"words": text}, "figures": [], "remarks": [text]}
    empty: dict[str, Any] = {"values": [], "roles": [], "failures": [], "points": [], "lineage": [], "examples": None}
    plain = markdown({**document, **empty, "sections": [section]})
    outside = re.sub(r"^(`{3,})diff\n.*\n\1$", "", plain, flags=re.MULTILINE | re.DOTALL)
    for line in outside.split("\n"):
        bare = re.sub(r"\\.", "", line)
        assert not re.search(r"[<>`\[\]|]", bare), line
        assert "\x1b" not in line


texts = st.lists(st.sampled_from(["a", "b", "", "c\u202e"]), max_size=6).map("\n".join)


@given(texts, texts)
def test_a_difference_holds_both_texts(before: str, after: str) -> None:
    found = lines(before, after)
    assert "\n".join(line for mark, line in found if mark != "+") == before
    assert "\n".join(line for mark, line in found if mark != "-") == after


@settings(max_examples=30)
@given(st.permutations("abcd"), st.permutations("abce"), st.integers(0, 4), st.integers(1, 4))
def test_every_section_of_both_prompts_is_there_once(left: list[str], right: list[str], a: int, b: int) -> None:
    before, after = (
        Prompt(tuple(Section(name, "task", name.upper() * size) for name in names[:size]))
        for names, size in ((left, a or 1), (right, b))
    )
    rows = [row for row in changes(before, after) if row["section"] != "*"]
    old, new = {s.name: s for s in before}, {s.name: s for s in after}
    assert distinct(rows) == {*old, *new}
    for row in rows:
        name = row["section"]
        expected = "added" if name not in old else "removed" if name not in new else None
        assert row["change"] == (expected or ("same" if old[name] == new[name] else "changed"))


def distinct(rows: list[dict[str, Any]]) -> set[str]:
    names = [row["section"] for row in rows]
    assert len(names) == len(set(names))
    return set(names)


def test_a_very_long_text_is_compared_in_no_time() -> None:
    """Two texts of a megabyte that have no line in common, and none that is told from the next."""
    before, after = "a\n" * 500_000, "b\n" * 500_000
    assert len(lines(before, after)) > MATCHED


def test_a_change_of_the_form_alone_is_a_change_that_shows() -> None:
    before = Prompt((Section("rule", "task", "Be brief."),))
    after = before.edit("rule", "Be brief.", (), "input")
    [row] = changes(before, after)
    assert row["change"] == "changed"
    assert row["lines"] == [["+", "=== rule (task, input) ==="], ["=", "Be brief."]]
