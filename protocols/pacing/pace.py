"""Limits how much of one quantity, requests or tokens, an account sends per minute."""

from __future__ import annotations

import math
from collections import deque

WINDOW = 60.5
"""Seconds in which at most a minute's allowance is sent. The extra half second covers network delay: calls that are
sent 60.5 s apart arrive at least 60 s apart, unless the second travels half a second faster."""
SHARE = 0.98
"""Share of the allowance at which calls are spaced; the rest is for urgent calls, which are not spaced."""
CATCHING_UP = 1.0
"""Seconds by which spaced calls may lag behind their schedule and catch up; late timers and calls that needed less
than expected cause such lags."""


class Entry:
    """An amount that was sent, and its time in seconds."""

    __slots__ = ("amount", "time")

    def __init__(self, time: float, amount: float) -> None:
        self.time, self.amount = time, amount


class Pace:
    """Spaces calls over the minute, and counts them: no window of `WINDOW` seconds holds more than `limit` > 0.

    It keeps a log of the window, because that is exact and allows later corrections; and a virtual schedule (GCRA,
    ITU-T I.371), because if the minute's whole allowance were sent in the first second, an urgent call would have to
    wait for the next minute.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._log: deque[Entry] = deque()
        self._sum = 0.0
        self._next = -math.inf

    def wait(self, now: float, amount: float, urgent: bool) -> float:
        """Seconds from `now` until `amount` may be sent; 0: now. An amount over the limit is sent alone."""
        self._forget(now)
        spacing = 0.0 if urgent else max(0.0, self._next - now)
        excess = self._sum + min(amount, self.limit) - self.limit
        if excess <= 0:
            return spacing
        for entry in self._log:
            excess -= entry.amount
            if excess <= 0:
                return max(spacing, (entry.time + WINDOW) - now)
        return spacing  # float sums leave a remainder

    def take(self, now: float, amount: float) -> Entry:
        """Count `amount` as sent now."""
        entry = Entry(now, amount)
        self._log.append(entry)
        self._sum += amount
        self._next = max(self._next, now - CATCHING_UP)
        self.expect(amount)
        return entry

    def expect(self, amount: float) -> None:
        """Move the schedule as if `amount`, which may be negative, had been sent, without counting it. An amount over
        the limit moves it by a minute at most: else a limit that is too low would block the next call for ever."""
        self._next += max(-self.limit, min(amount, self.limit)) * 60.0 / (self.limit * SHARE)

    def settle(self, entry: Entry, amount: float) -> None:
        """Correct an entry: the amount that was really sent."""
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
