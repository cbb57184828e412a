"""What is written and shown of a study: nothing that is not known, and nothing that breaks a file."""

from __future__ import annotations

import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from agents.study.effects import Effect
from agents.study.sweep import Row
from agents.views.plots.forest_plot import Mark, forest_plot
from agents.views.studying import COLUMNS, EFFECTS, FIGURE, ROWS, as_csv, notes, show_study, write_study

HOSTILE = "<script>alert(1)</script> & ]]> \x1b[31m\n\u202e退款"
RESULT = {
    "test": {"best_score": {"value": 0.25, "n": 9}},
    "best": {"value": 0.5},
    "calls": {"task": 90, "critic": 2},
    "saved": {"calls": 8, "dollars": None},
    "dollars": None,
    "seconds": 1.5,
    "stopped_by": "assignments",
}
ROW = Row("t.baseline.0", "t", "baseline", 0, "out", RESULT)
FAILED = Row("t.a.0", "t", "a", 0, "out", None, {"type": "RunFailed", "message": HOSTILE})
TOLD = Effect("a", None, "test", 4, 1, 0.2, 0.3, 0.1, (0.05, 0.15), 0.01, 0.02)
UNTOLD = Effect("b", None, "test", 0, 5)
TEXT = st.text(st.characters(exclude_categories=["Cn", "Cs"]))
FINITE = st.floats(-1e6, 1e6, allow_subnormal=False)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(TEXT, FINITE, FINITE, TEXT, st.booleans()), max_size=6))
def test_a_figure_is_xml_and_every_mark_is_inside(drawn: list[tuple[str, float, float, str, bool]]) -> None:
    marks = [Mark(name, low, (low, max(low, high)), said, told) for name, low, high, said, told in drawn]
    root = ElementTree.fromstring(forest_plot("title", marks))
    circles = root.findall("{http://www.w3.org/2000/svg}circle")
    assert [circle.get("class") for circle in circles] == ["told" if mark.told else "" for mark in marks]
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    assert all(190 <= float(c.get("cx", "0")) <= width and 0 <= float(c.get("cy", "0")) <= height for c in circles)
    assert len(root.findall("{http://www.w3.org/2000/svg}line")) <= 25 + len(marks)


def test_rows_are_lines_of_csv_with_nothing_where_nothing_is_known() -> None:
    first, second = csv.DictReader(StringIO(as_csv([ROW, FAILED])))
    assert tuple(first) == COLUMNS
    assert (first["test"], first["dollars"], first["made"], first["saved"], first["calls"]) == (
        "0.25",
        "",
        "92",
        "8",
        "100",
    )
    assert (second["arm"], second["test"], second["made"], second["stopped_by"]) == ("a", "", "", "RunFailed")


def test_all_files_are_written_and_say_the_same(tmp_path: Path) -> None:
    write_study(tmp_path, [TOLD, UNTOLD], [ROW, FAILED])
    told, untold = orjson.loads((tmp_path / EFFECTS).read_bytes())
    assert (told["verdict"], told["interval"], untold["verdict"], untold["difference"]) == (
        "higher",
        [0.05, 0.15],
        "too few pairs",
        None,
    )
    assert (tmp_path / ROWS).read_text(encoding="utf-8") == as_csv([ROW, FAILED])
    assert "+0.100, higher" in (tmp_path / FIGURE).read_text(encoding="utf-8")


def test_caps_that_ended_searches_are_told_of() -> None:
    capped = replace(ROW, result=RESULT | {"stopped_by": "budget: calls"})
    assert "A cap of [budget] ended 1 of the searches" in notes(2, [ROW, capped, FAILED])


@pytest.mark.parametrize("terminal", [True, False])
def test_a_person_reads_what_was_found_what_was_left_out_and_what_failed(terminal: bool) -> None:
    shown = StringIO()
    show_study(Console(file=shown, width=120, force_terminal=terminal, no_color=True), [TOLD, UNTOLD], [ROW, FAILED])
    text = shown.getvalue()
    assert "+0.050 to +0.150" in text
    assert "1 excluded" in text
    assert "higher" in text
    assert "too few pairs" in text
    assert "corrected for 2 arms" in text
    assert "92 made, and 8 more" in text
    assert "cap of [budget]" not in text
    assert "t.a.0: failed: RunFailed: <script>" in text
    assert "\x1b[31m" not in text
