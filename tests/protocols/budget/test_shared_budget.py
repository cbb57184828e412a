"""Several ledgers under one set of caps, in one process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.budget.budget_scope import Caps, Notice
from protocols.budget.ledger import Ledger, Reserve
from protocols.budget.shared_budget import SharedBudget
from protocols.errors import BudgetExhausted, ModelError
from protocols.model import ChatMessage, Request, Usage
from protocols.wrappers.metered import MeteredModel
from tests.protocols.budget.test_ledger import PRICE, Gate, Till, some_caps
from tests.protocols.wrappers.faults import REQUEST
from tests.world import Oracle, shuffled

pytestmark = pytest.mark.anyio
BACKENDS = ["asyncio", "trio"]


def opened(budget: SharedBudget, caps: Caps = Caps()) -> Ledger:  # noqa: B008
    return Ledger(caps, {"scripted": PRICE}, lambda: 0.0, share=budget.open())


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    shared=some_caps,
    own=st.lists(some_caps, min_size=2, max_size=4),
    held=st.integers(0, 4),
    aside=st.integers(0, 4),
    seed=st.integers(0, 999),
)
@settings(max_examples=40)
def test_no_interleaving_exceeds_a_shared_cap_and_nobody_waits_for_ever(
    backend: str, shared: Caps, own: Sequence[Caps], held: int, aside: int, seed: int
) -> None:
    """Each ledger searches, shrinks, reports and ends in its own time; calls fail, and cost as much as they may."""
    rng, budget = Random(seed), SharedBudget("sweep", shared)
    ledgers = [opened(budget, caps) for caps in own]
    tills = [Till("task", rng, shuffled(rng, 8), fault=True) for _ in own]

    async def until_refused(model: MeteredModel, most: int) -> None:
        for _ in range(most):
            request = Request((ChatMessage("user", "x" * rng.randrange(50)),), max_tokens=rng.randint(1, 300))
            try:
                await model.complete(request)
            except ModelError:
                continue
            except BudgetExhausted:
                return

    async def run(ledger: Ledger, till: Till) -> None:
        task, critic = (MeteredModel(till, ledger, role) for role in ("task", "critic"))
        assert ledger.share is not None
        with ledger.holding(Reserve(held, held)):
            ledger.set_aside(Reserve(aside, aside))
            async with anyio.create_task_group() as tasks:
                for model in (task, task, critic):
                    tasks.start_soon(until_refused, model, rng.randrange(40))
            ledger.set_aside(Reserve())
            await until_refused(task, aside)
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(until_refused, task, held)
        ledger.share.close()

    async def main() -> None:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for ledger, till in zip(ledgers, tills, strict=True):
                    tasks.start_soon(run, ledger, till)

    anyio.run(main, backend=backend)
    usage = sum((usage for till in tills for usage in till.usages), Usage())
    made = sum(till.calls for till in tills)
    assert shared.calls is None or made <= shared.calls
    assert shared.tokens is None or usage.total <= shared.tokens
    assert shared.dollars is None or PRICE.of(usage) <= shared.dollars * (1 + 1e-9)
    assert (budget.calls, budget.spent.tokens) == (made, usage.total)
    assert (budget.in_flight, budget.waiting, budget.kept.calls) == (0, 0, 0)


@pytest.mark.parametrize("caps", [Caps(calls=200), Caps(tokens=60_000), Caps(dollars=0.5)])
async def test_every_report_has_the_calls_that_were_kept_for_it(caps: Caps) -> None:
    """Whichever search ends first, and although the others go on until they are refused."""
    budget, made = SharedBudget("sweep", caps), list[int]()

    async def run(searches: int) -> None:
        ledger, oracle = opened(budget), Oracle(delay=shuffled(Random(searches)))
        model = MeteredModel(oracle, ledger, "task")
        with ledger.holding(Reserve(15, 15)), suppress(BudgetExhausted):
            for _ in range(searches):
                await model.complete(REQUEST)
        before = oracle.calls
        for _ in range(15):
            await model.complete(REQUEST)
        made.append(oracle.calls - before)
        assert ledger.share is not None
        ledger.share.close()

    async with anyio.create_task_group() as tasks:
        for searches in (3, 10, 10**6, 10**6):
            tasks.start_soon(run, searches)
    assert made == [15] * 4
    assert budget.refused


async def test_a_call_that_waits_is_woken_when_another_ledgers_call_ends() -> None:
    gate, most = Gate(), REQUEST.most_input + REQUEST.max_tokens
    budget = SharedBudget("sweep", Caps(tokens=most + 2))
    first, second = (MeteredModel(gate, opened(budget), "task") for _ in range(2))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.complete, REQUEST)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(second.complete, REQUEST)
        await anyio.wait_all_tasks_blocked()
        assert len(gate.sent) == 1
        gate.through.release()
        await anyio.wait_all_tasks_blocked()
        assert len(gate.sent) == 2
        gate.through.release()


async def test_minutes_and_notices_are_those_of_all() -> None:
    now, told, heard = 0.0, list[Notice](), list[Notice]()
    budget = SharedBudget("study", Caps(minutes=10, calls=100), lambda: now)
    budget.worked(60.0)
    budget.watch(told.append)
    first, second = opened(budget), opened(budget)
    second.watch(heard.append)
    model = MeteredModel(Oracle(), first, "task")
    with first.holding(Reserve(1, 1)):
        await model.complete(REQUEST)
        now = 240.0
        await model.complete(REQUEST)
        now = 540.0
        with pytest.raises(
            BudgetExhausted, match=r"the budget of the study of 10 minutes is used up; raise study\.bud"
        ):
            await model.complete(REQUEST)
    await model.complete(REQUEST)
    # The minutes have passed when 80 % of them are next looked at: that they are used up is said by the refusal.
    assert [str(notice) for notice in told] == ["50% of the budget of the study is used: 5 of 10 minutes"]
    assert heard == told
