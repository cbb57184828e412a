"""Files that other processes change, watched for all searches of a process together.

The operating system has few watches to give (Linux allows a user 128 inotify instances, see
`fs.inotify.max_user_instances`), and each may look at any number of files. So a process takes one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import anyio
from anyio import from_thread, to_thread
from watchfiles import Change, awatch

from protocols.threads import in_thread

Filter = Callable[[Change, str], bool]
STEP, LONGEST = 20, 200
"""Milliseconds for which files must be at rest before a change is told, and the most that are waited for that."""
UNASKED = 5.0
"""Seconds after which files are looked at where the operating system gives no watch: then it is asked again."""


class Bell:
    """Rung when there may be something new; a ring is kept until it is heard."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        """There may be something new."""
        self._rung.set()

    async def heard(self) -> None:
        """Wait until it was rung since the last time."""
        await self._rung.wait()
        self._rung = anyio.Event()


class Watcher:
    """Tells who follows a path that something has changed, perhaps another path that is followed.

    Whoever follows also serves, in a task of its own: one of them watches for all, and the next takes over when it
    leaves. `matters` None: every change does.
    """

    def __init__(self, matters: Filter | None = None) -> None:
        self._matters = matters
        self._bells: dict[Path, Bell] = {}
        self._turn = anyio.Lock()
        self._stale = _Stale(self._ring)
        self._observers: list[Callable[[str], None]] = []
        self._told = ""

    def tap(self, observer: Callable[[str], None]) -> None:
        """Tell `observer` in one line if no watch can be had: what is followed is then looked at every `UNASKED`."""
        self._observers.append(observer)
        if self._told:
            observer(self._told)

    @contextmanager
    def following(self, path: Path) -> Iterator[Bell]:
        """Follow a file, or a directory with all that is in it, while the block runs. It must be there."""
        bell = self._bells[path] = Bell()
        self.renew()
        try:
            yield bell
        finally:
            del self._bells[path]

    def renew(self) -> None:
        """Watch anew: a path that is followed has been made again."""
        self._stale.set()

    async def serve(self) -> None:
        """Watch for all, as soon as nobody else does, until cancelled."""
        threads = to_thread.current_default_thread_limiter()
        async with self._turn:
            threads.total_tokens += 1  # the one that waits for the operating system is nobody else's
            try:
                while True:
                    await self._watch()
            finally:
                threads.total_tokens -= 1

    async def _watch(self) -> None:
        """Until the paths change."""
        self._stale = stale = _Stale(self._ring)
        async with anyio.create_task_group() as tasks, aclosing(self._changes(stale)) as changes:
            tasks.start_soon(_at_the_end, stale.set, name="stale")  # a thread that waits cannot be cancelled
            async for _ in changes:
                self._ring()
            tasks.cancel_scope.cancel()

    async def _changes(self, stale: _Stale) -> AsyncGenerator[None]:
        """Now and then unasked, too, for files that were there and are no more, or are on another machine's disk."""
        paths = await in_thread(lambda followed: [path for path in followed if path.exists()], [*self._bells])
        try:
            async for _ in awatch(
                *paths,
                watch_filter=self._matters,
                debounce=LONGEST,
                step=STEP,
                yield_on_timeout=True,
                stop_event=stale,  # type: ignore[arg-type]  # it asks for `is_set` alone
            ):
                yield
        except (OSError, RuntimeError) as error:  # what watchfiles makes of what the operating system says
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
    """The stop event of `awatch`. That asks for it in its thread as soon as it watches, and then `begun` is called in
    the event loop: what was changed before the watch began is told of by nobody."""

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
