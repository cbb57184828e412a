"""A signal to all who wait for something to change."""

from __future__ import annotations

from anyio import Event


class Wakeup:
    """Wakes everybody who waits at that moment; a signal that nobody waits for is lost."""

    def __init__(self) -> None:
        self._event: Event | None = None

    @property
    def awaited(self) -> bool:
        """Whether anybody waits."""
        return self._event is not None

    async def wait(self) -> None:
        """Wait for the next signal."""
        self._event = self._event or Event()
        await self._event.wait()

    def wake(self) -> None:
        """Wake all who wait."""
        if self._event is not None:
            self._event.set()
            self._event = None
