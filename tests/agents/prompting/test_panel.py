"""An example that several models answer: their combined score, and what each has said, at the same time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean
from typing import get_args

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.prompting.forward import Concurrency, Forward, Result, over_models
from agents.prompting.material import error_blocks
from agents.prompting.records import record_of
from agents.ring.evaluator import by_model, value_of
from memory.journals.exchanges import Exchange
from protocols.embedding import HashedNgrams
from protocols.errors import AuthenticationFailed, BudgetExhausted, ModelError, ServerFailed
from protocols.messages import OfModel, Outcome
from protocols.metrics.match import Accuracy, MacroF1
from protocols.metrics.weighted import Across, OverModels, Weighted
from protocols.model import ChatMessage, ChatModel, Reply, Request, Usage
from protocols.task import Metric
from protocols.wrappers.reply_room import MinReplyTokensModel
from protocols.wrappers.routed import Panel
from protocols.wrappers.window import Window, spare
from tests.agents.prompting.test_repeats import Moody
from tests.world import FIRST_PROMPT, KIND, NO_CORPUS, TASK, Oracle

AT_ONCE = 3
ACROSS = st.sampled_from(get_args(Across))
METRICS: Sequence[Metric] = (
    Accuracy(KIND),
    MacroF1(KIND),
    Weighted([("accuracy", 1.0, Accuracy(KIND)), ("macro", 3.0, MacroF1(KIND))]),
    Weighted([("accuracy", 1.0, Accuracy(KIND)), ("again", 3.0, Accuracy(KIND))]),
)


def passed(
    models: Sequence[ChatModel], metric: Metric, repeats: int = 1, heard: list[Exchange] | None = None
) -> list[Result]:
    """By a panel of the models, or by the only one."""
    model = models[0] if len(models) == 1 else Panel(models)

    async def main() -> list[Result]:
        made = Forward(model, replace(TASK, metric=metric), NO_CORPUS, Concurrency(AT_ONCE), repeats)
        forward = made.attributed_to(3)
        if heard is not None:
            forward = forward.heard_by(lambda prompt, exchange: heard.append(exchange))
        return await forward(FIRST_PROMPT, TASK.validation)

    return anyio.run(main)


def moody(seed: int, count: int, percent: int = 0) -> list[Moody]:
    models = [Moody(seed + number, percent) for number in range(count)]
    for number, model in enumerate(models):
        model.name = f"own/{'x/' * number}model"  # names that begin alike
    return models


@given(
    seed=st.integers(0, 999),
    count=st.integers(2, 4),
    repeats=st.integers(1, 3),
    across=ACROSS,
    metric=st.sampled_from(METRICS),
    percent=st.integers(0, 20),
)
@settings(max_examples=60, deadline=None)
def test_the_outcome_of_all_models_is_made_of_those_of_each_alone(
    seed: int, count: int, repeats: int, across: Across, metric: Metric, percent: int
) -> None:
    alone = {model.name: passed([model], metric, repeats) for model in moody(seed, count, percent)}
    models, heard = moody(seed, count, percent), list[Exchange]()
    over = OverModels(metric, [*alone], across)
    together = passed(models, over, repeats, heard)
    assert {model.calls for model in models} == {repeats * len(TASK.validation)}
    assert max(model.most_in_flight for model in models) <= AT_ONCE
    assert len(heard) == sum(model.calls for model in models)
    for result, *each in zip(together, *alone.values(), strict=True):
        outcomes = [one for one in each if isinstance(one, Outcome)]
        assert isinstance(result, Outcome) == (len(outcomes) == count)
        if isinstance(result, Outcome):
            scores = [one.score for one in outcomes]
            assert result.score == (mean(scores) if across == "mean" else min(scores))
            assert result.usage == sum((one.usage for one in outcomes), Usage())
            assert [of.value for of in result.models.values()] == scores
            assert [of.answer for of in result.models.values()] == [one.answer for one in outcomes]
            worst = min(range(count), key=lambda place: (scores[place], outcomes[place].answer is not None))
            assert (result.reply, result.feedback) == (outcomes[worst].reply, outcomes[worst].feedback)
            assert result.model == [*alone][worst]
    answered = [place for place, result in enumerate(together) if isinstance(result, Outcome)]
    if answered:
        whole = [result for result in together if isinstance(result, Outcome)]
        own = {name: [results[place] for place in answered] for name, results in alone.items()}
        values = {n: value_of(metric, [o for o in of if isinstance(o, Outcome)]) for n, of in own.items()}
        assert {name: of.value for name, of in by_model(over, whole).items()} == pytest.approx(values)
        value = value_of(over, whole)
        if across == "mean":
            assert value == pytest.approx(mean(values.values()))
        elif metric in (METRICS[1], METRICS[2]):
            assert value == pytest.approx(min(values.values()))
        else:
            assert value == pytest.approx(mean(one.score for one in whole))
            assert value <= min(values.values()) + 1e-9


def test_of_replies_that_are_all_wrong_one_without_an_answer_is_the_worst() -> None:
    """So that it is counted, and shown."""
    wrong = Outcome("1", {}, "a", "b", "b", 0.0, "")
    outcomes = {"one": wrong, "two": replace(wrong, reply="", answer=None, instead="nothing"), "three": wrong}
    found = over_models(OverModels(METRICS[0], [*outcomes], "mean"), outcomes)
    assert (found.model, found.answer, found.instead) == ("two", None, "nothing")


@given(
    pairs=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=5),
    across=ACROSS,
)
def test_a_difference_of_two_scores_over_models_stays_in_the_range_of_a_race(
    pairs: list[tuple[float, float]], across: Across
) -> None:
    metric = OverModels(METRICS[0], [str(number) for number in range(len(pairs))], across)
    child, parent = (metric.combined(side) for side in zip(*pairs, strict=True))
    assert -1 <= child - parent <= 1
    differences = [a - b for a, b in pairs]
    assert min(differences) - 1e-9 <= child - parent <= max(differences) + 1e-9


@pytest.mark.parametrize("error", [AuthenticationFailed("no", model="b"), BudgetExhausted("calls", 1)])
def test_what_ends_one_model_lets_the_others_end_first(error: Exception) -> None:
    class Ends(Oracle):
        async def complete(self, request: Request) -> Reply:
            raise error

    other = Moody(3)
    with pytest.raises(type(error)):
        passed([Ends(name="b"), other], OverModels(METRICS[0], ["b", other.name], "mean"))
    assert other.answered == other.calls > 0


def test_an_error_of_one_model_is_that_of_the_example_and_is_told_of_it() -> None:
    fault: ModelError = ServerFailed("no", model="b")
    heard: list[Exchange] = []
    models = [Oracle(name="a"), Oracle(fault=lambda request: fault, name="b")]
    results = passed(models, OverModels(METRICS[0], ["a", "b"], "worst"), heard=heard)
    assert results == [fault] * len(TASK.validation)
    assert {(each.model, bool(each.error)) for each in heard} == {("a", False), ("b", True)}


def test_the_smallest_window_of_a_panel_bounds_what_all_are_sent() -> None:
    windows = [Window(), Window(), Window()]
    windows[0].tell(1000)
    windows[1].tell(60)
    panel = Panel([MinReplyTokensModel(Oracle(), 1, window) for window in windows])
    request = Request((ChatMessage("user", "x" * 40),), max_tokens=10)
    assert [spare(model, request) for model in panel.models] == [
        pytest.approx(970, 50),
        spare(panel, request),
        math.inf,
    ]


def test_a_critic_is_told_which_model_answered_what() -> None:
    """Where the answers differ; and on how many examples each model was wrong."""
    right, same = (OfModel(score, answer=answer) for score, answer in ((1.0, "amber"), (0.0, "blue")))
    outcome = Outcome(
        "h", {"text": "h 1"}, "amber", "blue", "blue", 0.5, "", models={"a": same, "b": right}, model="a"
    )
    said = "that was a; the scores are a 0.00, b 1.00, which answered amber"
    assert f"Models: {said}" in record_of(outcome)
    both = replace(outcome, models={"a": same, "b": same}, score=0.0)
    assert "Models: that was a; the scores are a 0.00, b 0.00\n" in record_of(both)
    text = "\n".join(piece.text for piece in error_blocks([outcome, both], HashedNgrams().vector)[0].pieces)
    assert "Wrong by model: a on 2, b on 1." in text
