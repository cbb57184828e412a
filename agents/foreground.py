"""Searches and sweeps in a terminal: with logs, a live view, and a clean stop on Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
from rich.console import Console

from agents.beside import comparing
from agents.beside.comparing import LEAST, Beside
from agents.beside.contestants import Contestant, of_prompt, of_run
from agents.beside.listing import is_run
from agents.check import doctor
from agents.check.findings import Diagnosis
from agents.config.configuration import Configuration
from agents.config.loading import remarks
from agents.directory.run_directory import read_configuration
from agents.history.progress import progress_of
from agents.history.replay import Replayed, replay
from agents.models.budget import caps, kept_prices
from agents.models.quotas import Quotas
from agents.moving.transferring import Transfer, Transferred, read_transferred
from agents.results.finished import finished
from agents.results.result import Result
from agents.run import asking
from agents.run.asking import Asked
from agents.run.grading import JudgeChecked, check_judge
from agents.run.scoring import Scored, Scoring
from agents.run.search import Run
from agents.run.steering import Steering
from agents.session import SIGNALS, Session, check_tools, say_on
from agents.study.engine import Engine, InThisProcess
from agents.study.grid import Cell, Grid
from agents.study.sweep import Row, Sweep
from agents.views.live.sweeping import spending, watch_sweep
from agents.views.live.terminal import View, watch
from agents.views.page.buttons import buttons
from agents.views.page.feed import Feed
from agents.views.page.serving import shown
from protocols.budget.ledger import Account, Attempt, Books, Ledger, Saved
from protocols.budget.shared_budget import SharedBudget
from protocols.concurrency.threads import in_thread
from protocols.errors import ConfigError, Interrupted
from protocols.messages import Envelope, Resumed
from protocols.pacing.waiting import Patience
from protocols.task import SplitName
from protocols.wrappers.recorded import Call

T = TypeVar("T")
FIRST_ON_TEST = "Reading the test split with the prompt that the earlier run began with."
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
    quotas: Quotas | None = None,
) -> Trained:
    """Run a search, or resume that of the directory; it is shown on `console` and logged. `port`: port of the page in
    the browser, 0 for any free one; None: no page. `quotas`: see `Session`.

    :raises PromptFlowError: as `finished`, `open_run` and `Run.search`.
    """
    if ended := await in_thread(finished, configuration, directory):
        return Trained(*ended, already=True)
    session = Session(environ, console, verbosity, quotas)
    async with session.opened(configuration, directory, port) as run:
        result = await _watched(session, run, console, partial(session.search, run))
        return Trained(run.directory, None if result is None else asdict(result))


async def _watched(session: Session, run: Run, console: Console, work: Callable[[View], Awaitable[T]]) -> T | None:
    """The result of work around the search of a run, which is shown on `console`; None if it was stopped at once.

    :raises PromptFlowError: as the work.
    """
    so_far = await in_thread(progress_of, run.directory)
    assignments = run.configuration.search.assignments
    with watch(console, run.ledger, run.task.name, assignments, time.monotonic, so_far) as view:
        session.show(view)
        if so_far.stands:
            view.say(f"Going on after {so_far.stands} assignments.")

        def then() -> str:
            return NO_RESULT if run.controller.first is None else THEN_TEST

        try:
            return await session.waited_for(partial(work, view), run.stop, then)
        except Interrupted as error:
            raise Interrupted(f"{error}; {goes_on(run.directory)}") from None


async def transfer(
    plan: Transfer,
    configuration: Configuration,
    environ: Mapping[str, str],
    directory: Path | None,
    console: Console,
    verbosity: int,
) -> Transferred:
    """Train on another model, and compare. `configuration` and `directory`: of the plan's inputs, as they are kept.

    :raises PromptFlowError: as `train`, and as the parts of the plan.
    :raises KeyboardInterrupt: it was stopped at once.
    """
    ended = await in_thread(finished, configuration, directory)
    if ended and (known := await in_thread(read_transferred, ended[0])):
        return known
    session = Session(environ, console, verbosity)
    async with session.opened(configuration, directory) as run:

        async def work(view: View) -> Transferred:
            view.say(FIRST_ON_TEST)
            await plan.begin(run)
            await session.search(run, view)
            return await plan.end(run)

        transferred = await _watched(session, run, console, work)
        if transferred is None:
            raise KeyboardInterrupt(f"stopped at once; {goes_on(run.directory)}")
        return transferred


async def show_again(directory: Path, console: Console, speed: float | None) -> Replayed:
    """Replay a run in the live view, `speed` times as fast as it ran; None: without waiting.

    :raises PromptFlowError: as `replay`.
    """
    configuration, moment = await in_thread(read_configuration, directory), 0.0
    known = await in_thread(kept_prices, directory, configuration)
    ledger = Ledger(caps(configuration.budget), known, lambda: moment)
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
    feed = await in_thread(Feed, directory)
    steering = await in_thread(buttons, directory)
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        async with shown(feed, port, partial(say_on, console), directory, steering):
            await anext(signals)


@dataclass(frozen=True, slots=True)
class Swept:
    """`rows`: of all finished cells, in the order of the grid; `whole`: these are all of its cells. `shortfall`: what
    the caps over all cells have left undone, in words. `budget`: those caps, with what was spent."""

    rows: Sequence[Row]
    whole: bool
    shortfall: str
    budget: SharedBudget | None


async def sweep(
    grid: Grid,
    environ: Mapping[str, str],
    console: Console,
    verbosity: int,
    elsewhere: Callable[[Mapping[str, str]], Engine] | None = None,
) -> Swept:
    """Run the unfinished cells of a grid, shown on `console` and logged. `elsewhere` opens the engine, None: this
    process.

    :raises PromptFlowError: as `Sweep.run`.
    """
    check_tools([cell.configuration for cell in grid.cells])
    session, told = Session(environ, console, verbosity), set[tuple[str, str]]()
    with watch_sweep(console, grid, time.monotonic, here=elsewhere is None) as view:
        session.show(view)

        async def search(cell: Cell, run: Run) -> Result:
            with view.attend(cell, run, await in_thread(progress_of, run.directory)):
                if (cell.task, cell.setting) not in told:  # once for all seeds
                    told.add((cell.task, cell.setting))
                    for remark in remarks(run.first, run.task) if not run.resumed else ():
                        view.say(f"{cell.task}: look at the first prompt: {remark}")
                return await session.search(run, cell=cell.name)

        engine = elsewhere(environ) if elsewhere else InThisProcess(environ, search, session.accounts)
        work = Sweep(grid, environ, engine, view.ended, view.say)
        if work.budget is not None:
            view.spent = partial(spending, work.budget)
            work.budget.watch(lambda notice: view.say(str(notice)))
        await session.waited_for(work.run, work.stop, lambda: THEN_TEST)
    order = {cell.name: place for place, cell in enumerate(grid.cells)}
    rows = sorted(work.rows, key=lambda row: order[row.cell])
    return Swept(rows, len(rows) == len(grid.cells), await in_thread(lambda: work.shortfall), work.budget)


async def evaluate(
    configuration: Configuration,
    environ: Mapping[str, str],
    path: Path,
    split: SplitName,
    console: Console,
    rows: Path | None = None,
) -> Scored:
    """Score a prompt file, see `Scoring`. After a signal, calls in flight end, and the answers so far are scored.

    :raises Interrupted: a person stopped it before there was an answer.
    :raises PromptFlowError: as `Scoring.score`.
    """
    session = Session(environ, console)
    patience = Patience(session.accounts.calls)

    async def stop(reason: str) -> None:
        patience.stop()

    scoring = Scoring(configuration, environ, path, split, session.accounts, patience, rows)
    scored = await session.waited_for(scoring.score, stop, lambda: "what was answered is scored")
    if scored is None:
        raise Interrupted("stopped at once")
    return scored


async def compare(
    given: Sequence[Path], configuration: Configuration | None, environ: Mapping[str, str], console: Console
) -> Beside:
    """Compare runs and prompt files. Prompts answer the test examples of `configuration`, None: that of the first run
    of the given ones, as `Scoring` would ask.

    :raises ConfigError: as `comparing.compare`, or prompts are given and nothing says on what to score them.
    :raises Interrupted: a person stopped it before all examples were asked.
    :raises PromptFlowError: as `Scoring.answered`.
    """
    runs = [path for path in given if is_run(path)]
    prompts = [path for path in given if not is_run(path)]
    if len(given) < LEAST or not prompts:
        return await in_thread(comparing.compare, given)
    if configuration is None:
        if not runs:
            raise ConfigError(
                f"{prompts[0]} is no run: give a run directory beside prompt files, on whose test examples they are "
                "scored, or --config CONFIG.toml"
            )
        configuration = await in_thread(read_configuration, runs[0])
    sides: dict[Path, Path | Contestant] = {path: path for path in runs}
    for path in runs:
        await in_thread(of_run, path)  # a run that cannot be compared is refused before anything is asked
    session = Session(environ, console)
    patience = Patience(session.accounts.calls)

    async def stop(reason: str) -> None:
        patience.stop()

    for path in dict.fromkeys(prompts):
        scoring = Scoring(configuration, environ, path, "test", session.accounts, patience)
        found = await session.waited_for(scoring.answered, stop, lambda: "nothing is compared")
        if found is None or found.stopped:
            raise Interrupted(f"stopped before {path} had answered all test examples; nothing is compared")
        sides[path] = await in_thread(of_prompt, path, configuration, found)
    return await in_thread(comparing.compare, [sides[path] for path in given])


async def ask(
    configuration: Configuration,
    environ: Mapping[str, str],
    path: Path,
    example: str,
    offline: bool,
    console: Console,
) -> Asked:
    """Ask one example, see `asking.ask`.

    :raises PromptFlowError: as `asking.ask`.
    """
    session = Session(environ, console)
    asked = await session.waited_for(
        partial(asking.ask, configuration, environ, path, example, session.accounts, offline)
    )
    assert asked is not None, "nothing stops it but its own end"
    return asked


async def judge(
    configuration: Configuration, environ: Mapping[str, str], grades: Path, console: Console
) -> JudgeChecked:
    """Compare the judge with people, see `check_judge`, and report calls that are slow to answer."""
    session = Session(environ, console)
    found = await session.waited_for(partial(check_judge, configuration, environ, grades, session.accounts))
    assert found is not None, "nothing stops it but its own end"
    return found


async def diagnose(
    path: Path,
    settings: Sequence[str],
    environ: Mapping[str, str],
    offline: bool,
    console: Console,
    headroom: bool = False,
) -> Diagnosis:
    """Check a configuration, see `doctor.diagnose`, and report calls that are slow to answer."""
    session = Session(environ, console)
    tell = session.say if headroom else None
    look = partial(doctor.diagnose, path, settings, environ, offline, session.accounts, tell)
    diagnosis = await session.waited_for(look)
    assert diagnosis is not None, "nothing stops it but its own end"
    return diagnosis


def goes_on(directory: Path) -> str:
    """How to resume a run that was stopped before it had a result, in words."""
    return f"{directory} holds what was paid for: the same command with --out {directory} goes on"
