"""A run in an experiment tracker: its settings, the figures of each assignment, and what it found.

Calls of a tracker are made one after the other in a thread. A tracker that fails or hangs costs its entries and never
the search.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.streams.memory import MemoryObjectReceiveStream

from agents.config.configuration import Configuration
from agents.config.extensions import TRACKERS
from agents.directory.run_directory import BEST, REPORT, RESULT
from agents.history.progress import progress_of
from agents.history.table import row_of
from agents.results.result import Result
from agents.ring.team import only
from agents.run.search import Run
from agents.views.telemetry.logs import Redact
from agents.views.telemetry.tracker import Beginning, Tracker
from protocols.concurrency.threads import in_thread
from protocols.errors import ConfigError
from protocols.messages import Envelope, Fault
from protocols.text import LONGEST_REASON, one_line

WAITING = 1024
"""Maximum number of rows that wait for a tracker; when there are more, rows are lost."""
LAST_SECONDS = 60.0
"""Time limit for the remaining rows and the files after the search, in seconds."""
LEAVING_SECONDS = 5.0
"""The same after a second Ctrl-C."""
FAILURES = 3
"""Failures in a row after which a tracker is left alone."""
KEYS = ("WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Variables with the keys of trackers."""
FIGURES = ("value", "best", "gain", "error", "length", "calls", "tokens", "dollars")
"""The columns of a `Row` that are figures."""
LONGEST_SETTING = 500
"""Most characters of a setting: as many as every version of MLflow takes."""


Say = Callable[[str], None]


@asynccontextmanager
async def tracked(
    run: Run, environ: Mapping[str, str], secrets: Collection[str], say: Say
) -> AsyncIterator[Callable[[Result], None]]:
    """Track a run with every tracker that its configuration names, while the block runs. Yields a function for the
    result. `say` tells the person of a tracker that failed at the end; earlier failures are recorded as `Fault`.

    :raises Exception: as the block.
    """
    results: list[Result] = []
    named = trackers_of(run.configuration)
    if not named:
        yield results.append
        return
    redact = Redact({*secrets, *(environ.get(name, "") for name in KEYS)})
    settings = dict(settings_of(run.configuration, redact))
    beginning = Beginning(run.record.run, run.task.name, run.directory, settings)
    watching = [_Watching(name, partial(open_tracker, name, environ), run, _Telling(redact, say)) for name in named]
    rows = _Rows(run, watching, await in_thread(progress_of, run.directory))
    run.bus.tap(rows.observe)
    failed: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            for each in watching:
                tasks.start_soon(each.watch, beginning, results, name=each.name)
            try:
                yield results.append
            finally:
                for each in watching:
                    each.send.close()
                tasks.cancel_scope.deadline = anyio.current_time() + LAST_SECONDS
    except BaseExceptionGroup as group:
        failed = only(group)
    if failed is not None:
        raise failed
    for each in watching:
        if not each.left:
            say(f"{each.name} took over {LAST_SECONDS:.0f} seconds at the end, and may lack the result of this run")


@dataclass(frozen=True, slots=True)
class _Telling:
    """How the person is told of a failure, without keys."""

    redact: Redact
    say: Say

    def reason(self, error: Exception) -> str:
        """The error on one line."""
        [text] = self.redact(None, "", {"": f"{type(error).__name__}: {error}"}).values()
        return one_line(without_password(text), LONGEST_REASON)


class _Measured(NamedTuple):
    """The figures of an assignment that has ended, by the envelope `cause`."""

    cause: int
    assignment: int
    figures: Mapping[str, float]


class _Watching:
    """One tracker at its work."""

    def __init__(self, name: str, make: Callable[[], Tracker], run: Run, telling: _Telling) -> None:
        self.name, self._make, self._run, self._telling = name, make, run, telling
        self.send, self._rows = anyio.create_memory_object_stream[_Measured](WAITING)
        self._turn = CapacityLimiter(1)
        self._raised, self.left = 0, False

    async def watch(self, beginning: Beginning, results: Sequence[Result]) -> None:
        """Track until the rows end, and then the result, if there is one; `left` says that nothing hangs."""
        limit = LEAVING_SECONDS
        async with self._rows as rows:
            tracker = await self._call(self._make)
            if tracker is None or not await self._call(lambda: (tracker.begin(beginning), True)):
                self.left = True
                return
            try:
                await self._follow(tracker, rows)
                limit = LAST_SECONDS
            finally:
                self.left = self._raised >= FAILURES
                if not self.left:
                    with anyio.move_on_after(limit, shield=True):
                        figures = dict(summary(results[-1])) if results else {}
                        files = await in_thread(files_of, beginning.directory)
                        await self._call(partial(tracker.end, figures, files, failed=not results), at_the_end=True)
                        self.left = True

    async def _follow(self, tracker: Tracker, rows: MemoryObjectReceiveStream[_Measured]) -> None:
        async for cause, assignment, figures in rows:
            await self._call(partial(tracker.measured, assignment, figures), cause)
            if self._raised >= FAILURES:
                return

    async def _call(self, work: Callable[[], Any], cause: int | None = None, at_the_end: bool = False) -> Any:
        """The result, or None after an exception, of which the person and the journal are told."""
        try:
            done = await to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._turn)
        except Exception as error:
            self._raised += 1
            reason = self._telling.reason(error)
            if at_the_end:
                self._telling.say(f"{self.name}: {reason}; the run itself is complete")
            else:
                await self._run.bus.note(Fault(self.name, reason), sender=self.name, cause=cause)
            return None
        self._raised = 0
        return done


