"""Serves the page of a run to browsers while a block runs."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
from watchfiles import Change

from agents.directory.run_directory import JOURNAL, LOG, RESULT
from agents.directory.watching import Watcher
from agents.ring.team import only
from agents.views.page.dashboard import Dashboard, Steering
from agents.views.page.feed import Feed
from protocols.text import one_line


@asynccontextmanager
async def shown(
    feed: Feed, port: int, say: Callable[[str], None], directory: Path | None = None, steering: Steering | None = None
) -> AsyncIterator[None]:
    """Serve `feed` while the block runs, and then its last state to the connected browsers. `say` tells the person
    the address, whose token is never logged. `directory`: the run directory that another process writes; None: this
    process does the run, which continues even if the page fails.

    :raises ConfigError: the port cannot be used.
    :raises StorageFailed: a file of the run of another process cannot be read.
    """
    failed: BaseException | None = None
    dashboard = Dashboard(feed, secrets.token_urlsafe(24), steering)
    try:
        async with dashboard.serve(port) as url, anyio.create_task_group() as tasks:
            tasks.start_soon(feed.follow if directory else partial(_follow, feed, say), name="feed")
            if directory is not None:
                tasks.start_soon(_watch, directory, feed, say, name="watch")
            say(f"Watch it at {url}")
            try:
                yield
            finally:
                feed.finish()
                with anyio.CancelScope(shield=True):
                    await dashboard.delivered()
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failed = only(group)
    if failed is not None:
        raise failed


async def _follow(feed: Feed, say: Callable[[str], None]) -> None:
    try:
        await feed.follow()
    except Exception as error:
        say(one_line(f"The page is shown no longer: {type(error).__name__}: {error}", 500))


async def _watch(directory: Path, feed: Feed, say: Callable[[str], None]) -> None:
    """Wake the feed whenever the journal or the result has changed, until cancelled."""
    watcher = Watcher(_matters)
    watcher.tap(say)
    async with anyio.create_task_group() as tasks:
        with watcher.following(directory) as bell:
            tasks.start_soon(watcher.serve, name="watcher")
            while True:
                await bell.heard()
                feed.wake()


def _matters(change: Change, path: str) -> bool:
    name = Path(path).name
    return name.startswith(JOURNAL) or name in (RESULT, LOG)
