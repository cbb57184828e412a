"""Log, views, spans, page and report of a search, for every command and for Python."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

from anyio import CancelScope, to_thread
from rich.console import Console
from rich.text import Text

from agents.config.configuration import Configuration
from agents.config.loading import remarks
from agents.config.roles import secrets
from agents.directory.run_directory import LOG
from agents.history.progress import progress_of
from agents.run.search import Run
from agents.views.logs import RunLog, open_log
from agents.views.page.buttons import buttons
from agents.views.page.feed import Feed
from agents.views.page.report import add_report
from agents.views.page.serving import shown
from protocols.budget.budget_scope import Notice
from protocols.budget.ledger import Attempt
from protocols.errors import ConfigError
from protocols.messages import Envelope

if TYPE_CHECKING:
    from agents.views.spans import Spans

Say = Callable[[str], None]


class View(Protocol):
    """Displays the events of a run."""

    async def observe(self, envelope: Envelope) -> None:
        """Show a message of the bus."""

    def called(self, attempt: Attempt) -> None:
        """Show an attempt at a model call, which has ended."""

    def noticed(self, notice: Notice) -> None:
        """Show that a share of a cap is used."""


@asynccontextmanager
async def attached(
    run: Run,
    environ: Mapping[str, str],
    console: Console,
    verbosity: int,
    views: Sequence[View] = (),
    say: Say | None = None,
    cell: str | None = None,
) -> AsyncIterator[RunLog]:
    """Log a run, show it in the views and send its spans while the block searches, and write its report at the end.

    `say` prints a line for the person (None: the log prints it). `cell`: the name of the run in a sweep.

    :raises ConfigError: as `check_spans`.
    :raises StorageFailed: the log cannot be opened.
    """
    so_far = await to_thread.run_sync(progress_of, run.directory)
    async with AsyncExitStack() as stack:
        keys = secrets(run.configuration, environ)
        logger = stack.enter_context(open_log(run.directory / LOG, console, verbosity, keys))
        log = RunLog(logger.bind(cell=cell) if cell else logger, so_far)
        for view in (log, *views):
            run.bus.tap(view.observe)
            run.ledger.tap(view.called)
            run.ledger.watch(view.noticed)
        if run.configuration.run.spans:
            await stack.enter_async_context(spans_of(run))
        if cell is None:
            run.hearing.watcher.tap(say or log.told)
        log.started(run.configuration, run.task, run.directory, run.resumed)
        run.say = partial(_tell, log, say)
        for line in run.loads:
            (say or log.told)(line)
        for remark in remarks(run.first, run.task) if not run.resumed else ():
            log.doubted(remark, aloud=cell is None)
        try:
            yield log
        except Exception as error:
            log.failed(error)
            raise
        if run.result is not None:
            log.finished(run.result)
            await add_report(run.directory, say or log.told)


def _tell(log: RunLog, say: Say | None, line: str) -> None:
    """Write a line to the log's file, and print it with `say`, or through the log if there is none."""
    log.looked(line, aloud=say is None)
    if say is not None:
        say(line)


@asynccontextmanager
async def spans_of(run: Run) -> AsyncIterator[None]:
    """Send the spans of a run while the block runs, and the rest at its end, without blocking the event loop.

    :raises ConfigError: as `check_spans`.
    """
    opened = load_spans()(run.record.run)
    spans = opened.__enter__()
    run.bus.tap(spans.observe)
    run.journal.tap(spans.called)
    try:
        yield
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(opened.__exit__, None, None, None)


def check_spans(configurations: Sequence[Configuration]) -> None:
    """:raises ConfigError: a configuration asks for spans, and OpenTelemetry is not installed."""
    if any(configuration.run.spans for configuration in configurations):
        load_spans()


def load_spans() -> Callable[[str], AbstractContextManager[Spans]]:
    """:raises ConfigError: OpenTelemetry is not installed."""
    try:
        from agents.views.spans import open_spans
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
    feed = Feed(run.directory, lambda: run.bus.traffic)

    async def observe(envelope: Envelope) -> None:
        feed.wake()

    run.bus.tap(observe)
    run.journal.tap(lambda call: feed.wake())
    async with shown(feed, port, partial(say_on, console), steering=buttons(run.directory)):
        yield feed.wake


def say_on(console: Console, text: str) -> None:
    """Print a line for the person; it does not go to the log."""
    console.print(Text(text), soft_wrap=True)
