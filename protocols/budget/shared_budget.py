"""Caps over several ledgers together, such as those of all searches of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from enum import IntEnum
from typing import Protocol

from protocols.budget.amount import ZERO, Amount
from protocols.budget.budget_scope import ASIDE, BudgetScope, Caps, Cost, Notice
from protocols.concurrency.wakeup import Wakeup

ANSWERING = ("task", "judge")
"""The roles, with those below them, that reports and shrinking call."""


class Phase(IntEnum):
    """What a ledger's run is doing. What is kept for a later phase may be used by nobody who is in an earlier one."""

    SEARCHING = 0
    SHRINKING = 1
    REPORTING = 2


class Limits(Protocol):
    """Where the limits of a budget come from if other processes spend under the same caps: a `Wallet`."""

    def obstacle(self, cap: str, most: Cost, phase: Phase) -> tuple[str, bool]:
        """The cap that a call of at most `most` waits for, and whether it is refused for good; `cap`: that of which
        the present limits leave no room."""

    def moved(self) -> None:
        """Told that a call was admitted or has ended."""


class SharedBudget(BudgetScope):
    """The spending of several ledgers of this process under one set of caps.

    `clock` gives seconds; the cap on minutes counts from when the budget was opened. A call that finds no room waits
    while room may come back: from calls in flight, and from ledgers that are further than its own and have reserved
    what they are about to use. Nobody waits for ledgers that are less far, so nobody waits for ever. `wakeup`: wakes
    the waiting calls of all ledgers. `wallet`: where the limits come from, if other processes spend under the same
    caps; None: they are `caps`. `answers`: the calls of `ANSWERING` roles, by which is estimated what is kept.
    """

    def __init__(self, name: str, caps: Caps, clock: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__(name, caps)
        self.caps, self.wakeup = caps, Wakeup()
        self.shares: list[Share] = []
        self.wallet: Limits | None = None
        self.kept = self.laid_aside = ZERO
        self.released = [ZERO for _ in Phase]
        self.answers = BudgetScope(name, Caps())
        self._clock, self._start = clock, clock()
        self._watchers: list[Callable[[Notice], None]] = []

    @property
    def seconds(self) -> float:
        """Seconds since the budget was opened, plus those of earlier processes."""
        return self._clock() - self._start

    def worked(self, seconds: float) -> None:
        """Add the time of earlier processes."""
        self._start -= seconds

    def watch(self, observer: Callable[[Notice], None]) -> None:
        """Call `observer` with a notice when one of `SHARES` of a cap is used."""
        self._watchers.append(observer)

    def open(self) -> Share:
        """A part for one more ledger; close it once the ledger's run has ended."""
        share = Share(self)
        self.shares.append(share)
        return share

    def lacks(self, least: Amount) -> str:
        """The cap of which less than `least` is left, so that a search of that cost cannot begin; "" if there is
        none. What other processes could give back is not looked at."""
        if self.wallet is not None:
            return ""
        minutes = self.limits.get("minutes")
        if minutes is not None and self.seconds / 60 >= minutes:
            return "minutes"
        for cap in self.limits.keys() - {"minutes"}:
            if least.of(cap) > self.limits[cap] - self.used(cap) - self.kept.of(cap):
                return cap
        return ""

    def tell(self) -> None:
        """Pass on the notices that are due."""
        for notice in self.news(self.seconds) if self.wallet is None else ():
            for observe in (*self._watchers, *(watcher for share in self.shares for watcher in share.watchers)):
                observe(notice)

    def keep(self, before: Kept, now: Kept) -> None:
        """Replace what is kept for a share."""
        self.kept += now.held - before.held
        self.laid_aside += now.aside - before.aside
        for phase in Phase:
            self.released[phase] += (now.own if phase is now.phase else ZERO) - (
                before.own if phase is before.phase else ZERO
            )

    def close(self, share: Share) -> None:
        """End the part of a ledger; what was kept for it is free."""
        self.shares.remove(share)
        self.kept = self.laid_aside = ZERO
        self.released = [ZERO for _ in Phase]
        for left in self.shares:  # anew, since sums of floats leave a remainder
            self.keep(NOT_KEPT, left.kept)
        self.wakeup.wake()


class Kept:
    """What is kept for one ledger: `held` for its report and `aside` for shrinking while these are to come, and `own`
    for what it does now."""

    __slots__ = ("aside", "held", "own", "phase")

    def __init__(self, phase: Phase, held: Amount = ZERO, aside: Amount = ZERO, own: Amount = ZERO) -> None:
        self.phase, self.held, self.aside, self.own = phase, held, aside, own


NOT_KEPT = Kept(Phase.SEARCHING)


class Share(BudgetScope):
    """The part of one ledger in a shared budget: what its answering roles have spent, and what is kept for its report
    and for shrinking its result. The limits are those of the budget. `watchers`: of the ledger."""

    def __init__(self, budget: SharedBudget) -> None:
        super().__init__(budget.name, Caps())
        self.budget, self.limits = budget, budget.limits
        self.phase = Phase.SEARCHING
        self.watchers: list[Callable[[Notice], None]] = []
        self.kept = NOT_KEPT
        self._held = self._own = 0
        self._other = Other(self)

    def of(self, role: str) -> BudgetScope:
        """The scope for the calls of a role."""
        return self if role.partition("/")[0] in ANSWERING else self._other

    def hold(self, calls: int) -> None:
        """Keep calls for the report; the caps on minutes apply until `report`."""
        self._held += calls
        self._look()

    def set_aside(self, calls: int) -> None:
        """Keep calls for shrinking the result; 0: it begins."""
        if self.aside and not calls and self.phase is Phase.SEARCHING:
            self.phase, self._own = Phase.SHRINKING, self.aside
        self.aside = calls
        self._look()

    def report(self) -> None:
        """The search has ended: the calls that were kept are for the ledger's own use now."""
        self.phase, self._own = Phase.REPORTING, self._held
        self._held = self.aside = 0
        self._look()
        self.budget.wakeup.wake()

    def close(self) -> None:
        """End the part."""
        self._held = self._own = self.aside = 0
        self.kept = NOT_KEPT
        self.budget.close(self)

    def obstacle(self, most: Cost, held: int, seconds: float) -> tuple[str, bool]:
        cap, final = super().obstacle(most, held, seconds)
        wallet = self.budget.wallet
        if cap and cap != "minutes" and wallet is not None:
            cap, final = wallet.obstacle(cap, most, self.phase)
        return cap, final

    def refuse(self, cap: str) -> None:
        super().refuse(cap)
        self.budget.refuse(cap)

    def refusal(self, held: int, seconds: float) -> str:
        cap = super().refusal(held, self.budget.seconds if self._held else 0.0)
        return "" if cap == "calls" and self.budget.wallet is not None else cap

    def overspent(self, most: Cost) -> str:
        return self.budget.overspent(most) if self.budget.wallet is None else ""

    def affords(self, calls: float, held: int) -> bool:
        # Limits that another process hands out in blocks say nothing of what the whole budget has left.
        return self.budget.wallet is not None or super().affords(calls, held)

    def average(self, cap: str) -> float:
        return super().average(cap) if self._known is self else self._known.average(cap)

    @property
    def _known(self) -> BudgetScope:
        """Whose calls tell what an answer costs: those of all ledgers, as long as this has none."""
        return self if self.calls else self.budget.answers

    def used(self, cap: str) -> float:
        return self.budget.used(cap)

    def taken(self, cap: str) -> float:
        return self.budget.taken(cap) + sum(
            self.budget.released[phase].of(cap) for phase in Phase if phase > self.phase
        )

    def limit_of(self, cap: str) -> float:
        return float(asdict(self.budget.caps)[cap])

    def news(self, seconds: float) -> Iterator[Notice]:
        self.budget.tell()
        return iter(())

    def reserve(self, most: Cost) -> None:
        super().reserve(most)
        self.budget.answers.reserve(most)
        self._other.reserve(most)

    def send(self) -> None:
        super().send()
        self.budget.answers.send()
        self._other.send()
        self._own = max(0, self._own - 1)
        self._look()

    def withdraw(self, most: Cost) -> None:
        super().withdraw(most)
        self.budget.answers.withdraw(most)
        self._other.withdraw(most)

    def settle(self, most: Cost, cost: Cost) -> None:
        super().settle(most, cost)
        self.budget.answers.settle(most, cost)
        self._look()
        self._other.settle(most, cost)

    def _kept(self, cap: str, held: int) -> float:
        return self.budget.kept.of(cap)

    def _aside(self, cap: str, used: float) -> float:
        if self.phase is not Phase.SEARCHING:
            return 0.0
        share, aside = ASIDE * self.limits[cap], self.budget.laid_aside
        if cap == "minutes":
            calls = self.budget.calls
            return min(aside.calls * used / calls, share) if calls else 0.0
        return min(aside.of(cap), share // 1 if cap == "calls" else share)

    def _look(self) -> None:
        """Count again what is kept."""
        before = self.kept
        if before is NOT_KEPT and not (self._held or self._own or self.aside):
            return
        self.kept = Kept(self.phase, self._of(self._held), self._of(self.aside, last=False), self._of(self._own))
        self.budget.keep(before, self.kept)

    def _of(self, calls: int, last: bool = True) -> Amount:
        """Calls at the average cost of answers so far, with room for the `last`, which may cost as much as any."""
        known = self._known
        if not (calls and known.calls):
            return Amount(calls)
        tokens, dollars = (calls * part / known.calls for part in known.spent)
        return Amount(calls, tokens, dollars) + (Amount(0, *known.largest) if last else ZERO)


class Other(BudgetScope):
    """The calls of a ledger's other roles, under the same caps."""

    def __init__(self, share: Share) -> None:
        super().__init__(share.name, Caps())
        self._share, self._budget, self.limits = share, share.budget, share.limits

    def obstacle(self, most: Cost, held: int, seconds: float) -> tuple[str, bool]:
        return self._share.obstacle(most, held, seconds)

    def refusal(self, held: int, seconds: float) -> str:
        return self._share.refusal(held, seconds)

    def overspent(self, most: Cost) -> str:
        return self._share.overspent(most)

    def refuse(self, cap: str) -> None:
        self._share.refuse(cap)

    def limit_of(self, cap: str) -> float:
        return self._share.limit_of(cap)

    def news(self, seconds: float) -> Iterator[Notice]:
        return self._share.news(seconds)

    def take_up(self, calls: int, cost: Cost) -> None:
        """The budget has them already."""

    def reserve(self, most: Cost) -> None:
        self._budget.reserve(most)
        self._moved()

    def send(self) -> None:
        self._budget.send()

    def withdraw(self, most: Cost) -> None:
        self._budget.withdraw(most)
        self._moved()

    def settle(self, most: Cost, cost: Cost) -> None:
        self._budget.settle(most, cost)
        self._moved()

    def _moved(self) -> None:
        if self._budget.wallet is not None:
            self._budget.wallet.moved()
