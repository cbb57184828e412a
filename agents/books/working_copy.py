"""The run directory of a search that works on this machine for a head: a folder here, shipped there as it grows."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import anyio
from anyio import CancelScope, CapacityLimiter, to_thread
from watchfiles import Change

from agents.books.changes import Changes
from agents.books.shipments import FILES, FOLDERS, File, Head, Opened, Rows, Shipment
from agents.directory.run_directory import COMMANDS, not_written
from agents.directory.watching import Watcher
from agents.ring.team import only
from memory.journals.in_flight import Begun
from memory.storage.database import Batch
from protocols.concurrency.grouping import Grouping
from protocols.concurrency.threads import in_thread
from protocols.errors import ConfigError, StorageFailed


class WorkingCopy:
    """A run directory in `folder`, and the journal's replica: see `Replica`. What has changed in the folder travels
    ahead of what the journal commits, so that the head never has a row without the files that were there before it.
    `incarnation`: the number of this opening of the run.
    """

    def __init__(self, head: Head, directory: str, folder: Path, opened: Opened, places: Mapping[str, str]) -> None:
        self.folder, self._head, self._directory = folder, head, directory
        self.incarnation, self._heard = opened.incarnation, opened.heard
        self._changes = Changes(folder, {os.path.abspath(folder): directory, **places})
        self._numbers = count(1)
        self._thread = CapacityLimiter(1)  # our own: every call waits for it, and never behind other users of threads
        self._trips = Grouping[Shipment | None, None](self._trip)
        self._failed: Exception | None = None

    async def committed(self, batches: Sequence[Batch]) -> None:
        """Send what the journal has committed; on return it is durable on the head.

        :raises Superseded: another process has taken over the run.
        :raises StorageFailed: it cannot be written there.
        """
        await self._ship(Rows(tuple((sql, tuple(map(tuple, rows))) for sql, rows in batches)))

    async def begun(self, call: Begun) -> None:
        """Send a call that is about to be made.

        :raises Superseded, StorageFailed: as `committed`.
        """
        await self._ship(call)

    async def shipped(self) -> None:
        """Wait until all files are on the head as they are now.

        :raises Superseded, StorageFailed: as `committed`.
        """
        await self._ship(None)

    async def follow(self) -> None:
        """Ship files as they change, until cancelled.

        :raises Superseded, StorageFailed: as `committed`.
        """
        watcher = Watcher(_ships)
        async with anyio.create_task_group() as tasks:
            with watcher.following(self.folder) as bell:
                tasks.start_soon(watcher.serve, name="watcher")
                while True:
                    await bell.heard()
                    await self.shipped()

    async def listen(self) -> None:
        """Pass on what a person says to the head, until cancelled.

        :raises Superseded, StorageFailed: as `committed`.
        """
        while True:
            heard = await self._head.commands(self._directory, self.incarnation, self._heard)
            await in_thread(_append, self.folder / COMMANDS, heard.lines)
            self._heard = heard.after

    async def close(self) -> None:
        """Leave the run directory on the head."""
        await self._head.close(self._directory, self.incarnation)

    async def seen(self) -> None:
        """Take the files that are there for those of the head."""
        await in_thread(self._changes.seen)

    async def _ship(self, shipment: Shipment | None) -> None:
        outcome = await self._trips.do(shipment)
        if outcome is not None:
            raise outcome

    async def _trip(self, shipments: list[Shipment | None]) -> list[None]:
        """One trip. After a failure there is none: what did not arrive must not be followed by what came later."""
        if self._failed is not None:
            raise self._failed
        try:
            load: list[Shipment] = [*await to_thread.run_sync(self._changes.since, limiter=self._thread)]
            load += [shipment for shipment in shipments if shipment is not None]
            if load:
                await self._head.write(self._directory, self.incarnation, next(self._numbers), load)
        except Exception as error:
            self._failed = error
            raise
        return [None] * len(shipments)


@asynccontextmanager
async def open_working_copy(
    head: Head, directory: str, folder: Path, places: Mapping[str, str] | None = None
) -> AsyncIterator[WorkingCopy]:
    """Take over the run in `directory`, a path on the head, and work on it in `folder`, which is empty or not there.
    A run is opened in the copy's `folder`, with the copy as its `replica`; all of it is on the head when the block
    has ended.

    `places`: folders of this machine and their paths on the head, such as the configuration's; they are replaced in
    the configuration that the head has, as `folder` is.

    :raises ConfigError: the folder has files, or as `Books.open`.
    :raises Superseded: another process has taken over the run; the block was cancelled.
    :raises StorageFailed: a file cannot be written, here or there; the block was cancelled.
    """
    opened = await head.open(directory)
    copy = WorkingCopy(head, directory, folder, opened, places or {})
    failed: BaseException | None = None
    try:
        await in_thread(_laid_out, folder, opened.files)
        await copy.seen()
    except BaseException:
        await _closed(copy)
        raise
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(copy.follow, name="files")
            tasks.start_soon(copy.listen, name="commands")
            yield copy
            await copy.shipped()
            tasks.cancel_scope.cancel()
        await copy.close()
    except BaseExceptionGroup as group:
        failed = only(group)
        await _left(copy)
    except BaseException:
        await _left(copy)
        raise
    if failed is not None:
        raise failed


async def _left(copy: WorkingCopy) -> None:
    """Ship the last files of a run that has failed, if that can be done; what ended it is reported."""
    with CancelScope(shield=True), suppress(StorageFailed):
        await copy.shipped()
    await _closed(copy)


async def _closed(copy: WorkingCopy) -> None:
    with CancelScope(shield=True), suppress(StorageFailed):
        await copy.close()


def _ships(change: Change, path: str) -> bool:
    """Whether a change may be of a file that is shipped."""
    place = Path(path)
    return place.name in FILES or place.parent.name in FOLDERS


def _laid_out(folder: Path, files: Sequence[File]) -> None:
    """Write the files of the head into an empty folder.

    :raises ConfigError: it is not empty.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty; a copy of a run needs a folder of its own")
        for file in files:
            path = folder / file.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(file.content or b"")
    except OSError as error:
        raise not_written(error, folder) from error


def _append(path: Path, lines: bytes) -> None:
    """:raises StorageFailed: it cannot be written."""
    try:
        with path.open("ab", buffering=0) as file:
            file.write(lines)
    except OSError as error:
        raise not_written(error, path) from error
