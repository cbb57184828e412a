"""Caps over the searches of several processes: an authority that hands out blocks, and who asks it.

A member is a search, by a name that stays when another process goes on with it. All amounts of a member are sums over
its whole life, from its journal's first call: what it has spent, and what it may have spent (`Answer.granted`). So a
message that is sent twice does nothing the second time, and a member that died is settled by its journal's sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import fsum
from typing import Protocol

import orjson

from protocols.budget.amount import COUNTED, ZERO, Amount
from protocols.budget.budget_scope import BudgetScope, Caps, Cost, Notice
from protocols.concurrency.wakeup import Wakeup

PART = 2
"""A block is the part 1 / (PART * members) of what is left, so blocks get smaller toward the end of a cap, and
half of what was left remains for others."""
LARGEST = 1 / 64
"""No block is a larger part of a cap, since more members may join."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a member says of itself.

    `serial`: higher than in all of its earlier standings, those of its earlier processes included; a lower one is not
    heard. `spent`: by calls that were sent, and by those of them that ended. `kept`: for its later report and
    shrinking; the authority does not count on its coming back. `holds`: what the member does not give back now:
    `spent`, `kept`, and what its calls in flight may cost. `needs`: `holds` and what its next call may cost, if a
    call waits; else equal to `holds`. `phase`: see `shared_budget.Phase`; who is further is served first.
    """

    serial: int
    spent: Amount = ZERO
    kept: Amount = ZERO
    holds: Amount = ZERO
    needs: Amount = ZERO
    phase: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """`granted`: what the member may have spent. `refused`: the cap that refused its `needs` for good, "" if none.
    `pressed`: others wait, so the member gives back at once what it does not need, whenever that changes. `serial`:
    of the member's last standing that the authority knows. `version`: grows with every change of the answer."""

    granted: Amount = ZERO
    refused: str = ""
    pressed: bool = False
    serial: int = 0
    version: int = 0


class Purse(Protocol):
    """The authority as its members reach it. The answers of `exchange` and `news` may come in any order."""

    async def exchange(self, member: str, standing: Standing) -> Answer:
        """Tell how a member stands; the answer comes at once. A member without a name yet joins."""
        ...

    async def news(self, member: str, version: int) -> Answer:
        """Wait for an answer with another version than this one."""
        ...

    async def leave(self, member: str, spent: Amount) -> None:
        """End a member that has spent this, by its journal; or settle one that has died. It may join again."""
        ...


@dataclass(slots=True)
class _Member:
    standing: Standing
    answer: Answer
    present: bool = True


