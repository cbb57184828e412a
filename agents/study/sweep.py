"""A sweep: runs the searches of a grid concurrently, with one file of results."""

from __future__ import annotations

import os
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
from agents.directory.run_directory import RESULT, not_written, read_configuration, write
from agents.results.finished import read_result
from agents.ring.team import only
from agents.run.opening import check
from agents.study.engine import Engine, Place, Say
from agents.study.grid import Cell, Grid
from protocols.concurrency.threads import in_thread
from protocols.errors import (
    BusError,
    ClusterFailed,
    ConfigError,
    Interrupted,
    ModelError,
    PromptFlowError,
    StorageFailed,
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
    """Runs the cells of `grid` that have no result yet on `engine`. `ended` is told of every row, those of earlier
    processes first, `say` of what a person should know. `rows`: what has ended so far."""

    grid: Grid
    environ: Mapping[str, str]
    engine: Engine
    ended: Callable[[Row], None]
    say: Say = lambda line: None
    rows: list[Row] = field(default_factory=list)
    stopping: bool = False
    _appending: anyio.Lock = field(default_factory=anyio.Lock)
    _waiting: set[CancelScope] = field(default_factory=set)
    _checked: dict[tuple[str, str], Transport] = field(default_factory=dict)

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
                await check(cell.configuration, self.environ, lent)
                self._checked[cell.task, cell.setting] = lent
            done = await in_thread(self._begin)
            for row in done.values():
                self._enter(row)
            left = iter([cell for cell in self.grid.cells if cell.name not in done])
            opened = self.engine.opened(self.grid, transport, self.say)
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
        write(directory / RESULTS, b"".join(map(line, done.values())))
        return done

    async def _work(self, left: Iterator[Cell]) -> None:
        """Search cell after cell in one place."""
        with CancelScope() as scope:
            self._waiting.add(scope)
            async with self.engine.place() as place:
                self._waiting.discard(scope)
                while not self.stopping and (cell := next(left, None)):
                    row = await self._search(place, cell)
                    if row is not None and (row.result is None or row.result["stopped_by"] != INTERRUPTED):
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
            return row_of(cell, directory, error={"type": type(error).__name__, "message": str(error)})

    async def _has_begun(self, cell: Cell) -> None:
        """Close the client that the cell's check has opened, now that its search has one: closing it earlier would
        also close a client that the user's function shares among all searches."""
        if checked := self._checked.pop((cell.task, cell.setting), None):
            await checked.closing.aclose()

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
    """The row of a cell whose search has a result and was not interrupted; else None.

    :raises ConfigError: the result is of another configuration.
    :raises StorageFailed: its files cannot be read.
    """
    place = directory / cell.name
    result = read_result(place / RESULT)
    if result is None or result["stopped_by"] == INTERRUPTED:
        return None
    now, before = (each.model_dump(mode="json") for each in (cell.configuration, read_configuration(place)))
    if changed := sorted(name for name in now if name != "origin" and now[name] != before[name]):
        raise ConfigError(
            f"{place} has a result of another configuration ({', '.join(changed)}); name another sweep.directory, "
            "or move it away"
        )
    return row_of(cell, place, result=result)


def row_of(
    cell: Cell, directory: Path, result: Mapping[str, Any] | None = None, error: Mapping[str, str] | None = None
) -> Row:
    """The row of a cell that has ended."""
    return Row(cell.name, cell.task, cell.setting, cell.seed, os.fspath(directory), result, error)


def line(row: Row) -> bytes:
    """A row as one line of JSON."""
    return orjson.dumps(asdict(row)) + b"\n"
