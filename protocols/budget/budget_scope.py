"""One set of caps, and what was spent and is held back under them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

ASIDE = 1 / 8
"""Of a cap as much, at most, is kept for what comes after the search."""
SHARES = (0.5, 0.8)
"""The shares of a cap that are worth a line when they are used."""


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits; None: no limit. Tokens count input and output together; minutes count from the start of the run."""

    calls: int | None = None
    tokens: int | None = None
    dollars: float | None = None
    minutes: float | None = None


class Cost(NamedTuple):
    """Tokens, input and output together, and dollars: what something cost, or may at most."""

    tokens: int
    dollars: float


NOTHING = Cost(0, 0.0)


@dataclass(frozen=True, slots=True)
class Notice:
    """More than a `share` of the cap is used: so much of `limit`. `scope` "" is the run."""

    scope: str
    cap: str
    share: float
    used: float
    limit: float

    def __str__(self) -> str:
        whose = f" of {self.scope}" if self.scope else ""
        return f"{self.share:.0%} of the budget{whose} is used: {self.used:,.6g} of {self.limit:,g} {self.cap}"


class Purse:
    """`spent` for calls that have ended, `reserved` for those that are admitted, in flight or `waiting` to be sent;
    both count against the caps. `aside`: calls that are kept for later, of each cap as much as so many cost on
    average, and no more than `ASIDE` of it."""

    def __init__(self, name: str, caps: Caps) -> None:
        self.aside = 0
        self.name = name
        self.limits: dict[str, float] = {cap: limit for cap, limit in asdict(caps).items() if limit is not None}
        self.calls, self.in_flight, self.waiting = 0, 0, 0
        self.spent, self.reserved = NOTHING, NOTHING
        self._largest = NOTHING
        self._told = dict.fromkeys(self.limits, 0.0)

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters what a call may cost."""
        return "tokens" in self.limits or "dollars" in self.limits

    def cap(self, cap: str, limit: float | None) -> None:
        """Another limit from now on; None: none."""
        self.limits.pop(cap, None)
        if limit is not None:
            self.limits[cap], self._told[cap] = limit, 0.0

    def obstacle(self, most: Cost, held: int, seconds: float) -> tuple[str, bool]:
        """The cap that stands in the way of a call that costs at most `most`, "" for none, and whether for good.

        `held` calls are to be possible afterwards, each at the average cost so far; the last of them must find room
        for the most that it may cost, for which the largest so far stands. `seconds` since the start.
        """
        if refused := self.refusal(held, seconds):
            return refused, True
        waits = ""
        for cap, limit in self.limits.items():
            if cap == "calls" and self.calls + self.waiting + 1 + held > limit - self._aside(cap, self.calls):
                waits = cap
            if cap in ("tokens", "dollars"):
                need, spent, reserved = (getattr(part, cap) for part in (most, self.spent, self.reserved))
                room = limit - spent - self._kept(cap, held) - self._aside(cap, spent)
                if need > room:
                    return cap, True
                if need > room - reserved:
                    waits = cap
        return waits, False

    def refusal(self, held: int, seconds: float) -> str:
        """The cap that forbids any call from now on, whatever it costs; "" for none."""
        calls, minutes = self.limits.get("calls"), self.limits.get("minutes")
        if calls is not None and self.calls + 1 + held > calls - self._aside("calls", self.calls):
            return "calls"
        if minutes is not None and seconds / 60 >= minutes - self._aside("minutes", seconds / 60):
            return "minutes"
        return ""

    def overspent(self, most: Cost) -> str:
        """The cap on tokens or dollars that is spent already, so that an admitted call may not be sent; "" for none,
        or for a call that costs nothing of it."""
        for cap in ("tokens", "dollars"):
            limit, spent = self.limits.get(cap), getattr(self.spent, cap)
            if limit is not None and 0 < spent >= limit and (most is NOTHING or getattr(most, cap) > 0):
                return cap
        return ""

    def reserve(self, most: Cost) -> None:
        """A call is admitted, and waits to be sent."""
        self.waiting += 1
        if most is NOTHING:
            return
        self.reserved = Cost(self.reserved.tokens + most.tokens, self.reserved.dollars + most.dollars)
        if most.tokens > self._largest.tokens or most.dollars > self._largest.dollars:
            self._largest = Cost(max(most.tokens, self._largest.tokens), max(most.dollars, self._largest.dollars))

    def send(self) -> None:
        """A call is sent that was admitted."""
        self.waiting -= 1
        self.in_flight += 1
        self.calls += 1

    def withdraw(self, most: Cost) -> None:
        """A call for which `most` was reserved will not be sent."""
        self.waiting -= 1
        self._free(most)

    def settle(self, most: Cost, cost: Cost) -> None:
        """A call has ended for which `most` was reserved, and which cost so much."""
        self.in_flight -= 1
        self._free(most)
        self.spent = Cost(self.spent.tokens + cost.tokens, self.spent.dollars + cost.dollars)

    def _free(self, most: Cost) -> None:
        if most is NOTHING:
            return
        left = Cost(self.reserved.tokens - most.tokens, self.reserved.dollars - most.dollars)
        self.reserved = left if self.in_flight or self.waiting else NOTHING  # sums of floats leave a rest

    def take_up(self, calls: int, cost: Cost) -> None:
        """Calls of an earlier process."""
        self.calls += calls
        self.spent = Cost(self.spent.tokens + cost.tokens, self.spent.dollars + cost.dollars)

    def news(self, seconds: float) -> Iterator[Notice]:
        """The notices that are due, each share of each cap once."""
        for cap, limit in self.limits.items():
            told = self._told[cap]
            if told == SHARES[-1]:
                continue
            used = self.calls if cap == "calls" else seconds / 60 if cap == "minutes" else getattr(self.spent, cap)
            passed = max((share for share in SHARES if used >= share * limit), default=0.0)
            if passed > told:
                self._told[cap] = passed
                yield Notice(self.name, cap, passed, used, limit)

    def _aside(self, cap: str, used: float) -> float:
        """What is kept of a cap for later: whole calls, or a part of what has been used by all so far."""
        if not (self.aside and self.calls):
            return 0.0
        share = ASIDE * self.limits[cap]
        return min(self.aside, share // 1) if cap == "calls" else min(self.aside * used / self.calls, share)

    def _kept(self, cap: str, held: int) -> float:
        if not (held and self.calls):
            return 0.0
        spent, largest = getattr(self.spent, cap), getattr(self._largest, cap)
        return float(held * spent / self.calls + largest)
