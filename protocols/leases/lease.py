"""What the processes that share an account tell its quota, and what they are granted: leases.

Only numbers and strings cross, and of times only durations, so that every process may keep a clock of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from protocols.pacing.limits import Limits

UNKNOWN: Final = Limits()


@dataclass(frozen=True, slots=True)
class Demand:
    """Calls that a member wants to send and has no grant for. `first`: the tokens to grant before the first of them
    may be sent; `tokens`: those for all of them."""

    calls: int = 0
    first: int = 0
    tokens: int = 0


NOTHING: Final = Demand()


@dataclass(frozen=True, slots=True)
class Report:
    """What has happened at a member since its last report, and what it asks for.

    `limits`: configured; `learned`: named by the provider's headers.
    `sent`, `used`: requests and tokens since then. `held_requests`, `held_tokens`: what the member may still send by
    its lease, or keeps for its calls in flight; the rest of the lease is given back.
    `in_flight`: calls now; `places`: calls in flight that its lease allows, 0 if that has ended.
    `window`: of its lease; `replies`: to calls that were sent in this window; `pushed_back`: whether one of those met
    a rate limit. `wait`: seconds from now on for which the provider asked it to wait, 0: none were named.
    `waiting`: calls that wait now. `urgent`, `others`: those of them without a grant, and such as are expected until
    the next report. `leaves`: the member has nothing to do now, and gives everything back; `ends`: for ever.
    """

    limits: Limits = UNKNOWN
    learned: Limits = UNKNOWN
    sent: int = 0
    used: int = 0
    held_requests: int = 0
    held_tokens: int = 0
    share: float = 1.0
    in_flight: int = 0
    places: int = 0
    window: int = -1
    replies: int = 0
    pushed_back: bool = False
    wait: float = 0.0
    waiting: int = 0
    urgent: Demand = NOTHING
    others: Demand = NOTHING
    leaves: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """What a member may do for `seconds`, counted by its own clock from when it asked; 0: nothing.

    `again`: seconds after which it is worth while to ask again if calls wait; `growing`: or as soon as there were
    replies. `places`: calls in flight; `whole`: the account has no more of them. `requests`, `tokens`: what it may
    send, counted from when it asked; None: no limit is known. `window`: the window of the concurrency, for calls sent
    by this lease. `trial`: only one call of this window may be in flight at a time. `hold`: seconds for which nothing
    may be sent. `limits`: those in force.
    """

    seconds: float = 0.0
    again: float = 0.0
    growing: bool = False
    places: int = 0
    whole: bool = False
    requests: int | None = None
    tokens: int | None = None
    window: int = 0
    trial: bool = False
    hold: float = 0.0
    limits: Limits = UNKNOWN


class NoLease(Exception):
    """The quota cannot be reached now; `str` says why. Calls wait until it can."""


class Source(Protocol):
    """Where the leases of one account come from."""

    async def exchange(self, member: str, report: Report) -> Lease:
        """Report, and get the next lease. A member makes one exchange at a time.

        :raises NoLease: it failed; whether the report arrived is unknown.
        """
