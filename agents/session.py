"""Log, views, spans, page and report of a search, for every command and for Python."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus
from rich.console import Console
from rich.text import Text

from agents.archive.ends import INTERRUPTED
from agents.config.configuration import Configuration
from agents.config.loading import doubts, remarks
from agents.config.roles import secrets
from agents.directory.begun_with import later_labels
from agents.directory.run_directory import LOG
from agents.history.progress import progress_of
from agents.models.accounts import Accounts
from agents.models.quotas import QuotaFiles, Quotas
from agents.results.result import Result
from agents.ring.team import only
from agents.run.opening import open_run
from agents.run.search import Run
from agents.views.live.sweeping import SweepView
from agents.views.live.terminal import View
from agents.views.live.waiting import Silence, for_person, in_words, stopping
from agents.views.page.buttons import buttons
from agents.views.page.feed import Feed
from agents.views.page.report import add_report
from agents.views.page.serving import shown
from agents.views.telemetry.logs import RunLog, open_log
from agents.views.telemetry.tracking import check_tracker, tracked, trackers_of
from protocols.concurrency.threads import entered, in_thread
from protocols.errors import ConfigError
from protocols.messages import Envelope

if TYPE_CHECKING:
    from agents.views.telemetry.spans import Spans

Say = Callable[[str], None]


T = TypeVar("T")
Stop = Callable[[str], Coroutine[Any, Any, None]]
"""Stops the work for a given reason; calls in flight still end."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Session:
    """Opens, logs, shows, traces and reports every run of one command or program in the same way, counts the calls of
    all of them together, and tells a person what they wait for.

    `console` None: nothing is shown. `verbosity`: see `open_log`. `quotas`: shares limits with other processes; None:
    with those of this user on this machine.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        console: Console | None = None,
        verbosity: int = 0,
        quotas: Quotas | None = None,
    ) -> None:
        self.environ, self.accounts = environ, Accounts(quotas or QuotaFiles(environ, self._wait))
        self._console, self._verbosity = console or Console(quiet=True), verbosity
        self.say: Say = partial(say_on, self._console)
        self.accounts.calls.tell = self._tell
        self._view: View | SweepView | None = None
        self._waiting: list[Say] = []
        self._asked: Callable[[], str] = str
        self._silence = Silence(lambda: in_words(self.accounts.waits()) or self._asked(), self._wait)

    @asynccontextmanager
    async def opened(
        self, configuration: Configuration, directory: Path | None, port: int | None = None
    ) -> AsyncIterator[Run]:
        """Open a run that shares nothing with others, and show it in the browser if there is a `port`.

        :raises PromptFlowError: as `check_tools`, `open_run` and `show_in_browser`.
        """
        check_tools([configuration])
        async with (
            self.accounts.sharing(),
            open_run(configuration, self.environ, directory, self.accounts) as run,
            show_in_browser(run, port, self._console) as shown_anew,
        ):
            self._waiting.append(lambda line: shown_anew())
            yield run

    def show(self, view: View | SweepView) -> None:
        """Show everything in `view` from now on."""
        self._view, self.say, view.hear = view, view.say, self._silence.hear

    async def search(self, run: Run, view: View | None = None, cell: str | None = None) -> Result:
        """Search; log it, show it in `view`, send its spans, track it, and write its report. `cell`: its name in a
        sweep.

        :raises ConfigError: as `check_tools`.
        :raises StorageFailed: the log cannot be opened.
        :raises PromptFlowError: as `Run.search`.
        """
        so_far = await in_thread(progress_of, run.directory)
        async with AsyncExitStack() as stack:
            keys = secrets(run.configuration, self.environ)
            logger = stack.enter_context(open_log(run.directory / LOG, self._console, self._verbosity, keys))
            log = RunLog(logger.bind(cell=cell) if cell else logger, so_far)
            self._waiting.append(log.waits)
            stack.callback(self._waiting.remove, log.waits)
            for onlooker in (log, view) if view else (log,):
                run.bus.tap(onlooker.observe)
                run.ledger.tap(onlooker.called)
                run.ledger.watch(onlooker.noticed)
            if run.configuration.run.spans:
                await stack.enter_async_context(spans_of(run))
            tell = self.say if self._view else log.told
            found = await stack.enter_async_context(tracked(run, self.environ, keys, tell))
            later = await in_thread(later_labels, run.configuration, run.directory) if run.resumed else ""
            self._introduce(run, log, later, alone=cell is None)
            for doubt in await in_thread(doubts, run.configuration) if not run.resumed else ():
                tell(doubt)
            if run.configuration.search.review:
                self._asked = lambda: for_person(run.controller.waiting, run.directory)
            try:
                result = await run.search()
            except Exception as error:
                log.failed(error)
                raise
            log.finished(result)
            await add_report(run.directory, tell)
            found(result)
            return result

    def _introduce(self, run: Run, log: RunLog, later: str, alone: bool) -> None:
        say = self.say if self._view else log.told
        if alone:
            run.hearing.watcher.tap(say)
        log.started(run.configuration, run.task, run.directory, run.resumed)

        def tell(line: str) -> None:
            log.looked(line, aloud=not self._view)
            if self._view:
                say(line)

        run.say = tell
        run.evaluator.unanswered.tell = log.program_failed
        for line in run.loads:
            say(line)
        if later:
            say(later)
        for remark in remarks(run.first, run.task) if not run.resumed else ():
            log.doubted(remark, aloud=alone)

    async def waited_for(
        self, work: Callable[[], Awaitable[T]], stop: Stop | None = None, then: Callable[[], str] = str
    ) -> T | None:
        """Return the result of the work, and tell a person meanwhile if there is no output for long. With `stop`, the
        first signal calls `stop`, after a message that says what happens `then`; calls in flight still end. The
        second signal cancels the work; the result is None.

        :raises Exception: as raised by the work, with its own traceback.
        """
        failed: BaseException | None = None
        result: T | None = None
        try:
            async with anyio.create_task_group() as tasks:
                if stop:
                    await tasks.start(self._obey_signals, stop, then, tasks)
                tasks.start_soon(self._silence.watch, name="silence")
                async with self.accounts.sharing():
                    result = await work()
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            failed = only(group)
        if failed is not None:
            raise failed
        return result

    async def _obey_signals(
        self, stop: Stop, then: Callable[[], str], tasks: TaskGroup, *, task_status: TaskStatus[None]
    ) -> None:
        with anyio.open_signal_receiver(*SIGNALS) as signals:
            task_status.started()
            await anext(signals)
            self.say(stopping(self.accounts.waits(), then()))
            tasks.start_soon(stop, INTERRUPTED, name="stop")
            await anext(signals)
            tasks.cancel_scope.cancel()

    def _wait(self, line: str) -> None:
        for tell in (self._view.wait if self._view else self.say, *self._waiting):
            tell(line)

    def _tell(self, line: str) -> None:
        for tell in (self.say, *self._waiting):
            tell(line)


@asynccontextmanager
async def spans_of(run: Run) -> AsyncIterator[None]:
    """Send the spans of a run while the block runs, and the rest at its end, without blocking the event loop.

    :raises ConfigError: as `check_tools`.
    """
    async with entered(load_spans()(run.record.run, run.configuration.run.spans_texts)) as spans:
        run.bus.tap(spans.observe)
        run.journal.tap(spans.called)
        yield


def check_tools(configurations: Sequence[Configuration]) -> None:
    """:raises ConfigError: a configuration asks for spans or names a tracker, and its library is not installed."""
    if any(configuration.run.spans for configuration in configurations):
        load_spans()
    for name in {name for configuration in configurations for name in trackers_of(configuration)}:
        check_tracker(name)


def load_spans() -> Callable[[str, bool], AbstractContextManager[Spans]]:
    """:raises ConfigError: OpenTelemetry is not installed."""
    try:
        from agents.views.telemetry.spans import open_spans
    except ImportError as error:
        raise ConfigError(
            f"run.spans needs the extra otel: pip install 'promptflow-agents[otel]' ({error})"
        ) from None
    return open_spans


@asynccontextmanager
async def show_in_browser(run: Run, port: int | None, console: Console) -> AsyncIterator[Callable[[], None]]:
    """Show a run of this process in the browser while the block runs, and its end. `port` None: do not show it.
    Yields a function that refreshes the page."""
    if port is None:
        yield lambda: None
        return
    feed = await in_thread(Feed, run.directory, lambda: run.bus.traffic)

    async def observe(envelope: Envelope) -> None:
        feed.wake()

    run.bus.tap(observe)
    run.journal.tap(lambda call: feed.wake())
    steering = await in_thread(buttons, run.directory)
    async with shown(feed, port, partial(say_on, console), steering=steering):
        yield feed.wake


def say_on(console: Console, text: str) -> None:
    """Print a line for the person; it does not go to the log."""
    console.print(Text(text), soft_wrap=True)
