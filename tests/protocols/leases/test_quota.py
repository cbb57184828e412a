"""The quota as a state machine: whatever its members do within their leases, no minute exceeds the limit."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.leases.division import divide, fair
from protocols.leases.lease import Demand, Lease, Report
from protocols.leases.quota import LEASE, Quota
from protocols.pacing.limits import Limits
from tests.protocols.wrappers.clocked import fullest_minute

MANY = Demand(1000, 40, 40_000)
amounts = st.integers(0, 400)


@dataclass
class Rogue:
    """A member that spends as it likes, but within its lease, on a clock of its own."""

    lease: Lease = field(default_factory=Lease)
    asked: float = 0.0
    requests: int = 0
    tokens: int = 0
    sent: int = 0
    used: int = 0

    def spend(self, now: float, calls: int, tokens: int) -> tuple[int, int]:
        """Send so much, or what the lease has left."""
        if now - self.asked >= self.lease.seconds:
            return 0, 0
        calls = min(calls, self.requests) if self.lease.requests is not None else 0
        tokens = min(tokens, self.tokens) if self.lease.tokens is not None else 0
        self.requests, self.tokens = self.requests - calls, self.tokens - tokens
        self.sent, self.used = self.sent + calls, self.used + tokens
        return calls, tokens

    def report(self, now: float, **told: Any) -> Report:
        """Keep half of what is left, and give back the rest."""
        live = now - self.asked < self.lease.seconds
        self.requests, self.tokens = (self.requests // 2, self.tokens // 2) if live else (0, 0)
        report = Report(
            sent=self.sent, used=self.used, held_requests=self.requests, held_tokens=self.tokens, waiting=1000, **told
        )
        self.asked, self.sent, self.used = now, 0, 0
        return report

    def take(self, lease: Lease) -> None:
        self.lease, self.requests, self.tokens = lease, lease.requests or 0, lease.tokens or 0


steps = st.tuples(
    st.sampled_from(["ask", "ask", "spend", "spend", "lost", "dies", "reboot"]),
    st.integers(0, 4),
    st.floats(0.0, 8.0),
    amounts,
    amounts,
)


@given(
    limits=st.builds(Limits, st.none(), st.integers(1, 300), st.none() | st.integers(100, 3000)),
    offsets=st.lists(st.floats(-1e5, 1e5), min_size=5, max_size=5),
    steps=st.lists(steps, min_size=20, max_size=100),
    urgent=st.booleans(),
)
@settings(max_examples=60)
def test_no_minute_exceeds_the_limit_whatever_the_members_do_within_their_leases(
    limits: Limits, offsets: list[float], steps: list[tuple[str, int, float, int, int]], urgent: bool
) -> None:
    """They ask, spend, fall silent, die, miss their leases; the quota's machine is started again."""
    quota, time, boot = Quota(), 1000.0, 0.0
    members = [Rogue() for _ in offsets]
    names = [str(number) for number in range(5)]
    calls: list[tuple[float, float]] = []
    tokens: list[tuple[float, float]] = []
    demand = {"urgent": MANY} if urgent else {"others": MANY}
    for step, number, wait, some, more in steps:
        time += wait
        member, now = members[number], time + offsets[number]
        match step:
            case "spend":
                sent, used = member.spend(now, some, more)
                calls.append((time, sent))
                tokens.append((time, used))
            case "ask" | "lost":
                report = member.report(now, limits=limits, in_flight=number, **demand)
                quota = Quota.unpack(orjson.loads(orjson.dumps(quota.pack())))
                lease = quota.exchange(names[number], report, time - boot)
                if step == "ask":
                    member.take(lease)
            case "dies":
                members[number], names[number] = Rogue(), names[number] + "'"
            case "reboot":
                time += LEASE  # which ended all leases
                boot = time - 0.5
    assert fullest_minute(calls) <= (limits.requests or 0)
    if limits.tokens:
        assert fullest_minute(tokens) <= limits.tokens


