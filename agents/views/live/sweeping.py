"""The view of a sweep: a live table on a terminal, plain lines elsewhere, and a summary."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from agents.archive.ends import end_in_words
from agents.history.progress import Progress
from agents.run.search import Run
from agents.study.grid import Cell, Grid
from agents.study.sweep import Row
from agents.views.live.drawing import Drawing, drawing
from agents.views.live.terminal import clock, unheard
from protocols.budget.ledger import Attempt
from protocols.budget.shared_budget import SharedBudget
from protocols.messages import Envelope
from protocols.text import one_line


class SweepView(Protocol):
    """Shows a sweep; a view never makes it fail."""

    @contextmanager
    def attend(self, cell: Cell, run: Run, so_far: Progress) -> Iterator[None]:
        """Show one search while the block runs. `so_far`: what it did before."""

    def ended(self, row: Row) -> None:
        """Show how a cell ended."""

    hear: Callable[[], None]
    """Called whenever the person is told something, except by `wait`."""
    spent: Callable[[], str]
    """The spending under the caps over all searches, in words; "" if there are none."""

    def say(self, text: str) -> None:
        """Tell the person something."""

    def wait(self, text: str) -> None:
        """Tell the person what the sweep waits for."""


class SweepLines:
    """Prints a line for each cell that has ended."""

    def __init__(self, console: Console, cells: int) -> None:
        self._console, self._cells = console, cells
        self._ended = 0
        self.hear: Callable[[], None] = unheard
        self.spent: Callable[[], str] = str

    @contextmanager
    def attend(self, cell: Cell, run: Run, so_far: Progress) -> Iterator[None]:
        yield

    def ended(self, row: Row) -> None:
        self._ended += 1
        spent = self.spent()
        self.say(f"[{self._ended}/{self._cells}] {row.cell}: {in_words(row)}{f'; spent: {spent}' if spent else ''}")

    def say(self, text: str) -> None:
        self.hear()
        self.wait(text)

    def wait(self, text: str) -> None:
        try:
            self._console.print(Text(one_line(text, 500)), soft_wrap=True)
        except OSError:
            self._console.quiet = True  # the reader of the output has gone; the sweep continues


@dataclass(slots=True)
class Running:
    """A search in progress."""

    run: Run
    progress: Progress


class SweepTable:
    """A table of the running searches and those that ended last."""

    def __init__(self, drawn: Drawing, cells: int) -> None:
        self._drawing, self._cells = drawn, cells
        self._running: dict[str, Running] = {}
        self._rows: list[Row] = []
        self._said = self._waits = ""
        self.hear: Callable[[], None] = unheard
        self.spent: Callable[[], str] = str

    @contextmanager
    def attend(self, cell: Cell, run: Run, so_far: Progress) -> Iterator[None]:
        running = self._running[cell.name] = Running(run, so_far)

        async def observe(envelope: Envelope) -> None:
            if running.progress.follow(envelope) is not None:
                self._progressed()
            self._drawing.draw()

        def called(attempt: Attempt) -> None:
            if attempt.error is None:
                self._waits = ""
            self._drawing.draw()

        run.bus.tap(observe)
        run.ledger.tap(called)
        try:
            yield
        finally:
            del self._running[cell.name]

    def ended(self, row: Row) -> None:
        self._progressed()
        self._rows.append(row)
        self._drawing.draw(now=True)

    def say(self, text: str) -> None:
        self._progressed()
        self._said = one_line(text, 500)
        self._drawing.draw(now=True)

    def wait(self, text: str) -> None:
        self._waits = one_line(text, 500)
        self._drawing.draw(now=True)

    def _progressed(self) -> None:
        self.hear()
        self._waits = ""

    def __rich__(self) -> RenderableType:
        table = plain_table("cell", "assignments", "calls", "first", "best", "test", "time")
        room = max(1, self._drawing.height - len(self._running) - 7)
        for row in self._rows[-room:]:
            table.add_row(one_line(row.cell), *figures(row), style="dim")
        for name, running in self._running.items():
            table.add_row(one_line(name), *_so_far(running), style="bold")
        flying = sum(running.run.ledger.in_flight for running in self._running.values())
        state = (
            f"{len(self._rows)} of {self._cells} searches ended, {len(self._running)} run, {flying} calls in flight"
        )
        spent = self.spent()
        lines: list[RenderableType] = [Text(state), *([Text(f"spent: {spent}")] if spent else []), table]
        lines += [Text(said, style="yellow") for said in (self._said, self._waits) if said]
        return Group(*lines)


@contextmanager
def watch_sweep(
    console: Console, grid: Grid, monotonic: Callable[[], float], here: bool = True
) -> Iterator[SweepView]:
    """A view on `console` that is removed, and the terminal restored, when the block ends. `here`: the searches run
    in this process, so that a table of them can be drawn."""
    with drawing(console, monotonic) as drawn:
        if drawn is None or not here:
            yield SweepLines(console, len(grid.cells))
        else:
            view = SweepTable(drawn, len(grid.cells))
            drawn.show(view)
            yield view


@dataclass(frozen=True, slots=True)
class Summary:
    """One task with one setting, over its seeds: the searches that ended and failed, the mean validation value of the
    best prompt, the mean difference on the test split and its standard deviation (None for fewer than two searches),
    and the sum of calls."""

    task: str
    setting: str
    ended: int
    failed: int
    best: float | None
    difference: float | None
    deviation: float | None
    calls: int


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """A summary by task and setting, in the order of the grid."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task, row.setting), []).append(row)
    return [_summary(task, setting, group) for (task, setting), group in groups.items()]


