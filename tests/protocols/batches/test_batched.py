"""Calls in batches against a server that sells them in both wire formats: each is paid for once, whatever happens."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio
import pytest
from anyio.lowlevel import checkpoint

from protocols.batches.batched import BatchedModel
from protocols.batches.counting import Counting
from protocols.batches.desk import AGAIN, Desk
from protocols.batches.sent_batch import sent_batches
from protocols.budget.budget_scope import NO_CAPS, Caps
from protocols.budget.ledger import Ledger
from protocols.budget.prices import Price, in_batch
from protocols.errors import BadRequest, BudgetExhausted, Interrupted, ModelNotFound
from protocols.model import ChatMessage, ChatModel, Reply, Request
from protocols.pacing.waiting import Patience
from protocols.providers.anthropic import AnthropicModel
from protocols.providers.batches.anthropic_batches import AnthropicBatches
from protocols.providers.batches.openai_batches import OpenAIBatches
from protocols.providers.batches.service import Limits
from protocols.providers.openai import OpenAIModel
from protocols.providers.transport.http import Endpoint, open_transport
from protocols.providers.wire import Wire
from protocols.wrappers.recorded import Call
from protocols.wrappers.retry import Timing
from tests.batch_server import BatchServer, Plan

pytestmark = pytest.mark.anyio
Provider = Literal["openai", "anthropic"]
PRICE = Price(1000.0, 1000.0)
WORDS = [f"question {number}" for number in range(7)]


@pytest.fixture(params=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest) -> Provider:
    return request.param  # type: ignore[no-any-return]


@dataclass
class Notes:
    """A journal in memory, which outlives a process."""

    notes: dict[str, bytes] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    async def learned(self, name: str, content: bytes) -> None:
        await checkpoint()
        self.notes[name] = content

    async def fetched(self, calls: Sequence[Call], name: str, content: bytes) -> None:
        await checkpoint()
        self.calls += calls
        self.notes[name] = content


@dataclass
class Process:
    """What one process has of its own: its ledger, what it said, and its naps."""

    server: BatchServer
    provider: Provider
    journal: Notes
    caps: Caps = NO_CAPS
    limits: Limits | None = None
    said: list[str] = field(default_factory=list)
    naps: list[float] = field(default_factory=list)
    patience: Patience = field(default_factory=Patience)
    stop_at: int | None = None

    def __post_init__(self) -> None:
        self.name = f"{self.provider}/m"
        prices = {self.name: PRICE, in_batch(self.name): PRICE.times(0.5)}
        self.ledger = Ledger(self.caps, prices, lambda: 0.0)
        self.patience.calls.tell = self.said.append

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        if len(self.naps) == self.stop_at:
            self.patience.stop()
        for _ in range(20):
            await checkpoint()

    async def ask(
        self, words: Sequence[str] = WORDS, temperature: float | None = None
    ) -> dict[str, Reply | Exception]:
        came: dict[str, Reply | Exception] = {}
        async with open_transport({}) as transport:
            live: ChatModel
            if self.provider == "openai":
                endpoint = Endpoint(self.server.openai_url, "key")
                service: Any = OpenAIBatches("m", endpoint, transport, Wire())
                live = OpenAIModel("m", endpoint, transport)
            else:
                endpoint = Endpoint(self.server.url, "key")
                service = AnthropicBatches("m", endpoint, transport, Wire())
                live = AnthropicModel("m", endpoint, transport)
            service.limits = self.limits or service.limits
            counting = Counting(self.ledger, self.journal, "task", in_batch(self.name), time.time)
            timing = Timing(sleep=self.sleep)
            earlier = sent_batches(self.journal.notes, "here")
            desk = Desk(service, counting, "here", earlier, self.patience, timing)
            model = BatchedModel(live, desk, "here")

            async def ask(word: str) -> None:
                try:
                    came[word] = await model.complete(
                        Request((ChatMessage("user", word),), temperature=temperature, max_tokens=50)
                    )
                except Exception as error:
                    came[word] = error

            async with anyio.create_task_group() as tasks:
                for word in words:
                    tasks.start_soon(ask, word)
        return came


def echo(turns: list[tuple[str, str]]) -> str:
    return f"re {turns[-1][1]}"


def texts(came: dict[str, Reply | Exception]) -> dict[str, str]:
    return {word: result.text if isinstance(result, Reply) else repr(result) for word, result in came.items()}


RIGHT = {word: f"re {word}" for word in WORDS}
ONCE = Counter(WORDS)


async def test_one_batch_answers_all_in_any_order_and_is_counted_at_its_price(provider: Provider) -> None:
    async with BatchServer(echo) as server:
        server.plans.append(Plan(looks=3))
        process = Process(server, provider, Notes())
        assert texts(await process.ask()) == RIGHT
        assert (len(server.taken), server.paid, server.single) == (1, ONCE, Counter())
    spent = server.tokens["input"] + server.tokens["output"]
    assert (process.ledger.calls, process.ledger.tokens, process.ledger.in_flight) == (7, spent, 0)
    assert process.ledger.dollars == pytest.approx(spent * 1000 / 1e6 / 2)
    assert [call.model for call in process.journal.calls] == [f"{provider}/m (batch)"] * 7
    assert process.naps.count(60.0) >= 2
    assert any("sent batch" in line for line in process.said)


@pytest.mark.parametrize("end", ["expired", "completed"])
async def test_what_was_not_answered_is_in_a_second_batch_then_asked_alone(
    provider: Provider, end: Literal["expired", "completed"]
) -> None:
    fate: Literal["not run", "overloaded"] = "not run" if end == "expired" else "overloaded"
    async with BatchServer(echo) as server:
        server.plans += [Plan(end=end, fates=(fate,) * 5), Plan(end=end, fates=(fate,) * 2)]
        process = Process(server, provider, Notes())
        assert texts(await process.ask()) == RIGHT
    assert [len(batch.lines) for batch in server.taken] == [7, 5]
    assert server.paid + server.single == ONCE
    assert server.single.total() == 2
    assert any("2 requests were in 2 batches without a reply" in line for line in process.said)
    assert process.ledger.calls == 5 + (7 if fate == "overloaded" else 0)
    assert process.ledger._run.waiting == 0


async def test_a_request_that_is_refused_is_not_sent_again(provider: Provider) -> None:
    async with BatchServer(echo) as server:
        server.plans.append(Plan(fates=("refused",)))
        came = await Process(server, provider, Notes()).ask()
    assert isinstance(came[WORDS[0]], BadRequest)
    assert (len(server.taken), server.paid.total()) == (1, 6)


async def test_a_failed_batch_is_sent_once_more(provider: Provider) -> None:
    async with BatchServer(echo) as server:
        server.plans.append(Plan(end="failed"))
        process = Process(server, provider, Notes())
        assert texts(await process.ask()) == RIGHT
    assert server.paid == ONCE
    if provider == "openai":
        assert any("failed (too many tokens wait)" in line for line in process.said)


async def test_a_person_stops_and_the_next_process_fetches_it(provider: Provider) -> None:
    journal = Notes()
    async with BatchServer(echo) as server:
        server.held = True
        stopped = Process(server, provider, journal, stop_at=5)
        came = await stopped.ask()
        assert all(isinstance(error, Interrupted) for error in came.values())
        assert f"goes on: {AGAIN}" in str(came[WORDS[0]])
        assert (stopped.ledger.calls, stopped.ledger._run.waiting) == (0, 0)
        server.held = False
        later = Process(server, provider, journal)
        assert texts(await later.ask([*WORDS, "another"])) == {**RIGHT, "another": "re another"}
        assert [len(batch.lines) for batch in server.taken] == [7, 1]
        assert later.ledger.calls == len(journal.calls) == 8
        third = Process(server, provider, journal)
        came = await third.ask()
    assert texts(came) == RIGHT
    assert server.paid == ONCE + Counter(["another"])
    assert all(isinstance(reply, Reply) and reply.from_cache for reply in came.values())
    assert (third.ledger.calls, len(journal.calls)) == (0, 8)


async def test_a_batch_whose_creation_was_not_confirmed_is_found(provider: Provider) -> None:
    async with BatchServer(echo) as server:
        server.plans.append(Plan(looks=5, lost=True))
        assert texts(await Process(server, provider, Notes()).ask()) == RIGHT
    assert (len(server.taken), server.paid) == (1, ONCE)


async def test_a_process_killed_before_it_knew_the_id_leaves_enough_to_find_it(provider: Provider) -> None:
    journal = Notes()
    async with BatchServer(echo) as server:
        await Process(server, provider, journal, stop_at=3).ask([f"stranger {n}" for n in range(7)])
        kept = dict(journal.notes)
        journal.notes.clear()
        server.held = True
        await Process(server, provider, journal, stop_at=5).ask()
        [(name, content)] = journal.notes.items()
        unknown = content.replace(f'"id":"{server.taken[-1].id}"'.encode(), b'"id":""')
        assert unknown != content
        server.held = False
        server.taken.insert(1, server.taken.pop(0))  # Anthropic's list shows the stranger's batch of this size first
        journal.notes = {name: unknown}
        assert texts(await Process(server, provider, journal).ask()) == RIGHT
    assert kept
    assert len(server.taken) == 2
    assert all(times == 1 for times in server.paid.values())


async def test_a_batch_that_never_arrived_is_sent_again(provider: Provider) -> None:
    journal = Notes()
    async with BatchServer(echo) as server:
        server.refused = [500] * 6
        came = await Process(server, provider, journal).ask()
        assert not any(isinstance(reply, Reply) for reply in came.values())
        assert texts(await Process(server, provider, journal).ask()) == RIGHT
    assert (len(server.taken), server.paid) == (1, ONCE)


async def test_a_cancelled_batch_keeps_what_it_answered(provider: Provider) -> None:
    journal = Notes()
    async with BatchServer(echo) as server:
        server.plans.append(Plan(end="cancelled", fates=("not run",) * 4))
        came = await Process(server, provider, journal).ask()
        assert sum(isinstance(reply, Reply) for reply in came.values()) == 3
        assert "was cancelled: its replies are kept" in str(came[WORDS[0]])
        assert texts(await Process(server, provider, journal).ask()) == RIGHT
    assert ([len(batch.lines) for batch in server.taken], server.paid) == ([7, 4], ONCE)


async def test_a_batch_is_split_at_the_limits_of_the_provider(provider: Provider) -> None:
    async with BatchServer(echo) as server:
        process = Process(server, provider, Notes(), limits=Limits(3, 10**6))
        assert texts(await process.ask()) == RIGHT
    assert (sorted(len(batch.lines) for batch in server.taken), server.paid) == ([1, 3, 3], ONCE)


async def test_a_cap_holds_at_the_price_of_batches(provider: Provider) -> None:
    async with BatchServer(echo) as server:
        process = Process(server, provider, Notes(), caps=Caps(calls=4))
        came = await process.ask()
    assert sum(isinstance(reply, Reply) for reply in came.values()) == 4
    assert sum(isinstance(reply, BudgetExhausted) for reply in came.values()) == 3
    assert (process.ledger.calls, server.paid.total()) == (4, 4)


async def test_what_is_reserved_at_most_makes_a_second_batch_of_the_rest(provider: Provider) -> None:
    async with BatchServer(echo) as server:
        # A request may cost at most (42 or 43 bytes + 50 tokens) at half a dollar for 1,000: five at a time.
        process = Process(server, provider, Notes(), caps=Caps(dollars=0.25))
        assert texts(await process.ask()) == RIGHT
    assert len(server.taken) == 2
    assert process.ledger.dollars is not None
    assert process.ledger.dollars <= 0.25


async def test_a_server_without_batches_is_named_in_one_line(provider: Provider) -> None:
    async with BatchServer(echo) as server:
        server.refused = [404]
        came = await Process(server, provider, Notes()).ask()
    assert all(isinstance(error, ModelNotFound) for error in came.values())
    assert "takes no batches; leave out --batch" in str(came[WORDS[0]])


async def test_a_provider_out_of_reach_is_asked_again(provider: Provider) -> None:
    async with BatchServer(echo) as server:
        process = Process(server, provider, Notes())
        seen: list[str] = []
        first, failing = server._advance, [True]

        def advance(batch: Any) -> bool:
            seen.extend(process.patience.calls.batches.values())
            if failing and batch.looks:
                failing.clear()
                raise RuntimeError("the server is down")
            return first(batch)

        server.plans.append(Plan(looks=3))
        server._advance = advance  # type: ignore[method-assign]
        assert texts(await process.ask()) == RIGHT
    assert server.paid == ONCE
    assert any("cannot be asked for" in line for line in seen)
    assert any("in_progress" in line for line in seen)