@given(
    asked=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.integers(0, 60)), min_size=1, max_size=60),
    allowed=st.integers(1, 40),
)
def test_there_are_never_more_places_than_the_account_has(asked: list[tuple[int, int, int]], allowed: int) -> None:
    """Each member may fill its places at any time, and says how many calls it has when it asks again."""
    quota, places, now = Quota(), dict.fromkeys(range(6), 0), 0.0
    for number, ended, waiting in asked:
        now += 0.4  # all ask again before their leases end
        for each in range(6):
            in_flight = max(0, places[each] - (ended if each == number else 0))
            report = Report(
                limits=Limits(allowed),
                in_flight=in_flight,
                places=places[each],
                waiting=waiting if each == number else 0,
                leaves=not in_flight and each != number,
            )
            lease = quota.exchange(str(each), report, now)
            assert sum(max(places[other], 0) for other in places if other != each) + lease.places <= allowed
            places[each] = max(lease.places, in_flight)


def test_urgent_calls_of_any_member_go_before_other_calls_of_all() -> None:
    quota = Quota()
    bulk = Report(limits=Limits(64, requests=10), waiting=50, others=Demand(50))
    assert quota.exchange("bulk", bulk, 0.0).requests == 1, "spaced"
    urgent = Report(limits=Limits(64), waiting=4, urgent=Demand(4))
    assert quota.exchange("urgent", urgent, 0.5).places == 0, "the other may have filled them all by now"
    bulk = replace(bulk, sent=1, in_flight=1, places=64)
    lease = quota.exchange("bulk", bulk, 1.0)
    assert (lease.requests, lease.places) == (0, 55)
    quota.exchange("bulk", replace(bulk, sent=0, places=55), 1.1)
    assert quota.exchange("urgent", urgent, 1.2).requests == 4


def test_where_there_is_less_than_a_call_for_each_the_one_who_waited_longest_is_served() -> None:
    quota, served = Quota(), deque[str]()
    for second in range(600):
        for name in "abc":
            report = Report(limits=Limits(64, requests=6), waiting=9, others=Demand(9), places=20)
            lease = quota.exchange(name, report, second + ord(name) / 500)
            served.extend(name * (lease.requests or 0))
            if lease.requests:
                report = Report(limits=Limits(64, requests=6), sent=1, waiting=9, others=Demand(9), places=20)
                quota.exchange(name, report, second + ord(name) / 500)
    assert len(served) >= 0.9 * 60
    assert max(served.count(name) for name in "abc") - min(served.count(name) for name in "abc") <= 1


def test_one_member_finds_out_whether_a_refusing_account_accepts_calls_again() -> None:
    quota, limits = Quota(), Limits(8)
    for name in "ab":
        quota.exchange(name, Report(limits=limits, waiting=9), 0.0)
    lease = quota.exchange("a", Report(limits=limits, waiting=9, in_flight=4, window=0, pushed_back=True), 0.5)
    assert (lease.hold, lease.trial, lease.window, lease.limits.concurrency) == (1.0, True, 1, 8)
    other = quota.exchange("b", Report(limits=limits, waiting=9, in_flight=0), 1.6)
    assert (other.places, other.trial) == (0, False)
    held = quota.exchange("a", Report(limits=limits, waiting=9, window=1, sent=1, in_flight=1, places=4), 1.7)
    assert held.trial
    answered = quota.exchange("a", Report(limits=limits, waiting=9, window=1, replies=1, places=4), 2.0)
    quota.exchange("b", Report(limits=limits, waiting=9), 2.1)
    quota.exchange("a", Report(limits=limits, waiting=9, window=1, in_flight=2, places=2), 2.15)
    other = quota.exchange("b", Report(limits=limits, waiting=9), 2.2)
    assert not answered.trial
    assert answered.places + other.places == 4, "half of the eight"


@given(total=st.integers(0, 200), demands=st.lists(st.integers(0, 60), min_size=1, max_size=9))
def test_shares_are_max_min_fair(total: int, demands: list[int]) -> None:
    shares = divide(total, demands)
    assert sum(shares) <= total
    if total < sum(demands):
        assert sum(shares) == total
        for share, demand in zip(shares, demands, strict=True):
            assert share <= demand
            assert share == demand or share >= max(shares) - 1
    for place, demand in enumerate(demands):
        rivals = [*demands[:place], *demands[place + 1 :]]
        assert abs(fair(total, demand, rivals) - min(shares[place], demand)) < 1.0 + 1e-9
