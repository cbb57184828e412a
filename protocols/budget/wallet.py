"""A process's end of a purse: the limits of its shared budget, which grow by blocks that it asks for."""

from __future__ import annotations

from dataclasses import replace

import anyio
from anyio.abc import TaskStatus

from protocols.budget.amount import COUNTED, Amount
from protocols.budget.budget_scope import ASIDE, Cost
from protocols.budget.purse import Answer, Purse, Standing
from protocols.budget.shared_budget import Phase, SharedBudget

SLACK = 1e-9
"""What is asked for is more than what is needed by this share, since sums of floats differ in their last digits."""
LOW = 0.5
"""A new block is asked for when this share of what was free after the last answer is left."""
INCARNATIONS = 2**40
"""A process sends fewer messages than this, so that those of a later process have higher serial numbers."""


class Wallet:
    """Gives a shared budget the limits that a purse grants, for the member `name`.

    Before `serve`, the budget has taken up what the member has spent so far, by its journal. A call that finds no
    room waits as for calls in flight; meanwhile the wallet asks for what it needs, and what is free goes back, so
    that two who wait never hold what the other needs. `incarnation`: higher in each process that goes on with
    the member.
    """

    def __init__(self, name: str, budget: SharedBudget, purse: Purse, incarnation: int = 0) -> None:
        self.name, self._budget, self._purse = name, budget, purse
        self._serial = incarnation * INCARNATIONS
        self._answer = Answer()
        self._wanted: Amount | None = None
        self._asked: Amount | None = None  # what was wanted in the standing that was told last
        self._promised: Amount | None = None
        self._refused: dict[tuple[Phase, str], float] = {}
        self._low = dict.fromkeys(COUNTED, 0.0)
        self._said = Standing(self._serial)
        self._stirred = anyio.Event()
        budget.wallet = self
        for cap in self._capped:
            budget.limits[cap] = budget.used(cap)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take part until cancelled; then leave, whatever was granted goes back. Started once it has its first block.

        :raises Exception: as the purse's methods.
        """
        try:
            await self._exchange()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, name="wallet's news")
                task_status.started()
                while True:
                    await self._stirred.wait()
                    self._stirred = anyio.Event()
                    await self._exchange()
        finally:
            with anyio.CancelScope(shield=True):
                await self._purse.leave(self.name, self._spent)

    def obstacle(self, cap: str, most: Cost, phase: Phase) -> tuple[str, bool]:
        """The cap that a call of at most `most` waits for, and whether it is refused for good; `cap`: that of which
        the present limits leave no room."""
        sizes = Amount(1, *most)
        for (when, name), size in self._refused.items():
            if when is phase and sizes.of(name) >= size:
                return name, True
        self._wanted, self._promised = sizes, None
        self._stirred.set()
        return cap, False

    def moved(self) -> None:
        """Told that a call was admitted or has ended: look whether there is something to give back, or to ask for."""
        self._promised = None
        low = any(self._free(cap) < self._low[cap] for cap in self._capped)
        if low or self._answer.pressed:
            self._stirred.set()

    @property
    def _capped(self) -> list[str]:
        return [cap for cap in COUNTED if cap in self._budget.limits]

    @property
    def _phase(self) -> Phase:
        return max((share.phase for share in self._budget.shares), default=Phase.SEARCHING)

    @property
    def _spent(self) -> Amount:
        return Amount(*map(self._budget.used, COUNTED))

    def _kept(self, cap: str, used: float) -> float:
        """What is kept for later, if the limit becomes what is `used` and kept together."""
        kept, aside = self._budget.kept.of(cap), self._budget.laid_aside.of(cap)
        share = (used + kept) * ASIDE / (1 - ASIDE)
        return kept + min(aside, share // 1 if cap == "calls" else share)

    def _free(self, cap: str) -> float:
        budget = self._budget
        own = sum(budget.released[phase].of(cap) for phase in Phase)
        return budget.limits[cap] - budget.used(cap) - budget.taken(cap) - budget.kept.of(cap) - own

    def _standing(self) -> Standing:
        """How the member stands now. While a call waits, or others do, it holds nothing that is free, but what its
        own call was granted and has not taken yet; while its own call waits, not even what was kept for what it does
        now."""
        budget, spent, wanted = self._budget, self._spent, self._wanted
        kept, holds, needs = dict[str, float](), dict[str, float](), dict[str, float]()
        for cap in COUNTED:
            used, reserved = spent.of(cap), budget.taken(cap)
            size = wanted.of(cap) if wanted else 0.0
            own = 0.0 if wanted else sum(budget.released[phase].of(cap) for phase in Phase)
            promised = _surely(cap, self._promised.of(cap)) if self._promised else 0.0
            kept[cap] = self._kept(cap, used + reserved + size + promised)
            holds[cap] = used + kept[cap] + reserved + own + promised
            if wanted is None and not self._answer.pressed and cap in budget.limits:
                holds[cap] = max(holds[cap], budget.limits[cap])
            needs[cap] = holds[cap] + _surely(cap, size)
        return Standing(self._serial + 1, spent, Amount(**kept), Amount(**holds), Amount(**needs), phase=self._phase)

    async def _exchange(self) -> None:
        """Tell how the member stands, if that has changed."""
        standing = self._standing()
        if standing == replace(self._said, serial=standing.serial):
            return
        self._said, self._serial, self._asked = standing, standing.serial, self._wanted
        for cap in self._capped:  # what is given back is not used until the answer comes
            self._budget.limits[cap] = min(self._budget.limits[cap], standing.holds.of(cap))
        self._take(await self._purse.exchange(self.name, standing))

    async def _listen(self) -> None:
        version = self._answer.version
        while True:
            answer = await self._purse.news(self.name, version)
            version = answer.version
            self._take(answer)

    def _take(self, answer: Answer) -> None:
        """Follow an answer, unless it is older than what was said or heard last.

        It answers what was asked; another call may have become the wanted one since. That one is woken with all
        others, and asks again.
        """
        if answer.serial != self._serial or answer.version <= self._answer.version:
            return
        self._answer, said = answer, self._said
        for cap in self._capped:
            self._budget.limits[cap] = answer.granted.of(cap)
        for cap in self._capped:
            self._low[cap] = LOW * self._free(cap)
        if answer.refused and self._asked:
            self._refused[Phase(said.phase), answer.refused] = self._asked.of(answer.refused)
        if answer.refused:
            self._wanted = self._asked = None
        elif self._asked and all(said.needs.of(cap) <= answer.granted.of(cap) for cap in self._capped):
            self._wanted, self._asked, self._promised = None, None, self._asked
        if answer.pressed:
            self._stirred.set()
        self._budget.wakeup.wake()


def _surely(cap: str, size: float) -> float:
    return size if cap == "calls" else size * (1 + SLACK)
