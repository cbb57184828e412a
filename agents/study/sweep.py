"""A sweep: runs the searches of a grid concurrently, with one file of results."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import orjson
from anyio import CancelScope

from agents.archive.ends import INTERRUPTED
from agents.config.roles import roles
from agents.directory.run_directory import RECORD, RESULT, not_written, read_configuration, write
from agents.directory.shared_caps import raised_shared_caps, shared_cap
from agents.results.finished import read_result
from agents.ring.team import only
from agents.run.opening import check
from agents.study.engine import Engine, Place, Say
from agents.study.grid import Cell, Grid
from agents.study.spent import count_spent
from protocols.budget.budget_scope import NO_CAPS, Caps
from protocols.budget.shared_budget import SharedBudget
from protocols.concurrency.threads import in_thread
from protocols.errors import (
    BudgetExhausted,
    BusError,
    ClusterFailed,
    ConfigError,
    Interrupted,
    ModelError,
    PromptFlowError,
    StorageFailed,
    is_shared,
)
from protocols.providers.transport.http import Transport, open_transport

RESULTS = "results.jsonl"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of `results.jsonl`: the outcome of one cell. `result`: the content of its `result.json`; None: it failed
    with `error`, which has a type and a message of one line."""

    cell: str
    task: str
    setting: str
    seed: int
    directory: str
    result: Mapping[str, Any] | None = None
    error: Mapping[str, str] | None = None


@dataclass
class Sweep:
    """Runs the cells of `grid` that have no result yet on `engine`.

    `ended` is told of every row, those of earlier processes first, `say` of what a person should know. `rows`: what
    has ended so far. `budget`: the caps over all searches, None if there are none; a search that they end counts as
    stopped, with its best prompt and its report in its run directory.
    """

    grid: Grid
    environ: Mapping[str, str]
    engine: Engine
    ended: Callable[[Row], None]
    say: Say = lambda line: None
    rows: list[Row] = field(default_factory=list)
    stopping: bool = False
    budget: SharedBudget | None = field(init=False, default=None)
    _closed: str = ""
    _appending: anyio.Lock = field(default_factory=anyio.Lock)
    _waiting: set[CancelScope] = field(default_factory=set)
    _checked: dict[tuple[str, str], Transport] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.grid.budget != NO_CAPS:
            self.budget = SharedBudget(self.grid.kind, self.grid.budget, time.monotonic)

    async def run(self) -> None:
        """Run the cells; returns when every cell has ended or been stopped.

        A cell that fails is recorded, and the others continue; one that was interrupted counts as not run.

        :raises InputError: a task or a directory cannot be used; no model was called.
        :raises ModelError: a failure that every remaining cell would meet as well, such as a bad key.
        :raises StorageFailed: the results, the reply cache or the memory cannot be written.
        :raises ClusterFailed: the searches ran elsewhere, and cannot go on there.
        """
        try:
            await self._run()
        except BaseExceptionGroup as group:
            failed = only(group)
        else:
            return
        raise failed

    async def _run(self) -> None:
        async with open_transport(self.environ) as transport, AsyncExitStack() as checked:
            for cell in {(cell.task, cell.setting): cell for cell in self.grid.cells}.values():
                lent = await checked.enter_async_context(transport.lent())
                await check(cell.configuration, self.environ, lent, self.budget)
                self._checked[cell.task, cell.setting] = lent
            done = await in_thread(self._begin)
            for row in done.values():
                self._enter(row)
            left = iter([cell for cell in self.grid.cells if cell.name not in done])
            opened = self.engine.opened(self.grid, transport, self.say, self.budget)
            async with opened as at_once, anyio.create_task_group() as tasks:
                for number in range(at_once):
                    tasks.start_soon(self._work, left, name=f"sweep#{number}")

    async def stop(self, reason: str) -> None:
        """Begin no more cells, and stop the running ones once their calls in flight have ended."""
        self.stopping = True
        self._wait_no_more()
        await self.engine.stop(reason)

    def _begin(self) -> Mapping[str, Row]:
        """The rows of the cells that have ended, by name, and in the file again."""
        directory = self.grid.directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make the directory {directory}: {error.strerror}") from None
        done = {cell.name: row for cell in self.grid.cells if (row := finished(cell, directory)) is not None}
        if self.budget is not None:
            named = {cell.name: cell.configuration for cell in self.grid.cells}
            count_spent(self.budget, directory, named, self.environ)
            closed = (cut_by(directory / cell.name, self.budget.caps) for cell in self.grid.cells)
            self._closed = next(filter(None, closed), "")
        write(directory / RESULTS, b"".join(map(line, done.values())))
        return done

    async def _work(self, left: Iterator[Cell]) -> None:
        """Search cell after cell in one place."""
        with CancelScope() as scope:
            self._waiting.add(scope)
            async with self.engine.place() as place:
                self._waiting.discard(scope)
                while not (self.stopping or self._used_up) and (cell := next(left, None)):
                    row = await self._search(place, cell)
                    if row is not None and (row.result is None or not _stopped(row.result)):
                        async with self._appending:
                            await in_thread(self._append, row)
                            self._enter(row)
                self._wait_no_more()

    def _wait_no_more(self) -> None:
        """No cell is left for places that are still waited for."""
        for scope in self._waiting:
            scope.cancel()

    async def _search(self, place: Place, cell: Cell) -> Row | None:
        """Run one cell; returns its row, or None if the sweep was stopped before the cell had ended."""
        directory = self.grid.directory / cell.name
        try:
            return row_of(cell, directory, result=await place(cell, directory, partial(self._has_begun, cell)))
        except (StorageFailed, BusError, ClusterFailed):
            raise
        except Interrupted:
            return None
        except PromptFlowError as error:
            if isinstance(error, ModelError) and error.fatal and self._met_by_all(error.model):
                raise
            if is_shared(error.name if isinstance(error, BudgetExhausted) else getattr(error, "cap", "")):
                return None
            return row_of(cell, directory, error={"type": type(error).__name__, "message": str(error)})

    async def _has_begun(self, cell: Cell) -> None:
        """Close the client that the cell's check has opened, now that its search has one: closing it earlier would
        also close a client that the user's function shares among all searches."""
        if checked := self._checked.pop((cell.task, cell.setting), None):
            await checked.closing.aclose()

    @property
    def _used_up(self) -> str:
        """The cap over all searches that has refused a call, or has ended a search in an earlier process and was not
        raised since; "" if none did."""
        return self._closed or (self.budget.refused if self.budget else "")

    @property
    def shortfall(self) -> str:
        """What the caps over all searches have left undone, and what to do, in words; "" if nothing."""
        begun = sum((self.grid.directory / cell.name / RECORD).exists() for cell in self.grid.cells)
        every, cut = len(self.grid.cells), begun - len(self.rows)
        if not self._used_up or (begun == every and not cut):
            return ""
        undone = [f"{every - begun} of {every} searches did not begin"] if begun < every else []
        undone += [f"{cut} {'was' if cut == 1 else 'were'} cut short"] if cut else []
        kind, left, cap = self.grid.kind, ", and ".join(undone), self._used_up
        return f"the budget of the {kind} is used: {left}; raise {kind}.budget.{cap} and give the command again"

    def _met_by_all(self, model: str) -> bool:
        over = {row.cell for row in self.rows}
        return all(model in roles(cell.configuration).values() for cell in self.grid.cells if cell.name not in over)

    def _append(self, row: Row) -> None:
        path = self.grid.directory / RESULTS
        try:
            with path.open("ab") as file:
                file.write(line(row))
        except OSError as error:
            raise not_written(error, path) from error

    def _enter(self, row: Row) -> None:
        self.rows.append(row)
        self.ended(row)


