"""One set of caps with its spending and its reservations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

from protocols.errors import whose

ASIDE = 1 / 8
"""At most this share of a cap is kept for the time after the search."""
SHARES = (0.5, 0.8)
"""A notice is given when these shares of a cap are used."""


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits; None: no limit. Tokens are input and output together; minutes count from the start of the run."""

    calls: int | None = None
    tokens: int | None = None
    dollars: float | None = None
    minutes: float | None = None


NO_CAPS = Caps()


class Cost(NamedTuple):
    """The actual or the highest possible cost: tokens, input and output together, and dollars."""

    tokens: int
    dollars: float


NOTHING = Cost(0, 0.0)


@dataclass(frozen=True, slots=True)
class Notice:
    """At least `share` of a cap is used: `used` of `limit`. `scope`: "" for the run, or as of `BudgetExhausted`."""

    scope: str
    cap: str
    share: float
    used: float
    limit: float

    def __str__(self) -> str:
        used = f"{self.used:,.6g} of {self.limit:,g} {self.cap}"
        return f"{self.share:.0%} of the budget{whose(self.scope)} is used: {used}"


class BudgetScope:
    """The spending under one set of caps. `spent`: by calls that have ended. `reserved`: for admitted calls, in
    flight or `waiting` to be sent. Both count against the caps. `aside`: number of calls to keep for later; of each
    cap their average cost is kept, at most the share `ASIDE`. `refused`: the first cap that refused a call for good,
    "" so far."""

    def __init__(self, name: str, caps: Caps) -> None:
        self.aside = 0
        self.name, self.refused = name, ""
        self.limits: dict[str, float] = {cap: limit for cap, limit in asdict(caps).items() if limit is not None}
        self.calls, self.in_flight, self.waiting = 0, 0, 0
        self.spent, self.reserved = NOTHING, NOTHING
        self.largest = NOTHING
        self._told = dict.fromkeys(self.limits, 0.0)

    @property
    def counts_tokens(self) -> bool:
        """Whether a cap on tokens or dollars exists, so that the cost of a call matters."""
        return "tokens" in self.limits or "dollars" in self.limits

    def cap(self, cap: str, limit: float | None) -> None:
        """Set the limit of a cap from now on; None removes it."""
        self.limits.pop(cap, None)
        if limit is not None:
            self.limits[cap], self._told[cap] = limit, 0.0

    def obstacle(self, most: Cost, held: int, seconds: float) -> tuple[str, bool]:
        """The cap that blocks a call of at most `most` ("": none), and whether permanently.

        `held`: number of calls that must remain possible afterwards, each at the average cost so far; the last of
        them needs room for its highest possible cost, for which the largest reservation so far is taken. `seconds`:
        since the start.
        """
        if refused := self.refusal(held, seconds):
            return refused, True
        waits = ""
        for cap in self.limits:
            if cap == "minutes":
                continue
            need = 1 if cap == "calls" else getattr(most, cap)
            room = self.room(cap, held)
            if need > room:
                return cap, True
            if need > room - self.taken(cap):
                waits = cap
        return waits, False

    def refusal(self, held: int, seconds: float) -> str:
        """The cap that forbids every further call, whatever its cost; "" if none does."""
        minutes = self.limits.get("minutes")
        if "calls" in self.limits and self.room("calls", held) < 1:
            return "calls"
        if minutes is not None and seconds / 60 >= minutes - self._aside("minutes", seconds / 60):
            return "minutes"
        return ""

    def room(self, cap: str, held: int) -> float:
        """What is left of a cap for calls in flight and new ones; not of the cap on minutes."""
        used = self.used(cap)
        return self.limits[cap] - used - self._kept(cap, held) - self._aside(cap, used)

    def affords(self, calls: float, held: int) -> bool:
        """Whether so many more calls fit under the caps, at the average cost so far; the cap on minutes is not looked
        at. `held`: as of `obstacle`."""
        for cap in self.limits.keys() - {"minutes"}:
            each = 1.0 if cap == "calls" else self.average(cap)
            if calls * each > self.room(cap, held):
                return False
        return True

    def average(self, cap: str) -> float:
        """What a call has cost on average so far: tokens or dollars; 0 before the first."""
        return float(getattr(self.spent, cap)) / self.calls if self.calls else 0.0

    def used(self, cap: str) -> float:
        """The spending under a cap; not under the cap on minutes."""
        return self.calls if cap == "calls" else float(getattr(self.spent, cap))

    def taken(self, cap: str) -> float:
        """The part of `room` that is not free now, but may become free again."""
        return self.waiting if cap == "calls" else float(getattr(self.reserved, cap))

    def limit_of(self, cap: str) -> float:
        """The limit as a person has set it."""
        return self.limits[cap]

    def overspent(self, most: Cost) -> str:
        """The cap on tokens or dollars that is already spent, so that an admitted call may not be sent; "" if there
        is none, or the call costs nothing under it."""
        for cap in ("tokens", "dollars"):
            limit, spent = self.limits.get(cap), getattr(self.spent, cap)
            if limit is not None and 0 < spent >= limit and (most is NOTHING or getattr(most, cap) > 0):
                return cap
        return ""

    def reserve(self, most: Cost) -> None:
        """Admit a call that may cost `most`; it waits to be sent."""
        self.waiting += 1
        if most is NOTHING:
            return
        self.reserved = Cost(self.reserved.tokens + most.tokens, self.reserved.dollars + most.dollars)
        if most.tokens > self.largest.tokens or most.dollars > self.largest.dollars:
            self.largest = Cost(max(most.tokens, self.largest.tokens), max(most.dollars, self.largest.dollars))

    def send(self) -> None:
        """Count an admitted call as sent."""
        self.waiting -= 1
        self.in_flight += 1
        self.calls += 1

    def withdraw(self, most: Cost) -> None:
        """Release the reservation `most` of a call that will not be sent."""
        self.waiting -= 1
        self._free(most)

    def settle(self, most: Cost, cost: Cost) -> None:
        """Replace the reservation `most` of a call that has ended by its `cost`."""
        self.in_flight -= 1
        self._free(most)
        self.spent = Cost(self.spent.tokens + cost.tokens, self.spent.dollars + cost.dollars)

    def _free(self, most: Cost) -> None:
        if most is NOTHING:
            return
        left = Cost(self.reserved.tokens - most.tokens, self.reserved.dollars - most.dollars)
        self.reserved = left if self.in_flight or self.waiting else NOTHING  # float sums leave a remainder

    def refuse(self, cap: str) -> None:
        """Told that a cap has refused a call for good. No notice follows that it is partly used."""
        self.refused = self.refused or cap
        self._told[cap] = SHARES[-1]

    def set_aside(self, calls: int) -> None:
        """Keep this many calls for later; 0 releases them."""
        self.aside = calls

    def take_up(self, calls: int, cost: Cost) -> None:
        """Add the calls of an earlier process."""
        self.calls += calls
        self.spent = Cost(self.spent.tokens + cost.tokens, self.spent.dollars + cost.dollars)

    def news(self, seconds: float) -> Iterator[Notice]:
        """The notices now due; each share of each cap is noticed once, and none of a cap that is used up."""
        for cap, limit in self.limits.items():
            told = self._told[cap]
            used = seconds / 60 if cap == "minutes" else self.used(cap)
            if told == SHARES[-1] or used >= limit:
                continue
            passed = max((share for share in SHARES if used >= share * limit), default=0.0)
            if passed > told:
                self._told[cap] = passed
                yield Notice(self.name, cap, passed, used, limit)

    def _aside(self, cap: str, used: float) -> float:
        """The part of a cap that is kept for later: whole calls, or `aside` times the average use per call so far."""
        if not (self.aside and self.calls):
            return 0.0
        share = ASIDE * self.limits[cap]
        return min(self.aside, share // 1) if cap == "calls" else min(self.aside * used / self.calls, share)

    def _kept(self, cap: str, held: int) -> float:
        if cap == "calls":
            return held
        if not (held and self.calls):
            return 0.0
        spent, largest = getattr(self.spent, cap), getattr(self.largest, cap)
        return float(held * spent / self.calls + largest)
