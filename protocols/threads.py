"""Work that would hold the event loop is done in a thread: whatever reads or writes a file, or may take milliseconds.

While the loop is held nothing else moves: no reply is read, no deadline kept, no other search of the process goes on.
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
"""Threads at a time. Python runs one at a time, and whenever the loop has something to do it waits for each that is
ready to run, 5 ms each (`sys.getswitchinterval`)."""
SLICE = 64
"""Items that are taken at a time."""
_limiter: RunVar[CapacityLimiter] = RunVar("promptflow threads")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, or raises. It runs to its end also where who waits for it is cancelled: that is told then.
    It touches nothing that others change meanwhile, and calls no code of a user's that may wait for long."""
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
    """The items, taken in a thread, `SLICE` at a time; between two of them the loop goes round, for what is done with
    one may take milliseconds."""
    while some := await in_thread(lambda: list(islice(items, SLICE))):
        for item in some:
            yield item
            await checkpoint()


def _threads() -> CapacityLimiter:
    """Of this event loop."""
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = CapacityLimiter(WORKERS)
        _limiter.set(limiter)
    return limiter
