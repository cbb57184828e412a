"""The output of the command `doctor`."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from agents.check.findings import Diagnosis, Sent
from agents.forecast.estimate import Amount, Estimate
from agents.forecast.fitting import shares
from agents.headroom.found import Headroom
from agents.headroom.verdict import Replies
from agents.views.chat import show_messages
from protocols.text import one_line

STYLES = {"ok": "green", "warning": "bold yellow", "failed": "bold red", "not checked": "yellow"}


def show_diagnosis(console: Console, diagnosis: Diagnosis) -> None:
    """Print a line for each finding, the messages sent for one example, the headroom and the estimate of a search."""
    for finding in diagnosis.findings:
        line = Text(f"{finding.status:<12}", style=STYLES[finding.status])
        console.print(line.append(one_line(f"{finding.what}: {finding.text}", 2000), style="default"), soft_wrap=True)
    for sent in diagnosis.sent:
        _show_sent(console, sent)
    if diagnosis.headroom is not None:
        _show_headroom(console, diagnosis.headroom)
    if diagnosis.estimate is not None:
        _show_estimate(console, diagnosis.estimate)


def _show_sent(console: Console, sent: Sent) -> None:
    role, _, prompt = sent.role.partition("/")
    by = f" by the prompt {prompt}" if prompt else ""
    what = f"What the {role} model is sent{by} for the example {sent.example}"
    console.print(Text(f"\n{one_line(what, 200)}", style="bold"))
    show_messages(console, sent.messages)
    if sent.expected:
        console.print(Text("expected:", style="bold").append(f" {one_line(sent.expected, 300)}", style="not bold"))


def _show_headroom(console: Console, found: Headroom) -> None:
    """Print the verdict, then the figures behind it."""
    first, again = found.figures.first, found.figures.again
    lines = [found.sentence, f"first prompt: {first.value:.2f} on {first.n} examples, {_replies(first)}"]
    for shown in found.figures.shown:
        low, high = shown.interval
        unread = f", {shown.unreadable} replies cannot be read" if shown.unreadable else ""
        lines.append(
            f"{shown.form}: {shown.value:.2f} ({shown.gain:+.2f}, 95 %: {low:+.2f} to {high:+.2f}); "
            f"{shown.tokens:,} tokens{unread}"
        )
    if again is not None:
        lines.append(f"asked again as a search asks: another score on {again.changed} of {again.repeated} examples")
    if again is not None and again.draws:
        best = (again.drawn - again.missed + again.mended) / max(1, again.drawn)
        guesses = f"; guesses alone would do as well in {again.by_chance:.0%} of cases" if again.chance else ""
        lines.append(
            f"asked {again.draws} times more at its own temperature: right at least once on {best:.2f} of "
            f"{again.drawn} examples{guesses}"
        )
    console.print(Text("\nWhat there is to gain", style="bold"))
    for line in lines:
        console.print(Text(one_line(line, 1000)), soft_wrap=True)


def _replies(first: Replies) -> str:
    textless = sum(first.textless.values())
    counts = {
        "unreadable": first.unreadable,
        "cut off": first.truncated,
        "refusals": first.refused,
        "without text": textless,
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "all of which can be read"


def _show_estimate(console: Console, expected: Estimate) -> None:
    cost = f"unknown: set the price of {', '.join(expected.unpriced)}"
    if expected.dollars is not None:
        cost = _amount(expected.dollars, _rough_dollars) if expected.dollars.high else "$0"
    roles = ", ".join(f"{role} {_rough(use.calls)}" for role, use in shares(expected.roles))
    tokens = ", ".join(f"{role} {_rough(use.tokens)}" for role, use in shares(expected.roles))
    console.print(Text("\nA search is expected to take (and eight of ten such runs)", style="bold"))
    for line in (
        f"calls   {_amount(expected.calls, _rough)}: {roles}",
        f"tokens  {_amount(expected.tokens, _rough)}: {tokens}",
        f"cost    {cost}",
        f"Assumed: {expected.assumptions}",
    ):
        console.print(Text(one_line(line, 2000)), soft_wrap=True)


def _amount(amount: Amount, show: Callable[[float], str]) -> str:
    cap = "" if amount.cap is None else f"; capped at {show(amount.cap)}"
    return f"{show(amount.expected)} ({show(amount.low)} to {show(amount.high)}{cap})"


def _rough_dollars(amount: float) -> str:
    return f"${float(f'{amount:.2g}'):,.{2 if amount >= 0.1 else 4}f}"


def _rough(number: float) -> str:
    """The number rounded to two digits, since an estimate has no more precision."""
    return f"{float(f'{number:.2g}'):,.0f}"
