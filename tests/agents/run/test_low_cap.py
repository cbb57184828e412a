"""What a low cap buys when many edits are in flight: some are measured to their ends, instead of none."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.config.configuration import load
from agents.results.finished import finished
from agents.run.opening import open_run
from tests.small_task import LABELS, SIZES, WORDS, write_task
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
PAID = 3
"""Races that the cap pays for, to their ends."""
WIDTH = 8


class Model:
    """Writes another rule each time, and answers right if there is a rule; else always the same."""

    def __init__(self) -> None:
        self.written = 0

    def __call__(self, turns: list[tuple[str, str]]) -> str:
        """The reply to a conversation of (speaker, text) pairs."""
        asked = turns[-1][1]
        if "between <new> and </new>" in asked:
            self.written += 1
            return f"<new>Rule {self.written}.\n- invoice: money\n- parcel: post\n- 退款: back</new>"
        right = next(label for label, words in WORDS.items() if words in asked)
        return right if "Rule" in turns[0][1] else LABELS[0]


def reached(url: str, concurrency: int) -> list[str]:
    return [f"providers.openai.base_url='{url}'", f"providers.openai.concurrency={concurrency}"]


async def test_as_many_races_end_as_the_cap_pays_for(tmp_path: Path) -> None:
    """Each rule helps, so that no race is lost early, and eight at once would all be cut off."""
    each, critique, report = SIZES["validation"], 4, 2 * SIZES["test"]
    tables: dict[str, dict[str, object]] = {
        "models": {"default": "openai/m"},
        "agents": {"critic": "none"},
        "search": {
            "operators": ["self_reflection"], "width": WIDTH, "assignments": WIDTH, "critique": critique, "shrink": 0,
            "credit_share": 0, "headroom": False,
        },
    }  # fmt: skip
    cap = each + critique + report + PAID * (each + critique)
    config = write_task(tmp_path, tables=tables)
    async with WireServer(Model()) as server:
        configuration = load(config, [*reached(server.openai_url, WIDTH), f"budget.roles.task.calls={cap}"])
        async with open_run(configuration, {}, tmp_path / "run") as run:
            result = await run.search()
    assert result.stopped_by == "budget: calls of task"
    assert result.operators["self_reflection"].get("survived", 0) >= PAID
    assert result.test is not None


@pytest.mark.parametrize(("assignments", "width"), [(100, 16), (30, 6), (4, 2)])
async def test_a_search_of_few_assignments_is_narrow_and_keeps_its_width(
    tmp_path: Path, assignments: int, width: int
) -> None:
    """Also when it is gone on with and may make more."""
    tables: dict[str, dict[str, object]] = {
        "models": {"default": "openai/m"},
        "search": {"operators": ["few_shot"], "assignments": assignments},
    }
    config, provider = write_task(tmp_path, tables=tables), reached("http://127.0.0.1:9/v1", 64)
    async with open_run(load(config, provider), {}, tmp_path / "run") as run:
        assert run.controller.width == width
    more = load(config, [*provider, "search.assignments=1000"])
    assert finished(more, tmp_path / "run") is None
    async with open_run(more, {}, tmp_path / "run") as run:
        assert run.controller.width == width
