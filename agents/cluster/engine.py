"""The engine of a sweep on Ray: each place is a Searcher, on whichever node has a core free."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import ray
from anyio.abc import TaskStatus
from ray.exceptions import RayError, RayTaskError

from agents.cluster.carrying import Answer, Given, Hello, Job, News
from agents.cluster.heartbeat import watch
from agents.cluster.rooms import Rooms, opened_rooms
from agents.cluster.sealing import seal
from agents.cluster.searcher import Searcher, Surroundings, needed
from agents.cluster.shipping import relative
from agents.cluster.starting import Cluster
from agents.config.roles import variables
from agents.directory.run_directory import JOURNAL
from agents.directory.shared_caps import shared_cap
from agents.study.engine import Outcome, Place, Say
from agents.study.grid import Cell, Grid
from agents.study.spent import spent_by
from agents.views.live.waiting import PATIENCE
from protocols.budget.amount import Amount
from protocols.budget.budget_scope import Cost
from protocols.budget.purse import Authority
from protocols.budget.shared_budget import SharedBudget
from protocols.concurrency.threads import in_thread
from protocols.errors import BudgetExhausted, ClusterFailed, Interrupted, PromptFlowError, Superseded, is_shared
from protocols.providers.transport.http import Transport
from protocols.text import one_line

STOPPING = 20.0
"""Seconds that a search without a node has to hear that it is to stop."""


@dataclass
class OnRay:
    """Runs each search in a `Searcher`, which Ray restarts on another node if its own dies. `environ`: the variables
    of the command, of which the searches get those that they need and their node has not."""

    cluster: Cluster
    environ: Mapping[str, str]
    _grid: Grid | None = None
    _rooms: Rooms | None = None
    _budget: SharedBudget | None = None
    _since: float = 0.0
    _say: Say = lambda line: None
    _stopped: str | None = None
    _places: set[SearcherPlace] = field(default_factory=set)

    @asynccontextmanager
    async def opened(
        self, grid: Grid, transport: Transport, say: Say, budget: SharedBudget | None
    ) -> AsyncIterator[int]:
        self._grid, self._say, self._budget = grid, say, budget
        authority = None
        if budget is not None:
            authority = Authority(grid.kind, grid.budget, await in_thread(spent_so_far, grid, self.environ))
            self._since = time.time() - budget.seconds
        rooms = opened_rooms(Path.cwd() / grid.directory, authority)
        async with rooms as self._rooms, anyio.create_task_group() as tasks:
            tasks.start_soon(watch, self.cluster.address, name="head of the cluster")
            yield min(grid.searches, len(grid.cells))
            tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        assert self._grid is not None, "the engine was opened"
        assert self._rooms is not None
        here, names = None if self.cluster.shipped else os.getcwd(), self._names(self._grid)
        options = {"num_cpus": 1, "scheduling_strategy": "SPREAD", "max_restarts": -1, "max_task_retries": -1}
        made = ray.remote(Searcher).options(**options)
        actor: Any = made.remote(Surroundings(here, _path(here), names))
        place = SearcherPlace(actor, self._rooms, self._job, self._ended, partial(needed, self.environ), self._say)
        try:
            async with anyio.create_task_group() as tasks:
                await tasks.start(place.listen, self._stopped)
                self._places.add(place)
                yield place.search
                tasks.cancel_scope.cancel()
        finally:
            self._places.discard(place)
            ray.kill(actor)

    async def stop(self, reason: str) -> None:
        self._stopped = reason
        async with anyio.create_task_group() as tasks:
            for place in self._places:
                tasks.start_soon(place.stop, reason, name="stop")

    def _job(self, cell: Cell, directory: Path) -> Job:
        assert self._grid is not None, "the engine was opened"
        here = Path.cwd()
        cell = relative(cell, here) if self.cluster.shipped else cell
        grid = replace(self._grid, directory=here / self._grid.directory, cells=())
        return Job(cell, os.fspath(here / directory), grid, os.fspath(here), self._since)

    async def _ended(self, answer: Answer) -> None:
        """Let the budget of this process follow what all searches have spent, and what was refused them."""
        if self._budget is None or self._rooms is None or self._rooms.purse is None:
            return
        spent, known = await self._rooms.purse.spent(), self._budget
        more = Cost(int(spent.tokens) - known.spent.tokens, spent.dollars - known.spent.dollars)
        known.take_up(int(spent.calls) - known.calls, more)
        known.tell()
        if cap := refused_by(answer):
            known.refuse(cap)

    def _names(self, grid: Grid) -> Sequence[str]:
        """The variables that the models' addresses and keys are in, and those of .env."""
        named = {name for cell in grid.cells for name in variables(cell.configuration)}
        return sorted((named | (self.environ.keys() - os.environ.keys())) & self.environ.keys())


