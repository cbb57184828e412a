"""The page of a comparison of runs: one file without scripts, which browsers open from disk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from agents.beside.comparing import Beside, Part, Side
from agents.directory.run_directory import write
from agents.views.beside import COLUMNS, cells, heading
from agents.views.page.html import still_page
from protocols.text import one_line, printable

MOST = 300
"""Most test examples in the table of those that differ."""
WIDTH, LINE, SIDE = 420, 46, 30
"""Of the plot, in pixels: its width, which a phone has room for, the height of a run, and what is kept free at both
sides."""


def write_comparison(beside: Beside, path: Path) -> None:
    """Write the page.

    :raises StorageFailed: it cannot be written.
    """
    write(path, comparison_page(beside).encode("utf-8"))


def comparison_page(beside: Beside) -> str:
    """The page as HTML."""
    return still_page("Runs beside each other", "\n".join(_sections(beside)))


def _sections(beside: Beside) -> Iterator[str]:
    yield _section("Scores on the test examples that all answered", _scores(beside))
    yield _section("Gain over the first run, with its 95 % interval", _plot(beside.sides))
    yield _section("Prompts", "".join(_part(part, beside.sides) for part in beside.parts))
    yield _section("Test examples on which the scores differ", _examples(beside))


def _section(title: str, content: str) -> str:
    return f'<section class="wide"><h2>{escape(title)}</h2>{content}</section>'


def _scores(beside: Beside) -> str:
    remarks = "".join(f'<p class="remark">{_text(line, 400)}</p>' for line in beside.remarks)
    rows = [cells(side) for side in beside.sides]
    return f"<p>{_text(heading(beside), 400)}</p>{_table(COLUMNS, rows)}{remarks}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "scroll") -> str:
    """`kind`: the classes of the box around it."""
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    hint = '<p class="legend hint">What is wider than the screen scrolls sideways.</p>'
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'{hint}<div class="{kind}" tabindex="0">{table}</div>'


def _plot(sides: Sequence[Side]) -> str:
    """The differences from the first run: a line for each interval, a filled circle where it does not include 0."""
    shown = [(side, side.difference, side.interval) for side in sides]
    known = [(side, value, ends) for side, value, ends in shown if value is not None and ends is not None]
    reach = _round(max([0.01, *(abs(end) for _, value, ends in known for end in (*ends, value))]))
    height = LINE * len(known) + 24

    def x(value: float) -> float:
        return SIDE + (WIDTH - 2 * SIDE) * (value / reach + 1) / 2

    drawn = [f'<line class="zero" x1="{x(0):.1f}" y1="0" x2="{x(0):.1f}" y2="{height - 20}"/>']
    drawn += [
        f'<text x="{x(at):.1f}" y="{height - 4}" text-anchor="middle">{f"{at:+g}" if at else "0"}</text>'
        for at in (-reach, 0, reach)
    ]
    for place, (side, value, (low, high)) in enumerate(known):
        y, kind = LINE * (place + 0.72), "open" if low <= 0 <= high else "told"
        drawn.append(f'<text class="label" x="0" y="{y - 14:.1f}">{_text(side.directory, 56)}</text>')
        drawn.append(f'<line class="whole" x1="{x(low):.1f}" y1="{y:.1f}" x2="{x(high):.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<circle class="{kind}" cx="{x(value):.1f}" cy="{y:.1f}" r="5"/>')
    label = "; ".join(
        f"{side.directory}: {value:+.3f}, {low:+.3f} to {high:+.3f}" for side, value, (low, high) in known
    )
    legend = '<p class="legend">A filled circle: the interval does not include 0.</p>'
    return (
        f'<svg class="plot" role="img" aria-label="{_text(label, 1000)}" viewBox="0 0 {WIDTH} {height}">'
        f"{''.join(drawn)}</svg>{legend}"
    )


def _round(value: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(f"{factor * power:.1g}") for factor in (1, 2, 5, 10) if factor * power >= value)


def _part(part: Part, sides: Sequence[Side]) -> str:
    """One section of the prompts, a column for each run. Lines that the first prompt lacks are marked, and those that
    it alone has."""
    lists = [text.split("\n") if text else [] for text in part.texts]
    others = {line for lines in lists[1:] for line in lines}
    columns = []
    for place, (side, lines) in enumerate(zip(sides, lists, strict=True)):
        known, mark = (others, "del") if place == 0 else (set(lists[0]), "ins")
        shown = "".join(_line(line, "" if line in known else mark) for line in lines)
        text = f'<div class="text">{shown}</div>' if lines else '<p class="soft">not in this prompt</p>'
        columns.append(f"<div><h4>{_text(side.directory)}</h4>{text}</div>")
    same = len({*part.texts}) == 1
    words = "the same in all" if same else _changes(part, sides)
    opened = "" if same else " open"
    summary = f"<summary>{_text(part.section)} <span class='soft'>{_text(words)}</span></summary>"
    return f'<details class="section"{opened}>{summary}<div class="beside">{"".join(columns)}</div></details>'


def _changes(part: Part, sides: Sequence[Side]) -> str:
    """What changes from the first run to the others: one word, if it is the same for all."""
    kinds = [change.change for change in part.changes]
    if len({*kinds}) == 1:
        return kinds[0]
    return ", ".join(f"{side.directory}: {kind}" for side, kind in zip(sides[1:], kinds, strict=True))


def _line(line: str, mark: str) -> str:
    text = escape(printable(line)) or " "
    return f"<{mark}>{text}</{mark}>" if mark else f"<div>{text}</div>"


def _examples(beside: Beside) -> str:
    rows = [(row.example, *(f"{score:.3g}" for score in row.scores)) for row in beside.differing[:MOST]]
    said = f"{len(beside.differing):,} of {beside.shared:,}"
    said += f"; the first {MOST} of them" if len(beside.differing) > MOST else ""
    names = "example", *(side.directory for side in beside.sides)
    table = _table(names, rows, "scroll tall numbers") if rows else ""
    return f"<p>{said}</p>{table}"


def _text(text: str, most: int = 160) -> str:
    return escape(one_line(text, most))
