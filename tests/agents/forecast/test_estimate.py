"""What a search takes, told beforehand: against one that was made, and under caps and prices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.config.catalogue import OPERATORS, open_operators
from agents.config.configuration import build, load
from agents.config.loading import load_first_prompt, load_task
from agents.forecast import composed as composing
from agents.forecast.composed import UNKNOWN, Asked, composed
from agents.forecast.estimate import Estimate, estimate, measure
from agents.forecast.past import Past, read_past
from agents.models.budget import prices
from agents.operators.few_shot import FewShot
from agents.operators.operator import Context
from agents.prompting.retrieval_slots import open_slots
from agents.run.opening import open_run
from protocols.files.named import Named
from protocols.kinds.labelled import classification
from protocols.messages import Assignment
from protocols.metrics.match import Accuracy
from protocols.model import TURN
from protocols.prompt import Prompt, Section, estimate_tokens
from protocols.task import Example, Task
from tests.small_task import SIMULATED, write_task

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "simulated.toml"
TASK = {"name": "t", "train": "a", "validation": "b", "test": "c"}
WRITER, NOBODY = Asked(1, 2, 900), Asked(0, 0, 0)


def asked(*operators: str) -> dict[str, Asked]:
    """What is asked by a critic and these operators, without having composed it."""
    quiet = {
        "few_shot": replace(NOBODY, shows=FewShot.shows),
        **dict.fromkeys(("merge", "define_sort", "rag"), NOBODY),
    }
    return {"critic": WRITER, **{f"proposer/{name}": quiet.get(name, WRITER) for name in operators}}


@pytest.mark.anyio
async def test_what_is_expected_of_a_search_is_about_what_it_takes(tmp_path: Path) -> None:
    configuration = load(write_task(tmp_path / "task"), ["search.assignments=12", "search.width=2"])
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    composed_of = await composed(
        open_slots(task, ()), first, open_operators(configuration.search_operators), configuration.minibatch(12)
    )
    expected = estimate(configuration, {}, task, first, composed_of)
    async with open_run(configuration, {}, tmp_path / "runs" / "small-1") as run:
        result = await run.search()
    for amount, used in (
        (expected.calls, sum(result.calls.values())),
        (expected.tokens, sum(result.tokens.values())),
    ):
        assert used / 3 <= amount.expected <= 3 * used
    (tmp_path / "runs" / "small-2").mkdir()
    (tmp_path / "runs" / "small-other").write_text("no run", encoding="utf-8")
    past = read_past(configuration, tmp_path / "runs")
    assert (past.runs, past.assignments, past.calls["task"]) == (1, 12, result.calls["task"])
    assert past.races == sum(ends.get(k, 0) for ends in result.operators.values() for k in ("survived", "lost"))
    assert 0 <= past.lost_at <= past.losers
    assert read_past(load(tmp_path / "task" / "small.toml", ["task.name=another"]), tmp_path / "runs").runs == 0


def splits(train: int, validation: int, test: int) -> Task:
    def some(name: str, count: int) -> tuple[Example, ...]:
        return tuple(Example(f"{name}{n}", {"text": f"{name} {n}"}, "ab"[n % 2]) for n in range(count))

    kind = classification({"train": some("t", 2)})
    return Task("t", some("t", train), some("v", validation), some("x", test), Accuracy(kind), ("text",), kind)


FIRST = Prompt((Section("task", "task", "Which?"), Section("input", "task", "{text}")))
positive = st.integers(1, 400)
PRICE = {"input": 1.0, "output": 4.0}


@settings(max_examples=15)
@given(
    st.tuples(positive, positive, positive),
    st.fixed_dictionaries({"assignments": st.integers(0, 500), "critique": positive, "repeats": st.integers(1, 5)}),
    st.fixed_dictionaries({}, optional={"calls": positive, "tokens": positive, "dollars": st.floats(0.01, 9)}),
    st.lists(st.sampled_from(sorted(OPERATORS)), min_size=1, unique=True),
)
def test_what_is_expected_lies_within_its_range_and_caps_hold(
    sizes: tuple[int, int, int], search: dict[str, Any], budget: dict[str, Any], operators: list[str]
) -> None:
    tables: dict[str, Any] = {"task": TASK, "search": search | {"operators": operators}, "budget": budget}
    models: dict[str, Any] = {"default": "openai/x", "proposers": dict.fromkeys(operators[1:], "embedded")}
    tables |= {"models": models, "providers": {"openai": {"price": PRICE}}}

    def of(changed: Mapping[str, Any]) -> Estimate:
        configuration = build({**tables, **changed}, Path())
        return estimate(configuration, prices(configuration, {}), splits(*sizes), FIRST, asked(*operators))

    expected = of({})
    assert expected.dollars is not None
    for name, amount in (("calls", expected.calls), ("tokens", expected.tokens), ("dollars", expected.dollars)):
        assert 0 <= amount.low <= amount.expected <= amount.high <= budget.get(name, amount.high) * (1 + 1e-9)
        assert amount.cap == budget.get(name)
    assert expected.calls.expected == pytest.approx(sum(use.calls for use in expected.roles.values()))
    assert expected.tokens.expected == pytest.approx(sum(use.tokens for use in expected.roles.values()))
    uncapped = of({"budget": {}})
    if expected.calls.expected < uncapped.calls.expected * 0.99:
        assert f"edits of {search['assignments']}" in expected.assumptions or not search["assignments"]
    assert uncapped.calls.expected == pytest.approx(sum(use.calls for use in uncapped.roles.values()))
    assert uncapped.roles["task"].calls >= search["repeats"] * (sizes[1] + sizes[2])
    more = of({"budget": {}, "search": tables["search"] | {"assignments": search["assignments"] + 50}})
    assert more.calls.expected > uncapped.calls.expected


@pytest.mark.parametrize(
    ("budget", "role"),
    [
        ({"calls": 700}, ""),
        ({"tokens": 150_000}, ""),
        ({"dollars": 0.2}, ""),
        ({"roles": {"task": {"calls": 600}}}, "task"),
        ({"roles": {"task": {"tokens": 100_000}}}, "task"),
        ({"roles": {"proposer": {"calls": 9}}}, "proposer"),
    ],
)
def test_a_search_that_a_cap_ends_has_fewer_edits_and_every_figure_is_of_those(
    budget: dict[str, Any], role: str
) -> None:
    tables = {"task": TASK, "models": {"default": "openai/x"}, "providers": {"openai": {"price": PRICE}}}

    def of(**changed: object) -> Estimate:
        configuration = build({**tables, **changed}, Path())
        known = prices(configuration, {})
        return estimate(configuration, known, splits(60, 60, 60), FIRST, asked("few_shot", "self_reflection"))

    whole, capped = of(), of(budget=budget)
    found = re.search(r"enough for about (\d+) edits of 100; (\d+) edits come to a race", capped.assumptions)
    assert found is not None
    assert int(found[2]) <= int(found[1]) < 100
    assert "enough" not in whole.assumptions
    same = of(search={"assignments": int(found[1])})
    assert same.calls.expected == pytest.approx(capped.calls.expected, rel=0.1)
    table = budget["roles"][role] if role else budget
    [(cap, limit)] = table.items()
    those = [use for name, use in capped.roles.items() if name.startswith(role)]
    taken = {"calls": sum(use.calls for use in those), "tokens": sum(use.tokens for use in those)}
    taken["dollars"] = capped.dollars.expected if capped.dollars else 0.0
    assert 0.8 * limit < taken[cap] <= limit * 1.001
    assert capped.calls.high < whole.calls.high


@pytest.mark.parametrize(
    "budget", [{"roles": {"critic": {"calls": 2}}}, {"operators": {"self_reflection": {"calls": 5}}}]
)
def test_a_cap_that_a_search_goes_on_after_holds_for_its_own_calls_alone(budget: dict[str, Any]) -> None:
    configuration = build({"task": TASK, "models": {"default": "openai/x"}, "budget": budget}, Path())
    expected = estimate(configuration, {}, splits(60, 60, 60), FIRST, asked("few_shot", "self_reflection"))
    assert "enough" not in expected.assumptions
    role, limit = ("critic", 2) if "roles" in budget else ("proposer/self_reflection", 5)
    assert expected.roles[role].calls == pytest.approx(limit)


def test_a_price_that_is_not_known_makes_the_cost_unknown_and_names_the_model() -> None:
    def of(tables: Mapping[str, Any], *operators: str) -> Estimate:
        configuration = build({"task": TASK, **tables}, Path())
        return estimate(configuration, prices(configuration, {}), splits(9, 9, 9), FIRST, asked(*operators))

    models: dict[str, Any] = {"default": "openai/x", "critic": "anthropic/y", "proposer": "openai/z"}
    expected = of({"models": models, "providers": {"openai/x": {"price": PRICE}}}, "self_reflection")
    assert expected.dollars is None
    assert expected.unpriced == ("anthropic/y", "openai/z")
    one = {"models": {"default": "embedded", "proposers": {"self_reflection": "openai/z"}}}
    assert of(one, "few_shot", "self_reflection").unpriced == ("openai/z",)
    free = of(one, "few_shot").dollars
    assert free is not None
    assert free.expected == 0


def test_what_a_prompt_fills_for_each_input_is_counted() -> None:
    configuration = build({"models": SIMULATED, "task": TASK}, Path())
    filled = Prompt((Section("task", "task", "{text}"), Section("examples", "examples", "{examples:8}")))
    plain, more = (estimate(configuration, {}, splits(9, 9, 9), prompt, asked("merge")) for prompt in (FIRST, filled))
    assert more.roles["task"].input > 2 * plain.roles["task"].input
    turns = Prompt((*FIRST, Section("examples", "examples", "{examples:8}", form="turns")))
    each = 2 * TURN + estimate_tokens("t 0") + estimate_tokens("a")
    assert measure(splits(9, 9, 9), turns).prompt - measure(splits(9, 9, 9), FIRST).prompt == 8 * each
    fixed = replace(turns["examples"], text="--- user ---\nt 0\n--- assistant ---\na")
    one = measure(splits(9, 9, 9), Prompt((*FIRST, fixed))).prompt - measure(splits(9, 9, 9), FIRST).prompt
    assert abs(one - each) <= 1


def test_examples_are_expected_where_an_operator_may_show_them_and_no_more_than_there_are() -> None:
    configuration = build({"models": SIMULATED, "task": TASK}, Path())
    for train in (5, FewShot.shows + 90):
        task = splits(train, 9, 9)
        merge, sort, few = (
            estimate(configuration, {}, task, FIRST, asked(name)).roles["task"]
            for name in ("merge", "define_sort", "few_shot")
        )
        assert merge == sort
        assert 0 < (few.input - merge.input) / few.calls < min(train, FewShot.shows) * measure(task, FIRST).turns


def test_past_runs_outweigh_what_is_written_down_the_more_the_more_there_are() -> None:
    configuration = build({"models": SIMULATED, "task": TASK}, Path())
    task = splits(60, 40, 60)
    usual = estimate(configuration, {}, task, FIRST, asked("self_reflection"))
    found = [usual]
    for runs in (1, 9):
        past = Past(runs, 100 * runs, 100 * runs, 50 * runs, 50 * runs, 45.0 * runs)
        past.calls["task"], past.input["task"] = 1000 * runs, 5_000_000 * runs
        found.append(estimate(configuration, {}, task, FIRST, asked("self_reflection"), past))
    assert found[0].calls.expected < found[1].calls.expected < found[2].calls.expected
    assert found[0].tokens.expected < found[1].tokens.expected < found[2].tokens.expected
    wide, narrow = (one.calls.high / one.calls.expected for one in (found[0], found[2]))
    assert narrow < wide


def test_every_operator_says_what_it_would_ask_and_asks_nobody() -> None:
    task = load_task(load(EXAMPLE))
    first = load_first_prompt(load(EXAMPLE), task)
    slots = open_slots(task, ("a passage",))
    found = anyio.run(composed, slots, first, open_operators([*map(Named, OPERATORS)]), 12)
    assert found.keys() >= {"critic", "proposer/few_shot", "proposer/self_reflection"}
    assert found.keys() <= {"critic", *(f"proposer/{name}" for name in OPERATORS)}
    for role, one in found.items():
        assert 0 <= one.least <= one.most
        assert (one.most == 0) == (role.rpartition("/")[2] in ("few_shot", "rag", "define_sort", "merge")), role
        assert not one.most or one.input > first.tokens


class Waits:
    """Waits for what never comes."""

    name = "waits"
    shows = 3

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        return ["task"]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        await anyio.sleep_forever()
        raise AssertionError


class Fails(Waits):
    """Cannot even say what it applies to."""

    name = "fails"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        raise ValueError


def test_an_operator_that_will_not_say_is_taken_for_a_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composing, "SECONDS", 0.01)
    found = anyio.run(composed, open_slots(splits(4, 4, 4), ()), FIRST, {"waits": Waits(), "fails": Fails()}, 4)
    assert found["proposer/waits"] == replace(UNKNOWN, shows=3)
    assert found.keys() == {"critic", "proposer/waits"}
