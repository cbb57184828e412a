"""Runs work that would block the event loop in threads: all that reads or writes a file, or may take milliseconds.

While the loop is blocked, no reply is read, no deadline is kept, and no other search of the process advances.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from itertools import islice
from typing import ParamSpec, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread
from anyio.lowlevel import RunVar, checkpoint

P = ParamSpec("P")
T = TypeVar("T")
WORKERS = 2
"""Maximum number of threads at a time. Python runs one of them at a time, and before the loop can run it waits up to
5 ms for each thread that is ready (`sys.getswitchinterval`)."""
SLICE = 64
"""Number of items taken at a time."""
_limiter: RunVar[CapacityLimiter] = RunVar("promptflow threads")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread; return its result, or raise its exception. If the caller is cancelled, `work` still
    runs to its end, and the cancellation is raised then. `work` must use nothing that other code changes
    meanwhile, and call no code of a user's that may wait for long."""
    return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=_threads())


@asynccontextmanager
async def entered(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter a context manager and leave it in threads."""
    value = await in_thread(manager.__enter__)
    try:
        yield value
    except BaseException as error:
        with CancelScope(shield=True):
            passed_over = await in_thread(manager.__exit__, type(error), error, error.__traceback__)
        if not passed_over:
            raise
    else:
        with CancelScope(shield=True):
            await in_thread(manager.__exit__, None, None, None)


async def in_slices(items: Iterator[T]) -> AsyncIterator[T]:
    """The items, taken in a thread, `SLICE` at a time. The event loop runs other tasks after each item, because
    processing one may take milliseconds."""
    while some := await in_thread(lambda: list(islice(items, SLICE))):
        for item in some:
            yield item
            await checkpoint()


def _threads() -> CapacityLimiter:
    """The limiter of this event loop."""
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = CapacityLimiter(WORKERS)
        _limiter.set(limiter)
    return limiter
