"""Of several races under a cap, none is cut off half-way unless it is alone."""

from __future__ import annotations

from random import Random

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.budget.budget_scope import NOTHING, Caps
from protocols.budget.funds import Funds
from protocols.budget.ledger import Ledger, Reserve
from protocols.errors import BudgetExhausted
from protocols.model import Usage

EACH = Usage(10, 2)
"""The tokens of every call."""


async def ended(caps: Caps, answers: int, lengths: list[int], calls: int, seed: int) -> tuple[list[int], list[int]]:
    """Races of so many answers at most, all begun at once; one is lost after `lengths` of them. Each answer takes
    `calls`. Which ended as they should, and how many others were running when one was cut off."""
    ledger, rng = Ledger(caps, {}, lambda: 0.0), Random(seed)
    funds, account, scopes = (
        Funds(ledger, lambda many: Reserve(many * calls, many * calls)),
        ledger.account("task", "m"),
        ledger.scopes_of("task"),
    )
    whole, cut, running = list[int](), list[int](), 0

    async def race(number: int, length: int) -> None:
        nonlocal running
        async with funds.race(answers) as answered:
            running += 1
            try:
                for _ in range(length):
                    for _ in range(calls):
                        for _ in range(rng.randrange(4)):
                            await checkpoint()
                        await ledger.admit(account, scopes, NOTHING)
                        ledger.send(account, scopes, NOTHING)
                        await checkpoint()
                        ledger.settle(account, scopes, NOTHING, EACH, False)
                    answered()
                whole.append(number)
            except BudgetExhausted:
                cut.append(running - 1)
            finally:
                running -= 1

    async with anyio.create_task_group() as tasks:
        for number, length in enumerate(lengths):
            tasks.start_soon(race, number, length)
    return whole, cut


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(
    answers=st.integers(1, 12),
    data=st.data(),
    calls=st.integers(1, 3),
    limit=st.integers(1, 80),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_only_a_race_that_is_alone_is_cut_off(
    backend: str, answers: int, data: st.DataObject, calls: int, limit: int, seed: int
) -> None:
    lengths = data.draw(st.lists(st.integers(1, answers), min_size=1, max_size=8))
    whole, cut = anyio.run(ended, Caps(calls=limit), answers, lengths, calls, seed, backend=backend)
    assert len(whole) + len(cut) == len(lengths), "each has an end"
    assert not any(cut)
    assert len(whole) >= min(len(lengths), limit // (answers * calls)), "as many as can be paid for in full"


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_without_a_cap_nothing_waits_and_nothing_is_cut_off(lengths: list[int], seed: int) -> None:
    whole, cut = anyio.run(ended, Caps(), 9, lengths, 1, seed)
    assert sorted(whole) == [*range(len(lengths))]
    assert not cut


@given(tokens=st.integers(200, 2000))
@settings(max_examples=30, deadline=None)
def test_a_cap_on_tokens_is_judged_by_what_calls_have_cost(tokens: int) -> None:
    """Once a first race has shown what a call takes; before that nothing is known, and all may begin."""
    ledger = Ledger(Caps(tokens=tokens), {}, lambda: 0.0)
    account, scopes = ledger.account("task", "m"), ledger.scopes_of("task")
    assert ledger.affords(Reserve(10**6))
    ledger.reserve(scopes, NOTHING)
    ledger.send(account, scopes, NOTHING)
    ledger.settle(account, scopes, NOTHING, EACH, False)
    left = (tokens - EACH.total) // EACH.total
    assert ledger.affords(Reserve(left))
    assert not ledger.affords(Reserve(left + 1))
