"""Members of one quota on a simulated clock, each with a limiter of its own, in front of one model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from protocols.leases.lease import Lease, NoLease, Report, Source
from protocols.leases.member import Leased
from protocols.leases.quota import Quota
from protocols.model import Request
from protocols.pacing.limiter import Limiter
from protocols.pacing.limits import Limits
from protocols.pacing.tickets import Calls
from protocols.wrappers.limited import LimitedModel
from tests.protocols.wrappers.clocked import REQUEST, Clocked


@dataclass
class Shared:
    """A quota, packed and unpacked now and then, on a clock that is `ahead` of the members'. An exchange takes
    `trip()` there and as much back, and fails if `fails()` says so: "before" or "after" the quota has heard of it."""

    trip: Callable[[], float] = lambda: 0.001
    ahead: float = 0.0
    fails: Callable[[], str] = lambda: ""
    quota: Quota = field(default_factory=Quota)
    times: list[float] = field(default_factory=list)

    async def exchange(self, member: str, report: Report) -> Lease:
        self.times.append(anyio.current_time())
        await anyio.sleep(self.trip())
        failure = self.fails()
        if failure == "before":
            raise NoLease("cut off")
        if len(self.times) % 50 == 0:
            self.quota = Quota.unpack(self.quota.pack())
        lease = self.quota.exchange(member, report, anyio.current_time() + self.ahead)
        await anyio.sleep(self.trip())
        if failure:
            raise NoLease("cut off")
        return lease


def joined(source: Source, limits: Limits, tasks: TaskGroup) -> Limiter:
    """The limiter of a member, whose tasks are among these."""

    def gate(limits: Limits, calls: Calls) -> Leased:
        return Leased(source, tasks.start_soon, limits, calls)

    return Limiter(limits, gate)


async def crowd(
    model: Clocked, source: Source, limits: Sequence[Limits], seconds: float, callers: int, request: Request = REQUEST
) -> float:
    """Keep `callers` calls queued at a member with each of these limits; returns when it began."""
    start = anyio.current_time()

    async def call(limited: LimitedModel) -> None:
        while True:
            await limited.complete(request)

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            for each in limits:
                limited = LimitedModel(model, joined(source, each, tasks), urgent=False)
                for _ in range(callers):
                    tasks.start_soon(call, limited)
    return start


def used(arrivals: Sequence[tuple[float, float]], since: float, until: float = math.inf) -> float:
    """What arrived in this time."""
    return sum(amount for time, amount in arrivals if since <= time < until)
