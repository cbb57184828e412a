"""A node in this process: a transport to `Books` that may be cut, and a search that works through it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio
import anyio.lowlevel

from agents.books.shipments import Head, Heard, Opened, Shipment
from agents.books.working_copy import WorkingCopy, open_working_copy
from agents.config.configuration import Configuration
from agents.run.opening import Shared, open_run_in
from agents.run.search import Run
from memory.journals.in_flight import Begun
from protocols.errors import StorageFailed
from tests.world import shuffled


class CutOff(StorageFailed):
    """What a transport says whose head cannot be reached."""


async def nothing(shipments: Sequence[Shipment]) -> None:
    pass


@dataclass
class Wire:
    """A transport that takes its time. Once `cut`, nothing goes through. It cuts itself at the `left`-th write,
    before or after the head has applied that. `after` is awaited when a write has been applied."""

    books: Head
    rng: Random = field(default_factory=lambda: Random(0))
    left: int = 0
    after: Callable[[Sequence[Shipment]], Awaitable[None]] = nothing
    begun: int = 0
    writes: int = 0
    is_cut: bool = False
    broken: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self._wait = shuffled(self.rng, 3)

    def cut(self) -> None:
        self.is_cut = True
        self.broken.set()

    async def open(self, directory: str) -> Opened:
        return await self.books.open(directory)

    async def write(self, directory: str, incarnation: int, number: int, shipments: Sequence[Shipment]) -> None:
        await self._wait()
        self.left -= 1
        arrives = self.left != 0 or self.rng.random() < 0.5
        if self.left == 0 and not arrives:
            self.cut()
        self._check()
        await self.books.write(directory, incarnation, number, shipments)
        self.begun += sum(isinstance(shipment, Begun) for shipment in shipments)
        self.writes += 1
        await self.after(shipments)
        if self.left == 0:
            self.cut()
        self._check()

    async def commands(self, directory: str, incarnation: int, after: int) -> Heard:
        self._check()
        heard: list[Heard] = []

        async def hear() -> None:
            heard.append(await self.books.commands(directory, incarnation, after))
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hear)
            await self.broken.wait()
            tasks.cancel_scope.cancel()
        self._check()
        return heard[0]

    async def close(self, directory: str, incarnation: int) -> None:
        self._check()
        await self.books.close(directory, incarnation)

    def _check(self) -> None:
        if self.is_cut:
            raise CutOff("cannot be reached", file="the head")


@asynccontextmanager
async def opened(
    head: Head, directory: Path, folder: Path, shared: Shared, configuration: Configuration
) -> AsyncIterator[tuple[Run, WorkingCopy]]:
    """A run in the directory, which works in the folder."""
    async with (
        open_working_copy(head, str(directory), folder) as copy,
        open_run_in(shared, configuration, {}, copy.folder, copy) as run,
    ):
        yield run, copy


async def forgotten(folder: Path) -> None:
    """The node is gone, with all that it had on its disk."""
    await anyio.to_thread.run_sync(shutil.rmtree, folder)
