"""Where the searches of a sweep run: in this process, or elsewhere behind the same protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import anyio
import orjson

from agents.directory.run_directory import CACHE, MEMORY
from agents.models.accounts import Accounts
from agents.results.result import Result
from agents.run.opening import Shared, open_run_in
from agents.run.search import Run
from agents.study.descriptors import fitting
from agents.study.grid import Cell, Grid
from memory.opening import LocalStores, Stores
from memory.store import Memory
from protocols.budget.shared_budget import SharedBudget
from protocols.embedding import HashedNgrams
from protocols.errors import Interrupted
from protocols.providers.transport.http import Transport

Search = Callable[[Cell, Run], Awaitable[Result]]
"""Searches one cell, with its log and its view, and its report in the end."""
Say = Callable[[str], None]
Outcome = Mapping[str, Any]
"""The content of a search's `result.json`."""


class Place(Protocol):
    """Room for one search at a time."""

    async def __call__(self, cell: Cell, directory: Path, begun: Callable[[], Awaitable[None]]) -> Outcome:
        """Search a cell in its run directory, or resume its search; `begun` is called once it is opened.

        :raises Interrupted: it was stopped before there was a result.
        :raises PromptFlowError: as `open_run_in` and `Run.search`.
        """
        ...


class Engine(Protocol):
    """Where searches run. It is opened once, then asked for as many places as it offers."""

    def opened(
        self, grid: Grid, transport: Transport, say: Say, budget: SharedBudget | None
    ) -> AbstractAsyncContextManager[int]:
        """Open what the searches share, and yield how many can run at once. `say` tells a person something; `budget`
        has what was spent so far.

        :raises StorageFailed, MemoryMismatch: a file cannot be used.
        """
        ...

    def place(self) -> AbstractAsyncContextManager[Place]:
        """A place, as soon as there is one."""
        ...

    async def stop(self, reason: str) -> None:
        """Stop the running searches once their calls in flight have ended; those that begin later stop at once."""
        ...


@dataclass
class InThisProcess:
    """Runs all searches on this event loop. `search` does each; `accounts` are shared by all."""

    environ: Mapping[str, str]
    search: Search
    accounts: Accounts = field(default_factory=Accounts)
    _shared: Shared | None = None
    _stopping: bool = False
    _running: dict[str, Run] = field(default_factory=dict)

    @asynccontextmanager
    async def opened(
        self, grid: Grid, transport: Transport, say: Say, budget: SharedBudget | None
    ) -> AsyncIterator[int]:
        async with open_shared(transport, grid, self.accounts, budget) as self._shared:
            self._shared.watcher.tap(say)
            yield fitting(min(grid.searches, len(grid.cells)), say)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        yield self._search

    async def stop(self, reason: str) -> None:
        self._stopping = True
        async with anyio.create_task_group() as tasks:
            for name, run in self._running.items():
                tasks.start_soon(run.stop, reason, name=f"stop {name}")

    async def _search(self, cell: Cell, directory: Path, begun: Callable[[], Awaitable[None]]) -> Outcome:
        assert self._shared is not None, "the engine was opened"
        try:
            async with open_run_in(self._shared, cell.configuration, self.environ, directory) as run:
                await begun()
                if self._stopping:
                    raise Interrupted("stopped before it began")
                self._running[cell.name] = run
                return outcome(await self.search(cell, run))
        finally:
            self._running.pop(cell.name, None)


def outcome(result: Result) -> Outcome:
    """A result in the form of its file."""
    found: Outcome = orjson.loads(orjson.dumps(result))
    return found


@asynccontextmanager
async def open_shared(
    transport: Transport,
    grid: Grid,
    accounts: Accounts,
    budget: SharedBudget | None = None,
    stores: Stores | None = None,
) -> AsyncIterator[Shared]:
    """Open the reply cache, and a memory if the cells share one, in the grid's directory; `stores` None: as files.

    :raises StorageFailed, MemoryMismatch: a file cannot be used.
    """
    async with AsyncExitStack() as stack:
        stores = stores or LocalStores()
        cache = await stack.enter_async_context(stores.cache(grid.directory / CACHE))
        memory: Memory | None = None
        if grid.one_memory:
            memory = await stack.enter_async_context(stores.memory(grid.directory / MEMORY, HashedNgrams()))
        yield Shared(transport, accounts, cache=cache, memory=memory, budget=budget, stores=stores)