@dataclass(eq=False)
class SearcherPlace:
    """The command's side of one Searcher."""

    actor: Any
    rooms: Rooms
    job: Callable[[Cell, Path], Job]
    ended: Callable[[Answer], Awaitable[None]]
    values: Callable[[Sequence[str]], Mapping[str, str]]
    say: Say
    _cell: str = ""
    _node: str = ""
    _incarnation: str = ""
    _stopped: str | None = None
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    async def listen(self, stopped: str | None, *, task_status: TaskStatus[None]) -> None:
        """Pass on what the Searcher says until cancelled, and give each incarnation what it needs. Started once the
        first runs."""
        self._stopped = stopped
        news = await self._first(self._asked(0))
        while True:
            if news.hello.incarnation != self._incarnation:
                first = not self._incarnation
                await self._greet(news.hello)
                if first:
                    task_status.started()
            count = news.count
            for line, _ in news.lines:
                self.say(f"{self._cell}: {line}")
            news = await self._asked(count)

    async def _first(self, asked: Awaitable[News]) -> News:
        """The first news, and meanwhile a line if it takes long."""
        news: News | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._wait_for_core)
            news = await asked
            tasks.cancel_scope.cancel()
        assert news is not None
        return news

    async def _wait_for_core(self) -> None:
        await anyio.sleep(PATIENCE)
        cores = (await in_thread(ray.cluster_resources)).get("CPU", 0)
        self.say(f"A search waits for its node; the cluster has {cores:g} cores, and each search takes one.")

    async def _asked(self, count: int) -> News:
        news: News = await _answer(self.actor.news.remote(self._incarnation, count))
        return news

    async def _greet(self, hello: Hello) -> None:
        if self._incarnation:
            await self.rooms.forget(self._incarnation)
        self._incarnation = hello.incarnation
        if self._node and self._cell:
            self.say(f"{self._cell} goes on on {hello.node}, after {self._node} was lost")
        self._node = hello.node
        sealed = seal(self.values(hello.missing), hello.public)
        await _answer(self.actor.give.remote(hello.incarnation, Given(sealed, self._stopped, self.rooms)))

    async def search(self, cell: Cell, directory: Path, begun: Callable[[], Awaitable[None]]) -> Outcome:
        """See `Place`."""
        await begun()
        self._cell = cell.name
        self.say(f"{cell.name} runs on {self._node}")
        try:
            with anyio.CancelScope() as self._scope:
                while isinstance(answer := await self._answered(cell, directory), Superseded):
                    pass  # the run directories' actor was started anew, and knows of no search
                await self.ended(answer)
                if isinstance(answer, PromptFlowError):
                    raise answer
                return answer
        finally:
            self._cell = ""
        raise Interrupted("stopped while it had no node")

    async def _answered(self, cell: Cell, directory: Path) -> Answer:
        answer: Answer = await _answer(self.actor.search.remote(self.job(cell, directory)))
        return answer

    async def stop(self, reason: str) -> None:
        """Stop its search; give it up if it has no node now, because its own was lost."""
        self._stopped = reason
        with anyio.move_on_after(STOPPING):
            await _answer(self.actor.stop.remote(reason))
            return
        self._scope.cancel()


def spent_so_far(grid: Grid, environ: Mapping[str, str]) -> Mapping[str, Amount]:
    """What was spent in each run directory of a sweep, by its name.

    :raises MemoryMismatch, StorageFailed: a file cannot be read.
    """
    named = {cell.name: cell.configuration for cell in grid.cells}
    runs = [path for path in sorted(grid.directory.iterdir()) if (path / JOURNAL).exists()]
    return {path.name: spent_by(path, named.get(path.name), environ) for path in runs}


def refused_by(answer: Answer) -> str:
    """The cap over all searches that has ended this one; "" if none has."""
    if isinstance(answer, PromptFlowError):
        name = answer.name if isinstance(answer, BudgetExhausted) else str(getattr(answer, "cap", ""))
        return name.partition(" of ")[0] if is_shared(name) else ""
    return shared_cap(answer["stopped_by"])


async def _answer(asked: Any) -> Any:
    """The answer of an actor.

    :raises ClusterFailed: there is none, and will be none.
    :raises Exception: a bug of ours, or an exception of the user's code, as it was raised there.
    """
    try:
        return await asked
    except RayTaskError as error:
        raise error.cause from error
    except RayError as error:
        raise ClusterFailed(f"the cluster gives no answer: {one_line(str(error), 300)}") from None


def _path(here: str | None) -> Sequence[str]:
    """The folders from which this process imports, for processes of the same machine."""
    return () if here is None else tuple(folder for folder in sys.path if folder)