def _summary(task: str, setting: str, rows: Sequence[Row]) -> Summary:
    results = [row.result for row in rows if row.result is not None]
    best = [result["best"]["value"] for result in results]
    differences = [result["test"]["difference"] for result in results if result["test"]]
    return Summary(
        task=task,
        setting=setting,
        ended=len(results),
        failed=len(rows) - len(results),
        best=statistics.fmean(best) if best else None,
        difference=statistics.fmean(differences) if differences else None,
        deviation=statistics.stdev(differences) if len(differences) > 1 else None,
        calls=sum(sum(result["calls"].values()) for result in results),
    )


def show_summary(console: Console, rows: Sequence[Row]) -> None:
    """Print the table of a sweep, and the searches that failed."""
    table = plain_table("task", "setting", "ended", "failed", "best", "test difference", "calls")
    for line in summarise(rows):
        spread = "" if line.deviation is None else f" ± {line.deviation:.3f}"
        difference = "" if line.difference is None else f"{line.difference:+.3f}{spread}"
        best = "" if line.best is None else f"{line.best:.3f}"
        table.add_row(line.task, line.setting, str(line.ended), str(line.failed), best, difference, f"{line.calls:,}")
    console.print(table)
    for row in rows:
        if row.error:
            console.print(Text(one_line(f"{row.cell}: {in_words(row)}", 500)), soft_wrap=True)


def spending(budget: SharedBudget | None) -> str:
    """The spending under caps over all searches, such as `12 of 50 calls, 0.3 of 2 dollars`; "" without any."""
    if budget is None:
        return ""
    used = spent_under(budget)
    return ", ".join(f"{used[cap]:,.4g} of {limit:,g} {cap}" for cap, limit in budget.limits.items())


def spent_under(budget: SharedBudget) -> dict[str, float]:
    """The calls, tokens, dollars and minutes of all searches."""
    return {
        "calls": budget.calls,
        "tokens": budget.spent.tokens,
        "dollars": budget.spent.dollars,
        "minutes": budget.seconds / 60,
    }


def in_words(row: Row) -> str:
    """The outcome of a cell on one line."""
    if row.result is None:
        assert row.error is not None
        return f"failed: {row.error['type']}: {row.error['message']}"
    result = row.result
    test = f", test {result['test']['difference']:+.3f}" if result["test"] else ""
    values = f"validation {result['first']['value']:.3f} to {result['best']['value']:.3f}"
    return f"{values}{test} ({end_in_words(result['stopped_by'])})"


def figures(row: Row) -> list[str]:
    """The columns of a cell that has ended."""
    if row.result is None:
        return ["failed", "", "", "", "", ""]
    result, test = row.result, row.result["test"]
    return [
        str(result["assignments"]),
        f"{sum(result['calls'].values()):,}",
        f"{result['first']['value']:.3f}",
        f"{result['best']['value']:.3f}",
        f"{test['difference']:+.3f}" if test else "",
        clock(result["seconds"]),
    ]


def _so_far(running: Running) -> list[str]:
    progress, ledger = running.progress, running.run.ledger
    first, best = progress.survivors.get(0), progress.best
    values = ["" if ending is None or ending.value is None else f"{ending.value:.3f}" for ending in (first, best)]
    paused = " PAUSED" if progress.paused else ""
    assignments = f"{progress.ended} / {running.run.configuration.search.assignments}{paused}"
    return [assignments, f"{ledger.calls:,}", *values, "", clock(ledger.seconds)]


def plain_table(*columns: str) -> Table:
    """A table without borders, with names aligned left and figures right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column, justify="left" if column in ("cell", "task", "setting", "arm", "measure", "") else "right"
        )
    return table
