"""Watches files that other processes change, with one watch for all searches of a process.

Watches are scarce (Linux allows a user 128 inotify instances, see `fs.inotify.max_user_instances`), and each can
watch any number of files. So a process uses only one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import anyio
from anyio import from_thread, to_thread
from watchfiles import Change, awatch

from protocols.concurrency.threads import in_thread

Filter = Callable[[Change, str], bool]
STEP, LONGEST = 20, 200
"""Milliseconds without a change before changes are reported, and the most milliseconds to wait for that."""
UNASKED = 5.0
"""Polling interval in seconds if the operating system gives no watch; after each, a watch is requested again."""


class Bell:
    """Signals a possible change; the signal is kept until it is waited for."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Signal a possible change."""
        self._rung.set()

    async def heard(self) -> None:
        """Wait for a signal since the last call."""
        await self._rung.wait()
        self._rung = anyio.Event()


class Watcher:
    """Signals changes to all followers of paths; the change may be of another follower's path.

    Each follower also runs `serve` in its own task: one of these watches for all, and another takes over when it
    ends. `matters` None: every change is signalled.
    """

    def __init__(self, matters: Filter | None = None) -> None:
        self._matters = matters
        self._bells: dict[Path, Bell] = {}
        self._turn = anyio.Lock()
        self._stale = _Stale(self._ring)
        self._observers: list[Callable[[str], None]] = []
        self._told = ""

    def tap(self, observer: Callable[[str], None]) -> None:
        """Call `observer` with a line of text if there is no watch, and files are polled every `UNASKED` seconds."""
        self._observers.append(observer)
        if self._told:
            observer(self._told)

    @contextmanager
    def following(self, path: Path) -> Iterator[Bell]:
        """Follow a file, or a directory with all its content, while the block runs. It must exist."""
        bell = self._bells[path] = Bell()
        self.renew()
        try:
            yield bell
        finally:
            del self._bells[path]

    def renew(self) -> None:
        """Restart the watch, because a followed path was created again."""
        self._stale.set()

    async def serve(self) -> None:
        """Watch for all followers, as soon as no other task does, until cancelled."""
        threads = to_thread.current_default_thread_limiter()
        async with self._turn:
            threads.total_tokens += 1  # one more, since the watch occupies a thread
            try:
                while True:
                    await self._watch()
            finally:
                threads.total_tokens -= 1

    async def _watch(self) -> None:
        """Watch until the followed paths change."""
        self._stale = stale = _Stale(self._ring)
        async with anyio.create_task_group() as tasks, aclosing(self._changes(stale)) as changes:
            tasks.start_soon(_at_the_end, stale.set, name="stale")  # a waiting thread cannot be cancelled
            async for _ in changes:
                self._ring()
            tasks.cancel_scope.cancel()

    async def _changes(self, stale: _Stale) -> AsyncGenerator[None]:
        """Yield at each change, and also at intervals without one: for files that were removed, or are on another
        machine's disk."""
        paths = await in_thread(lambda followed: [path for path in followed if path.exists()], [*self._bells])
        try:
            async for _ in awatch(
                *paths,
                watch_filter=self._matters,
                debounce=LONGEST,
                step=STEP,
                yield_on_timeout=True,
                stop_event=stale,  # type: ignore[arg-type]  # only `is_set` is used
            ):
                yield
        except (OSError, RuntimeError) as error:  # watchfiles raises these for errors of the operating system
            self._tell(error)
            with anyio.move_on_after(UNASKED):
                await stale.wait()
            yield

    def _ring(self) -> None:
        for bell in self._bells.values():
            bell.ring()

    def _tell(self, error: Exception) -> None:
        if self._told:
            return
        self._told = (
            f"commands and changes of files are looked for every {UNASKED:g} s, because they cannot be watched "
            f"({error}); on Linux more watches are had by raising fs.inotify.max_user_instances"
        )
        for observe in self._observers:
            observe(self._told)


class _Stale:
    """The stop event of `awatch`, which first checks it, in its thread, as soon as it watches. `begun` is then called
    in the event loop, because the watch does not report earlier changes."""

    def __init__(self, begun: Callable[[], None]) -> None:
        self._begun: Callable[[], None] | None = begun
        self._event = anyio.Event()

    def is_set(self) -> bool:
        begun, self._begun = self._begun, None
        if begun is not None:
            from_thread.run_sync(begun)
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


async def _at_the_end(do: Callable[[], None]) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        do()
