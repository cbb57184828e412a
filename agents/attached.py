"""What stands around a search, begun by whatever command or from Python: its log, views, spans, page and report."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

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
from protocols.threads import entered, in_thread

if TYPE_CHECKING:
    from agents.views.spans import Spans

Say = Callable[[str], None]


class View(Protocol):
    """Is shown what happens in a run."""

    async def observe(self, envelope: Envelope) -> None:
        """A message crossed the bus."""

    def called(self, attempt: Attempt) -> None:
        """An attempt at a model has ended."""

    def noticed(self, notice: Notice) -> None:
        """A share of a cap is used."""


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
    """Log a run, show it to the views and send its spans while the block searches, and write its report at the end.

    `say` tells the person (None: the log does). `cell`: its name in a sweep.

    :raises ConfigError: as `check_spans`.
    :raises StorageFailed: the log cannot be opened.
    """
    so_far = await in_thread(progress_of, run.directory)
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
    """A line for the person, who may be told by the log, and for the file."""
    log.looked(line, aloud=say is None)
    if say is not None:
        say(line)


@asynccontextmanager
async def spans_of(run: Run) -> AsyncIterator[None]:
    """Send the spans of a run; what is left at the end of the block is sent then, and nobody else waits for it.

    :raises ConfigError: as `check_spans`.
    """
    async with entered(load_spans()(run.record.run)) as spans:
        run.bus.tap(spans.observe)
        run.journal.tap(spans.called)
        yield


def check_spans(configurations: Sequence[Configuration]) -> None:
    """:raises ConfigError: one of them wants spans, and OpenTelemetry is not installed."""
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
    """Show a run of this process in the browser while the block runs, and its end; None: do not. What is given has
    the page look anew."""
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
    """For the person alone: the console is no log."""
    console.print(Text(text), soft_wrap=True)
