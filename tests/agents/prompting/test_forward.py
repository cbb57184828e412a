"""The forward pass: order, errors and caps."""

from __future__ import annotations

from random import Random

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.prompting.asking import task_request
from agents.prompting.forward import Concurrency, Forward
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Ledger
from protocols.errors import AuthenticationFailed, BudgetExhausted, ModelError, ServerFailed
from protocols.messages import Outcome
from protocols.model import Request
from protocols.wrappers.metered import MeteredModel
from tests.world import FIRST_PROMPT, NO_CORPUS, TASK, WORDS, Oracle, digest, shuffled

pytestmark = pytest.mark.anyio
BACKENDS = ["asyncio", "trio"]


@pytest.mark.parametrize("backend", BACKENDS)
@given(count=st.integers(0, 16), at_once=st.integers(1, 20), seed=st.integers(0, 999), percent=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_outcomes_keep_their_order_and_an_error_is_no_score(
    backend: str, count: int, at_once: int, seed: int, percent: int
) -> None:
    def fault(request: Request) -> ModelError | None:
        failed = digest(seed, request) % 100 < percent
        return ServerFailed("no", model="scripted") if failed else None

    model = Oracle(fault=fault, delay=shuffled(Random(seed)))
    examples = TASK.validation[:count]

    async def main() -> list[Outcome | ModelError]:
        return await Forward(model, TASK, NO_CORPUS, Concurrency(at_once))(FIRST_PROMPT, examples)

    results = anyio.run(main, backend=backend)
    assert model.calls == len(results) == count
    assert model.most_in_flight <= at_once
    for example, result in zip(examples, results, strict=True):
        expected_to_fail = (
            fault(task_request(TASK.kind, FIRST_PROMPT, FIRST_PROMPT.render(example.inputs))) is not None
        )
        assert isinstance(result, ModelError) == expected_to_fail
        if isinstance(result, Outcome):
            assert (result.example, result.target) == (example.id, example.target)
            assert result.score == float(WORDS[0] in example.inputs["text"])


@pytest.mark.parametrize("backend", BACKENDS)
@given(cap=st.integers(1, 15), at_once=st.integers(1, 8), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_at_a_cap_what_is_in_flight_is_waited_for(backend: str, cap: int, at_once: int, seed: int) -> None:
    model = Oracle(delay=shuffled(Random(seed)))
    metered = MeteredModel(model, Ledger(Caps(calls=cap), {}, lambda: 0.0), "task")
    forward = Forward(metered, TASK, NO_CORPUS, Concurrency(at_once))

    async def main() -> None:
        with pytest.raises(BudgetExhausted):
            await forward(FIRST_PROMPT, TASK.validation)

    anyio.run(main, backend=backend)
    assert model.answered == model.calls == cap


@pytest.mark.parametrize("backend", BACKENDS)
@given(after=st.integers(1, 20), at_once=st.integers(1, 8), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_once_it_is_enough_nothing_more_is_begun_and_what_is_in_flight_is_told_of(
    backend: str, after: int, at_once: int, seed: int
) -> None:
    model = Oracle(delay=shuffled(Random(seed)))
    told: list[int] = []

    def enough(index: int, result: Outcome | ModelError) -> bool:
        told.append(index)
        return len(told) == after

    async def main() -> None:
        forward = Forward(model, TASK, NO_CORPUS, Concurrency(8))
        await forward.until([(FIRST_PROMPT, example) for example in TASK.validation], enough, lambda: at_once)

    anyio.run(main, backend=backend)
    assert model.most_in_flight <= at_once
    assert sorted(told) == list(range(model.calls)), "in the order of the examples, without a gap"
    assert min(after, 16) <= model.calls <= min(after + at_once - 1, 16)


@given(first=st.integers(1, 8), then=st.integers(1, 8), after=st.integers(1, 16))
@settings(max_examples=40, deadline=None)
def test_with_fewer_or_more_at_once_what_is_in_flight_ends_and_as_many_are_begun(
    first: int, then: int, after: int
) -> None:
    at_once = Concurrency(first)
    flying: list[int] = []
    model = Oracle(delay=anyio.lowlevel.checkpoint)  # all calls take as long, so that each round ends as a whole

    def enough(index: int, result: Outcome | ModelError) -> bool:
        flying.append(model.in_flight)
        if len(flying) == after:
            at_once.calls = then
        return False

    anyio.run(Forward(model, TASK, NO_CORPUS, at_once).until, [(FIRST_PROMPT, e) for e in TASK.validation], enough)
    assert len(flying) == model.calls == len(TASK.validation), "every question is asked"
    assert max(flying[:after]) < first
    assert max(flying[after + first :], default=0) < then
    assert model.most_in_flight <= max(first, then)
    assert model.most_in_flight >= then or after + first + then > len(TASK.validation), "unless few were left"


async def test_a_fatal_error_ends_the_pass() -> None:
    model = Oracle(fault=lambda request: AuthenticationFailed("no", model="scripted"))
    with pytest.raises(AuthenticationFailed):
        await Forward(model, TASK, NO_CORPUS, Concurrency(2))(FIRST_PROMPT, TASK.validation)
    assert 1 <= model.calls <= 2