def finished(cell: Cell, directory: Path) -> Row | None:
    """The row of a cell whose search has a result and was not stopped; else None.

    :raises ConfigError: the result is of another configuration.
    :raises StorageFailed: its files cannot be read.
    """
    place = directory / cell.name
    result = read_result(place / RESULT)
    if result is None or _stopped(result):
        return None
    now, before = (each.model_dump(mode="json") for each in (cell.configuration, read_configuration(place)))
    if changed := sorted(name for name in now if name != "origin" and now[name] != before[name]):
        raise ConfigError(
            f"{place} has a result of another configuration ({', '.join(changed)}); name another sweep.directory, "
            "or move it away"
        )
    return row_of(cell, place, result=result)


def cut_by(directory: Path, caps: Caps) -> str:
    """The cap over all searches that has ended the one in a directory, if it was not raised since; else ""."""
    result = read_result(directory / RESULT)
    cap = "" if result is None else shared_cap(result["stopped_by"])
    return "" if cap in raised_shared_caps(directory, caps) else cap


def _stopped(result: Mapping[str, Any]) -> bool:
    """Whether a person or a cap over all searches has stopped the search, so that it can go on."""
    return result["stopped_by"] == INTERRUPTED or bool(shared_cap(result["stopped_by"]))


def row_of(
    cell: Cell, directory: Path, result: Mapping[str, Any] | None = None, error: Mapping[str, str] | None = None
) -> Row:
    """The row of a cell that has ended."""
    return Row(cell.name, cell.task, cell.setting, cell.seed, os.fspath(directory), result, error)


def line(row: Row) -> bytes:
    """A row as one line of JSON."""
    return orjson.dumps(asdict(row)) + b"\n"
