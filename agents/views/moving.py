"""Prints what a prompt is worth on another model."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.moving.advice import in_words
from agents.moving.transferring import OnTest, Transferred
from agents.results.comparison import Change
from agents.views.live.terminal import dollars
from protocols.text import one_line

NOT_KNOWN = "–"


def show_transferred(console: Console, found: Transferred) -> None:
    """Print the three prompts beside each other, and what to do."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("", "on test (95 %)", "beside the first", "tokens", "1,000 answers: in, out", "cost"):
        table.add_column(column, justify="right" if column else "left")
    differences = (None, found.differences.best, found.differences.both)
    names = ("first prompt", "best prompt", "trained again")
    for name, side, change in zip(names, (found.first, found.best, found.retrained), differences, strict=True):
        table.add_row(*_row(name, side, change))
    console.print(Text(one_line(f"{found.task} on {found.model}")))
    console.print(table)
    if found.before is not None:
        line = f"On {found.earlier} the best prompt had {found.before:.3f} on the same test examples."
        console.print(Text(one_line(line)), soft_wrap=True)
    if errors := found.first.errors + found.best.errors + found.retrained.errors:
        console.print(Text(f"{errors} questions have no answer; a difference counts what both prompts answered."))
    console.print(Text(one_line(found.sentence, 1000)), soft_wrap=True)


def _row(name: str, side: OnTest, change: Change | None) -> list[str]:
    low, high = side.interval
    value = f"{side.value:.3f} ({low:.3f} to {high:.3f})" if side.n else NOT_KNOWN
    difference = f"{change.difference:+.3f} ({in_words(change.interval)})" if change else ""
    taken = side.thousand
    thousand = NOT_KNOWN if taken is None else f"{taken.input:,}, {taken.output:,}"
    cost = NOT_KNOWN if taken is None or taken.dollars is None else dollars(taken.dollars)
    return [name, value, difference, f"{side.tokens:,}", thousand, cost]
