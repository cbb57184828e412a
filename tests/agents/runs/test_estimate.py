"""What a search takes, told beforehand: against one that was made, and under caps and prices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.runs.catalogue import OPERATORS, open_operators
from agents.runs.configuration import Configuration, build, load
from agents.runs.estimate import CALLS, SHOWN, Estimate, estimate, measure
from agents.runs.loading import load_first_prompt, load_task
from agents.runs.opening import open_run
from protocols.kinds import classification
from protocols.metrics.match import Accuracy
from protocols.model import TURN
from protocols.prompt import Prompt, Section, estimate_tokens
from protocols.task import Example, Task
from tests.small_task import SIMULATED

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "simulated.toml"
TASK = {"name": "t", "train": "a", "validation": "b", "test": "c"}


def estimated(configuration: Configuration) -> Estimate:
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    return estimate(configuration, {}, task, first, open_operators(configuration.search.operators))


@pytest.mark.anyio
async def test_the_range_holds_what_a_search_of_the_tickets_takes(tmp_path: Path) -> None:
    """And is not so wide that it says nothing."""
    configuration = load(EXAMPLE, ["search.assignments=6"])
    async with open_run(configuration, {}, tmp_path / "run") as run:
        result = await run.search()
    expected = estimated(configuration)
    for (low, high), used in (
        (expected.calls, sum(result.calls.values())),
        (expected.tokens, sum(result.tokens.values())),
    ):
        assert low / 2 <= used <= high <= 50 * used
    assert expected.calls[1] <= 4 * sum(result.calls.values())
    low, high = expected.roles["task"]
    assert low / 2 <= result.calls["task"] <= high
    assert result.calls["critic"] <= expected.roles["critic"][1]


def splits(train: int, validation: int, test: int) -> Task:
    def some(name: str, count: int) -> tuple[Example, ...]:
        return tuple(Example(f"{name}{n}", {"text": f"{name} {n}"}, "ab"[n % 2]) for n in range(count))

    kind = classification({"train": some("t", 2)})
    return Task("t", some("t", train), some("v", validation), some("x", test), Accuracy(kind), ("text",), kind)


FIRST = Prompt((Section("task", "task", "Which?"), Section("input", "task", "{text}")))
positive = st.integers(1, 400)
PRICE = {"input": 1.0, "output": 4.0}


@settings(max_examples=30)
@given(
    st.tuples(positive, positive, positive),
    st.fixed_dictionaries({"assignments": st.integers(0, 500), "critique": positive, "repeats": st.integers(1, 5)}),
    st.fixed_dictionaries({}, optional={"calls": positive, "tokens": positive, "dollars": st.floats(0.01, 9)}),
    st.lists(st.sampled_from(sorted(OPERATORS)), min_size=1, unique=True),
)
def test_low_is_at_most_high_and_caps_hold(
    sizes: tuple[int, int, int], search: dict[str, Any], budget: dict[str, Any], operators: list[str]
) -> None:
    tables: dict[str, Any] = {"task": TASK, "search": search | {"operators": operators}, "budget": budget}
    models: dict[str, Any] = {"default": "openai/x", "proposers": dict.fromkeys(operators[1:], "embedded")}
    tables |= {"models": models, "providers": {"openai": {"price": PRICE}}}
    expected = estimate(build(tables, Path()), {}, splits(*sizes), FIRST, operators)
    assert expected.dollars is not None
    for name, (low, high) in (("calls", expected.calls), ("tokens", expected.tokens), ("dollars", expected.dollars)):
        assert 0 <= low <= high <= budget.get(name, high)
    uncapped = estimate(build(tables | {"budget": {}}, Path()), {}, splits(*sizes), FIRST, operators)
    assert uncapped.calls == tuple(map(sum, zip(*uncapped.roles.values(), strict=True)))
    whole, reports = sizes[1] + min(search["critique"], sizes[0]), 1 + bool(search["assignments"])
    asked = whole * (search["assignments"] + 1) + sizes[2] * reports
    assert uncapped.roles["task"][1] == search["repeats"] * asked


def test_a_price_that_is_not_known_makes_the_cost_unknown_and_names_the_model() -> None:
    models: dict[str, Any] = {"default": "openai/x", "critic": "anthropic/y", "proposer": "openai/z"}
    tables: dict[str, Any] = {"task": TASK, "models": models, "providers": {"openai/x": {"price": PRICE}}}
    expected = estimate(build(tables, Path()), {}, splits(9, 9, 9), FIRST, ["self_reflection"])
    assert expected.dollars is None
    assert expected.unpriced == ("anthropic/y", "openai/z")
    models = {"default": "embedded", "proposers": {"self_reflection": "openai/z"}}
    one = build({"task": TASK, "models": models}, Path())
    assert estimate(one, {}, splits(9, 9, 9), FIRST, ["few_shot", "self_reflection"]).unpriced == ("openai/z",)
    assert estimate(one, {}, splits(9, 9, 9), FIRST, ["few_shot"]).dollars == (0, 0)
    free = estimate(build({"models": SIMULATED, "task": TASK}, Path()), {}, splits(9, 9, 9), FIRST, ["few_shot"])
    assert free.dollars == (0, 0)


def test_what_a_prompt_fills_for_each_input_is_counted() -> None:
    configuration = build({"models": SIMULATED, "task": TASK}, Path())
    filled = Prompt((Section("task", "task", "{text}"), Section("examples", "examples", "{examples:8}")))
    plain, more = (estimate(configuration, {}, splits(9, 9, 9), prompt, ["merge"]) for prompt in (FIRST, filled))
    assert more.tokens[0] > 2 * plain.tokens[0]
    turns = Prompt((*FIRST, Section("examples", "examples", "{examples:8}", form="turns")))
    each = 2 * TURN + estimate_tokens("t 0") + estimate_tokens("a")
    assert measure(splits(9, 9, 9), turns).prompt - measure(splits(9, 9, 9), FIRST).prompt == 8 * each
    fixed = replace(turns["examples"], text="--- user ---\nt 0\n--- assistant ---\na")
    one = measure(splits(9, 9, 9), Prompt((*FIRST, fixed))).prompt - measure(splits(9, 9, 9), FIRST).prompt
    assert abs(one - each) <= 1


def test_examples_are_expected_where_an_operator_may_show_them_and_no_more_than_there_are() -> None:
    configuration = build({"models": SIMULATED, "task": TASK}, Path())
    for train in (9, SHOWN + 90):
        task = splits(train, 9, 9)
        merge, sort, few = (
            estimate(configuration, {}, task, FIRST, [name]) for name in ("merge", "define_sort", "few_shot")
        )
        assert merge == sort
        more = (few.tokens[1] - merge.tokens[1]) / few.calls[1]
        assert more == min(train, SHOWN) * measure(task, FIRST).shown


def test_every_operator_has_its_calls() -> None:
    assert CALLS.keys() == OPERATORS.keys()
