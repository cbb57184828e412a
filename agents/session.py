"""Searches and sweeps in a terminal: with logs, a live view, and a clean stop on Ctrl-C."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio import to_thread
from anyio.abc import TaskStatus
from rich.console import Console

from agents.archive.ends import INTERRUPTED
from agents.attached import attached, check_spans, say_on, show_in_browser
from agents.check import doctor
from agents.check.findings import Diagnosis
from agents.config.configuration import Configuration
from agents.config.loading import remarks
from agents.directory.run_directory import read_configuration
from agents.history.progress import progress_of
from agents.history.replay import Replayed, replay
from agents.models.budget import caps, kept_prices
from agents.results.finished import finished
from agents.ring.team import only
from agents.run.opening import open_run
from agents.run.scoring import Scored, score
from agents.run.search import Run
from agents.run.steering import Steering
from agents.study.grid import Cell, Grid
from agents.study.sweep import Row, Sweep
from agents.views.live.sweeping import watch_sweep
from agents.views.live.terminal import watch
from agents.views.live.waiting import Silence, in_words, stopping
from agents.views.logs import RunLog
from agents.views.page.buttons import buttons
from agents.views.page.feed import Feed
from agents.views.page.serving import shown
from memory.journals.journal import Call
from protocols.budget.ledger import Account, Attempt, Books, Ledger, Saved
from protocols.errors import Interrupted
from protocols.messages import Envelope, Resumed
from protocols.pacing.waiting import Patience
from protocols.task import SplitName
from protocols.wrappers.accounts import Accounts

T = TypeVar("T")
Stop = Callable[[str], Coroutine[Any, Any, None]]
"""Stops the work for the given reason, after the calls in flight have ended."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
THEN_TEST = "then the test split is read, if the model answers"
NO_RESULT = "the first prompt is not evaluated yet, so there is no result"
LONGEST_STILL = 5.0
"""Longest wait of a replay between two events, in seconds: a longer gap is a pause of the run or a changed clock."""


@dataclass(frozen=True, slots=True)
class Trained:
    """`result`: the content of result.json, None if the run was stopped at once. `already`: the run had finished
    before this command."""

    directory: Path
    result: Mapping[str, Any] | None
    already: bool = False


async def train(
    configuration: Configuration,
    environ: Mapping[str, str],
    directory: Path | None,
    console: Console,
    verbosity: int,
    port: int | None = None,
) -> Trained:
    """Run a search, or resume that of the directory; it is shown on `console` and logged. `port`: port of the page in
    the browser, 0 for any free one; None: no page.

    :raises PromptFlowError: as `finished`, `open_run` and `Run.search`.
    """
    if ended := finished(configuration, directory):
        return Trained(*ended, already=True)
    check_spans([configuration])
    async with open_run(configuration, environ, directory) as run, show_in_browser(run, port, console) as shown_anew:
        assignments = configuration.search.assignments
        so_far = await to_thread.run_sync(progress_of, run.directory)
        with watch(console, run.ledger, run.task.name, assignments, time.monotonic, so_far) as view:
            if so_far.stands:
                view.say(f"Going on after {so_far.stands} assignments.")
            try:
                async with attached(run, environ, console, verbosity, [view], view.say) as log:

                    def wait(line: str) -> None:
                        view.wait(line)
                        log.waits(line)
                        shown_anew()

                    def announce() -> None:
                        first = run.controller.first
                        view.say(stopping(run.accounts.waits(), NO_RESULT if first is None else THEN_TEST))

                    silence = Silence(lambda: in_words(run.accounts.waits()), wait)
                    view.hear = silence.hear
                    result = await interruptible(run.search, run.stop, announce, silence)
            except Interrupted as error:
                raise Interrupted(f"{error}; {goes_on(run.directory)}") from None
        return Trained(run.directory, None if result is None else asdict(result))


async def show_again(directory: Path, console: Console, speed: float | None) -> Replayed:
    """Replay a run in the live view, `speed` times as fast as it ran; None: without waiting.

    :raises PromptFlowError: as `replay`.
    """
    configuration, moment = read_configuration(directory), 0.0
    ledger = Ledger(caps(configuration.budget), kept_prices(directory, configuration), lambda: moment)
    with watch(console, ledger, configuration.task.name, configuration.search.assignments, time.monotonic) as view:
        steering = Steering(configuration, ledger)

        async def see(event: Envelope | Call) -> None:
            nonlocal moment
            resumed = isinstance(event, Envelope) and isinstance(event.message, Resumed)
            if moment and speed and not resumed:
                await anyio.sleep(min(LONGEST_STILL, max(0.0, event.time - moment) / speed))
            if not moment or resumed:  # no process worked on the run in between
                ledger.go_on()
                ledger.take_up(Books((), Saved(), moment - event.time))
            moment = max(moment, event.time)
            if isinstance(event, Envelope):
                await steering.observe(event)
                await view.observe(event)
            else:
                failed = int(event.error is not None)
                made = Account(event.role, event.model, 1, failed, usage=event.usage, seconds=event.seconds)
                ledger.take_up(Books((made,), Saved(), 0.0))
                view.called(Attempt(event.role, event.model, None))

        return await replay(directory, see)


