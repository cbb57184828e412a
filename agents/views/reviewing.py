"""Prints the edits that wait for a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agents.run.reviewing import Waiting
from agents.views.tracing import show_changes
from protocols.text import one_line


def show_waiting(console: Console, directory: Path, rows: Sequence[Waiting]) -> None:
    """Print each edit with its gain and its changes, and how to decide about it."""
    if not rows:
        console.print("Nothing waits for a person.")
        return
    for row in rows:
        ending = row.ending
        before = "" if row.parent_value is None else f", from {row.parent_value:.3f} of its parent {ending.parent}"
        line = f"{ending.assignment:>4}  {one_line(str(ending))}{before}"
        console.print(Text(line, style="bold"), soft_wrap=True)
        show_changes(console, row.changes)
    console.print(
        Text(f'Then: ctl {directory} accept {rows[0].ending.assignment}, or reject N "why".'), soft_wrap=True
    )
