"""Caps just above the least that is checked: the first prompt is evaluated, and there is a result."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.moving.worlds import model, serving, write
from tests.command_line import answer as found
from tests.command_line import invoke
from tests.wire_server import Fault, WireServer

LEAST = 3 * 24
"""24 validation examples, and two prompts on 24 test examples."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")


@pytest.fixture
def server() -> Iterator[WireServer]:
    labelled = model(lambda text, secret: int(text[-1]) < 4)

    def answer(turns: list[tuple[str, str]]) -> str:
        return "It is short.\nScore: 4" if "<rubric>" in turns[-1][1] else labelled(turns)

    with serving(answer) as made:
        yield made


def search(config: Path, *settings: str, out: str = "run") -> dict[str, object]:
    sets = [part for setting in ("search.shrink=12", *settings) for part in ("--set", setting)]
    return found("search", config, *sets, "--out", out)


def least(config: Path, cap: str, *settings: str) -> float:
    """What a cap has to be, as its refusal says."""
    sets = [part for setting in (f"budget.{cap}=1e-9" if cap == "dollars" else f"budget.{cap}=1", *settings)
            for part in ("--set", setting)]  # fmt: skip
    code, _, err = invoke("search", config, *sets, "--out", "refused")
    assert code == 2, err
    said = re.search(r"alone take (?:about )?([\d,.e-]+\d)", " ".join(err.split()))
    assert said, err
    return float(said[1].replace(",", ""))


def test_a_cap_on_calls_at_the_least_pays_for_the_first_prompt_and_the_report(server: WireServer) -> None:
    config = write(Path("task"), server.openai_url)
    assert least(config, "calls") == LEAST
    result = search(config, f"budget.calls={LEAST + 1}")
    assert (result["stopped_by"], result["test_missing"]) == ("budget: calls", None)
    assert server.stats.calls <= LEAST + 1


def test_calls_that_fail_take_from_the_report_and_not_from_the_first_prompt(server: WireServer) -> None:
    config = write(Path("task"), server.openai_url)
    server.faults.extend(Fault(status=500, body=b"{}") for _ in range(4))
    result = search(config, f"budget.calls={LEAST + 1}")
    assert result["test_missing"] is None, "the first prompt is the result, and is asked once"
    assert result["unanswered"] == {}


@pytest.mark.parametrize("cap", ["tokens", "dollars"])
@pytest.mark.parametrize("judged", [False, True])
def test_a_cap_on_tokens_or_dollars_at_the_least_gives_a_result(server: WireServer, cap: str, judged: bool) -> None:
    config = write(Path("task"), server.openai_url)
    judge = ["task.kind=generation", "task.metric=judge", "task.rubric=Is it the label?"] if judged else []
    limit = least(config, cap, *judge) * 1.05  # the refusal rounds
    result = search(config, *judge, f"budget.{cap}={int(limit) if cap == 'tokens' else limit}")
    assert str(result["stopped_by"]).startswith(f"budget: {cap}")


def test_a_cap_of_the_task_keeps_none_of_the_judges_calls(server: WireServer) -> None:
    config = write(Path("task"), server.openai_url)
    judge = ["task.kind=generation", "task.metric=judge", "task.rubric=Is it the label?"]
    result = search(config, *judge, f"budget.roles.task.calls={LEAST + 1}")
    assert (result["stopped_by"], result["test_missing"]) == ("budget: calls of task", None)
    result = search(config, *judge, f"budget.roles.judge.calls={LEAST + 1}", out="judge")
    assert (result["stopped_by"], result["test_missing"]) == ("budget: calls of judge", None)
