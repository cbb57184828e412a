"""Starts a race only if the caps can pay for all races that have begun."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager

from protocols.budget.ledger import Ledger, Reserve
from protocols.concurrency.wakeup import Wakeup


class Funds:
    """The races of a search, and what is left of a ledger's caps to pay for them.

    A race that a cap ends half-way has cost its calls and decided nothing. Of several at a time, all may end so: ten
    races over 30 examples each, under a cap of 180 calls, are cut off at 18, and nothing was learned. So a race waits
    until the caps can pay for it and for all that have begun, should each of them go to its end; most end earlier,
    which lets the next begin. One alone never waits: its calls may be in the reply cache, and it may be lost early.
    Calls for drafts, critiques and credit are not counted, and a cap may still cut off a race that has begun.

    `needs`: the calls that so many answers take.
    """

    def __init__(self, ledger: Ledger, needs: Callable[[int], Reserve]) -> None:
        self._ledger, self._needs = ledger, needs
        self._racing = self._owed = 0
        self._changed = Wakeup()

    def lending(self) -> AbstractContextManager[None]:
        """What is kept for the held-out report may be spent while the block runs, see `Ledger.lending`."""
        return self._ledger.lending()

    @asynccontextmanager
    async def race(self, answers: int) -> AsyncIterator[Callable[[], None]]:
        """Wait until a race of so many answers can be paid for, and count it as begun while the block runs. Yields
        what is to be called when an answer has come, at most `answers` times."""
        while self._racing and not self._ledger.affords(self._needs(self._owed + answers)):
            await self._changed.wait()
        left = answers
        self._racing += 1
        self._owed += left

        def answered() -> None:
            nonlocal left
            left -= 1
            self._owed -= 1
            self._changed.wake()

        try:
            yield answered
        finally:
            self._racing -= 1
            self._owed -= left
            self._changed.wake()
