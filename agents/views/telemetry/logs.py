"""The log of a run: lines for people on the console, JSON lines in the run directory.

It holds no API key, and no full prompt above level debug: every entry passes `Redact` and `shorten` before it is
written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

import orjson
import structlog
from rich.console import Console
from rich.text import Text
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from agents.archive.ends import end_in_words
from agents.config.configuration import Configuration
from agents.config.roles import roles
from agents.directory.run_directory import not_written
from agents.history.progress import Ending, Progress
from agents.results.result import Result
from agents.run.steering import in_words
from agents.views.unread import first_evaluation
from protocols.budget.budget_scope import Notice
from protocols.budget.ledger import Attempt
from protocols.errors import ModelError, ProgramFailed, TemperatureRefused
from protocols.files.prompt_file import readable
from protocols.messages import FIRST, Candidate, Command, Critique, Envelope, Fault, Missing
from protocols.task import Task
from protocols.text import one_line, printable, redact

LONGEST = 300
"""Most characters of a value above debug: shorter than any prompt worth hiding, longer than any of our reasons."""

LAST = 65_536
"""Bytes at the end of a log in which its last line is searched."""
WAITING = "waiting"
"""The event of entries that tell what a run waits for."""
TRACE = 20
"""Most lines of a traceback, the last."""
IDS = 5
"""Most ids of examples in one entry."""
NO_CRITIQUE: Mapping[Missing, str] = {
    "unreadable": "the critic's reply has no <critique>, or was cut off in it",
    "refused": "the provider refused the critic's request",
    "too long": "the critic's request is longer than its model's window",
    "call": "the call to the critic's model failed",
    "budget": "a cap refused the call to the critic's model",
}
"""What a person is told of a critique that is missing."""
LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
"""The console's level by the number of -v. The file holds info and above, and debug if the console does."""


class Redact:
    """A processor that removes API keys from all values."""

    def __init__(self, secrets: Collection[str]) -> None:
        self._secrets = sorted((s for s in secrets if len(s) >= 8), key=len, reverse=True)

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        return {name: self._clean(value) for name, value in event.items()}

    def _clean(self, value: object) -> object:
        match value:
            case str():
                text = value.encode("utf-8", "replace").decode("utf-8")
                for secret in self._secrets:
                    text = text.replace(secret, "[key]")
                return redact(text, None)
            case Mapping():
                return {str(self._clean(name)): self._clean(inner) for name, inner in value.items()}
            case list() | tuple():
                return [self._clean(inner) for inner in value]
            case bool() | int() | float() | None:
                return value
            case _:
                return self._clean(str(value))


def shorten(logger: object, method: str, event: EventDict) -> EventDict:
    """A processor that cuts long texts of entries above level debug."""
    return event if method == "debug" else {name: _cut(value) for name, value in event.items()}


def _cut(value: object) -> object:
    match value:
        case str():
            return value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"
        case dict():
            return {name: _cut(inner) for name, inner in value.items()}
        case list():
            return [_cut(inner) for inner in value]
        case _:
            return value


class ToFile:
    """A processor that appends the entry to a file as one line of JSON, and passes it on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        with suppress(OSError):  # a full disk stops the run at the journal, with its own error
            self._file.write(orjson.dumps(event) + b"\n")
        return event


class ToConsole:
    """The logger at the end of the chain: prints entries of `level` or above, beside a live view if there is one."""

    def __init__(self, console: Console, level: int) -> None:
        self._console, self._level = console, level
        self._render = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=24)

    def __getattr__(self, method: str) -> Callable[..., None]:
        """structlog calls the method of the entry's level."""
        return lambda **event: self._print(method, event)

    def _print(self, method: str, event: EventDict) -> None:
        if logging.getLevelNamesMapping().get(method.upper(), logging.ERROR) < self._level:
            return
        line = Text(one_line(self._render(self, method, event), 2000))
        try:
            self._console.print(line, soft_wrap=True)
        except OSError:
            self._console.quiet = True  # the reader of the output has gone; the run continues


@contextmanager
def open_log(
    path: Path | None, console: Console, verbosity: int, secrets: Collection[str]
) -> Iterator[FilteringBoundLogger]:
    """A logger that needs no global configuration. `path` None: log to the console only. `verbosity` >= 0.

    :raises StorageFailed: the file cannot be opened.
    """
    shown = LEVELS[min(verbosity, 2)]
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        Redact(secrets),
        shorten,
    ]
    try:
        file = path.open("ab", buffering=0) if path else None
    except OSError as error:
        raise not_written(error, path or Path()) from error
    if file:
        processors.append(ToFile(cast("BinaryIO", file)))
    try:
        logger = structlog.wrap_logger(
            ToConsole(console, shown),
            processors=processors,
            wrapper_class=structlog.make_filtering_bound_logger(min(shown, logging.INFO)),
            context_class=dict,
            cache_logger_on_first_use=True,
        )
        yield cast("FilteringBoundLogger", logger.bind())
    finally:
        if file:
            file.close()


