"""The quota of one account, from which all processes that use the account get their leases."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from functools import reduce
from operator import or_
from typing import Any, Literal

from protocols.leases.division import divide, fair
from protocols.leases.lease import Demand, Lease, Report
from protocols.leases.meter import Meter
from protocols.pacing.concurrency import Concurrency
from protocols.pacing.limits import Limits
from protocols.pacing.tokens import SURPRISE

LEASE = 3.0
"""Seconds of a lease. A member that says no more holds its places for so long."""
RENEW = 1.0
"""Seconds after which a member asks for the next lease while it has something to do."""
SOON = 0.25
"""Seconds after which it asks again if others are about to make room for it."""
TURN = 4.0
"""Seconds for which a member keeps its places where there are fewer places than members."""
Kind = Literal["urgent", "others"]


@dataclass(slots=True)
class Seat:
    """A member. `ends`: the end of its lease. `requests`, `tokens`: granted, and neither used nor given back;
    `expected`: the tokens among them that it is expected to use.
    `in_flight`, `places`, `waiting`, `urgent`, `others`, `limits`, `learned`: as it reported, or was granted, last.
    `held`: the most calls that it can have in flight before its next report. `since`: when it was last granted
    something, or began to wait. `placed`: when it got places while it had none. `trial`: it sends the call that finds
    out whether the account accepts calls again; `tried`: it has sent it."""

    ends: float = 0.0
    requests: float = 0.0
    tokens: float = 0.0
    expected: float = 0.0
    in_flight: int = 0
    places: int = 0
    held: int = 0
    waiting: int = 0
    urgent: Demand = field(default_factory=Demand)
    others: Demand = field(default_factory=Demand)
    limits: Limits = field(default_factory=Limits)
    learned: Limits = field(default_factory=Limits)
    since: float = 0.0
    placed: float = 0.0
    trial: bool = False
    tried: bool = False


class Quota:
    """Divides one account's limits among its members. It has no clock: `now` is given, in seconds, and may start anew
    at any value below, as after a reboot.

    Requests and tokens: what was granted counts until it is given back, or until a minute after it was reported as
    used, or after the lease of a member that reports no more has ended. So no minute exceeds the limit whatever the
    members do within their leases. Places for calls in flight: `Concurrency`, for the account as a whole; a place
    counts as taken until its member reports that it is free. Limits: the strictest of all configured ones, or else of
    those that providers named.

    What replies and refusals have taught is forgotten once the last member has ended, so that a person who starts
    again tries at once; what was sent is not.

    Urgent demand of any member goes before other demand of all. The rest is divided fairly (max-min) by demand; where
    there is less than one call for each, the one who has waited longest is served.
    """

    def __init__(self) -> None:
        self._now = -math.inf
        self._members: dict[str, Seat] = {}
        self._concurrency = Concurrency(None)
        self._requests, self._tokens = Meter(), Meter()

    def exchange(self, member: str, report: Report, now: float) -> Lease:
        """Take a member's report, and give it its next lease."""
        self._advance(now)
        seat = self._members.get(member) or Seat(since=now, placed=now)
        self._settle(seat, report, now)
        self._learn(report, now)
        if report.leaves or report.ends:
            self._members.pop(member, None)
            if report.ends and not self._members:
                self._concurrency = Concurrency(None)
            return Lease()
        self._members[member] = seat
        seat.ends = now + LEASE
        limits, concurrency = self._apply_limits(), self._concurrency
        hold = concurrency.held(now)
        self._choose_trial(seat, report)
        target = self._place(seat, now)
        changes = seat.held > seat.places or min(target, seat.in_flight + seat.waiting) > seat.places
        unmet = 0
        if hold < RENEW and seat.places:
            unmet = self._grant(seat, report.share, now)
        return Lease(
            seconds=LEASE,
            again=SOON if unmet or changes else RENEW,
            growing=concurrency.slow_start and concurrency.allowed < concurrency.most,
            places=seat.places,
            whole=seat.places == concurrency.allowed,
            requests=None if limits.requests is None else int(seat.requests),
            tokens=None if limits.tokens is None else int(seat.tokens),
            window=concurrency.window,
            trial=seat.trial,
            hold=hold,
            limits=limits,
        )

    def _advance(self, now: float) -> None:
        """Forget what is over: entries of the log, and members whose leases have ended."""
        if now < self._now:
            self._shift(now - self._now)
        self._now = now
        for name, seat in list(self._members.items()):
            if seat.ends <= now:
                self._requests.charge(seat.ends, seat.requests)
                self._tokens.charge(seat.ends, seat.tokens)
                del self._members[name]
        for meter in (self._requests, self._tokens):
            meter.forget(now)
        if not self._members and self._requests.empty and self._concurrency.opens <= now:
            self._concurrency = Concurrency(None)

    def _shift(self, seconds: float) -> None:
        """The clock started anew: count what was logged as recent. As the machine has run for less than the age of
        what was logged before its start, nothing can be forgotten too early."""
        for meter in (self._requests, self._tokens):
            meter.shift(seconds)
        self._concurrency.opens += seconds
        for seat in self._members.values():
            seat.ends, seat.since, seat.placed = seat.ends + seconds, seat.since + seconds, seat.placed + seconds

    def _settle(self, seat: Seat, report: Report, now: float) -> None:
        self._requests.charge(now, report.sent)
        self._requests.plan(now, report.sent + report.held_requests - seat.requests)
        self._tokens.charge(now, report.used)
        expected = report.held_tokens * report.share
        self._tokens.plan(now, report.used + expected - seat.expected)
        seat.requests, seat.tokens, seat.expected = report.held_requests, report.held_tokens, expected
        seat.in_flight, seat.waiting = report.in_flight, report.waiting
        seat.places = report.places
        if not (seat.urgent.calls or seat.others.calls):
            seat.since = now
        seat.urgent, seat.others = report.urgent, report.others
        seat.limits, seat.learned = report.limits, report.learned
        seat.tried = seat.trial and (seat.tried or report.sent > 0)

    def _learn(self, report: Report, now: float) -> None:
        for _ in range(report.replies):
            self._concurrency.answered(report.window)
        if report.pushed_back or report.wait:
            window = report.window if report.pushed_back else -1
            self._concurrency.pushed_back(window, report.wait or None, now)

    def _apply_limits(self) -> Limits:
        named = reduce(or_, {seat.limits for seat in self._members.values()})
        learned = reduce(or_, {seat.learned for seat in self._members.values()})
        self._concurrency.limit(named.concurrency)
        limits = Limits(self._concurrency.most, named.requests or learned.requests, named.tokens or learned.tokens)
        self._requests.limit = limits.requests
        self._tokens.limit = None if limits.tokens is None else limits.tokens * (1.0 - SURPRISE)
        return limits

    def _choose_trial(self, seat: Seat, report: Report) -> None:
        """After a hold of our own one member at a time sends one call."""
        current = report.window == self._concurrency.window
        if not self._concurrency.trying or not current or (seat.trial and not seat.tried and not report.waiting):
            seat.trial = seat.tried = False
        if self._concurrency.trying and report.waiting and not any(each.trial for each in self._members.values()):
            seat.trial = True

    def _place(self, seat: Seat, now: float) -> int:
        """Set the member's calls in flight; returns what it is to get once others have made room."""

        def turn(one: Seat) -> tuple[bool, bool, float]:
            return not one.urgent.calls, one.places == 0 or now - one.placed > TURN, one.placed

        trying = self._concurrency.trying
        seats = sorted(self._members.values(), key=turn)
        demands = [0 if trying and not one.trial else one.in_flight + one.waiting for one in seats]
        target = dict(zip(map(id, seats), divide(self._concurrency.allowed, demands), strict=True))[id(seat)]
        if trying and not seat.trial:
            target = 0
        taken = sum(other.held for other in seats if other is not seat)
        before, seat.places = seat.places, max(0, min(target, self._concurrency.allowed - taken))
        seat.held = max(seat.in_flight, before, seat.places)
        if seat.places and not before:
            seat.placed = now
        elif before and not seat.places:
            seat.placed = now  # it has had its turn
        return target

    def _grant(self, seat: Seat, share: float, now: float) -> int:
        """Grant requests and tokens; returns how many urgent calls got none."""
        seats = [other for other in self._members.values() if other.places or other is seat]
        requests = self._free(self._requests, "requests")
        tokens = self._free(self._tokens, "tokens")
        urgent, needed = self._share(seat, seats, "urgent", requests, tokens)
        rivals = [other.urgent for other in seats if other is not seat]
        requests -= urgent + sum(rival.calls for rival in rivals)
        tokens -= needed + sum(rival.tokens for rival in rivals)
        due, due_tokens = self._requests.due(now), self._tokens.due(now) / share
        requests = min(requests, max(1.0, due) if due > 0 else 0.0)
        tokens = min(tokens, max(self._first(seat.others), due_tokens) if due_tokens > 0 else 0.0)
        others, more = self._share(seat, seats, "others", requests, tokens)
        if self._requests.limit is not None:
            seat.requests += urgent + others
            self._requests.plan(now, urgent + others)
        if self._tokens.limit is not None:
            seat.tokens += needed + more
            seat.expected += (needed + more) * share
            self._tokens.plan(now, (needed + more) * share)
        unmet = seat.urgent.calls - urgent
        seat.urgent, seat.others = less(seat.urgent, urgent), less(seat.others, others)
        if urgent or others:
            seat.since = now
        return unmet

    def _free(self, meter: Meter, name: Literal["requests", "tokens"]) -> float:
        if meter.limit is None:
            return math.inf
        granted: float = sum(getattr(seat, name) for seat in self._members.values())
        return meter.limit - meter.used - granted

    def _first(self, demand: Demand) -> float:
        """The tokens of the first call. One over the limit is sent alone."""
        return 0 if self._tokens.limit is None else min(demand.first, int(self._tokens.limit))

    def _share(self, seat: Seat, seats: list[Seat], kind: Kind, requests: float, tokens: float) -> tuple[int, float]:
        """The calls of one kind that the member gets of this much, and their tokens."""
        mine: Demand = getattr(seat, kind)
        if not mine.calls:
            return 0, 0
        rivals: list[tuple[Demand, bool]] = [
            (getattr(other, kind), other.since < seat.since) for other in seats if other is not seat
        ]
        ahead = [demand for demand, first in rivals if first and demand.calls]
        first = self._first(mine)
        requests_left, tokens_left = requests - len(ahead), tokens - sum(map(self._first, ahead))
        if requests_left < 1 or tokens_left < first:
            return 0, 0
        calls = min(requests_left, fair(requests, mine.calls, [demand.calls for demand, _ in rivals]))
        if self._tokens.limit is None:
            return max(1, int(calls)), 0
        share = min(tokens_left, fair(tokens, mine.tokens, [demand.tokens for demand, _ in rivals]))
        each = (mine.tokens - mine.first) / (mine.calls - 1) if mine.calls > 1 else 0.0
        affordable = 1 + int((share - first) / each) if each > 0 else mine.calls
        number = max(1, min(int(calls), affordable))
        return number, math.ceil(min(tokens_left, first + (number - 1) * each))

    def pack(self) -> dict[str, Any]:
        """The state as JSON."""
        concurrency = {name: finite(value) for name, value in vars(self._concurrency).items()}
        return {
            "now": finite(self._now),
            "members": {name: asdict(seat) for name, seat in self._members.items()},
            "concurrency": concurrency,
            "requests": self._requests.pack(),
            "tokens": self._tokens.pack(),
        }

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Quota:
        """:raises KeyError, TypeError, ValueError: this is no packed quota."""
        quota = cls()
        quota._now = -math.inf if packed["now"] is None else float(packed["now"])
        for name, seat in packed["members"].items():
            demands = {kind: Demand(**seat[kind]) for kind in ("urgent", "others")}
            limits = {kind: Limits(**seat[kind]) for kind in ("limits", "learned")}
            quota._members[name] = Seat(**{**seat, **demands, **limits})
        for name in vars(quota._concurrency):
            value = packed["concurrency"][name]
            setattr(quota._concurrency, name, -math.inf if name == "opens" and value is None else value)
        quota._requests, quota._tokens = Meter.unpack(packed["requests"]), Meter.unpack(packed["tokens"])
        return quota


def less(demand: Demand, calls: int) -> Demand:
    """What is left of a demand after so many calls of it were granted."""
    if calls >= demand.calls:
        return Demand()
    left = demand.calls - calls
    return Demand(left, demand.first, max(demand.first, demand.tokens * left // demand.calls))


def finite(value: Any) -> Any:
    """JSON has no infinity."""
    return None if value == -math.inf else value
