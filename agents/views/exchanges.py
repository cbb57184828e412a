"""Prints what was asked and answered, what is still wrong, and a score taken apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.history.wrong import Wrong
from agents.run.asking import Asked
from agents.views.chat import show_messages
from agents.views.live.terminal import dollars
from memory.journals.exchanges import Exchange
from protocols.model import ChatMessage
from protocols.text import one_line, printable

LABELS, CELLS = 40, 12
"""Most labels, and most cells of the confusion matrix, that are printed; --json has more of them."""
LONG = 300
"""Most characters printed of an input or a reply in a list."""


def show_asked(console: Console, asked: Asked) -> None:
    """Print the messages for one example, and the reply with its judgement if it was asked."""
    exchange = asked.exchange
    console.print(Text(f"{one_line(exchange.example)}, of the {asked.split} split", style="bold"))
    _show_sent(console, exchange)
    console.print(Text("expected:", style="bold").append(f" {one_line(exchange.target, 500)}", style="not bold"))
    if asked.dollars is None and not exchange.reply and not exchange.usage.total:
        console.print(Text("Not asked: --offline."))
        return
    for each in (exchange, *asked.others):
        if each.model:
            console.print(Text(f"{one_line(each.model)}", style="bold"))
        for line in _judged(each):
            console.print(line, soft_wrap=True)
        used = f"{each.usage.input:,} tokens in, {each.usage.output:,} out, {each.seconds:.2f} s"
        cost = "" if asked.others else f", cost {dollars(asked.dollars)}"
        console.print(Text(f"{'from the cache, ' * each.cached}{used}{cost}"))
    if asked.others:
        console.print(Text(f"cost of all: {dollars(asked.dollars)}"))


def _show_sent(console: Console, exchange: Exchange) -> None:
    show_messages(console, [ChatMessage(speaker, text) for speaker, text in exchange.messages])
    for step in exchange.steps:
        show_messages(console, step.messages)
        who = f"{step.prompt}: " if step.prompt else ""
        console.print(Text(printable(f"{who}{step.reply or step.error}")), soft_wrap=True)


def _judged(exchange: Exchange) -> Iterator[Text]:
    ended = "" if exchange.finish == "stop" else f" ({exchange.finish})"
    yield Text(f"reply{ended}:", style="bold").append(f" {printable(exchange.reply)}", style="not bold")
    answer = "none could be read" if exchange.answer is None else printable(exchange.answer)
    yield Text("answer:", style="bold").append(f" {answer}", style="not bold")
    yield Text("score:", style="bold").append(f" {exchange.score:.3f}", style="not bold")
    if exchange.feedback:
        yield Text("feedback:", style="bold").append(f" {printable(exchange.feedback)}", style="not bold")


def show_wrong(console: Console, wrong: Wrong) -> None:
    """Print each example that is less than right, in a few lines."""
    less = Counter(each.model for each in wrong.exchanges)
    how = "worse than what it is compared with" if wrong.compared else "less than right"
    for model, n in (wrong.models or {"": wrong.n}).items():
        who = f"Candidate {wrong.candidate}" + (f" on {one_line(model)}" if model else "")
        line = f"{who} answers {less[model]} of {n} {wrong.split} examples {how}."
        console.print(Text(line, style="bold"), soft_wrap=True)
    ended = Counter(each.finish for each in wrong.exchanges if each.finish != "stop")
    ended["no answer could be read"] = sum(each.answer is None for each in wrong.exchanges)
    if said := ", ".join(f"{count} {name}" for name, count in ended.items() if count):
        console.print(Text(f"Of these: {said}."))
    for each in wrong.exchanges:
        by = f"  {one_line(each.model)}" if each.model else ""
        console.print(Text(f"\n{one_line(each.example)}{by}  score {each.score:.3f}", style="bold"), soft_wrap=True)
        said = "–" if each.answer is None else each.answer
        rows = (
            *each.inputs.items(),
            ("expected", each.target),
            ("answered", said),
            ("reply", each.reply if each.reply.strip() != said.strip() else ""),
            ("ended by", each.finish if each.finish != "stop" else ""),
            ("feedback", each.feedback),
        )
        for name, text in rows:
            if text:
                console.print(Text(f"  {one_line(name, 30) + ':':<10} {one_line(text, LONG)}"), soft_wrap=True)


def show_breakdown(console: Console, breakdown: Mapping[str, Any]) -> None:
    """Print a `Breakdown`, given as in JSON; nothing if there is nothing in it. The values of several models are
    printed with the result."""
    if metrics := breakdown.get("metrics"):
        values = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        console.print(Text(f"By metric: {one_line(values, 500)}"), soft_wrap=True)
    if breakdown.get("models") and (breakdown.get("labels") or breakdown.get("confused")):
        console.print(Text("By label, of the worst model's reply to each example:"))
    if labels := breakdown.get("labels"):
        console.print(_table(labels))
        if len(labels) > LABELS:
            console.print(Text(f"and {len(labels) - LABELS} more labels"))
    if confused := breakdown.get("confused"):
        console.print(Text("Answered otherwise than expected:", style="bold"))
        for cell in confused[:CELLS]:
            said = "no answer could be read" if cell["answered"] is None else one_line(cell["answered"], 60)
            console.print(Text(f"  {cell['n']:>4}  {one_line(cell['expected'], 60)} → {said}"), soft_wrap=True)
        if len(confused) > CELLS:
            console.print(Text(f"  and {len(confused) - CELLS} other pairs"))


def _table(labels: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("label", "examples", "answered", "precision", "recall", "F1"):
        table.add_column(column, justify="left" if column == "label" else "right")
    for row in labels[:LABELS]:
        shares = (f"{row[name]:.3f}" for name in ("precision", "recall", "f1"))
        table.add_row(Text(one_line(row["label"], 60)), str(row["expected"]), str(row["answered"]), *shares)
    return table


def show_texts(console: Console, role: str, exchange: Exchange) -> None:
    """Print what a critic or an operator asked, and the reply."""
    console.print(Text(f"\n{one_line(role)} asked", style="bold"))
    _show_sent(console, exchange)
    console.print(Text("reply:", style="bold").append(f" {printable(exchange.reply)}", style="not bold"))
