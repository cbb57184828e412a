"""A search, or a sweep of them, in front of a person: with logs, a view, and what Ctrl-C does."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.abc import TaskStatus
from rich.console import Console
from rich.text import Text

from agents.ring.team import only
from agents.runs.budget import caps, kept_prices
from agents.runs.configuration import Configuration
from agents.runs.finished import INTERRUPTED, finished
from agents.runs.grid import Cell, Grid
from agents.runs.loading import remarks
from agents.runs.models import secrets
from agents.runs.opening import open_run
from agents.runs.progress import progress_of
from agents.runs.replay import Replayed, replay
from agents.runs.run_directory import JOURNAL, LOG, read_configuration
from agents.runs.search import Run
from agents.runs.steering import Steering
from agents.runs.sweep import Row, Sweep
from agents.views.logs import RunLog, open_log
from agents.views.page.buttons import buttons
from agents.views.page.feed import Feed
from agents.views.page.report import add_report
from agents.views.page.serving import shown
from agents.views.sweeping import watch_sweep
from agents.views.terminal import watch
from memory.journal import Call
from protocols.errors import ConfigError
from protocols.messages import Envelope, Resumed
from protocols.wrappers.ledger import Account, Attempt, Books, Ledger, Saved

if TYPE_CHECKING:
    from agents.views.spans import Spans

T = TypeVar("T")
Stop = Callable[[str], Coroutine[Any, Any, None]]
"""Lets what is in flight end, for a reason."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Trained:
    """`result` as result.json says it, None if the run was stopped at once. `already`: it had ended before."""

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
    """Search, shown on `console` and logged, or go on with the search that the directory holds. `port`: where it is
    shown in the browser, too, 0 for any that is free.

    :raises PromptFlowError: as `finished`, `open_run` and `Run.search`.
    """
    if ended := finished(configuration, directory):
        return Trained(*ended, already=True)
    async with open_run(configuration, environ, directory) as run, show_in_browser(run, port, console):
        assignments, so_far = configuration.search.assignments, progress_of(run.directory / JOURNAL)
        with (
            ExitStack() as stack,
            open_log(run.directory / LOG, console, verbosity, secrets(configuration, environ)) as logger,
            watch(console, run.ledger, run.task.name, assignments, time.monotonic, deepcopy(so_far)) as view,
        ):
            log = RunLog(logger, so_far)
            for observer in (log, view):
                run.bus.tap(observer.observe)
                run.ledger.tap(observer.called)
                run.ledger.watch(observer.noticed)
            if configuration.run.spans:
                spans = stack.enter_context(load_spans()(run.record.run))
                run.bus.tap(spans.observe)
                run.journal.tap(spans.called)
            log.started(configuration, run.task, run.directory, run.resumed)
            for remark in remarks(run.first, run.task) if not run.resumed else ():
                view.say(f"Look at the prompt: {remark}")
            if run.resumed:
                view.say(f"Going on after {so_far.ended} assignments.")
            try:
                result = await interruptible(run.search, run.team.stop, view.say)
            except Exception as error:
                log.failed(error)
                raise
            if result is not None:
                log.finished(result)
                await add_report(run.directory, view.say)
        return Trained(run.directory, None if result is None else asdict(result))


def load_spans() -> Callable[[str], AbstractContextManager[Spans]]:
    """:raises ConfigError: OpenTelemetry is not installed."""
    try:
        from agents.views.spans import open_spans
    except ImportError as error:
        raise ConfigError(
            f"run.spans needs the extra otel: pip install 'promptflow-agents[otel]' ({error})"
        ) from None
    return open_spans


async def show_again(directory: Path, console: Console, speed: float | None) -> Replayed:
    """Replay a run as the live view would have shown it, `speed` times as fast; None: as fast as may be.

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
                await anyio.sleep(max(0.0, event.time - moment) / speed)
            if not moment or resumed:  # nobody worked meanwhile
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


@asynccontextmanager
async def show_in_browser(run: Run, port: int | None, console: Console) -> AsyncIterator[None]:
    """Show a run of this process in the browser while the block runs, and its end; None: do not."""
    if port is None:
        yield
        return
    feed = Feed(run.directory, lambda: run.bus.traffic)

    async def observe(envelope: Envelope) -> None:
        feed.wake()

    run.bus.tap(observe)
    run.journal.tap(lambda call: feed.wake())
    async with shown(feed, port, partial(say_on, console), steering=buttons(run.directory)):
        yield


async def watch_run(directory: Path, console: Console, port: int) -> None:
    """Show a run in the browser, finished or going on in another process, until a signal ends that.

    :raises ConfigError, MemoryMismatch, StorageFailed: it is no run directory, damaged, or the port cannot be had.
    """
    feed = Feed(directory)
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        async with shown(feed, port, partial(say_on, console), directory, buttons(directory)):
            await anext(signals)


def say_on(console: Console, text: str) -> None:
    """For the person alone: the console is no log."""
    console.print(Text(text), soft_wrap=True)


async def sweep(
    grid: Grid, environ: Mapping[str, str], console: Console, verbosity: int
) -> tuple[Sequence[Row], bool]:
    """Run what is left of a grid, shown on `console` and logged; the rows of all that has ended, and whether that is
    every cell.

    :raises PromptFlowError: as `Sweep.run`.
    """
    with watch_sweep(console, grid, time.monotonic) as view:

        @asynccontextmanager
        async def attend(cell: Cell, run: Run) -> AsyncIterator[None]:
            keys = secrets(cell.configuration, environ)
            with open_log(run.directory / LOG, console, verbosity, keys) as logger, view.attend(cell, run):
                log = RunLog(logger.bind(cell=cell.name))
                run.bus.tap(log.observe)
                run.ledger.tap(log.called)
                log.started(cell.configuration, run.task, run.directory)
                try:
                    yield
                except Exception as error:
                    log.failed(error)
                    raise
                await add_report(run.directory, view.say)

        work = Sweep(grid, environ, attend, view.ended)
        await interruptible(work.run, work.stop, view.say)
    order = {cell.name: place for place, cell in enumerate(grid.cells)}
    return sorted(work.rows, key=lambda row: order[row.cell]), len(work.rows) == len(grid.cells)


async def interruptible(work: Callable[[], Awaitable[T]], stop: Stop, say: Callable[[str], None]) -> T | None:
    """What the work returns; the first signal lets what is in flight end, the second cancels it: then None.

    :raises Exception: what the work raised, with its own traceback.
    """
    failed: BaseException | None = None
    result: T | None = None
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(_obey_signals, stop, say, tasks)
            result = await work()
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failed = only(group)
    if failed is not None:
        raise failed
    return result


async def _obey_signals(
    stop: Stop,
    say: Callable[[str], None],
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
            say("Stopping: what is in flight ends and the test split is read. Ctrl-C again stops at once.")
            tasks.start_soon(stop, INTERRUPTED, name="stop")
