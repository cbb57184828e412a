"""Files of the head, each open for as long as somebody uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from anyio import CancelScope, Lock, create_task_group

from protocols.errors import StorageFailed

T = TypeVar("T")


@dataclass(slots=True)
class _File(Generic[T]):
    """A file, and the number of calls that use it at present."""

    value: T | None = None
    calls: int = 0
    opening: Lock = field(default_factory=Lock)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)


class Opened(Generic[T]):
    """Opens a file at the first call that uses it, and closes it after the last if it `is_free`."""

    def __init__(self, is_free: Callable[[T], bool]) -> None:
        self._is_free = is_free
        self._files: dict[str, _File[T]] = {}

    @property
    def values(self) -> list[T]:
        """What is open."""
        return [file.value for file in self._files.values() if file.value is not None]

    @asynccontextmanager
    async def using(self, name: str, opening: Callable[[], AbstractAsyncContextManager[T]]) -> AsyncIterator[T]:
        """Use the file of this name; `opening` opens it."""
        file = self._files.setdefault(name, _File())
        file.calls += 1
        try:
            async with file.opening:
                if file.value is None:
                    file.value = await file.stack.enter_async_context(opening())
            yield file.value
        finally:
            file.calls -= 1
            await self._close_if_free(name, file)

    async def close_free(self) -> None:
        """Close the files that have become free without a call that uses them."""
        for name, file in [*self._files.items()]:
            await self._close_if_free(name, file)

    async def aclose(self) -> None:
        """Close all files; no call may use one."""
        while self._files:
            _, file = self._files.popitem()
            await file.stack.aclose()

    async def _close_if_free(self, name: str, file: _File[T]) -> None:
        free = file.value is None or self._is_free(file.value)
        if free and not file.calls and self._files.get(name) is file:
            del self._files[name]
            with CancelScope(shield=True):
                await file.stack.aclose()


async def outcomes(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T | Exception]:
    """The outcome of each of these calls, in order; they are made at the same time."""
    found: dict[int, T | Exception] = {}

    async def make(place: int, call: Callable[[], Awaitable[T]]) -> None:
        try:
            found[place] = await call()
        except Exception as error:
            found[place] = error

    async with create_task_group() as tasks:
        for place, call in enumerate(calls):
            tasks.start_soon(make, place, call)
    return [found[place] for place in range(len(calls))]


def refused(name: str, path: str) -> StorageFailed:
    """The answer to a process that the head has forgotten."""
    return StorageFailed(
        f"{name} was given up as lost, and its search may go on elsewhere; start it again", file=path
    )
