"""What becomes of a candidate whose requests are refused for good: it has failed, and nobody else."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.prompting.forward import Concurrency, Forward
from agents.ring.evaluator import Evaluator, RaceSettings
from protocols.errors import BadRequest, ModelError, TooLong
from protocols.messages import FIRST, Candidate, Failure, Message
from protocols.model import Request
from protocols.prompt import Prompt
from tests.agents.ring.test_handling import ALL, NONE, SURVIVOR, child, evaluate
from tests.world import FIRST_PROMPT, NO_CORPUS, TASK, Oracle, shuffled

pytestmark = pytest.mark.anyio
Fault = Callable[[Request], ModelError | None]


def refusing(error: ModelError, prompt: Prompt, inputs: Collection[str] = ()) -> Fault:
    """Refuses a prompt, with some of the inputs or with any."""

    def fault(request: Request) -> ModelError | None:
        system, asked = request.messages[0].text, request.messages[-1].text
        hit = prompt["rule"].text == system and (not inputs or any(asked.endswith(text) for text in inputs))
        return error if hit else None

    return fault


OUTGROWN = TooLong("1,025 tokens > 1,024", model="m", window=1024)
FLAGGED = BadRequest("this text is flagged", model="m")


@pytest.mark.parametrize("error", [OUTGROWN, FLAGGED])
async def test_a_candidate_that_is_refused_has_failed_and_not_the_run(error: ModelError) -> None:
    """It is given up, and what it left is charged to nobody else: ten more such candidates end nothing."""
    model = Oracle(fault=refusing(error, ALL))
    evaluator = Evaluator(
        Forward(model, TASK, NO_CORPUS, Concurrency(2)), TASK, RaceSettings(max_unanswered=0.05, at_once=16), seed=1
    )
    for _ in range(10):
        calls = model.calls
        if isinstance(error, TooLong):
            [failure] = await evaluator.handle(replace(child(ALL, FIRST_PROMPT), section="rule"))
            assert isinstance(failure, Failure)
            assert (failure.kind, failure.text) == ("too long", ALL["rule"].text)
        else:
            with pytest.raises(BadRequest):
                await evaluator.handle(child(ALL, FIRST_PROMPT))
        assert model.calls - calls <= 2 + 2, "the rest is not paid for"
    assert not evaluator.unanswered.reasons


@given(st.sets(st.integers(0, 15), min_size=1), st.integers(1, 16), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_whether_a_candidate_is_too_long_does_not_depend_on_what_comes_first(
    places: set[int], at_once: int, seed: int
) -> None:
    inputs = [TASK.validation[place].inputs["text"] for place in places]

    async def main(delays: int) -> Message:
        model = Oracle(fault=refusing(OUTGROWN, NONE, inputs), delay=shuffled(Random(delays)))
        forward = Forward(model, TASK, NO_CORPUS, Concurrency(at_once))
        [said] = await Evaluator(forward, TASK, RaceSettings(critique=6), seed).handle(child(NONE, FIRST_PROMPT))
        return said

    assert anyio.run(main, 1) == anyio.run(main, 2)


async def test_an_example_that_is_too_long_for_the_parent_too_is_left_out() -> None:
    long = TASK.validation[3]
    model = Oracle(
        fault=lambda request: OUTGROWN if request.messages[-1].text.endswith(long.inputs["text"]) else None
    )
    first = await evaluate(model, Candidate(FIRST, FIRST_PROMPT), RaceSettings(critique=6, max_unanswered=0.0))
    assert (first.scores[3], first.unanswered, first.too_long) == (None, 0, (long.id,))
    better = Candidate(3, ALL, first.scores, FIRST_PROMPT.tokens)
    evaluation = await evaluate(model, better, RaceSettings(critique=6, max_unanswered=0.0))
    assert (evaluation.survived, evaluation.paired, evaluation.too_long) == (True, 15, (long.id,))


async def test_a_run_that_goes_on_counts_what_is_too_long_as_before() -> None:
    evaluator = Evaluator(
        Forward(Oracle(), TASK, NO_CORPUS, Concurrency(2)), TASK, RaceSettings(max_unanswered=0.0), seed=1
    )
    evaluator.unanswered.take_up(replace(SURVIVOR, unanswered=0, too_long=("v3",)))
    evaluator.unanswered.check()
    assert evaluator.unanswered.too_long == {"v3"}