class RunLog:
    """Logs the events of a run; an observer of its bus and its ledger."""

    def __init__(self, log: FilteringBoundLogger, so_far: Progress | None = None) -> None:
        self._log = log
        self._progress = so_far or Progress()
        self._refused: set[str] = set()
        self._looked = self._traced = False

    def started(self, configuration: Configuration, task: Task, directory: Path, resumed: bool = False) -> None:
        """Log that the run starts or resumes."""
        settings = configuration.search
        self._log.info(
            "run resumed" if resumed else "run started",
            task=task.name,
            directory=str(directory),
            models=roles(configuration),
            sizes={"train": len(task.train), "validation": len(task.validation), "test": len(task.test)},
            seed=settings.seed,
            width=configuration.width,
            assignments=settings.assignments,
            caps=configuration.budget.model_dump(exclude_defaults=True),
        )

    def doubted(self, why: str, aloud: bool = True) -> None:
        """Log a problem with the first prompt; as a warning if `aloud`, else the person knows it already."""
        (self._log.warning if aloud else self._log.info)("look at the first prompt", why=why)

    def looked(self, line: str, aloud: bool) -> None:
        """Log what was found before the search; the first prompt's evaluation adds nothing to its headroom."""
        self._looked |= line.startswith("headroom")
        (self._log.warning if aloud else self._log.info)(line)

    def program_failed(self, error: ModelError) -> None:
        """Log the traceback of the first example on which the user's program raised."""
        if isinstance(error, ProgramFailed) and error.trace and not self._traced:
            self._traced = True
            self._log.info("the program raised", reason=error.reason, trace=error.trace.splitlines()[-TRACE:])

    async def observe(self, envelope: Envelope) -> None:
        """Log a message of the bus."""
        if isinstance(envelope.message, Candidate):
            rendered = {section.name: readable(section) for section in envelope.message.prompt}
            self._log.debug("candidate", assignment=envelope.message.assignment, prompt=rendered)
        if isinstance(envelope.message, Command):
            self._log.info("command", sender=envelope.sender, says=in_words(envelope.message))
        if isinstance(envelope.message, Fault):
            self._log.warning("observer raised", observer=envelope.message.observer, reason=envelope.message.reason)
        if isinstance(envelope.message, Critique):
            self._criticised(envelope.message)
        if not self._looked and (said := first_evaluation(envelope)):
            self._log.warning(said)
        ending = self._progress.follow(envelope)
        if ending is not None:
            self._ended(ending)

    def _criticised(self, critique: Critique) -> None:
        if critique.missing:
            self._log.warning("no critique", assignment=critique.assignment, why=NO_CRITIQUE[critique.missing])
        if critique.assignment == FIRST and (long := critique.evaluation.too_long):
            self._log.warning("left out: too long for the task's model", examples=len(long), ids=long[:IDS])

    def called(self, attempt: Attempt) -> None:
        """Log an attempt that has ended; a failure that can be retried is no warning."""
        if attempt.left_out:
            left = {"role": attempt.role, "model": attempt.model, "examples": attempt.left_out}
            self._log.info("left out of a request that did not fit the model's window", **left)
        error = attempt.error
        if error is None or (isinstance(error, TemperatureRefused) and attempt.model in self._refused):
            return
        if isinstance(error, TemperatureRefused):
            self._refused.add(attempt.model)
            self._log.info(
                "temperature refused, and left out if nobody set it", model=attempt.model, reason=error.reason
            )
            return
        write = self._log.info if error.retryable else self._log.warning
        write(
            "call failed",
            role=attempt.role,
            model=attempt.model,
            kind=type(error).__name__,
            status=error.status,
            request_id=error.request_id,
            reason=error.reason,
        )

    def noticed(self, notice: Notice) -> None:
        """Log that a share of a cap is used."""
        self._log.info("budget", scope=notice.scope or "run", cap=notice.cap, used=notice.used, limit=notice.limit)

    def waits(self, text: str) -> None:
        """Log what the run waits for, after a while without other output."""
        self._log.info(WAITING, says=text)

    def finished(self, result: Result) -> None:
        """Log the result."""
        test = result.test
        if result.test_missing:
            pairs = 0 if result.test is None else result.test.n
            self._log.warning("held-out report cut short", reason=result.test_missing, pairs=pairs)
        if result.unremembered:
            self._log.warning("not in the memory, since embedding failed", experiences=result.unremembered)
        self._log.info(
            "run finished",
            stopped_by=result.stopped_by,
            ended=end_in_words(result.stopped_by),
            candidate=result.candidate,
            first=result.first.value,
            best=result.best.value,
            test=None if test is None else {"first": test.first, "best": test.best, "gain": test.difference},
            calls=result.calls,
            tokens=result.tokens,
            estimated=result.estimated,
            saved=asdict(result.saved),
            dollars=result.dollars,
            seconds=result.seconds,
        )

    def told(self, text: str) -> None:
        """Log a line for the person if there is no view to show it."""
        self._log.warning(text)

    def failed(self, error: BaseException) -> None:
        """Log the error that ended the run, at level info: it is for the file, since the person sees the error."""
        fields = {"status": error.status, "request_id": error.request_id} if isinstance(error, ModelError) else {}
        self._log.info("run failed", kind=type(error).__name__, reason=str(error), **fields)

    def _ended(self, ending: Ending) -> None:
        troubled = ending.unanswered > 0 or ending.kind in ("call", "raised", "dropped")
        write = self._log.warning if troubled else self._log.info
        write(
            "assignment ended",
            assignment=ending.assignment,
            operator=ending.operator,
            section=ending.section,
            outcome=ending.kind,
            gain=ending.gain,
            error=ending.error,
            paired=ending.paired,
            unanswered=ending.unanswered,
            value=ending.value,
            tokens=ending.tokens,
            reason=ending.reason,
        )


def last_wait(path: Path, heard: float | None) -> str:
    """The last entry of a run's log, if it says which calls the run waits for; "" if it says something else, or the
    journal has a later entry.

    `heard`: the time of the journal's latest entry in Unix seconds, None if it has none.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LAST))
            entry = orjson.loads(file.read().rstrip().rpartition(b"\n")[2])
        moment = datetime.fromisoformat(entry["timestamp"]).timestamp()
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return ""
    return printable(str(entry["says"])) if entry.get("event") == WAITING and moment >= (heard or 0.0) else ""
