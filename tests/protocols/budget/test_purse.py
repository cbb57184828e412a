"""Caps over several processes: the authority by itself, and ledgers of several members around it."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocols.budget.amount import COUNTED, ZERO, Amount
from protocols.budget.budget_scope import Caps, Notice
from protocols.budget.ledger import Ledger, Reserve
from protocols.budget.prices import Price
from protocols.budget.purse import Answer, Authority, Keeper, Standing
from protocols.budget.shared_budget import SharedBudget
from protocols.budget.wallet import Wallet
from protocols.errors import BudgetExhausted, ModelError
from protocols.model import ChatMessage, Request
from protocols.wrappers.metered import MeteredModel
from tests.protocols.budget.test_ledger import Till
from tests.world import shuffled

pytestmark = pytest.mark.anyio
PRICE = Price(2.0, 8.0, 0.5)
some_caps = st.builds(
    Caps,
    st.none() | st.integers(0, 60),
    st.none() | st.integers(0, 3000),
    st.none() | st.floats(0, 0.01),
).filter(lambda caps: caps != Caps())


def within(caps: Caps, amount: Amount) -> bool:
    limits = [(amount.calls, caps.calls), (amount.tokens, caps.tokens), (amount.dollars, caps.dollars)]
    return all(limit is None or part <= limit * (1 + 1e-9) for part, limit in limits)


class Spender:
    """A member that obeys its answers, and never spends more than it was granted."""

    def __init__(self, name: str, authority: Authority) -> None:
        self.name, self.authority = name, authority
        self.spent = authority.answer(name).granted
        self.kept = self.wants = self.needs = ZERO
        self.phase, self.serial = 0, authority.answer(name).serial

    @property
    def answer(self) -> Answer:
        return self.authority.answer(self.name)

    def say(self, wants: Amount = ZERO) -> None:
        self.serial, self.wants = self.serial + 1, wants
        holds = self.spent + self.kept
        self.needs = holds + wants
        self.authority.exchange(
            self.name, Standing(self.serial, self.spent, self.kept, holds, self.needs, self.phase)
        )

    def spend(self, share: float) -> None:
        free = self.answer.granted - self.spent - self.kept
        parts = [max(0.0, share * free.of(cap)) for cap in COUNTED]
        self.spent += Amount(int(parts[0]), int(parts[1]), parts[2])

    @property
    def waits(self) -> bool:
        """Whether it is neither served nor refused."""
        caps = self.authority.caps
        limited = [cap for cap in COUNTED if getattr(caps, cap) is not None]
        return not self.answer.refused and any(self.needs.of(cap) > self.answer.granted.of(cap) for cap in limited)


amounts = st.builds(Amount, st.integers(0, 20), st.integers(0, 1000), st.floats(0, 0.004))
steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "spend", "give back", "keep", "report", "leave", "die", "packed"]),
        st.integers(0, 4),
        amounts,
        st.floats(0, 1),
    ),
    max_size=40,
)


def step(members: list[Spender], what: str, number: int, amount: Amount, share: float) -> None:
    """One thing that a member does; while it waits, it only gives back, or dies."""
    member = members[number]
    free = member.answer.granted - member.spent
    if what in ("leave", "die"):  # who died has told nothing of what it has spent, but its journal has it
        member.authority.leave(member.name, member.spent)
        members[number] = Spender(member.name, member.authority)
    elif what == "give back":
        member.say(member.wants if member.waits else ZERO)
    elif what == "report":
        member.kept, member.phase = ZERO, 2
    elif member.waits:
        return
    elif what == "ask":
        member.say(amount)
    elif what == "spend":
        member.spend(share)
    elif what == "keep":
        member.kept = Amount(*(max(0.0, share * free.of(cap) // 2) for cap in COUNTED))


def packed(authority: Authority, members: list[Spender]) -> Authority:
    """The same again, from bytes."""
    again = Authority.unpack(authority.pack())
    assert again.pack() == authority.pack()
    for member in members:
        member.authority = again
    return again


@given(caps=some_caps, steps=steps, last=st.integers(0, 4))
@settings(max_examples=300)
def test_never_more_is_granted_than_the_cap_and_who_asks_is_served_or_refused_once_others_have_ended(
    caps: Caps, steps: list[tuple[str, int, Amount, float]], last: int
) -> None:
    authority = Authority("sweep", caps)
    members = [Spender(f"m{number}", authority) for number in range(5)]
    for what, number, amount, share in steps:
        step(members, what, number, amount, share)
        authority = packed(authority, members)
        assert within(caps, sum((each.answer.granted for each in members), ZERO))
    one = members[last]
    for other in members:
        if other is not one:
            authority.leave(other.name, other.spent)
    assert not one.waits
    one.say(Amount(1, 10, 1e-5))
    assert not one.waits
    left = {cap: getattr(caps, cap) for cap in COUNTED if getattr(caps, cap) is not None}
    room = {cap: limit - (authority.spent + one.kept).of(cap) for cap, limit in left.items()}
    assert bool(one.answer.refused) == any(one.wants.of(cap) > room[cap] for cap in room)


def test_a_message_that_is_sent_twice_and_one_of_an_earlier_process_change_nothing() -> None:
    authority = Authority("sweep", Caps(calls=100), {"a": Amount(10)})
    asked = Standing(5, Amount(10), holds=Amount(10), needs=Amount(20))
    answer = authority.exchange("a", asked)
    assert 20 <= answer.granted.calls <= 100
    assert authority.exchange("a", asked) == authority.exchange("a", replace(asked, serial=4)) == answer


def test_blocks_get_smaller_and_twenty_members_use_all_of_a_cap() -> None:
    """Each asks for a call whenever it has none left; nobody is refused while there is a call that nobody has."""
    authority, asked = Authority("sweep", Caps(calls=10_000)), 0
    members = [Spender(f"m{number}", authority) for number in range(20)]
    first, rng = 0.0, Random(0)
    while working := [member for member in members if not member.answer.refused]:
        member = rng.choice(working)
        if member.waits:
            continue
        if member.answer.granted.calls < member.spent.calls + 1:
            member.say(Amount(1))
            asked += 1
            first = first or member.answer.granted.calls
            continue
        member.spent += Amount(1)
        if member.answer.pressed:
            member.say()
            asked += 1
    assert sum(member.spent.calls for member in members) == 10_000
    assert first == 1 + 10_000 // 64
    assert asked < 10_000 / 10


@given(
    caps=some_caps,
    count=st.integers(1, 5),
    held=st.integers(0, 5),
    aside=st.integers(0, 5),
    seed=st.integers(0, 999),
)
@example(caps=Caps(tokens=576), count=3, held=2, aside=1, seed=328)  # a refusal of one call came as another asked
@settings(max_examples=60, deadline=None)
def test_the_calls_of_several_processes_exceed_no_cap_and_nobody_waits_for_ever(
    caps: Caps, count: int, held: int, aside: int, seed: int
) -> None:
    rng, told = Random(seed), list[Notice]()
    tills = [Till("task", rng, shuffled(rng, 6), fault=True) for _ in range(count)]
    keeper = Keeper(Authority("sweep", caps), told.append)
    refused: list[BudgetExhausted] = []

    async def one(model: MeteredModel) -> None:
        request = Request((ChatMessage("user", "x" * rng.randrange(50)),), max_tokens=rng.randint(1, 100))
        while True:
            try:
                await model.complete(request)
            except ModelError:
                continue
            except BudgetExhausted as error:
                refused.append(error)
                return

    async def member(number: int) -> None:
        budget = SharedBudget("sweep", caps)
        wallet = Wallet(f"m{number}", budget, keeper)
        async with anyio.create_task_group() as serving:
            await serving.start(wallet.serve)
            share = budget.open()
            ledger = Ledger(Caps(), {"scripted": PRICE}, lambda: 0.0, share=share)
            model = MeteredModel(tills[number], ledger, "task")
            with ledger.holding(Reserve(held, held)):
                ledger.set_aside(Reserve(aside, aside))
                async with anyio.create_task_group() as tasks:
                    for _ in range(rng.randint(1, 4)):
                        tasks.start_soon(one, model)
                ledger.set_aside(Reserve())
                await one(model)
            await one(model)
            share.close()
            serving.cancel_scope.cancel()

    async def main() -> None:
        with anyio.fail_after(3):
            async with anyio.create_task_group() as tasks:
                for number in range(count):
                    tasks.start_soon(member, number)

    anyio.run(main)
    spent = Amount(
        sum(till.calls for till in tills),
        sum(usage.total for till in tills for usage in till.usages),
        sum(PRICE.of(usage) for till in tills for usage in till.usages),
    )
    assert within(caps, spent)
    assert {error.scope for error in refused} == {"sweep"}
    assert keeper.authority.spent.calls == spent.calls
    if caps.tokens is None and caps.dollars is None:
        assert spent.calls == caps.calls, "the last of them had all that was left"