class _Rows:
    """Passes a row for each assignment that ends to the trackers."""

    def __init__(self, run: Run, watching: Sequence[_Watching], progress: Any) -> None:
        self._run, self._watching, self._progress = run, watching, progress

    async def observe(self, envelope: Envelope) -> None:
        ending = self._progress.follow(envelope)
        if ending is None:
            return
        best, ledger = self._progress.best, self._run.ledger
        row = row_of(ending, best.value if best else None, ledger.calls, ledger.tokens, ledger.dollars)
        figures = {name: float(value) for name in FIGURES if isinstance(value := row[name], int | float)}
        figures |= {f"value.{plain(name)}": value for name, value in ending.models.items()}
        for each in self._watching:
            try:
                each.send.send_nowait(_Measured(envelope.id, ending.assignment, figures))
            except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                continue  # it is too slow, or has been left alone


def trackers_of(configuration: Configuration) -> list[str]:
    """The trackers that a configuration names, each once."""
    named = (observer.use for observer in configuration.agents.observers if not observer.nameless)
    return [*dict.fromkeys(name for name in named if name in TRACKERS)]


def check_tracker(name: str) -> None:
    """:raises ConfigError: its library is not installed."""
    if find_spec(name) is None:
        raise ConfigError(f"agents.observers: {name} needs the extra {name}: pip install 'promptflow-agents[{name}]'")


def open_tracker(name: str, environ: Mapping[str, str]) -> Tracker:
    """A tracker; its library is imported, which takes seconds."""
    if name == "mlflow":
        from agents.views.telemetry.to_mlflow import MLflow

        return MLflow(environ)
    from agents.views.telemetry.to_wandb import WandB

    return WandB(environ)


def settings_of(configuration: Configuration, secrets: Redact) -> Iterator[tuple[str, str]]:
    """The settings by dotted key, without keys, and those that are not set."""
    document = configuration.model_dump(mode="json", exclude_none=True, exclude={"origin"})
    for key, text in flat(secrets(None, "", document)):
        yield key, without_password(text)


def without_password(text: str) -> str:
    """The text without names and passwords in addresses."""
    return re.sub(r"://[^/@\s]*@", "://", text)


def flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested tables, as texts of one line; empty ones are left out."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from flat(inner, f"{key}.{name}" if key else str(name))
    elif text := one_line(str(value) if not isinstance(value, list) else ", ".join(map(str, value)), LONGEST_SETTING):
        yield key, text


def summary(result: Result) -> Iterator[tuple[str, float]]:
    """The figures of a result."""
    yield from (("first", result.first.value), ("best", result.best.value))
    if result.test is not None:
        yield from (("test_first", result.test.first), ("test_best", result.test.best))
        yield "test_difference", result.test.difference
    if result.length is not None:
        yield from (("length_first", result.length.first), ("length_best", result.length.best))
    yield from (("calls", sum(result.calls.values())), ("tokens", sum(result.tokens.values())))
    if result.dollars is not None:
        yield "dollars", result.dollars
    yield "seconds", result.seconds
    for name, of in result.by_model.items():
        yield from ((f"first.{plain(name)}", of.first), (f"best.{plain(name)}", of.best))
        if of.test is not None:
            yield from ((f"test_first.{plain(name)}", of.test.first), (f"test_best.{plain(name)}", of.test.best))
            yield f"test_difference.{plain(name)}", of.test.difference
        yield f"calls.{plain(name)}", of.spent.calls
        if of.spent.dollars is not None:
            yield f"dollars.{plain(name)}", of.spent.dollars


def plain(model: str) -> str:
    """The name of a model in that of a figure; a stroke would make a group of figures."""
    return re.sub(r"[^\w.-]+", ".", model)


def files_of(directory: Path) -> list[Path]:
    """The result, the best prompt with what belongs to it, and the report, as far as there are any."""
    return [path for name in (*BEST, RESULT, REPORT) if (path := directory / name).exists()]
