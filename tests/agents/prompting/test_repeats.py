"""An example that is asked several times: means of all replies, and as many calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.prompting.forward import Concurrency, Forward, Result, averaged
from agents.ring.evaluator import value_of
from protocols.errors import AuthenticationFailed, ModelError, ServerFailed
from protocols.kinds.kinds import TASK_KINDS
from protocols.messages import Outcome
from protocols.metrics.entities import EntityF1
from protocols.metrics.match import MacroF1
from protocols.model import Reply, Request
from protocols.task import Example, Json, KindName, Metric, Task, corpus_value
from tests.direct import now
from tests.world import FIRST_PROMPT, NO_CORPUS, TASK, Oracle, digest, shuffled


class Moody(Oracle):
    """Answers otherwise in each sample, and says which it answered, how often."""

    def __init__(self, seed: int, percent: int = 0) -> None:
        super().__init__(delay=shuffled(Random(seed)))
        self.seed, self.percent, self.samples = seed, percent, Counter[tuple[object, int]]()

    def says(self, request: Request) -> str | None:
        """None: the call fails."""
        drawn = digest(self.seed, request.messages, request.sample)
        return None if drawn % 100 < self.percent else ("yes", "no", "perhaps")[drawn // 100 % 3]

    async def complete(self, request: Request) -> Reply:
        self.samples[request.messages, request.sample] += 1
        await super().complete(request)
        if (text := self.says(request)) is None:
            raise ServerFailed("no", model=self.name)
        return Reply(text)


def passed(model: Oracle, repeats: int, at_once: int = 3, task: Task = TASK) -> list[Result]:
    async def main() -> list[Result]:
        forward = Forward(model, task, NO_CORPUS, Concurrency(at_once), repeats)
        return await forward.attributed_to(3)(FIRST_PROMPT, task.validation)

    return anyio.run(main)


@given(repeats=st.integers(1, 5), at_once=st.integers(1, 6), seed=st.integers(0, 999), percent=st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_a_score_is_the_mean_of_the_replies_that_came(repeats: int, at_once: int, seed: int, percent: int) -> None:
    model = Moody(seed, percent)
    results = passed(model, repeats, at_once)
    assert model.calls == repeats * len(TASK.validation)
    assert model.most_in_flight <= at_once
    assert set(model.samples.values()) == {1}
    assert {sample for _, sample in model.samples} == set(range(repeats))
    asked = {e.id: FIRST_PROMPT.render(e.inputs) for e in TASK.validation}
    for example, result in zip(TASK.validation, results, strict=True):
        replies = [model.says(Request(asked[example.id], sample=sample)) for sample in range(repeats)]
        scores = [float(reply == example.target) for reply in replies if reply is not None]
        assert isinstance(result, Outcome) == bool(scores)
        if isinstance(result, Outcome):
            assert result.example == example.id
            assert result.score == pytest.approx(sum(scores) / len(scores))
            worst = [reply for reply in replies if reply is not None][scores.index(min(scores))]
            assert result.reply == worst
            assert (result.feedback == "") == (result.score == 1.0)


def test_once_is_as_ever() -> None:
    assert passed(Oracle(), 1) == passed(Oracle(), 4)


def test_a_fatal_error_of_one_ends_the_pass() -> None:
    fault: ModelError = AuthenticationFailed("no", model="scripted")
    with pytest.raises(AuthenticationFailed):
        passed(Oracle(fault=lambda request: fault if request.sample else None), 3)


TARGETS: dict[KindName, list[Json]] = {
    "classification": ["red", "blue", "green"],
    "ner": [{"person": ["Ada"]}, {"place": ["Bonn", "Ulm"]}, {}],
}
METRICS: dict[KindName, type[MacroF1] | type[EntityF1]] = {"classification": MacroF1, "ner": EntityF1}


@given(kind=st.sampled_from(sorted(METRICS)), repeats=st.integers(1, 4), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_a_corpus_metric_is_that_of_all_replies_together(kind: KindName, repeats: int, seed: int) -> None:
    rng, targets = Random(seed), TARGETS[kind]
    examples = tuple(Example(str(n), {"text": f"{n} x"}, targets[n % 3]) for n in range(9))
    made = TASK_KINDS[kind]({"train": examples})
    metric: Metric = METRICS[kind](made)

    replies: list[tuple[str, str]] = []

    class Draws(Oracle):
        async def complete(self, request: Request) -> Reply:
            replies.append((request.messages[-1].text, made.show(rng.choice(targets))))
            return Reply(replies[-1][1])

    task = Task("t", examples, examples, examples, metric, ("text",), made)
    outcomes = [result for result in passed(Draws(), repeats, task=task) if isinstance(result, Outcome)]
    shown = {FIRST_PROMPT.render(example.inputs)[-1].text: example for example in examples}
    judged = [now(metric.judge(shown[question], reply)) for question, reply in replies]
    assert len(judged) == repeats * len(outcomes)
    together = corpus_value(metric, [(one.score, one.counts) for one in judged])
    assert value_of(metric, outcomes) == pytest.approx(together)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_a_mean_of_equal_scores_is_that_score_and_none_leaves_their_range(scores: list[float]) -> None:
    one = Outcome("e", {}, "yes", "yes", "yes", 0.0, "", {"tp": 2.0}, {"m": 1})
    mean = averaged([replace(one, score=score) for score in scores])
    assert min(scores) <= mean.score <= max(scores)
    assert (mean.counts, mean.mistakes) == ({"tp": 2.0}, {"m": 1})
    assert averaged([replace(one, score=scores[0])] * len(scores)).score == scores[0]
