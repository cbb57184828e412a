"""Counts one quantity, requests or tokens, of all members of an account."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from protocols.pacing.pace import WINDOW

SHARE = 0.95
"""Share of the allowance at which grants are spaced; the rest is for urgent calls. A grant counts from when it is
made until a minute after its use is reported: about two seconds longer than a call that is counted when sent."""
AHEAD = BEHIND = 1.0
"""Seconds by which grants may run ahead of their schedule, as they are made for a second, and lag behind it."""
GRAIN = 0.5
"""Seconds of one entry of the log, which counts as if all of it had been sent at the end of them."""


class Meter:
    """The log of one minute, and the schedule by which its allowance is granted: as `Pace`, for grants.

    `limit`: per minute; None: unknown, and everything is only counted. `used`: in the last minute. Times in seconds.
    """

    def __init__(self) -> None:
        self.limit: float | None = None
        self._log: deque[tuple[float, float]] = deque()
        self.used = 0.0
        self._next = -math.inf

    @property
    def empty(self) -> bool:
        return not self._log

    def charge(self, time: float, amount: float) -> None:
        """Count what was sent until this time."""
        if not amount:
            return
        self.used += amount
        time = math.ceil(time / GRAIN) * GRAIN
        if self._log and self._log[-1][0] >= time:
            time, before = self._log.pop()
            amount += before
        self._log.append((time, amount))

    def forget(self, now: float) -> None:
        """Drop what is older than the window."""
        while self._log and self._log[0][0] + WINDOW <= now:
            self.used -= self._log.popleft()[1]
        if not self._log:
            self.used = 0.0  # float sums leave a remainder

    def plan(self, now: float, amount: float) -> None:
        """Move the schedule by a grant; a negative amount was given back."""
        if self.limit is not None:
            most = self.limit
            start = max(self._next, now - BEHIND)
            self._next = start + max(-most, min(amount, most)) * 60.0 / (self.limit * SHARE)

    def due(self, now: float) -> float:
        """The amount that the schedule allows now; not above 0: nothing."""
        if self.limit is None:
            return math.inf
        return (now + AHEAD - max(self._next, now - BEHIND)) * self.limit * SHARE / 60.0

    def shift(self, seconds: float) -> None:
        """Move all times, because the clock has started anew."""
        self._log = deque((time + seconds, amount) for time, amount in self._log)
        self._next += seconds

    def pack(self) -> dict[str, Any]:
        """The state as JSON."""
        return {"log": [list(entry) for entry in self._log], "next": self._next if self._next > -math.inf else None}

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Meter:
        """:raises KeyError, TypeError, ValueError: this is no packed meter."""
        meter = cls()
        meter._log = deque((float(time), float(amount)) for time, amount in packed["log"])
        meter.used = sum(amount for _, amount in meter._log)
        meter._next = -math.inf if packed["next"] is None else float(packed["next"])
        return meter
