"""A search, or a sweep of them, in front of a person: with logs, a view, and what Ctrl-C does."""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskStatus
from rich.console import Console

from agents.ring.team import only
from agents.runs.configuration import Configuration
from agents.runs.grid import Cell, Grid
from agents.runs.models import secrets
from agents.runs.result import Result
from agents.runs.run_directory import LOG
from agents.runs.search import Run, open_run
from agents.runs.sweep import INTERRUPTED, Row, Sweep
from agents.views.logs import RunLog, open_log
from agents.views.sweeping import watch_sweep
from agents.views.terminal import watch

T = TypeVar("T")
Stop = Callable[[str], Coroutine[Any, Any, None]]
"""Lets what is in flight end, for a reason."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def train(
    configuration: Configuration,
    environ: Mapping[str, str],
    directory: Path | None,
    console: Console,
    verbosity: int,
) -> tuple[Path, Result | None]:
    """Search, shown on `console` and logged; the run directory and the result, None if it was stopped at once.

    :raises PromptFlowError: as `open_run` and `Run.search`.
    """
    async with open_run(configuration, environ, directory) as run:
        assignments = configuration.search.assignments
        with (
            open_log(run.directory / LOG, console, verbosity, secrets(configuration, environ)) as logger,
            watch(console, run.ledger, run.task.name, assignments, time.monotonic) as view,
        ):
            log = RunLog(logger)
            for observer in (log, view):
                run.bus.tap(observer.observe)
                run.ledger.tap(observer.called)
                run.ledger.watch(observer.noticed)
            log.started(configuration, run.task, run.directory)
            try:
                result = await interruptible(run.search, run.team.stop, view.say)
            except Exception as error:
                log.failed(error)
                raise
            if result is not None:
                log.finished(result)
        return run.directory, result


async def sweep(
    grid: Grid, environ: Mapping[str, str], console: Console, verbosity: int
) -> tuple[Sequence[Row], bool]:
    """Run what is left of a grid, shown on `console` and logged; the rows of all that has ended, and whether that is
    every cell.

    :raises PromptFlowError: as `Sweep.run`.
    """
    with watch_sweep(console, grid, time.monotonic) as view:

        @contextmanager
        def attend(cell: Cell, run: Run) -> Iterator[None]:
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
