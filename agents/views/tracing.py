"""Prints how a prompt came about: traces, blame, and two prompts side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.history.blame import Edit, Line
from agents.history.trace import Calls, Link, Said
from agents.results.prompt_diff import Comparison, Side
from agents.views.exchanges import show_texts
from agents.views.live.terminal import dollars, estimated
from memory.journals.exchanges import Exchange
from protocols.text import one_line, printable

STYLES = {"+": "green", "-": "red", "@": "dim"}


def show_trace(console: Console, links: Sequence[Link], asked: Sequence[Sequence[tuple[str, Exchange]]] = ()) -> None:
    """Print a paragraph for each candidate of the chain. `asked`: what the critic and the operators asked for each,
    by role, to be printed after it."""
    for number, link in enumerate(links):
        console.print(
            Text(f"{link.ending.assignment:>4}  {one_line(str(link.ending))}", style="bold"), soft_wrap=True
        )
        if link.gradient:
            console.print(Text(f"      gradient: {one_line(link.gradient)}"), soft_wrap=True)
        if link.recalled:
            numbers = ", ".join(map(str, link.recalled))
            console.print(Text(f"      recalled experiences: {numbers}"), soft_wrap=True)
        for said in link.messages:
            console.print(Text(f"      {_said(said)}"), soft_wrap=True)
        for calls in link.calls:
            console.print(Text(f"      {_calls(calls)}"), soft_wrap=True)
        for role, exchange in asked[number] if asked else ():
            show_texts(console, role, exchange)


def show_blame(console: Console, lines: Sequence[Line]) -> None:
    """Print each line of the prompt after the edit that added it; then each edit once."""
    edits: dict[int, Edit] = {}
    section = ""
    for line in lines:
        if line.section != section:
            section = line.section
            console.print(Text(f"=== {section} ===", style="bold"))
        edits[line.edit.candidate] = line.edit
        console.print(Text(f"{_mark(line.edit):>26}  {printable(line.text)}"), soft_wrap=True)
    console.print(Text("\nThe edits", style="bold"))
    for number in sorted(edits):
        edit = edits[number]
        what = f"{edit.operator} on {edit.section}: {edit.gain:+.3f} ± {edit.error:.3f} on {edit.paired} examples"
        console.print(Text(f"{number:>4}  {one_line(what if edit.operator else 'the first prompt')}"), soft_wrap=True)
        if edit.gradient:
            console.print(Text(f"      gradient: {one_line(edit.gradient)}"), soft_wrap=True)


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Print the scores, then the differences section by section."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("", "tokens", "validation", "test"):
        table.add_column(column, justify="left" if not column else "right")
    for side in (comparison.a, comparison.b):
        table.add_row(*_side(side))
    console.print(table)
    for change in comparison.sections:
        console.print(Text(f"=== {change.section}: {change.change} ===", style="bold"))
        for line in change.lines:
            console.print(Text(printable(line), style=STYLES.get(line[:1], "")), soft_wrap=True)


def _said(said: Said) -> str:
    after = "" if said.seconds is None else f", {said.seconds:.2f} s after {said.cause}"
    return f"{said.id:>6}  {said.type}: {one_line(said.sender)} to {one_line(said.to)}{after}"


def _calls(calls: Calls) -> str:
    failed = f" ({calls.failed} failed)" if calls.failed else ""
    mean = calls.seconds / max(1, calls.calls - calls.failed)
    cached = f", {calls.cached:,} of them cached" if calls.cached else ""
    tokens = f"{calls.input:,} tokens in{cached}, {calls.output:,} out{estimated(calls.estimated, calls.calls)}"
    what = f"{calls.role} asked {calls.model} {calls.calls:,} times{failed}"
    return one_line(f"{what}: {tokens}, {mean:.2f} s each, cost {dollars(calls.dollars)}", 300)


def _mark(edit: Edit) -> str:
    if not edit.operator:
        return "first prompt"
    return one_line(f"{edit.candidate} {edit.operator} {edit.gain:+.3f}", 26)


def _side(side: Side) -> tuple[Text, str, str, str]:
    validation, test = ("unknown" if score is None else f"{score:.3f}" for score in (side.validation, side.test))
    return Text(one_line(side.path)), f"{side.tokens:,}", validation, test
