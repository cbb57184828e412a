"""The view of a search in progress: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agents.history.progress import FAILURES, Ending, Progress
from agents.ring.team import PERSON
from agents.run.steering import in_words
from agents.views.live.doing import Doing
from agents.views.live.drawing import Drawing, drawing
from protocols.budget.budget_scope import Notice
from protocols.budget.ledger import Attempt, Ledger
from protocols.messages import FIRST, Command, Conclude, Envelope, Finished
from protocols.text import one_line

BARS = "▁▂▃▄▅▆▇█"
EVENTS = 6
WIDTH = 40
"""Columns of the chart and of the bar of progress."""
FEW = 20
"""If a search has at most this many assignments, plain lines also show those that end without an evaluation."""
LOST = 5
"""In a longer search, a line sums up this many in a row."""
SHRINKING = "The search is over; now its result is made shorter, as far as it stays as good."
TESTING = "Reading the test split, once, for the first prompt and the best one."


class Onlooker(Console):
    """A console on standard error that survives a broken pipe, at which rich would end the process and the run."""

    def on_broken_pipe(self) -> None:
        """Discard all further output, so that flushing the rest at exit does not fail."""
        self.quiet = True
        with suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.file.fileno())


def unheard() -> None:
    """The default of `hear`: does nothing."""


class View(Protocol):
    """Shows a run; a view never makes it fail."""

    async def observe(self, envelope: Envelope) -> None:
        """Take in a message of the bus."""

    def called(self, attempt: Attempt) -> None:
        """Take in an attempt of the ledger."""

    def noticed(self, notice: Notice) -> None:
        """Show that a share of a cap is used."""

    hear: Callable[[], None]
    """Called whenever the person is told something, except by `wait`."""

    def say(self, text: str) -> None:
        """Tell the person something that is not in the messages."""

    def wait(self, text: str) -> None:
        """Tell the person what the run waits for."""


class PlainLines:
    """Prints a line for each survivor, or for each assignment of a search with at most `FEW`; of a longer one a line
    for `LOST` others in a row."""

    def __init__(self, console: Console, ledger: Ledger, assignments: int, so_far: Progress) -> None:
        self.hear: Callable[[], None] = unheard
        self._console, self._ledger, self._assignments = console, ledger, assignments
        self._progress, self._doing = so_far, Doing(so_far)
        self._lost = Counter[str]()

    async def observe(self, envelope: Envelope) -> None:
        ending = self._progress.follow(envelope)
        self._doing.follow(envelope)
        if ending is not None and (line := self._line(ending)):
            spent = f"{capped(self._ledger.calls, self._ledger.caps.calls)} calls, {clock(self._ledger.seconds)}"
            self.say(f"[{self._progress.ended}/{self._assignments}] {line} ({spent})")
        if isinstance(envelope.message, Conclude):
            self.say(SHRINKING)
        if isinstance(envelope.message, Finished) and self._progress.best:
            self.say(TESTING)
        if envelope.sender == PERSON and isinstance(envelope.message, Command):
            self.say(f"[{PERSON}] {in_words(envelope.message)}")

    def _line(self, ending: Ending) -> str:
        """What is said of an ending, with its candidate's number if that is not the count: assignments end in any
        order. "": nothing yet."""
        if ending.value is not None or self._assignments <= FEW:
            self._lost.clear()
            named = ending.value is not None and ending.assignment not in (FIRST, self._progress.ended)
            return f"candidate {ending.assignment}: " * named + one_line(str(ending))
        self._lost[ending.operator] += 1
        if self._lost.total() < LOST:
            return ""
        by = ", ".join(f"{name} {count}" for name, count in sorted(self._lost.items()))
        self._lost.clear()
        return f"{LOST} edits in a row without a survivor: {by}"

    def called(self, attempt: Attempt) -> None:
        self._doing.called(attempt)

    def noticed(self, notice: Notice) -> None:
        self.say(str(notice))

    def say(self, text: str) -> None:
        self.hear()
        self._print(text)

    def wait(self, text: str) -> None:
        doing = str(self._doing)
        self._print(f"Now {doing}. {text}" if doing else text)

    def _print(self, text: str) -> None:
        try:
            self._console.print(Text(one_line(text, 500)), soft_wrap=True)
        except OSError:
            self._console.quiet = True  # the reader of the output has gone; the run continues


class LiveView:
    """A view that is redrawn at each message and reply."""

    def __init__(self, drawn: Drawing, ledger: Ledger, task: str, assignments: int, so_far: Progress) -> None:
        self._drawing, self._ledger, self._task, self._assignments = drawn, ledger, task, assignments
        self._progress, self._doing = so_far, Doing(so_far)
        self._curve: list[tuple[int, float]] = []
        if so_far.best and so_far.best.value is not None:
            self._curve.append((ledger.calls, so_far.best.value))
        self._events: deque[tuple[str, str]] = deque(maxlen=EVENTS)
        self._said = self._waits = ""
        self.hear: Callable[[], None] = unheard

    async def observe(self, envelope: Envelope) -> None:
        ending = self._progress.follow(envelope)
        self._doing.follow(envelope)
        if ending is not None:
            self.hear()
            self._waits = ""
            self._events.append((f"{ending.assignment:>4}  {one_line(str(ending))}", _style(ending)))
            if ending.best and ending.value is not None:
                self._curve.append((self._ledger.calls, ending.value))
        if envelope.sender == PERSON and isinstance(envelope.message, Command):
            self._events.append((f"      {PERSON}: {one_line(in_words(envelope.message))}", "dim"))
        if isinstance(envelope.message, Conclude):
            self.say(SHRINKING)
        if isinstance(envelope.message, Finished):
            self.say(TESTING)
        self._drawing.draw()

    def called(self, attempt: Attempt) -> None:
        self._doing.called(attempt)
        if attempt.error is None:
            self._waits = ""
        self._drawing.draw()

    def noticed(self, notice: Notice) -> None:
        self.say(str(notice))

    def say(self, text: str) -> None:
        self.hear()
        self._said, self._waits = one_line(text, 500), ""
        self._drawing.draw(now=True)

    def wait(self, text: str) -> None:
        self._waits = one_line(text, 500)
        self._drawing.draw(now=True)

    def __rich__(self) -> RenderableType:
        progress, ledger = self._progress, self._ledger
        first, best = progress.survivors.get(0), progress.best
        grid = Table.grid(padding=(0, 2))
        grid.add_row(Text("score"), Text(sparkline(self._curve, ledger.calls, WIDTH), style="green"))
        if best and first and best.value is not None and first.value is not None:
            now = Text(f"{best.value:.3f} on validation, from {first.value:.3f}", style="bold")
            grid.add_row(Text("best"), now)
        grid.add_row(Text("now"), Text(str(self._doing), overflow="ellipsis", no_wrap=True))
        grid.add_row(Text(""), ProgressBar(self._assignments, progress.ended, WIDTH))
        grid.add_row(Text("assignments"), Text(self._assignments_in_words()))
        grid.add_row(Text("calls"), Text(f"{capped(ledger.calls, ledger.caps.calls)}, {ledger.in_flight} in flight"))
        guessed = estimated(ledger.estimated, ledger.calls)
        grid.add_row(Text("tokens"), Text(capped(ledger.tokens, ledger.caps.tokens) + guessed))
        grid.add_row(Text("cost"), Text(dollars(ledger.dollars)))
        grid.add_row(Text("time"), Text(self._time_in_words()))
        lines: list[RenderableType] = [Text(one_line(self._task), style="bold"), grid]
        lines += [Text(event, style=style, overflow="ellipsis", no_wrap=True) for event, style in self._events]
        lines += [Text(said, style="yellow") for said in (self._said, self._waits) if said]
        return Group(*lines)

    def _assignments_in_words(self) -> str:
        counts, progress = self._progress.counts, self._progress
        failed = {FAILURES[kind]: count for kind, count in counts.items() if count and kind in FAILURES}
        why = f" ({', '.join(f'{count} {words}' for words, count in failed.items())})" if failed else ""
        parts = f"{counts['survived']} survived, {counts['lost']} lost, {sum(failed.values())} failed{why}, "
        parts += f"{len(progress.open)} open"
        cuts = f", {progress.cuts} of them to shorten the result" if progress.cuts else ""
        paused = ", PAUSED by a person" if progress.paused else ""
        return f"{progress.ended} / {self._assignments}: {parts}{cuts}{paused}"

    def _time_in_words(self) -> str:
        left = time_left(self._ledger, self._progress.ended, self._assignments)
        return clock(self._ledger.seconds) + (f", about {clock(left)} left" if left is not None else "")


@contextmanager
def watch(
    console: Console,
    ledger: Ledger,
    task: str,
    assignments: int,
    monotonic: Callable[[], float],
    so_far: Progress | None = None,
) -> Iterator[View]:
    """A view on `console` that is removed, and the terminal restored, when the block ends. `so_far`: the progress of
    a run that is resumed."""
    progress = so_far or Progress()
    with drawing(console, monotonic) as drawn:
        if drawn is None:
            yield PlainLines(console, ledger, assignments, progress)
        else:
            view = LiveView(drawn, ledger, task, assignments, progress)
            drawn.show(view)
            yield view


def _style(ending: Ending) -> str:
    """The style in which an ending is drawn: a new best stands out, and a loss does not look like a gain."""
    return "bold green" if ending.best and ending.gain > 0 else "" if ending.value is not None else "dim"


def time_left(ledger: Ledger, ended: int, assignments: int) -> float | None:
    """Seconds until the first cap is reached at the pace so far; None before there is a pace."""
    seconds, caps = ledger.seconds, ledger.caps
    left = [] if caps.minutes is None else [caps.minutes * 60 - seconds]
    spent = [(ended, assignments), (ledger.calls, caps.calls), (ledger.tokens, caps.tokens)]
    spent_all: list[tuple[float | None, float | None]] = [*spent, (ledger.dollars, caps.dollars)]
    left += [seconds * (cap - used) / used for used, cap in spent_all if used and cap is not None]
    return max(0.0, min(left)) if left else None


def sparkline(curve: Sequence[tuple[int, float]], calls: int, width: int) -> str:
    """A chart of the best value over calls, with `width` columns from the first value to now."""
    if not curve:
        return ""
    start, values = curve[0][0], [value for _, value in curve]
    low, span = min(values), max(values) - min(values)
    bars = []
    for column in range(width):
        until = start + (calls - start) * (column + 1) / width
        value = max(value for at, value in curve if at <= until or at == start)
        bars.append(BARS[round((value - low) / span * (len(BARS) - 1))] if span else BARS[0])
    return "".join(bars)


def clock(seconds: float) -> str:
    """`0:07`, `12:34` or `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def dollars(amount: float | None) -> str:
    """The amount, or `unknown` if a price is not known."""
    if amount is None:
        return "unknown (a price is not set)"
    return f"${amount:,.4f}" if amount else "$0"


def estimated(some: int, calls: int) -> str:
    """A suffix for tokens and cost: the number of calls for which they are estimated; "" if none."""
    return f" (estimated for {some:,} of {calls:,} calls)" if some else ""


def capped(used: int, cap: int | None) -> str:
    """`used`, and the cap if there is one."""
    return f"{used:,}" if cap is None else f"{used:,} / {cap:,}"
