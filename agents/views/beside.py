"""Prints runs beside each other: the list of runs, and a comparison."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.beside.comparing import Beside, Side
from agents.beside.listing import Listed
from agents.views.tracing import show_changes
from protocols.text import one_line

STATES = {"running": "bold green", "failed": "red", "stopped": "yellow"}
UNKNOWN = "–"
FOLDED = ("model", "task")
"""Columns whose texts are broken into lines where room is short, the first first."""
SPARED = ("begun", "tokens", "cost", "validation", "first", "task", "model", "test (95 %)")
"""Columns that are left out where room is short even so, the first first."""
PART = re.compile(r"[^/\-_:@\s]*(?:[/\-_:@]|\s\+\s|\s)*")
GAP, LONGEST, NARROW, MODEL = 2, 400, 18, 32
"""Spaces between columns, most characters of a text, the least width of texts that are broken into lines, and the
width of the models in a comparison."""


class Cells(NamedTuple):
    """A run in a comparison, as text."""

    run: str
    model: str
    first: str
    best: str
    shared: str
    difference: str
    gained: str
    tokens: str
    thousand: str


COLUMNS = Cells(
    "run", "model", "first prompt", "best prompt", "on shared", "difference", "won, lost", "tokens", "per 1,000"
)


def show_runs(console: Console, runs: Sequence[Listed]) -> None:
    """Print a line for each run, those that cannot be read at the end. Where room is short, the columns of `SPARED`
    are left out, and names of tasks and models are broken into lines."""
    rows = [_row(run) for run in runs if run.state != "unreadable"]
    columns = _fitting(rows, console.width)
    table = _table(*columns)
    for row in rows:
        styles = {"state": STATES.get(row["state"], "")}
        table.add_row(*(Text(_folded(row[name], columns[name]), style=styles.get(name, "")) for name in columns))
    if rows:
        console.print(table)
    for run in runs:
        if run.reason:
            style = "dim" if run.state == "unreadable" else ""
            console.print(Text(one_line(f"{run.directory}: {run.reason}", 300), style=style), soft_wrap=True)


def _row(run: Listed) -> dict[str, str]:
    """What a run has in each column."""
    test = UNKNOWN if run.best is None else f"{run.best:.3f}"
    if run.interval is not None:
        test += " ({:.3f} to {:.3f})".format(*run.interval)
    words = {
        "run": run.directory,
        "task": run.task,
        "model": run.model,
        "state": run.state,
        "first": _figure(run.first),
        "test (95 %)": test,
        "validation": _figure(run.validation),
        "tokens": UNKNOWN if run.tokens is None else f"{run.tokens:,}",
        "cost": money(run.dollars),
        "begun": UNKNOWN if run.begun is None else datetime.fromtimestamp(run.begun).strftime("%Y-%m-%d %H:%M"),
    }
    return {name: one_line(word, LONGEST) for name, word in words.items()}


def _fitting(rows: Sequence[Mapping[str, str]], room: int) -> dict[str, int]:
    """The columns for which there is room, with their widths."""
    if not rows:
        return {}
    columns = {name: max(cell_len(text) for text in (name, *(row[name] for row in rows))) for name in rows[0]}
    least = dict(columns)
    for name in FOLDED:
        parts = (part.rstrip() for text in (name, *(row[name] for row in rows)) for part in _parts(text))
        least[name] = max(min(columns[name], NARROW), *map(cell_len, parts))
    for spared in SPARED:
        if sum(least[name] + GAP for name in columns) - GAP > room:
            del columns[spared]
    for name in FOLDED:
        over = sum(width + GAP for width in columns.values()) - GAP - room
        if name in columns and over > 0:
            columns[name] = max(least[name], columns[name] - over)
    return columns


def _parts(text: str) -> list[str]:
    """The parts of a name, which may stand on lines of their own."""
    return [part for part in PART.findall(one_line(text, LONGEST)) if part]


def _folded(text: str, width: int) -> str:
    """A text on lines of at most this width, broken between parts of names."""
    lines = [""]
    for part in _parts(text):
        if lines[-1] and cell_len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def show_beside(console: Console, beside: Beside) -> None:
    """Print a comparison: the scores, then what changes from the first run's prompt to each other one's."""
    console.print(Text(one_line(heading(beside), 400)), soft_wrap=True)
    table = _table(*COLUMNS)
    for side in beside.sides:
        texts = cells(side)
        table.add_row(*(Text(_folded(text, MODEL) if text is texts.model else one_line(text, 60)) for text in texts))
    console.print(table)
    for remark in beside.remarks:
        console.print(Text(one_line(remark, 400)), soft_wrap=True)
    first, *others = beside.sides
    for place, side in enumerate(others):
        title = f"\nFrom the best prompt of {first.directory} to that of {side.directory}"
        console.print(Text(title.strip("\n"), style="bold"), soft_wrap=True)
        show_changes(console, [part.changes[place] for part in beside.parts])


def heading(beside: Beside) -> str:
    """The metric, and on how many examples the runs are compared."""
    metric = " + ".join(name if weight == 1 else f"{weight:g} × {name}" for name, weight in beside.metric.items())
    return f"{metric} on {beside.shared:,} test examples that all answered; differences from the first, paired"


def cells(side: Side) -> Cells:
    """A run's line of the table."""
    difference = UNKNOWN
    if side.difference is not None and side.interval is not None:
        difference = "{:+.3f} ({:+.3f} to {:+.3f})".format(side.difference, *side.interval)
    return Cells(
        run=side.directory,
        model=side.model,
        first=_figure(side.first),
        best=f"{side.best:.3f}",
        shared=f"{side.value:.3f}",
        difference=difference,
        gained=UNKNOWN if side.difference is None else f"+{len(side.gained)} −{len(side.lost)}",
        tokens=UNKNOWN if side.tokens is None else f"{side.tokens:,}",
        thousand=money(side.thousand),
    )


def money(amount: float | None) -> str:
    """Dollars to the cent, or to four digits where a cent is much."""
    return UNKNOWN if amount is None else f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:,.4f}"


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


def _table(*columns: str) -> Table:
    """A table without borders: names to the left, figures to the right. Where room is short, names of tasks and
    models are broken into lines, and those of runs are not cut: they are what the next command is given."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        names = column in ("run", "task", "model", "state")
        whole = column not in ("task", "model")
        side: Literal["left", "right"] = "left" if names else "right"
        table.add_column(column, justify=side, no_wrap=whole, overflow="fold", min_width=8 * (not whole))
    return table
