"""The ledger around scripted models that keep their own books."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from random import Random

import anyio
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.budget.budget_scope import BudgetScope, Caps, Cost, Notice
from protocols.budget.ledger import Account, Books, Ledger, Reserve, Saved
from protocols.budget.prices import Price, default_prices, undated
from protocols.errors import BudgetExhausted, ModelError
from protocols.model import ChatMessage, ChatModel, Reply, Request, Usage
from protocols.pacing.limiter import Limiter
from protocols.pacing.limits import Limits
from protocols.wrappers.limited import LimitedModel
from protocols.wrappers.metered import MeteredModel, billed
from tests.protocols.wrappers.faults import REQUEST, failure
from tests.world import Oracle, shuffled

MOST_TOKENS = REQUEST.most_input + REQUEST.max_tokens
pytestmark = pytest.mark.anyio
BACKENDS = ["asyncio", "trio"]
PRICE = Price(2.0, 8.0, 0.5)
ROLES = ("task", "critic", "proposer/a", "proposer/b")


@dataclass
class Till:
    """A model that says what each call costs, of each role; its own books, call by call as they end."""

    role: str
    rng: Random
    delay: Callable[[], Awaitable[None]]
    fault: bool = False
    name: str = "scripted"
    calls: int = 0
    lost: int = 0
    usages: list[Usage] = field(default_factory=list)

    async def complete(self, request: Request) -> Reply:
        self.calls += 1
        try:
            await self.delay()
            if self.fault and self.rng.random() < 0.3:
                raise failure()
        except BaseException as error:
            self.lost += 1
            self.usages.append(billed(error, request))
            raise
        share = self.rng.choice([0.1, 0.5, 1.0, 1.0])
        tokens_in, tokens_out = int(share * request.most_input), int(share * request.max_tokens)
        usage = Usage(tokens_in, tokens_out, *self.rng.choice([(0, 0), (tokens_in, 0), (0, tokens_in)]))
        self.usages.append(usage)
        return Reply("ok", usage)


some_caps = st.builds(
    Caps,
    st.none() | st.integers(1, 60),
    st.none() | st.integers(1, 3000),
    st.none() | st.floats(1e-4, 0.01),
)


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    run=some_caps,
    scopes=st.dictionaries(st.sampled_from(["task", "critic", "proposer", "proposer/a"]), some_caps, max_size=3),
    held=st.integers(0, 8),
    count=st.integers(1, 60),
    slots=st.none() | st.integers(1, 3),
    seed=st.integers(0, 999),
)
@settings(max_examples=50)
def test_no_interleaving_exceeds_a_cap_and_the_books_are_the_models(
    backend: str,
    run: Caps,
    scopes: Mapping[str, Caps],
    held: int,
    count: int,
    slots: int | None,
    seed: int,
) -> None:
    """Calls of four roles end, fail and are cancelled in any order, also while they wait for one of a few `slots`
    that all share, and many cost as much as they may."""
    rng = Random(seed)
    ledger = Ledger(run, {"scripted": PRICE}, lambda: 0.0, scopes)
    tills = {role: Till(role, rng, shuffled(rng, 20), fault=True) for role in ROLES}
    limiter = Limiter(Limits(slots))
    inner = {role: LimitedModel(till, limiter, urgent=False) if slots else till for role, till in tills.items()}
    models = {role: MeteredModel(model, ledger, role, queued=bool(slots)) for role, model in inner.items()}
    refused: list[BudgetExhausted] = []

    async def one(role: str, cancelled: bool, max_tokens: int) -> None:
        request = Request((ChatMessage("user", "x" * rng.randrange(50)),), max_tokens=max_tokens)
        with anyio.CancelScope() as scope:
            try:
                async with anyio.create_task_group() as tasks:
                    if cancelled:
                        tasks.start_soon(cancel_soon, scope)
                    await models[role].complete(request)
                    tasks.cancel_scope.cancel()
            except* ModelError:
                pass
            except* BudgetExhausted as group:
                refused.extend(error for error in group.exceptions if isinstance(error, BudgetExhausted))

    async def cancel_soon(scope: anyio.CancelScope) -> None:
        await shuffled(rng, 20)()
        scope.cancel()

    async def main() -> None:
        with ledger.holding(Reserve(held, held)):
            async with anyio.create_task_group() as tasks:
                for _ in range(count):
                    tasks.start_soon(one, rng.choice(ROLES), rng.random() < 0.2, rng.randint(1, 300))
                    await shuffled(rng, 1)()

    anyio.run(main, backend=backend)
    assert ledger.in_flight == 0
    for scope, capped in {"": run, **scopes}.items():
        inside = [till for role, till in tills.items() if scope in ("", role, role.partition("/")[0])]
        usage = sum((usage for till in inside for usage in till.usages), Usage())
        made = sum(till.calls for till in inside)
        kept = held if scope in ("", "task") else 0
        assert capped.calls is None or made <= max(0, capped.calls - kept)
        assert capped.tokens is None or usage.total <= capped.tokens
        assert capped.dollars is None or PRICE.of(usage) <= capped.dollars * (1 + 1e-9)
    assert {role: account.calls for (role, _), account in ledger.accounts.items()} == {
        role: till.calls for role, till in tills.items()
    }
    for (role, _), account in ledger.accounts.items():
        assert account.usage == sum(tills[role].usages, Usage())
        assert account.failed == tills[role].lost
    spent = sum((usage for till in tills.values() for usage in till.usages), Usage())
    assert (ledger.calls, ledger.tokens) == (sum(till.calls for till in tills.values()), spent.total)
    assert ledger.dollars == pytest.approx(PRICE.of(spent))


class Gate:
    """A model that answers each call once it is let through."""

    name = "scripted"

    def __init__(self) -> None:
        self.sent: list[Request] = []
        self.through = anyio.Semaphore(0)

    async def complete(self, request: Request) -> Reply:
        self.sent.append(request)
        await self.through.acquire()
        return Reply("ok", Usage(1, 1))


def one_slot(model: ChatModel) -> ChatModel:
    return LimitedModel(model, Limiter(Limits(1)), urgent=False)


async def test_a_call_that_waits_for_the_limiter_is_no_call_yet_and_leaves_its_place_when_it_is_cancelled() -> None:
    gate, ended = Gate(), list[str]()
    ledger = Ledger(Caps(calls=2, tokens=2 * MOST_TOKENS), {}, lambda: 0.0)
    model = MeteredModel(one_slot(gate), ledger, "task", queued=True)

    async def call(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                await model.complete(REQUEST)
                ended.append(name)
            except BudgetExhausted as error:
                ended.append(f"{name} {error.cap}")

    async with anyio.create_task_group() as tasks:
        scopes = [anyio.CancelScope() for _ in range(4)]
        for name, scope in zip("abcd", scopes, strict=True):
            tasks.start_soon(call, name, scope)
            await anyio.wait_all_tasks_blocked()
        assert (ledger.calls, ledger.in_flight, len(gate.sent), ended) == (1, 1, 1, [])
        scopes[1].cancel()  # b had the second of the two calls, and waited for the limiter
        await anyio.wait_all_tasks_blocked()
        assert (ledger.calls, ledger.account("task", "scripted").failed, ended) == (1, 0, [])
        gate.through.release()
        await anyio.wait_all_tasks_blocked()
        assert len(ended) == 2, "one of the others has the second, so that there is none left"
        gate.through.release()
    assert sorted(ended) in (["a", "c", "d calls"], ["a", "c calls", "d"])
    assert (ledger.calls, ledger.tokens, len(gate.sent)) == (2, 4, 2)


async def test_a_call_whose_minutes_pass_while_it_waits_for_the_limiter_is_not_sent() -> None:
    gate, now = Gate(), 0.0
    ledger = Ledger(Caps(minutes=1), {}, lambda: now)
    model = MeteredModel(one_slot(gate), ledger, "task", queued=True)
    refused: list[BudgetExhausted] = []

    async def call() -> None:
        try:
            await model.complete(REQUEST)
        except BudgetExhausted as error:
            refused.append(error)

    with ledger.holding(Reserve(1, 1)):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            now = 60.0
            gate.through.release()
    assert [error.cap for error in refused] == ["minutes"]
    assert (ledger.calls, ledger.in_flight, len(gate.sent)) == (1, 0, 1)


@pytest.mark.parametrize(("cap", "limit", "sent"), [("tokens", 1, 1), ("dollars", 1e-9, 1), ("tokens", 10**6, 2)])
async def test_a_cap_that_is_spent_when_it_is_lowered_holds_for_calls_that_wait_for_the_limiter(
    cap: str, limit: float, sent: int
) -> None:
    gate = Gate()
    ledger = Ledger(Caps(tokens=10**7, dollars=100.0), {gate.name: PRICE}, lambda: 0.0)
    model = MeteredModel(one_slot(gate), ledger, "task", queued=True)
    refused: list[BudgetExhausted] = []

    async def call() -> None:
        try:
            await model.complete(REQUEST)
        except BudgetExhausted as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        ledger.cap("", cap, limit)
        ledger.take_up(Books((Account("task", gate.name, 1, usage=Usage(10, 10)),), Saved(), 0.0))
        gate.through.release()
        gate.through.release()
    assert [error.cap for error in refused] == [cap] * (2 - sent)
    assert len(gate.sent) == sent


async def until_refused(ledger: Ledger, at_once: int, request: Request = REQUEST) -> int:
    """Calls that are made by `at_once` callers until each is refused."""
    oracle = Oracle(delay=shuffled(Random(0)))
    model = MeteredModel(oracle, ledger, "task")

    async def call() -> None:
        while True:
            try:
                await model.complete(request)
            except BudgetExhausted:
                return

    async with anyio.create_task_group() as tasks:
        for _ in range(at_once):
            tasks.start_soon(call)
    return oracle.calls


@pytest.mark.parametrize("at_once", [1, 16])
@pytest.mark.parametrize("cap", ["tokens", "dollars"])
async def test_what_is_reserved_and_not_spent_is_spent_by_those_who_wait(cap: str, at_once: int) -> None:
    """A cap is used but for less than one call may cost, however many calls are reserved for at once."""
    reply = await Oracle().complete(REQUEST)
    most = PRICE.most(REQUEST.most_input, REQUEST.max_tokens) if cap == "dollars" else MOST_TOKENS
    limit = 20 * most
    caps = Caps(dollars=limit) if cap == "dollars" else Caps(tokens=int(limit))
    ledger = Ledger(caps, {"scripted": PRICE}, lambda: 0.0)
    made = await until_refused(ledger, at_once)
    each = PRICE.of(reply.usage) if cap == "dollars" else reply.usage.total
    assert limit - most < made * each <= limit


@pytest.mark.parametrize("caps", [Caps(calls=60), Caps(tokens=60_000), Caps(dollars=0.5)])
async def test_what_is_held_back_pays_for_so_many_calls_later(caps: Caps) -> None:
    ledger = Ledger(caps, {"scripted": PRICE}, lambda: 0.0)
    with ledger.holding(Reserve(20, 20)):
        assert await until_refused(ledger, 4) >= 20
    assert await until_refused(ledger, 4) >= 20


async def test_caps_on_minutes_hold_only_while_the_search_does() -> None:
    now = 0.0
    ledger = Ledger(Caps(minutes=1), {}, lambda: now)
    model = MeteredModel(Oracle(), ledger, "task")
    with ledger.holding(Reserve(2, 2)):
        await model.complete(REQUEST)
        now = 60.0
        with pytest.raises(BudgetExhausted, match="1 minutes"):
            await model.complete(REQUEST)
    await model.complete(REQUEST)
    assert ledger.seconds == 60.0


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    limits=st.lists(st.none() | st.integers(0, 30), max_size=6),
    cap=st.sampled_from(["calls", "tokens"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_a_cap_that_changes_holds_for_every_call_that_is_admitted_after(
    backend: str, limits: list[int | None], cap: str, seed: int
) -> None:
    """What was admitted before may be in flight. Nobody waits for ever."""
    request = Request((ChatMessage("user", ""),), max_tokens=1)
    ledger = Ledger(Caps(calls=10), {}, lambda: 0.0)
    till = Till("task", Random(seed), shuffled(Random(seed), 6))
    model = MeteredModel(till, ledger, "task")

    async def call() -> None:
        with suppress(BudgetExhausted):
            await model.complete(request)

    async def admit(account: Account, scopes: tuple[BudgetScope, ...], most: Cost) -> None:
        await admitted(account, scopes, most)
        limit = getattr(ledger.caps, cap)
        used = ledger.calls + 1 if cap == "calls" else ledger.tokens + most.tokens
        assert limit is None or used <= limit

    admitted = ledger.admit
    ledger.admit = admit  # type: ignore[method-assign]

    async def main() -> None:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for limit in [10, *limits]:
                    ledger.cap("", cap, limit)
                    for _ in range(8):
                        tasks.start_soon(call)
                    await anyio.lowlevel.checkpoint()

    anyio.run(main, backend=backend)
    assert till.calls == ledger.calls
    assert ledger.in_flight == 0


def test_seconds_do_not_pass_in_a_pause() -> None:
    moments = iter([0.0, 1.0, 7.0, 9.0])  # opened, paused, went on, asked
    ledger = Ledger(Caps(), {}, lambda: next(moments))
    ledger.go_on()
    for step in (ledger.pause, ledger.pause, ledger.go_on, ledger.go_on):
        step()
    assert ledger.seconds == 3.0


async def test_a_role_whose_cap_is_reached_leaves_the_others_theirs() -> None:
    ledger = Ledger(Caps(calls=3), {}, lambda: 0.0, {"critic": Caps(calls=1), "proposer/a": Caps(calls=1)})
    critic, task = (MeteredModel(Oracle(), ledger, role) for role in ("critic", "task"))
    await critic.complete(REQUEST)
    with pytest.raises(BudgetExhausted, match="the budget of critic of 1 calls is used up"):
        await critic.complete(REQUEST)
    await task.complete(REQUEST)
    await task.complete(REQUEST)
    with pytest.raises(BudgetExhausted) as caught:
        await task.complete(REQUEST)
    assert (caught.value.scope, caught.value.cap) == ("", "calls")


async def test_half_and_four_fifths_of_each_cap_are_told_once() -> None:
    now, told = 0.0, list[Notice]()
    ledger = Ledger(Caps(calls=10, minutes=10), {}, lambda: now, {"task": Caps(tokens=20_000)})
    ledger.watch(told.append)
    model = MeteredModel(Oracle(), ledger, "task")
    for minute in range(10):
        now = minute * 60.0
        await model.complete(REQUEST)
    assert Counter((notice.scope, notice.cap, notice.share) for notice in told) == Counter(
        [("", "calls", 0.5), ("", "calls", 0.8), ("", "minutes", 0.5), ("", "minutes", 0.8)]
    )
    assert str(told[0]) == "50% of the budget is used: 5 of 10 calls"


async def test_books_are_plain_and_go_on_where_they_ended() -> None:
    prices = {"scripted": PRICE}
    ledger = Ledger(Caps(calls=4), prices, lambda: 5.0, {"critic": Caps(calls=2)})
    for role in ("task", "critic", "critic"):
        await MeteredModel(Oracle(), ledger, role).complete(REQUEST)
    ledger.save("task", "scripted", Usage(10, 1))
    record = orjson.loads(orjson.dumps(asdict(ledger.books())))
    accounts = [Account(**{**account, "usage": Usage(**account["usage"])}) for account in record["accounts"]]
    books = Books(tuple(accounts), Saved(**record["saved"]), record["seconds"])
    later = Ledger(Caps(calls=4), prices, lambda: 100.0, {"critic": Caps(calls=2)})
    task, critic = (MeteredModel(Oracle(), later, role) for role in ("task", "critic"))
    later.take_up(books)
    assert later.books() == ledger.books()
    assert (later.calls, later.tokens, later.dollars) == (ledger.calls, ledger.tokens, ledger.dollars)
    with pytest.raises(BudgetExhausted, match="critic"):
        await critic.complete(REQUEST)
    await task.complete(REQUEST)
    with pytest.raises(BudgetExhausted):
        await task.complete(REQUEST)


async def test_dollars_are_unknown_when_something_unpriced_was_used() -> None:
    ledger = Ledger(Caps(), {"scripted": PRICE}, lambda: 0.0)
    unpriced = MeteredModel(Oracle(name="other"), ledger, "critic")
    reply = await MeteredModel(Oracle(), ledger, "task").complete(REQUEST)
    assert ledger.dollars == pytest.approx((2.0 * reply.usage.input + 8.0 * reply.usage.output) / 1e6)
    ledger.save("task", "scripted", reply.usage)
    assert ledger.saved == Saved(1, reply.usage.total, ledger.dollars)
    await unpriced.complete(REQUEST)
    assert ledger.dollars is None
    ledger.save("task", "other", reply.usage)
    ledger.save("task", "scripted", reply.usage)
    assert ledger.saved == Saved(3, 3 * reply.usage.total, None)


def test_tokens_that_the_provider_had_cached_or_wrote_have_their_own_price() -> None:
    usage = Usage(input=1000, output=10, cached=600, written=300)
    assert PRICE.of(usage) == pytest.approx((100 * 2 + 600 * 0.5 + 300 * 2.5 + 10 * 8) / 1e6)
    assert Price(2.0, 8.0, None, 2.0).of(usage) == pytest.approx((1000 * 2 + 10 * 8) / 1e6)


@given(
    prices=st.tuples(*[st.floats(0, 100)] * 2, *[st.none() | st.floats(0, 100)] * 2),
    tokens=st.lists(st.integers(0, 10**6), min_size=3, max_size=3),
    output=st.integers(0, 10**5),
)
def test_the_most_that_a_call_may_cost_is_never_less(
    prices: tuple[float, float, float | None, float | None], tokens: list[int], output: int
) -> None:
    price, (fresh, cached, written) = Price(*prices), tokens
    usage = Usage(fresh + cached + written, output, cached, written)
    assert price.of(usage) <= price.most(usage.input, output) * (1 + 1e-9)


def test_the_published_prices_are_of_models_and_in_order() -> None:
    for name, price in default_prices().items():
        assert name.partition("/")[0] in ("openai", "anthropic")
        assert price.cached is not None
        assert price.written is not None
        assert 0 < price.cached < price.input <= price.written <= 1.25 * price.input < price.output
    assert undated("anthropic/claude-haiku-4-5-20251001") in default_prices()
    assert undated("openai/gpt-5-mini-2025-08-07") == undated("openai/gpt-5-mini") == "openai/gpt-5-mini"


@given(st.integers(1, 200), st.integers(0, 40))
def test_of_each_cap_an_eighth_at_most_is_kept_for_later(limit: int, races: int) -> None:
    """Every call costs a token and a minute."""
    scope = BudgetScope("", Caps(calls=limit))
    others = [BudgetScope("", Caps(tokens=limit)), BudgetScope("", Caps(minutes=limit))]
    for each in (scope, *others):
        each.aside = races
        made = 0
        while not each.obstacle(Cost(1, 0.0), 0, 60.0 * made)[0]:
            each.take_up(1, Cost(1, 0.0))
            made += 1
        kept = min(races, limit / 8)
        assert limit - kept - 1 < made <= max(1, math.ceil(limit - kept))
        each.aside = 0
        while not each.obstacle(Cost(1, 0.0), 0, 60.0 * made)[0]:
            each.take_up(1, Cost(1, 0.0))
            made += 1
        assert made == limit
