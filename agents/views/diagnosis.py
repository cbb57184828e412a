"""What `doctor` prints."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from agents.runs.estimate import Estimate
from agents.runs.findings import Diagnosis, Sent
from agents.views.chat import show_messages
from agents.views.plain import one_line
from agents.views.terminal import dollars

STYLES = {"ok": "green", "warning": "bold yellow", "failed": "bold red", "not checked": "yellow"}


def show_diagnosis(console: Console, diagnosis: Diagnosis) -> None:
    """A line for each finding, what one example is sent as, then what a search takes."""
    for finding in diagnosis.findings:
        line = Text(f"{finding.status:<12}", style=STYLES[finding.status])
        console.print(line.append(one_line(f"{finding.what}: {finding.text}", 2000), style="default"), soft_wrap=True)
    for sent in diagnosis.sent:
        _show_sent(console, sent)
    if diagnosis.estimate is not None:
        _show_estimate(console, diagnosis.estimate)


def _show_sent(console: Console, sent: Sent) -> None:
    what = f"What the {sent.role} model is sent for the example {sent.example}"
    console.print(Text(f"\n{one_line(what, 200)}", style="bold"))
    show_messages(console, sent.messages)
    console.print(Text("expected:", style="bold").append(f" {one_line(sent.expected, 300)}", style="not bold"))


def _show_estimate(console: Console, expected: Estimate) -> None:
    low, high = expected.calls
    fewest, most = expected.tokens
    cost = f"unknown: set the price of {', '.join(expected.unpriced)}"
    if expected.dollars is not None:
        cost = " to ".join(dollars(amount) for amount in expected.dollars)
    roles = ", ".join(f"{role} {few:,} to {many:,}" for role, (few, many) in expected.roles.items())
    console.print(Text("\nA search takes, roughly", style="bold"))
    for line in (
        f"calls   {low:,} to {high:,}  (before caps: {roles})",
        f"tokens  {_rough(fewest)} to {_rough(most)}",
        f"cost    {cost}",
        f"Assumed {expected.assumptions}",
    ):
        console.print(Text(one_line(line, 2000)), soft_wrap=True)


def _rough(number: int) -> str:
    """Two digits of it: more would not be meant."""
    return f"{float(f'{number:.2g}'):,.0f}"
