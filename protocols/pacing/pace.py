"""How much of one quantity, requests or tokens, an account sends a minute."""

from __future__ import annotations

import math
from collections import deque

WINDOW = 60.5
"""Seconds within which no more than a minute's allowance is sent. The half second is for the way: two calls that are
sent 60.5 s apart arrive 60 s apart or more, unless the second takes half a second less."""
SHARE = 0.98
"""The share of the allowance at which calls are spaced. The rest is room for urgent ones, which are not."""
CATCHING_UP = 1.0
"""Seconds by which spaced calls may lag behind, as timers do and calls that needed less than was thought, and be sent
the faster for it."""


class Entry:
    """What was sent, and when (seconds)."""

    __slots__ = ("amount", "time")

    def __init__(self, time: float, amount: float) -> None:
        self.time, self.amount = time, amount


class Pace:
    """Spaces what it lets through over the minute, and counts it: no window of `WINDOW` seconds holds over `limit`.

    A log of the window, because it is exact and forgets nothing that was settled; and a virtual schedule (GCRA, ITU-T
    I.371) before it, because a minute's allowance sent in its first second would make an urgent call wait for the
    last of it. `limit` > 0 a minute.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._log: deque[Entry] = deque()
        self._sum = 0.0
        self._next = -math.inf

    def wait(self, now: float, amount: float, urgent: bool) -> float:
        """Seconds from `now` until so much may be sent; 0: now. What is over the limit by itself is sent alone."""
        self._forget(now)
        spacing = 0.0 if urgent else max(0.0, self._next - now)
        excess = self._sum + min(amount, self.limit) - self.limit
        if excess <= 0:
            return spacing
        for entry in self._log:
            excess -= entry.amount
            if excess <= 0:
                return max(spacing, (entry.time + WINDOW) - now)
        return spacing  # sums of floats leave a rest

    def take(self, now: float, amount: float) -> Entry:
        """So much is sent now."""
        entry = Entry(now, amount)
        self._log.append(entry)
        self._sum += amount
        self._next = max(self._next, now - CATCHING_UP)
        self.expect(amount)
        return entry

    def expect(self, amount: float) -> None:
        """Space as if so much had been sent, or less if it is negative; it does not count. What is over the limit by
        itself takes a minute, like the limit: else a limit that is too low would hold the next call back for ever."""
        self._next += max(-self.limit, min(amount, self.limit)) * 60.0 / (self.limit * SHARE)

    def settle(self, entry: Entry, amount: float) -> None:
        """It was so much that was sent."""
        more = amount - entry.amount
        if entry.time > -math.inf:
            self._sum += more
        entry.amount = amount
        self.expect(more)

    def _forget(self, now: float) -> None:
        while self._log and self._log[0].time + WINDOW <= now:
            entry = self._log.popleft()
            self._sum -= entry.amount
            entry.time = -math.inf
        if not self._log:
            self._sum = 0.0
