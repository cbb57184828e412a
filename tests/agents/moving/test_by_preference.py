"""A run by preferences is gone on with: each search compares with the prompt that it begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agents.moving.worlds import save, serving
from tests.agents.run.preferring import RUBRIC, replying, write
from tests.command_line import answer as found
from tests.command_line import invoke

TOML = f"""
[task]
name = "thanks"
kind = "generation"
metric = "preference"
rubric = "{RUBRIC}"
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
fields = {{ target = "none" }}

[prompt]
file = "prompt.txt"

[models]
default = "openai/one"

[search]
assignments = 3
width = 1
operators = ["self_reflection"]

[providers.openai]
base_url = "URL"
price = {{ input = 1.0, output = 2.0 }}
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")


def test_each_search_begins_at_a_half_and_scores_of_two_opponents_are_not_compared() -> None:
    write(Path("task"))
    config = Path("task/thanks.toml")
    with serving(replying) as server:
        config.write_text(TOML.replace("URL", server.openai_url), encoding="utf-8")
        told = found("doctor", config)
        judge = told["estimate"]["roles"]["judge"]
        assert any("answer_1" in str(sent) for sent in told["sent"])
        result = found("search", config, "--out", "one")
        assert result["calls"]["judge"] / 4 < judge["calls"] < 4 * result["calls"]["judge"]
        moved = found("transfer", "one", "--to", "openai/two", "--assignments", 1, "--out", "two")
        gone_on = save(Path("new.jsonl"), [{"text": f"gift number {n}"} for n in range(100, 130)])
        continued = found("continue", "one", gone_on, "--out", "three")
    assert result["test"]["best"] == pytest.approx(0.85)
    assert moved["before"] is None, "its opponent answered on another model"
    assert (moved["best"]["value"], moved["first"]["value"]) == (0.5, pytest.approx(0.15))
    assert continued["first"]["value"] == 0.5
    code, _, err = invoke("compare", "one", "two")
    assert code == 2
    assert "the opponent is the prompt" in err
    code, out, _ = invoke("show", "one")
    assert "changed its mind when they changed places" in " ".join(out.split())
    code, out, _ = invoke("show", "one", "--wrong")
    assert "answers 0 of 10 test examples worse than what it is compared with" in " ".join(out.split())
