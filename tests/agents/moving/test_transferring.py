"""`transfer`: three prompts on another model, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.moving.advice import Differences, advise
from agents.results.comparison import Change
from tests.agents.moving.worlds import PRICE, model, serving, write
from tests.command_line import answer as found
from tests.command_line import invoke


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")


def test_a_prompt_that_is_as_good_on_the_other_model_is_kept() -> None:
    answer = model(lambda text, secret: secret or int(text[-1]) % 2 == 0)
    with serving(answer) as server:
        config = write(Path("task"), server.openai_url)
        found("search", config, "--out", "one")
        command = ("transfer", "one", "--to", "openai/two", "--assignments", 2, "--out", "two")
        result = found(*command)
        called = server.stats.calls
        assert found(*command) == result
        Path("two/transfer.json").unlink()
        again = found(*command)
        assert (again, server.stats.calls) == (result, called)
        code, out, _ = invoke(*command)
    assert (result["earlier"], result["model"], result["advice"]) == ("openai/one", "openai/two", "best")
    assert code == 0
    assert "Keep the prompt of one: on openai/two it is better than the first prompt, +0.5" in " ".join(out.split())
    assert (result["before"], result["best"]["value"], result["best"]["n"]) == (1.0, 1.0, 24)
    assert result["differences"]["both"]["n"] == 24
    for side in ("first", "best", "retrained"):
        taken = result[side]["thousand"]
        cost = (taken["input"] * PRICE["input"] + taken["output"] * PRICE["output"]) / 1e6
        assert taken["dollars"] == pytest.approx(cost, rel=0.01)


def test_a_prompt_that_the_search_makes_better_is_trained_again() -> None:
    answer = model(lambda text, secret: secret)
    with serving(answer) as server:
        config = write(Path("task"), server.openai_url)
        # Nothing is tried on the first model, so that its best prompt is the first.
        found("search", config, "--out", "one", "--set", "search.assignments=0")
        result = found("transfer", "one", "--to", "openai/two")
    assert result["advice"] == "retrained"
    assert (result["differences"]["best"]["difference"], result["differences"]["retrained"]["difference"]) == (0, 1)


def change(difference: float, aside: float = 0.05) -> Change:
    return Change(0.5, 0.5 + difference, difference, (difference - aside, difference + aside), 100)


@pytest.mark.parametrize(
    ("best", "retrained", "both", "advice"),
    [
        (0.1, 0.1, 0.2, "retrained"),
        (0.1, 0.0, 0.1, "best"),
        (0.03, 0.04, 0.07, "retrained"),
        (-0.1, 0.0, -0.1, "first"),
        (-0.2, 0.1, -0.1, "first"),
        (0.0, 0.0, 0.0, "open"),
    ],
)
def test_the_advice_follows_from_the_intervals(best: float, retrained: float, both: float, advice: str) -> None:
    found = Differences(change(best), change(retrained), change(both))
    assert advise(found, "runs/a", "openai/b", [30, 20, 10])[0] == advice
