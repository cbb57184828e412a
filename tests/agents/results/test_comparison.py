"""Scores and the held-out comparison: what they count, and that an exported prompt has the run's own score."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from dataclasses import asdict
from random import Random

import anyio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.prompting.forward import Concurrency, Forward, Result
from agents.prompting.retrieval_slots import open_slots
from agents.results.comparison import Answer, answers, held_out, refusal, score_of
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Ledger
from protocols.errors import BudgetExhausted, CallTimeout, ModelError, ServerFailed
from protocols.files import prompt_file
from protocols.messages import Outcome
from protocols.metrics import bootstrap
from protocols.metrics.bootstrap import RESAMPLES, SEED, columns, interval
from protocols.model import Finish, Reply, Request
from protocols.prompt import Prompt, Section
from protocols.task import Array, Example, Judgement, Metric
from protocols.wrappers.metered import MeteredModel
from tests.strategies import texts
from tests.world import FIRST_PROMPT, TASK, Oracle, digest, shuffled

METRIC: Metric = TASK.metric
KIND = TASK.kind.name


class Micro:
    """A corpus metric that is no mean: right ones of those that were proposed."""

    async def judge(self, example: Example, reply: str, finish: Finish = "stop", sample: int = 0) -> Judgement:
        """Not asked here."""
        raise NotImplementedError

    def attributed_to(self, assignment: int) -> Micro:
        """Itself."""
        return self

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """Precision."""
        return totals["right"] / np.maximum(totals["proposed"], 1)


class Guesses(Oracle):
    """Says yes or no, by what it is asked."""

    async def complete(self, request: Request) -> Reply:
        await self.delay()
        if (error := self.fault(request)) is not None:
            raise error
        finish: Finish = "length" if digest("cut", request.messages) % 4 == 0 else "stop"
        return Reply("yes" if digest(request.messages) % 3 else "no", finish=finish)


def outcome(number: int, score: float, finish: Finish = "stop", counts: Mapping[str, float] | None = None) -> Outcome:
    return Outcome(f"e{number}", {}, "yes", "", None, score, "", counts or {}, finish=finish)


failures = st.sampled_from([ServerFailed("down", model="m"), CallTimeout("slow", model="m")])
finishes: st.SearchStrategy[Finish] = st.sampled_from(["stop", "length", "refusal", "other"])
cells = failures | st.tuples(st.floats(0, 1), finishes)
Cell = ModelError | tuple[float, Finish]


def results_of(cells: list[Cell]) -> list[Result]:
    return [c if isinstance(c, ModelError) else outcome(n, c[0], c[1]) for n, c in enumerate(cells)]


@given(st.lists(cells, max_size=12))
@settings(max_examples=40, deadline=None)
def test_an_error_is_no_score_and_a_refusal_is_one(cells: list[Cell]) -> None:
    answered = [cell for cell in cells if not isinstance(cell, ModelError)]
    score = score_of(KIND, METRIC, results_of(cells))
    assert (score.n, score.errors) == (len(answered), len(cells) - len(answered))
    assert sum(score.reasons.values()) == score.errors
    assert score.value == pytest.approx(np.mean([value for value, _ in answered]) if answered else 0.0)
    assert score.refused == sum(finish == "refusal" for _, finish in answered)
    assert score.truncated == sum(finish == "length" for _, finish in answered)
    low, high = score.interval
    assert -1e-9 <= low <= score.value + 1e-9 <= high + 2e-9 <= 1 + 3e-9


@given(st.lists(st.tuples(cells, cells), max_size=12))
@settings(max_examples=40, deadline=None)
def test_two_prompts_are_compared_where_both_answered(pairs: list[tuple[Cell, Cell]]) -> None:
    seed, best = results_of([s for s, _ in pairs]), results_of([b for _, b in pairs])
    held = held_out(KIND, METRIC, seed, best)
    both = [
        (n, s[0], b[0])
        for n, (s, b) in enumerate(pairs)
        if not isinstance(s, ModelError) and not isinstance(b, ModelError)
    ]
    assert held.n == len(both)
    assert held.gained == tuple(f"e{n}" for n, s, b in both if b > s)
    assert held.lost == tuple(f"e{n}" for n, s, b in both if b < s)
    assert held.difference == pytest.approx(np.mean([b - s for _, s, b in both]) if both else 0.0)
    assert (held.first_score, held.best_score) == (score_of(KIND, METRIC, seed), score_of(KIND, METRIC, best))
    assert held.errors == held.first_score.errors + held.best_score.errors
    back = held_out(KIND, METRIC, best, seed)
    assert (back.difference, back.gained) == (-held.difference, held.lost)
    assert back.interval == pytest.approx((-held.interval[1], -held.interval[0]))
    assert held_out(KIND, METRIC, seed, seed).interval == (0, 0)


@given(cap=st.integers(0, 20), at_once=st.integers(1, 8), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_what_came_before_a_cap_is_kept_and_the_rest_is_unanswered(cap: int, at_once: int, seed: int) -> None:
    model = Oracle(delay=shuffled(Random(seed)))
    ledger = Ledger(Caps(calls=cap), {}, lambda: 0.0)
    forward = Forward(MeteredModel(model, ledger, "task"), TASK, open_slots(TASK, ()), Concurrency(at_once))

    async def asked() -> list[Answer]:
        return await answers(forward, [(FIRST_PROMPT, example) for example in TASK.validation])

    if not cap:
        with pytest.raises(BudgetExhausted):
            anyio.run(asked)
        return
    came, whole = anyio.run(asked), len(TASK.validation)
    score = score_of(KIND, METRIC, came)
    assert [isinstance(answer, Outcome) for answer in came] == [number < cap for number in range(whole)]
    assert (score.n, score.errors) == (min(cap, whole), max(0, whole - cap))
    assert model.answered == model.calls == min(cap, whole)
    assert (refusal(came) is None) == (cap >= whole)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_the_interval_is_that_of_the_corpus_metric(counted: list[tuple[int, int]]) -> None:
    """And not of the mean of the scores, which are all 0 here."""
    outcomes = [outcome(n, 0.0, counts={"right": min(r, p), "proposed": p}) for n, (r, p) in enumerate(counted)]
    score = score_of(KIND, Micro(), outcomes)
    right, proposed = sum(min(r, p) for r, p in counted), sum(p for _, p in counted)
    assert score.value == right / max(proposed, 1)
    low, high = interval(Micro(), outcomes)
    assert (low, high) == score.interval
    if all(r >= p > 0 for r, p in counted):
        assert low == high == 1


def interval_at_once(
    metric: Metric, outcomes: list[Outcome], against: list[Outcome], resamples: int
) -> tuple[float, float]:
    """What `interval` says, from one matrix of all resamples."""
    n = len(outcomes)
    weights = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), resamples).astype(np.float64)

    def resampled(side: list[Outcome]) -> Array:
        return metric.corpus({name: weights @ column for name, column in columns(side).items()})

    low, high = np.quantile(resampled(outcomes) - (resampled(against) if against else 0.0), [0.025, 0.975])
    return float(low), float(high)


@given(
    st.lists(st.tuples(*[st.tuples(st.floats(0, 1), st.integers(0, 3))] * 2), min_size=1, max_size=300),
    st.integers(1, 3000),
    st.sampled_from([METRIC, Micro()]),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_an_interval_drawn_in_parts_is_the_one_drawn_at_once(
    pairs: list[tuple[tuple[float, int], tuple[float, int]]], resamples: int, metric: Metric, paired: bool
) -> None:
    """To the last digit but one: sums of floats may be taken in another order."""
    sides = [
        [outcome(n, score, counts={"right": right, "proposed": 3}) for n, (score, right) in enumerate(side)]
        for side in zip(*pairs, strict=True)
    ]
    outcomes, against = sides[0], sides[1] if paired else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "DRAWN", 500)
        found = interval(metric, outcomes, against, resamples)
    assert found == pytest.approx(interval_at_once(metric, outcomes, against, resamples), rel=1e-12, abs=1e-12)


def test_an_interval_takes_no_memory_for_each_example_and_resample() -> None:
    outcomes = [outcome(n, n % 2) for n in range(600)]
    tracemalloc.start()
    try:
        interval(METRIC, outcomes, outcomes[::-1])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 * 2**20 < RESAMPLES * len(outcomes) * 8


@given(texts, st.booleans(), st.integers(0, 99), st.sampled_from((0, 20, 60)), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_an_exported_prompt_has_the_runs_own_score(
    text: str, filled: bool, seed: int, percent: int, at_once: int
) -> None:
    """To the last digit, for the same replies: whatever fails, whatever is filled for each input, in whatever order
    the replies come, and however many calls are in flight."""
    examples = Section("examples", "examples", f"{text}\n{{examples:2}}" if filled else text)
    prompt = Prompt((*FIRST_PROMPT.sections, examples))
    slots = open_slots(TASK, ())

    def fault(request: Request) -> ModelError | None:
        return ServerFailed("no", model="m") if digest(seed, request.messages) % 100 < percent else None

    async def scored(prompt: Prompt, at_once: int, delays: int) -> dict[str, object]:
        forward = Forward(Guesses(fault=fault, delay=shuffled(Random(delays))), TASK, slots, Concurrency(at_once))
        return asdict(score_of(KIND, TASK.metric, await forward(prompt, TASK.test)))

    loaded = prompt_file.loads(prompt_file.dumps(prompt))
    assert anyio.run(scored, prompt, 5, 1) == anyio.run(scored, loaded, at_once, 2)
