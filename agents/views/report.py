"""What is left of a run: read back from its directory, and shown to a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.runs.run_directory import BEST_PROMPT, CONFIGURATION, JOURNAL, RESULT
from agents.runs.scoring import Scored
from agents.views.plain import one_line, printable
from agents.views.progress import Ending, Progress
from agents.views.terminal import clock, dollars
from memory.journal import read_journal
from protocols.errors import ConfigError, StorageFailed


@dataclass(frozen=True, slots=True)
class Report:
    """`result` as in result.json, None of a run without one. `lineage`: from the first prompt to the winner, or to
    the best so far. `best_prompt`: the prompt file's text, None before there is one."""

    directory: str
    result: Mapping[str, Any] | None
    best_prompt: str | None
    lineage: Sequence[Ending]


def read_report(directory: Path) -> Report:
    """Read a run directory; the run may have failed, or be going on still.

    :raises ConfigError: it is no run directory.
    :raises StorageFailed, MemoryMismatch: one of its files is damaged, or of another version.
    """
    if not (directory / CONFIGURATION).is_file() or not (directory / JOURNAL).is_file():
        raise ConfigError(f"{directory} is not a run directory")
    progress = Progress()
    for envelope in read_journal(directory / JOURNAL):
        progress.follow(envelope)
    result = _read_result(directory / RESULT)
    best = progress.best.assignment if progress.best else 0
    lineage = progress.lineage(best if result is None else result["candidate"])
    return Report(printable(str(directory)), result, _read(directory / BEST_PROMPT), lineage)


def show_report(console: Console, report: Report) -> None:
    """The whole of it, as `show` prints it."""
    if report.result is None:
        console.print(Text("This run has no result: it is going on, or it was stopped before its end."))
    else:
        show_result(console, report.result)
    console.print(Text("\nHow the best prompt came about", style="bold"))
    for ending in report.lineage:
        console.print(Text(f"{ending.assignment:>4}  {one_line(str(ending))}"), soft_wrap=True)
    if report.best_prompt is not None:
        console.print(Text("\nThe best prompt", style="bold"))
        console.print(Text(printable(report.best_prompt)), soft_wrap=True)


def show_result(console: Console, result: Mapping[str, Any]) -> None:
    """The table of a result. Takes what result.json holds, so that a run and `show` print the same."""
    test, table = result["test"], Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("", "first prompt", "best prompt", "difference", "examples"):
        table.add_column(column, justify="left" if not column else "right")
    seed, best = result["seed"], result["best"]
    gain = f"{best['value'] - seed['value']:+.3f}"
    table.add_row("validation", f"{seed['value']:.3f}", f"{best['value']:.3f}", gain, str(best["n"]))
    if test:
        low, high = test["interval"]
        difference = f"{test['difference']:+.3f} (95 %: {low:+.3f} to {high:+.3f})"
        table.add_row("test", f"{test['seed']:.3f}", f"{test['best']:.3f}", difference, str(test["n"]))
    console.print(table)
    if not test:
        console.print(Text(one_line(f"The test split was not read: {result['test_missing']}")), soft_wrap=True)
    elif test["errors"]:
        console.print(Text(f"{test['errors']} calls on the test split failed and count for neither prompt."))
    calls, tokens = sum(result["calls"].values()), sum(result["tokens"].values())
    spent = f"{calls:,} calls ({result['cached']:,} more from the cache), {tokens:,} tokens"
    console.print(Text(f"{spent}, cost {dollars(result['dollars'])}, {clock(result['seconds'])}"), soft_wrap=True)
    console.print(Text(one_line(f"{result['assignments']} assignments, stopped by {result['stopped_by']}")))


def show_scored(console: Console, scored: Scored) -> None:
    """What `evaluate` prints."""
    examples = f"{scored.n} examples" + (f", {scored.errors} calls failed" if scored.errors else "")
    console.print(
        Text(one_line(f"{scored.prompt} on {scored.split}: {scored.value:.4f} ({examples})")), soft_wrap=True
    )
    spent = f"{scored.calls:,} calls, {scored.tokens:,} tokens, cost {dollars(scored.dollars)}"
    console.print(Text(f"{spent}, {clock(scored.seconds)}, model {one_line(scored.model)}"), soft_wrap=True)


def _read_result(path: Path) -> Mapping[str, Any] | None:
    text = _read(path)
    if text is None:
        return None
    try:
        result: Mapping[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise StorageFailed(f"not JSON ({error}); it was changed or cut short", file=str(path)) from error
    return result


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageFailed(f"cannot be read: {error}", file=str(path)) from error
