"""The width of a search follows from its concurrency, and is less where few assignments can be made or paid for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.config.configuration import Configuration, build
from agents.forecast.rounds import LEAST_NARROWED, ROUNDS, narrowed
from protocols.budget.amount import Amount
from tests.world import TASK

ANSWERS = len(TASK.validation) + 2 * len(TASK.test)
TAKES = Amount(ANSWERS, 100 * ANSWERS, 0.01 * ANSWERS)
caps = st.fixed_dictionaries(
    {},
    optional={
        "calls": st.integers(ANSWERS + 1, 10**6),
        "tokens": st.integers(100 * ANSWERS, 10**9),
        "dollars": st.floats(0.01 * ANSWERS, 1e6),
    },
)


def configured(model: str = "openai/m", budget: dict[str, Any] | None = None, **search: Any) -> Configuration:
    splits = {split: f"{split}.jsonl" for split in ("train", "validation", "test")}
    tables = {
        "task": {"name": "t"} | splits,
        "models": {"default": model},
        "providers": {"openai": {"concurrency": 256}},
        "search": search,
        "budget": budget or {},
    }
    return build(tables, Path())


@given(budget=caps, of_task=caps, assignments=st.integers(0, 10**6))
def test_the_width_is_what_the_concurrency_gives_or_less(
    budget: dict[str, Any], of_task: dict[str, Any], assignments: int
) -> None:
    configuration = configured(budget=budget | {"roles": {"task": of_task}}, assignments=assignments)
    width = narrowed(configuration, TASK, TAKES).width
    assert LEAST_NARROWED <= width <= configuration.width
    assert width == LEAST_NARROWED or width * ROUNDS <= assignments
    calls = min(table.get("calls", 10**9) for table in (budget, of_task))
    assert width == LEAST_NARROWED or width * ROUNDS * len(TASK.validation) / 2 <= calls


def test_without_caps_and_with_many_assignments_the_concurrency_decides() -> None:
    configuration = configured(assignments=10**6)
    assert narrowed(configuration, TASK, TAKES).width == configuration.width == 64


@pytest.mark.parametrize("given", [{"model": "openai/m", "width": 40}, {"model": "embedded"}])
def test_a_width_that_is_set_stays_and_the_simulator_has_its_own(given: dict[str, Any]) -> None:
    configuration = configured(budget={"calls": ANSWERS + 1}, assignments=1, **given)
    assert narrowed(configuration, TASK, TAKES) is configuration


def test_the_width_of_a_run_is_written_nowhere_and_one_that_is_configured_counts() -> None:
    configuration = configured()
    assert configuration.with_width(3).width == 3
    assert configuration.with_width(3).model_dump() == configuration.model_dump()
    assert configured(width=7).with_width(3).width == 7