class Authority:
    """The state of a purse, without a clock and without tasks.

    `spent`: what each search has spent, by its journal, at the beginning. Of a cap never more is granted than there
    is, except to a member that has spent more than it was granted, because calls cost more than they may."""

    def __init__(self, name: str, caps: Caps, spent: Mapping[str, Amount] | None = None) -> None:
        self.name, self.caps = name, caps
        self._limits: dict[str, float] = {c: limit for c in COUNTED if (limit := asdict(caps)[c]) is not None}
        self._members = {
            member: _Member(Standing(0, amount, holds=amount, needs=amount), Answer(amount), present=False)
            for member, amount in (spent or {}).items()
        }
        self._queue: list[str] = []
        self._changed: set[str] = set()
        self._told = BudgetScope(name, replace(caps, minutes=None))
        self._look()
        list(self._told.news(0.0))  # what earlier processes were told

    @property
    def spent(self) -> Amount:
        """What all have spent, as far as they have told."""
        members = self._members.values()
        parts = [[member.standing.spent.of(cap) for member in members] for cap in COUNTED]
        return Amount(sum(parts[0]), sum(parts[1]), fsum(parts[2]))

    def exchange(self, member: str, standing: Standing) -> Answer:
        """See `Purse.exchange`."""
        known = self._members.setdefault(member, _Member(Standing(0), Answer()))
        if standing.serial <= known.answer.serial:
            return known.answer
        known.present, known.standing = True, standing
        granted = known.answer.granted
        left = Amount(*(max(standing.spent.of(c), min(granted.of(c), standing.holds.of(c))) for c in COUNTED))
        self._answer(known, granted=left, refused="", serial=standing.serial)
        self._dequeue(member)
        if self._over(standing.needs, left):
            self._queue.append(member)
        self._serve(member)
        return known.answer

    def leave(self, member: str, spent: Amount) -> None:
        """See `Purse.leave`."""
        known = self._members.setdefault(member, _Member(Standing(0), Answer()))
        known.present = False
        known.standing = Standing(known.standing.serial, spent, holds=spent, needs=spent)
        known.answer = replace(known.answer, granted=spent, pressed=False, version=known.answer.version + 1)
        self._changed.add(member)
        self._dequeue(member)
        self._serve("")

    def answer(self, member: str) -> Answer:
        """The latest answer to a member."""
        known = self._members.get(member)
        return known.answer if known else Answer()

    def changed(self) -> set[str]:
        """The members whose answers have changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def notices(self) -> Iterator[Notice]:
        """The notices now due; each share of each cap is noticed once."""
        self._look()
        return self._told.news(0.0)

    def pack(self) -> bytes:
        """The whole state."""
        return orjson.dumps(
            {
                "name": self.name,
                "caps": asdict(self.caps),
                "members": {name: asdict(member) for name, member in self._members.items()},
                "queue": self._queue,
            }
        )

    @classmethod
    def unpack(cls, packed: bytes) -> Authority:
        """The authority that `pack` packed."""
        state = orjson.loads(packed)
        authority = cls(state["name"], Caps(**state["caps"]))
        for name, member in state["members"].items():
            standing, answer = dict(member["standing"]), dict(member["answer"])
            spent, kept, holds, needs = (Amount(**standing[key]) for key in ("spent", "kept", "holds", "needs"))
            granted = Amount(**answer.pop("granted"))
            authority._members[name] = _Member(
                Standing(standing["serial"], spent, kept, holds, needs, standing["phase"]),
                Answer(granted, **answer),
                member["present"],
            )
        authority._queue = state["queue"]
        list(authority.notices())
        return authority

    def _look(self) -> None:
        spent = self.spent
        self._told.calls, self._told.spent = int(spent.calls), Cost(int(spent.tokens), spent.dollars)

    def _answer(self, member: _Member, **changes: object) -> None:
        member.answer = replace(member.answer, version=member.answer.version + 1, **changes)  # type: ignore[arg-type]

    def _over(self, amount: Amount, limit: Amount) -> str:
        """The cap by which the amount is over the limit."""
        return next((cap for cap in self._limits if amount.of(cap) > limit.of(cap)), "")

    def _dequeue(self, member: str) -> None:
        if member in self._queue:
            self._queue.remove(member)

    def _left(self, cap: str) -> float:
        """What is not granted of a cap."""
        return float(self._limits[cap]) - fsum(member.answer.granted.of(cap) for member in self._members.values())

    def _serve(self, asking: str) -> None:
        """Refuse who waits for what cannot come back, serve who waits in order, and give blocks to those served and
        to who is `asking`, unless somebody still waits."""
        for name in list(self._queue):
            if cap := self._hopeless(self._members[name].standing):
                self._queue.remove(name)
                self._answer(self._members[name], refused=cap)
                self._changed.add(name)
        served = [asking] if asking and asking not in self._queue and not self.answer(asking).refused else []
        self._queue.sort(key=lambda name: -self._members[name].standing.phase)
        while self._queue and self._fits(first := self._members[self._queue[0]]):
            granted = Amount(*map(max, _parts(first.standing.needs), _parts(first.answer.granted)))
            self._answer(first, granted=granted)
            served.append(self._queue.pop(0))
        for name in dict.fromkeys(served):
            if not self._queue:
                self._give_block(self._members[name])
            self._changed.add(name)
        for name, member in self._members.items():
            if member.present and member.answer.pressed is not bool(self._queue):
                self._answer(member, pressed=bool(self._queue))
                self._changed.add(name)

    def _hopeless(self, standing: Standing) -> str:
        """The cap of which not enough would be left even if all gave back all but what is spent and kept."""
        for cap, limit in self._limits.items():
            gone = fsum(
                member.standing.spent.of(cap) + member.standing.kept.of(cap) for member in self._members.values()
            )
            if standing.needs.of(cap) - standing.holds.of(cap) > limit - gone:
                return cap
        return ""

    def _fits(self, member: _Member) -> bool:
        needs, granted = member.standing.needs, member.answer.granted
        return all(needs.of(cap) - granted.of(cap) <= max(0.0, self._left(cap)) for cap in self._limits)

    def _give_block(self, member: _Member) -> None:
        present = sum(each.present for each in self._members.values())
        blocks = {
            cap: min(max(0.0, self._left(cap)) / (PART * present), LARGEST * limit)
            for cap, limit in self._limits.items()
        }
        whole = {cap: block if cap == "dollars" else block // 1 for cap, block in blocks.items()}
        self._answer(member, granted=member.answer.granted + Amount(**whole))


def _parts(amount: Amount) -> tuple[float, ...]:
    return tuple(map(amount.of, COUNTED))


class Keeper:
    """The `Purse` of members that share an event loop with the authority. `tell` is called with the notices of the
    whole."""

    def __init__(self, authority: Authority, tell: Callable[[Notice], None] = lambda notice: None) -> None:
        self.authority, self._tell = authority, tell
        self._waiting: dict[str, Wakeup] = {}

    async def exchange(self, member: str, standing: Standing) -> Answer:
        """See `Purse.exchange`."""
        answer = self.authority.exchange(member, standing)
        self._pass_on()
        return answer

    async def news(self, member: str, version: int) -> Answer:
        """See `Purse.news`."""
        while (answer := self.authority.answer(member)).version == version:
            await self._waiting.setdefault(member, Wakeup()).wait()
        return answer

    async def leave(self, member: str, spent: Amount) -> None:
        """See `Purse.leave`."""
        self.authority.leave(member, spent)
        self._pass_on()

    def _pass_on(self) -> None:
        for member in self.authority.changed():
            if wakeup := self._waiting.pop(member, None):
                wakeup.wake()
        for notice in self.authority.notices():
            self._tell(notice)