async def watch_run(directory: Path, console: Console, port: int) -> None:
    """Show a run in the browser until a signal comes. The run may be finished, or running in another process.

    :raises ConfigError, MemoryMismatch, StorageFailed: the directory is not a run directory, or is damaged, or the
        port cannot be used.
    """
    feed = Feed(directory)
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        async with shown(feed, port, partial(say_on, console), directory, buttons(directory)):
            await anext(signals)


async def sweep(
    grid: Grid, environ: Mapping[str, str], console: Console, verbosity: int
) -> tuple[Sequence[Row], bool]:
    """Run the unfinished cells of a grid, shown on `console` and logged. Returns the rows of all finished cells, and
    whether these are all cells of the grid.

    :raises PromptFlowError: as `Sweep.run`.
    """
    check_spans([cell.configuration for cell in grid.cells])
    accounts, logs, told = Accounts(), set[RunLog](), set[tuple[str, str]]()
    with watch_sweep(console, grid, time.monotonic) as view:

        def wait(line: str) -> None:
            view.wait(line)
            for log in logs:
                log.waits(line)

        def announce() -> None:
            view.say(stopping(accounts.waits(), THEN_TEST))

        silence = Silence(lambda: in_words(accounts.waits()), wait)
        view.hear = silence.hear

        @asynccontextmanager
        async def attend(cell: Cell, run: Run) -> AsyncIterator[None]:
            with view.attend(cell, run):
                if (cell.task, cell.setting) not in told:  # once for all seeds
                    told.add((cell.task, cell.setting))
                    for remark in remarks(run.first, run.task) if not run.resumed else ():
                        view.say(f"{cell.task}: look at the first prompt: {remark}")
                async with attached(run, environ, console, verbosity, say=view.say, cell=cell.name) as log:
                    logs.add(log)
                    try:
                        yield
                    finally:
                        logs.discard(log)

        work = Sweep(grid, environ, attend, view.ended, accounts, view.say)
        await interruptible(work.run, work.stop, announce, silence)
    order = {cell.name: place for place, cell in enumerate(grid.cells)}
    return sorted(work.rows, key=lambda row: order[row.cell]), len(work.rows) == len(grid.cells)


async def evaluate(
    configuration: Configuration, environ: Mapping[str, str], path: Path, split: SplitName, console: Console
) -> Scored:
    """Score a prompt file, see `score`. After a signal, calls in flight end, and the answers so far are scored.

    :raises Interrupted: a person stopped it before there was an answer.
    :raises PromptFlowError: as `score`.
    """
    accounts = Accounts()
    patience = Patience(accounts.calls)
    say = partial(say_on, console)

    async def stop(reason: str) -> None:
        patience.stop()

    def announce() -> None:
        say(stopping(accounts.waits(), "what was answered is scored"))

    silence = Silence(lambda: in_words(accounts.waits()), say)
    scored = await interruptible(
        partial(score, configuration, environ, path, split, accounts, patience), stop, announce, silence
    )
    if scored is None:
        raise Interrupted("stopped at once")
    return scored


async def diagnose(
    path: Path,
    settings: Sequence[str],
    environ: Mapping[str, str],
    offline: bool,
    console: Console,
    headroom: bool = False,
) -> Diagnosis:
    """Check a configuration, see `doctor.diagnose`, and report calls that are slow to answer."""
    accounts = Accounts()
    silence = Silence(lambda: in_words(accounts.waits()), partial(say_on, console))
    failed: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(silence.watch, name="silence")
            tell = partial(say_on, console) if headroom else None
            diagnosis = await doctor.diagnose(path, settings, environ, offline, accounts, tell)
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failed = only(group)
    if failed is not None:
        raise failed
    return diagnosis


async def interruptible(
    work: Callable[[], Awaitable[T]], stop: Stop, announce: Callable[[], None], silence: Silence
) -> T | None:
    """Do the work, and return its value. The first signal is announced and calls `stop`; the second cancels the work,
    and None is returned. Meanwhile slow calls are reported by `silence`.

    :raises Exception: the work raised it; it keeps its traceback.
    """
    failed: BaseException | None = None
    result: T | None = None
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(_obey_signals, stop, announce, tasks)
            tasks.start_soon(silence.watch, name="silence")
            result = await work()
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failed = only(group)
    if failed is not None:
        raise failed
    return result


async def _obey_signals(
    stop: Stop,
    announce: Callable[[], None],
    tasks: anyio.abc.TaskGroup,
    *,
    task_status: TaskStatus[None],
) -> None:
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        task_status.started()
        stopping = False
        async for _ in signals:
            if stopping:
                tasks.cancel_scope.cancel()
                return
            stopping = True
            announce()
            tasks.start_soon(stop, INTERRUPTED, name="stop")


def goes_on(directory: Path) -> str:
    """How to resume a run that was stopped before it had a result, in words."""
    return f"{directory} holds what was paid for: the same command with --out {directory} goes on"
