"""One search in front of a person: with its log, its view, and what Ctrl-C does."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import Path

import anyio
from anyio.abc import TaskStatus
from rich.console import Console

from agents.ring.team import only
from agents.runs.configuration import Configuration
from agents.runs.models import secrets
from agents.runs.result import Result
from agents.runs.run_directory import LOG
from agents.runs.search import Run, open_run
from agents.views.logs import RunLog, open_log
from agents.views.terminal import View, watch

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
            log.started(configuration, run.task, run.directory)
            try:
                result = await interruptible(run, view)
            except Exception as error:
                log.failed(error)
                raise
            if result is not None:
                log.finished(result)
        return run.directory, result


async def interruptible(run: Run, view: View) -> Result | None:
    """The result; the first signal lets what is in flight end, the second cancels it, and there is no result.

    :raises Exception: what the search raised, with its own traceback.
    """
    failed: BaseException | None = None
    result: Result | None = None
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(_obey_signals, run, view, tasks)
            result = await run.search()
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failed = only(group)
    if failed is not None:
        raise failed
    return result


async def _obey_signals(run: Run, view: View, tasks: anyio.abc.TaskGroup, *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        task_status.started()
        stopping = False
        async for _ in signals:
            if stopping:
                tasks.cancel_scope.cancel()
                return
            stopping = True
            view.say("Stopping: what is in flight ends and the test split is read. Ctrl-C again stops at once.")
            tasks.start_soon(run.team.stop, "interrupted", name="stop")
