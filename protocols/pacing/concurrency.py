"""How many calls an account may have in flight, as its provider's replies and refusals teach."""

from __future__ import annotations

import math

from protocols.pacing.limits import MOST

FIRST = 16
"""Calls in flight at the start, if the configuration sets no limit."""
LONGEST_HOLD = 120.0
"""Longest time in seconds for which an account is held back before it is tried again."""
FIRST_HOLD, LONGEST_OWN_HOLD = 1.0, 60.0
"""The first and the longest hold in seconds if the provider names no wait: most quotas are per minute."""


class Concurrency:
    """The calls in flight that an account may have.

    A configured limit is used from the start; otherwise it starts low and grows by one with every reply (slow start).
    A rate limit halves it, and from then on one window of replies adds one. Calls that began in an older window do
    not count in the current one. Source: Chiu & Jain 1989, as in TCP's congestion avoidance and fast recovery
    (RFC 5681, section 3.1; RFC 6582, section 3.2). `Retry-After` holds back the whole account, so that its calls are
    not refused one by one. If the provider names no wait, the hold is 1 s, 2 s, 4 s and so on, and one call is sent
    after each hold until there is a reply.

    `allowed`: calls in flight now; `most`: what it may grow to. `window`: number of the current window. `opens`: the
    time until which the account is held back. All times are of the caller's clock, in seconds.
    """

    def __init__(self, named: int | None) -> None:
        self.named = named
        self.most = named or MOST
        self.allowed = named or FIRST
        self.window = 0
        self.opens = -math.inf
        self.slow_start = True
        self.replies = 0
        self.own_hold = FIRST_HOLD

    @property
    def trying(self) -> bool:
        """Whether one call at a time finds out, after a hold of our own, if the account accepts calls again."""
        return self.own_hold > FIRST_HOLD

    def limit(self, named: int | None) -> None:
        """Apply another configured limit; None: there is none."""
        before, self.named = self.named, named
        self.most = named or MOST
        if named is not None and (before is None or (named > before and self.slow_start)):
            self.allowed = named
        self.allowed = min(self.allowed, self.most)

    def held(self, now: float) -> float:
        """Seconds for which the account is held back; 0: it is not."""
        return max(0.0, self.opens - now)

    def answered(self, window: int) -> None:
        """Record a reply to a call that began in this window."""
        if window != self.window:
            return
        self.own_hold = FIRST_HOLD
        if self.allowed >= self.most:
            return
        self.replies += 1
        if self.slow_start or self.replies >= self.allowed:
            self.allowed += 1
            self.replies = 0

    def pushed_back(self, window: int, wait: float | None, now: float) -> None:
        """Record a rate limit that a call of this window met, and hold the account back for `wait` seconds; None or
        0: no wait was named."""
        if wait:
            self.opens = max(self.opens, now + min(wait, LONGEST_HOLD))
        if window == self.window:
            if not wait:
                self.opens = max(self.opens, now + self.own_hold)
                self.own_hold = min(2 * self.own_hold, LONGEST_OWN_HOLD)
            self.allowed = max(1, self.allowed // 2)
            self.slow_start = False
            self.window += 1
            self.replies = 0
