"""The output of a study: the table of effects, the figure, and the rows as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from agents.directory.run_directory import write
from agents.study.effects import Effect, Measure, measured
from agents.study.sweep import Row
from agents.views.live.sweeping import in_words, plain_table
from agents.views.plots.forest_plot import Mark, forest_plot
from protocols.text import one_line

ROWS, EFFECTS, FIGURE = "rows.csv", "effects.json", "effects.svg"
COLUMNS = ("task", "arm", "seed", "test", "validation", "calls", "dollars", "seconds", "made", "saved", "stopped_by")


def show_study(console: Console, found: Sequence[Effect], rows: Sequence[Row]) -> None:
    """Print the effects, notes on intervals and the cache, and the searches that failed."""
    table = plain_table("arm", "measure", "baseline", "with the arm", "difference", "95 % interval", "pairs", "", "")
    for effect in found:
        free = effect.measure == "dollars" and effect.baseline == effect.value == 0
        if not free and (effect.task is None or effect.measure == "test"):
            table.add_row(*_line(effect))
    console.print(table)
    arms = len({effect.arm for effect in found})
    console.print(Text(notes(arms, rows)), soft_wrap=True)
    for row in rows:
        if row.error:
            console.print(Text(one_line(f"{row.cell}: {in_words(row)}", 500)), soft_wrap=True)


def notes(arms: int, rows: Sequence[Row]) -> str:
    """Notes for readers of the table."""
    results = [row.result for row in rows if row.result is not None]
    made = sum(sum(result["calls"].values()) for result in results)
    saved = sum(result["saved"]["calls"] for result in results)
    capped = sum(result["stopped_by"].startswith("budget") for result in results)
    warning = (
        f"\nA cap of [budget] ended {capped} of the searches. Caps count calls made, so searches that find more "
        "replies in the shared cache get further: leave the cap out, and compare by search.assignments."
    )
    return (
        "Intervals: of the mean difference over seeds, on these tasks; each by itself. The verdict on the test "
        f"value over all tasks is corrected for {arms} arm{'s' * (arms > 1)} (Holm), the rest is not.\n"
        f"Calls: {made:,} made, and {saved:,} more that the shared cache answered.{warning if capped else ''}"
    )


def write_study(directory: Path, found: Sequence[Effect], rows: Sequence[Row]) -> None:
    """Write the effects as JSON and as a figure, and the rows as CSV, to the directory of the study.

    :raises StorageFailed: a file cannot be written.
    """
    write(directory / ROWS, as_csv(rows).encode("utf-8"))
    write(directory / EFFECTS, orjson.dumps(list(map(as_json, found)), option=orjson.OPT_INDENT_2) + b"\n")
    marks = [
        Mark(effect.arm, effect.difference, effect.interval, _said(effect), effect.verdict in ("higher", "lower"))
        for effect in found
        if effect.measure == "test" and effect.task is None
        if effect.difference is not None and effect.interval is not None
    ]
    title = "Test value with the arm, less the baseline's: mean paired difference, 95 % interval"
    write(directory / FIGURE, forest_plot(title, marks).encode("utf-8"))


def as_json(effect: Effect) -> dict[str, Any]:
    """An effect and its verdict as JSON."""
    return asdict(effect) | {"verdict": effect.verdict}


def as_csv(rows: Sequence[Row]) -> str:
    """A line for each search: the measures that effects are computed from, empty if unknown; the calls `made` and
    `saved`, whose sum is `calls`; and why it ended, or the type of the error that it failed with."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values, result = measured(row), row.result
        counts: tuple[object, ...] = ("", "", row.error["type"] if row.error else "")
        if result is not None:
            counts = (sum(result["calls"].values()), result["saved"]["calls"], result["stopped_by"])
        known = [values.get(measure, "") for measure in ("test", "validation", "calls", "dollars", "seconds")]
        writer.writerow([row.task, row.setting, row.seed, *known, *counts])
    return text.getvalue()


def _line(effect: Effect) -> list[str]:
    first = effect.measure == "test" and effect.task is None
    name = effect.measure if effect.task is None else f"  on {effect.task}"
    values = [_figure(effect.measure, value) for value in (effect.baseline, effect.value)]
    low, high = effect.interval or (None, None)
    interval = (
        f"{_figure(effect.measure, low, '+')} to {_figure(effect.measure, high, '+')}" if low is not None else ""
    )
    excluded = f"{effect.excluded} excluded" if effect.excluded else ""
    difference = _figure(effect.measure, effect.difference, "+")
    return [
        one_line(effect.arm) if first else "",
        one_line(name),
        *values,
        difference,
        interval,
        str(effect.pairs),
        excluded,
        effect.verdict,
    ]


def _figure(measure: Measure, value: float | None, sign: str = "") -> str:
    if value is None:
        return ""
    form = {"calls": ",.0f", "dollars": ",.4f", "seconds": ",.1f"}.get(measure, ".3f")
    return format(value, f"{sign}{form}")


def _said(effect: Effect) -> str:
    return f"{_figure(effect.measure, effect.difference, '+')}, {effect.verdict}"
