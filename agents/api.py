"""Training from Python: the same run as on the command line, with examples, prompts and settings given as objects.

    from agents.api import fit, train

    found = await train({"name": "mine", "train": rows, "validation": more, "test": others}, "Which department?")
    found = fit({"name": "mine", "train": rows, "validation": more, "test": others}, "Which department?")
    print(found.prompt["task"].text, found.result.test)

The first line is for notebooks and asynchronous programs, the second for scripts.

For all parameters, and for watching a search while it runs, see docs/python.md. To use the prompt of a finished run:

    messages = load_prompt(found.directory).render({"text": "Where is my parcel?"})
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from pydantic import TypeAdapter
from rich.console import Console

from agents.config.configuration import Configuration
from agents.directory.inline_inputs import InlineInputs, Settings, take
from agents.directory.run_directory import BEST_PROMPT
from agents.history.progress import Ending, Progress, progress_of
from agents.history.table import Row, history_of
from agents.history.wrong import wrong
from agents.results.finished import finished
from agents.results.result import Result
from agents.results.saved import SavedPrompt, load_prompt
from agents.ring.team import only
from agents.run import asking
from agents.run.asking import Asked
from agents.run.scoring import Scored, Scoring
from agents.run.search import Run
from agents.run.steering import command
from agents.session import Session
from agents.views.live.terminal import View, watch
from agents.views.plots.curve import draw_curve
from protocols.concurrency.threads import entered, in_thread
from protocols.errors import ConfigError, RunFailed
from protocols.files import prompt_file
from protocols.files.named import USE
from protocols.messages import Assignment, Command, Envelope
from protocols.prompt import Prompt
from protocols.providers.environment import read_environment
from protocols.task import SplitName

__all__ = [
    "Asked",
    "Event",
    "Found",
    "SavedPrompt",
    "Scored",
    "Training",
    "ask",
    "evaluate",
    "fit",
    "load_prompt",
    "open_training",
    "train",
]

Event = Assignment | Ending | Command
"""The events of a search: an edit was assigned, an edit has ended (or the first prompt's evaluation), or a person has
given a command. `str` of an `Ending` is a line for people."""
UNREAD = 256
"""Maximum number of events that wait for the reader; when there are more, the search waits."""


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of a run: the best prompt, the content of `result.json`, and the run directory. `history`: a row of
    plain values for each assignment, in the order in which they ended (see `agents.history.table.row_of`);
    `pandas.DataFrame(found.history)` is a table."""

    prompt: Prompt
    result: Result
    directory: Path
    history: Sequence[Row] = field(default=(), repr=False)

    def wrong(self, candidate: int | None = None) -> list[dict[str, Any]]:
        """What a candidate answered less than right on the test split, or on validation if it was not asked that: a
        row of plain values for each example, the worst first; of several models, a row for each, with its `model`.
        Reads the journal. `candidate` None: the best prompt;
        0: the first.

        :raises ConfigError: the journal keeps no answers of it.
        """
        found = wrong(self.directory, candidate)
        names = [
            "example",
            "inputs",
            "target",
            "answer",
            "score",
            "reply",
            "feedback",
            *["model"] * bool(found.models),
        ]
        return [{name: getattr(each, name) for name in names} for each in found.exchanges]

    def plot(self, axes: Any = None) -> Any:
        """Draw the values on validation over the calls, with matplotlib, and return the `Axes`. `axes`: where to
        draw; None: a new figure.

        :raises ConfigError: matplotlib is not installed.
        """
        return draw_curve(self.history, self.result.task, axes)

    def _repr_html_(self) -> str:
        """Scores, cost and the best prompt, for a notebook."""
        return self.result._repr_html_() + self.prompt._repr_html_()


class Training:
    """A running search: an async iterator of its events, which the reader may leave at any time.

    `progress`: the state of the search so far. `directory`: the run directory.
    """

    def __init__(self, directory: Path, progress: Progress, events: MemoryObjectReceiveStream[Event]) -> None:
        self.directory, self.progress = directory, progress
        self._events = events
        self._over = anyio.Event()
        self._end: Found | Exception | None = None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """:raises Exception: the search failed with it."""
        try:
            return await self._events.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            if isinstance(self._end, Exception):
                raise self._end from None
            raise StopAsyncIteration from None

    async def found(self) -> Found:
        """Wait for the end, and return the outcome. Unread and later events are dropped.

        :raises Exception: the search failed with it.
        """
        await self._events.aclose()
        await self._over.wait()
        if isinstance(self._end, Found):
            return self._end
        assert self._end is not None
        raise self._end

    async def steer(self, *words: str) -> str:
        """Give a command, as `run.py ctl` does: `await training.steer("set", "search.width", "4")`. Returns the line
        that `run.py ctl` would print.

        :raises InputError: the words are not a command, or the command comes too late.
        """
        return await in_thread(command, self.directory, words)

    def end(self, end: Found | Exception) -> None:
        """Set the outcome and end the events; later calls do not change the outcome."""
        self._end = self._end or end
        self._over.set()


async def train(
    task: Settings | Path | str,
    prompt: Prompt | Path | str | None = None,
    *,
    models: object = None,
    directory: Path | str | None = None,
    environ: Mapping[str, str] | None = None,
    **tables: Settings,
) -> Found:
    """Train a prompt, and return the outcome; a notebook shows the search while it works. Parameters and errors: see
    `open_training`."""
    inputs = partial(_given, task, prompt, models, tables)
    console = await in_thread(Console)
    async with _opened(inputs, directory, environ, console if console.is_jupyter else None) as training:
        return await training.found()


def fit(
    task: Settings | Path | str,
    prompt: Prompt | Path | str | None = None,
    *,
    models: object = None,
    directory: Path | str | None = None,
    environ: Mapping[str, str] | None = None,
    **tables: Settings,
) -> Found:
    """`train` for a script without an event loop: waits for the outcome, and returns it.

    :raises ConfigError: an event loop runs in this thread already, as in a notebook.
    :raises Exception: as `train`.
    """
    with suppress(anyio.NoEventLoopError):
        anyio.get_cancelled_exc_class()
        raise ConfigError("fit is for scripts without an event loop, and one is running here: write await train(…)")
    return anyio.run(lambda: train(task, prompt, models=models, directory=directory, environ=environ, **tables))


@asynccontextmanager
async def open_training(
    task: Settings | Path | str,
    prompt: Prompt | Path | str | None = None,
    *,
    models: object = None,
    directory: Path | str | None = None,
    environ: Mapping[str, str] | None = None,
    **tables: Settings,
) -> AsyncIterator[Training]:
    """Run a search while the block runs. If the block ends first, the search is cancelled; all paid calls are in the
    run directory, and the same call with that `directory` resumes the run.

    `task`: the path of a configuration, or the table `[task]`, in which a split may be `Rows` instead of a path.
    `prompt`: the first prompt: an object, the path of its file, or a text for the default layout. `models`: one model
    for all roles (its name, its class or an object), or the table. `tables`: other tables of the configuration
    (`budget`, `search`, `providers` and so on), which override those of the file; they may hold functions, classes
    and instances instead of `module:name`. A program, `task["program"]`, may be a function or an object with a method
    `answer`, and each of its `prompts` a text, a path or a `Prompt` instead of a table. `directory`: as --out.
    `environ` None: the process's variables, over ./.env.

    :raises InputError: an input cannot be used; nothing was written.
    :raises PromptFlowError: as `open_run` and `Run.search`; raised when the next event or the outcome is asked for.
    """
    async with _opened(partial(_given, task, prompt, models, tables), directory, environ) as training:
        yield training


async def evaluate(
    task: Settings | Path | str,
    prompt: Prompt | Path,
    split: SplitName = "validation",
    *,
    models: object = None,
    environ: Mapping[str, str] | None = None,
    **tables: Settings,
) -> Scored:
    """Score a prompt, or its file, on one split, as `run.py evaluate` does; nothing is kept. Other parameters:
    see `open_training`.

    :raises PromptFlowError: as `Scoring.score`.
    """
    async with _outside(partial(_given, task, None, models, tables), prompt, environ) as (
        configuration,
        file,
        session,
    ):
        return await Scoring(configuration, session.environ, file, split, session.accounts).score()


async def ask(
    task: Settings | Path | str,
    prompt: Prompt | Path,
    example: str,
    *,
    models: object = None,
    environ: Mapping[str, str] | None = None,
    **tables: Settings,
) -> Asked:
    """Ask the example with this id, as `run.py ask` does: what was sent, answered and judged is in `Asked.exchange`,
    and by further models in `Asked.others`. Nothing is kept. Other parameters: see `evaluate`.

    :raises PromptFlowError: as `agents.run.asking.ask`.
    """
    async with _outside(partial(_given, task, None, models, tables), prompt, environ) as (
        configuration,
        file,
        session,
    ):
        return await asking.ask(configuration, session.environ, file, example, session.accounts)


@asynccontextmanager
async def _outside(
    inputs: Callable[[], InlineInputs], prompt: Prompt | Path, environ: Mapping[str, str] | None
) -> AsyncIterator[tuple[Configuration, Path, Session]]:
    """What a prompt needs to be asked outside a search, in a folder that is removed."""
    given = await in_thread(inputs)
    temporary = await in_thread(TemporaryDirectory)
    async with entered(temporary) as folder, entered(given.kept(Path(folder) / "run")) as (configuration, _):
        file = prompt if isinstance(prompt, Path) else Path(folder) / BEST_PROMPT
        if isinstance(prompt, Prompt):
            await in_thread(prompt_file.save, prompt, file)
        session = Session(await in_thread(_variables, environ))
        async with session.accounts.sharing():
            yield configuration, file, session


@asynccontextmanager
async def _opened(
    inputs: Callable[[], InlineInputs],
    directory: Path | str | None,
    environ: Mapping[str, str] | None,
    console: Console | None = None,
) -> AsyncIterator[Training]:
    """See `open_training`. `console`: where the search is shown; None: nowhere."""
    variables = await in_thread(_variables, environ)
    given = await in_thread(inputs)
    async with entered(given.kept(None if directory is None else Path(directory))) as (configuration, place):
        if ended := await in_thread(finished, configuration, place):
            yield await _ended(*ended)
            return
        session = Session(variables, console)
        async with session.opened(configuration, place) as run:
            so_far = await in_thread(progress_of, run.directory)
            async with _shown(run, session, console) as view, _searching(run, session, so_far, view) as training:
                yield training


@asynccontextmanager
async def _shown(run: Run, session: Session, console: Console | None) -> AsyncIterator[View | None]:
    """Show a search on the console while the block runs."""
    if console is None:
        yield None
        return
    so_far = await in_thread(progress_of, run.directory)
    assignments = run.configuration.search.assignments
    with watch(console, run.ledger, run.task.name, assignments, time.monotonic, so_far) as view:
        session.show(view)
        yield view


def _variables(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    return read_environment(Path(".env"), os.environ) if environ is None else environ


def _given(
    task: Settings | Path | str, prompt: Prompt | Path | str | None, models: object, tables: Mapping[str, Settings]
) -> InlineInputs:
    if models is not None:
        named = models if isinstance(models, Mapping) and USE not in models else {"default": models}
        tables = {**tables, "models": named}
    return take(task, prompt, tables)


@asynccontextmanager
async def _searching(run: Run, session: Session, so_far: Progress, view: View | None) -> AsyncIterator[Training]:
    """Run the search of a run as a task, and pass on its events."""
    send, receive = anyio.create_memory_object_stream[Event](UNREAD)
    training = Training(run.directory, so_far, receive)
    failed: BaseException | None = None

    async def observe(envelope: Envelope) -> None:
        ending = training.progress.follow(envelope)
        message = envelope.message
        event = ending or (message if isinstance(message, Assignment | Command) else None)
        if event is not None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the reader has left
                await send.send(event)

    async def search() -> None:
        with send:
            try:
                result = await session.search(run, view)
                history = await in_thread(history_of, run.directory)
            except Exception as error:
                training.end(error)
            else:
                training.end(Found(run.controller.archive.best().prompt, result, run.directory, history))

    run.bus.tap(observe)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(search, name="search")
            with receive:  # closed before the cancellation: a search that waits for its reader cannot be cancelled
                yield training
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failed = only(group)
    training.end(RunFailed(f"the search was left before its end; the run in {run.directory} can be gone on with"))
    if failed is not None:
        raise failed


async def _ended(directory: Path, result: Mapping[str, Any]) -> Training:
    """A training whose run had already finished: it has an outcome and no events."""
    send, receive = anyio.create_memory_object_stream[Event](1)
    so_far = await in_thread(progress_of, directory)
    best = await in_thread(prompt_file.load, directory / BEST_PROMPT)
    training = Training(directory, so_far, receive)
    history = await in_thread(history_of, directory)
    training.end(Found(best, TypeAdapter(Result).validate_python(result), directory, history))
    send.close()
    receive.close()
    return training
