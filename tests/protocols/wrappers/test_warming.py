"""Of calls that share a long prefix, which goes ahead, on a simulated clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ModelError
from protocols.model import ChatMessage, Reply, Request
from protocols.wrappers.warming import KEPT, PATIENCE, Prefixes, WarmingModel, shortest_prefix
from tests.protocols.wrappers.clocked import simulate
from tests.protocols.wrappers.faults import failure

LONG, SHORT = "definitions " * 400, "be brief"


class Provider:
    """Notes when each prefix was sent, and whether it had come back by then, as a provider's cache would need it."""

    name = "scripted"

    def __init__(self, latency: Sequence[float], failing: int = 0) -> None:
        self.latency, self.failing = list(latency), failing
        self.sent: list[tuple[float, bool]] = []
        self._cached: set[str] = set()

    async def complete(self, request: Request) -> Reply:
        prefix = request.messages[0].text
        self.sent.append((anyio.current_time(), prefix in self._cached))
        number = len(self.sent)
        await anyio.sleep(self.latency[min(number, len(self.latency)) - 1])
        if number <= self.failing:
            raise failure()
        self._cached.add(prefix)
        return Reply("ok")


def ask(prefix: str, number: int) -> Request:
    return Request((ChatMessage("system", prefix), ChatMessage("user", str(number))))


def fan_out(
    provider: Provider, prefix: str, calls: int, rounds: Sequence[float] = (0.0,)
) -> list[tuple[float, bool]]:
    """`calls` calls at once after each pause of `rounds`; when each was sent, from the beginning."""
    start = 0.0

    async def call(model: WarmingModel, number: int) -> None:
        with suppress(ModelError):
            await model.complete(ask(prefix, number))

    async def main() -> None:
        nonlocal start
        start = anyio.current_time()
        model = WarmingModel(provider, Prefixes(), least=1024)
        for pause in rounds:
            await anyio.sleep(pause)
            async with anyio.create_task_group() as tasks:
                for number in range(calls):
                    tasks.start_soon(call, model, number)

    simulate(main)
    return [(time - start, cached) for time, cached in provider.sent]


def test_one_goes_ahead_and_the_rest_follow_at_once() -> None:
    sent = fan_out(Provider([2.0, 1.0]), LONG, 20)
    assert sent == [(0.0, False)] + [(2.0, True)] * 19


def test_a_short_prefix_waits_for_nobody() -> None:
    assert [time for time, _ in fan_out(Provider([2.0]), SHORT, 20)] == [0.0] * 20


@pytest.mark.parametrize(("pause", "together"), [(KEPT / 2, True), (KEPT + 1, False)])
def test_a_prefix_is_warmed_again_when_it_was_not_used_for_long(pause: float, together: bool) -> None:
    sent = fan_out(Provider([1.0]), LONG, 5, rounds=(0.0, pause))
    second = {time for time, _ in sent[5:]}
    assert second == ({pause + 2.0} if together else {pause + 2.0, pause + 3.0})


def test_when_the_one_ahead_fails_the_next_takes_its_place() -> None:
    sent = fan_out(Provider([1.0], failing=2), LONG, 5)
    assert [time for time, _ in sent] == [0.0, 1.0, 2.0, 3.0, 3.0]


def test_nobody_waits_for_long_for_one_that_stalls() -> None:
    sent = fan_out(Provider([1e6, 1.0]), LONG, 5)
    assert [time for time, _ in sent] == [0.0] + [PATIENCE] * 4


@given(
    calls=st.lists(st.tuples(st.integers(0, 2), st.floats(0, 300), st.none() | st.floats(0, 5)), max_size=30),
    failing=st.integers(0, 5),
    seed=st.integers(0, 999),
)
@settings(max_examples=40)
def test_everybody_is_answered_or_fails_by_himself(
    calls: list[tuple[int, float, float | None]], failing: int, seed: int
) -> None:
    rng = Random(seed)
    provider = Provider([rng.uniform(0, 40) for _ in range(50)], failing)
    prefixes = Prefixes()
    ended = 0

    async def call(prefix: int, begins: float, patience: float | None) -> None:
        nonlocal ended
        await anyio.sleep(begins)
        with anyio.move_on_after(math.inf if patience is None else patience):
            with suppress(ModelError):
                await WarmingModel(provider, prefixes, least=1024).complete(ask(LONG + str(prefix), 0))
        ended += 1

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for one in calls:
                tasks.start_soon(call, *one)

    simulate(main)
    assert ended == len(calls)
    assert not prefixes.ahead


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("openai/gpt-5-mini", 1024),
        ("anthropic/claude-sonnet-4-5", 1024),
        ("anthropic/claude-opus-4-5-20251101", 4096),
        ("anthropic/claude-opus-5", 512),
    ],
)
def test_what_is_cached_depends_on_the_model(model: str, tokens: int) -> None:
    assert shortest_prefix(model) == tokens


def test_turns_that_are_the_same_for_all_inputs_are_part_of_the_prefix() -> None:
    """And turns that are filled for each are none of it."""
    shots = (ChatMessage("user", LONG), ChatMessage("assistant", "yes"))

    def sent(fixed: int) -> list[float]:
        provider, times = Provider([5.0]), list[float]()

        async def main() -> None:
            model = WarmingModel(provider, Prefixes(), 1024)
            async with anyio.create_task_group() as tasks:
                for number in range(3):
                    asked = (ChatMessage("system", SHORT), *shots, ChatMessage("user", str(number)))
                    tasks.start_soon(model.complete, Request(asked, fixed=fixed))
            times.extend(time - provider.sent[0][0] for time, _ in provider.sent)

        simulate(main)
        return times

    assert sent(fixed=3) == [0.0, 5.0, 5.0]
    assert sent(fixed=1) == sent(fixed=0) == [0.0, 0.0, 0.0]
