"""Run directories on the head, for any number of searches that work on other machines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import anyio

from agents.books.at_the_head import RunDirectory, superseded
from agents.books.shipments import Heard, Opened, Shipment
from agents.directory.run_directory import COMMANDS
from agents.directory.watching import Bell, Watcher
from agents.ring.team import only
from protocols.concurrency.threads import in_thread
from protocols.errors import ConfigError


class _Entry:
    """A run directory, whose turn one call has at a time. `bell` rings at a command; `following` ends that."""

    def __init__(self, path: Path) -> None:
        self.run = RunDirectory(path)
        self.turn = anyio.Lock()
        self.following = ExitStack()
        self.bell = Bell()


class Books:
    """The run directories in the folder `within`. Each takes a lock, a journal and a file of calls in flight while
    a machine works on it (eight open files), and nothing once it is closed; all share two threads and one watch.

    A `Books` that begins anew, after the end of its process, has no directory open: it fences all who had one, and
    they open it again.
    """

    def __init__(self, within: Path, watcher: Watcher) -> None:
        self._within, self._watcher = within.absolute().resolve(), watcher
        self._entries: dict[Path, _Entry] = {}

    async def open(self, directory: str) -> Opened:
        """Take over a run directory, which is made if it is not there, and hold its lock. From now on every earlier
        incarnation is refused. Calls that they have begun and not ended are ended in the journal as `Lost`.

        :raises ConfigError: it is not in the folder, has files and no run, or another process works on it.
        :raises MemoryMismatch, StorageFailed: one of its files is damaged or cannot be used.
        """
        path = await in_thread(self._placed, directory)
        while True:
            entry = self._entries.setdefault(path, _Entry(path))
            async with entry.turn:
                if self._entries.get(path) is entry:  # it was not closed meanwhile
                    return await self._open(entry)

    async def write(self, directory: str, incarnation: int, number: int, shipments: Sequence[Shipment]) -> None:
        """Apply shipments in order; they are durable on return. `number` counts the calls of an incarnation from 1: a
        call that is repeated is applied once.

        :raises Superseded: another incarnation has taken over, or the directory is not open.
        :raises StorageFailed: a shipment is refused, or the disk fails; those before it are there.
        """
        entry = self._entry(directory)
        async with entry.turn:
            await in_thread(entry.run.write, incarnation, number, shipments)

    async def commands(self, directory: str, incarnation: int, after: int) -> Heard:
        """Wait until `commands.jsonl` has lines from the offset `after` on, and return them. What comes before was
        received.

        :raises Superseded: another incarnation has taken over, or the directory was closed.
        """
        entry = self._entry(directory)
        while True:
            async with entry.turn:
                heard = await in_thread(entry.run.news, incarnation, after)
            if heard.lines:
                return heard
            await entry.bell.heard()

    async def close(self, directory: str, incarnation: int) -> None:
        """Let go of a directory and its lock; nothing happens if this incarnation has lost it already."""
        entry = self._entries.get(Path(directory))
        if entry is None:
            return
        async with entry.turn:
            if incarnation == entry.run.incarnation:
                await self._close(entry)

    async def close_all(self) -> None:
        """Let go of every directory."""
        for entry in [*self._entries.values()]:
            async with entry.turn:
                await self._close(entry)

    async def _open(self, entry: _Entry) -> Opened:
        try:
            opened = await in_thread(entry.run.open)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._close(entry)
            raise
        before = entry.bell
        entry.following.close()
        entry.bell = entry.following.enter_context(self._watcher.following(entry.run.path / COMMANDS))
        before.ring()  # so that whoever listened for an earlier incarnation learns that it is over
        return opened

    async def _close(self, entry: _Entry) -> None:
        self._entries.pop(entry.run.path, None)
        await in_thread(entry.run.close)
        entry.following.close()
        entry.bell.ring()

    def _entry(self, directory: str) -> _Entry:
        entry = self._entries.get(Path(directory))
        if entry is None:
            raise superseded(Path(directory))
        return entry

    def _placed(self, directory: str) -> Path:
        """:raises ConfigError: it is not within the folder."""
        path = Path(directory)
        if not path.is_absolute() or ".." in path.parts or not path.resolve().is_relative_to(self._within):
            raise ConfigError(f"{directory[:200]!r} is not the absolute path of a directory in {self._within}")
        return path


@asynccontextmanager
async def open_books(within: Path, watcher: Watcher | None = None) -> AsyncIterator[Books]:
    """The books of all run directories in a folder, which are let go of at the end of the block. The block is entered
    and left in one task."""
    watcher = watcher or Watcher()
    books = Books(within, watcher)
    failed: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watcher.serve, name="watcher")
            try:
                yield books
            finally:
                with anyio.CancelScope(shield=True):
                    await books.close_all()
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failed = only(group)
    if failed is not None:
        raise failed
