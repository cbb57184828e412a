"""A search by preferences finds what the judge prefers to the first prompt's answers, and pays for each answer and
each verdict once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest

from agents.run.opening import open_run
from tests.agents.run.preferring import Turns, configuration, replying, shown, write
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
ENVIRON = {"OPENAI_API_KEY": "k"}


@dataclass
class Counting:
    """Counts the requests to the judge, and to the model that answers."""

    judged: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)

    def __call__(self, turns: Turns) -> str:
        said = "\n".join(text for _, text in turns)
        if "Say which of two answers is better" in said:
            self.judged[(said.partition("<input>")[2].partition("</input>")[0], *shown(said))] += 1
        elif "<new> and </new>" not in said and "<critique> and </critique>" not in said:
            self.answered[said] += 1
        return replying(turns)


@pytest.mark.parametrize("targets", [False, True])
async def test_a_search_finds_what_the_judge_prefers(targets: bool, tmp_path: Path) -> None:
    write(tmp_path, targets)
    models = Counting()
    async with (
        WireServer(models) as server,
        open_run(configuration(tmp_path, server.openai_url, targets), ENVIRON, tmp_path / "out") as run,
    ):
        result = await run.search()
    assert result.first.value == 0.5
    assert result.best.value == pytest.approx(1 - 0.5 * 4 / 16), "warm answers of the first prompt are ties"
    assert result.test is not None
    assert (result.test.first, result.test.best) == (0.5, pytest.approx(1 - 0.5 * 3 / 10))
    low, high = result.test.best_score.interval
    assert 0.5 < low <= result.test.best <= high
    compared = result.test.best_score.breakdown.comparisons
    assert compared is not None
    assert (compared.n, compared.first, compared.second, compared.unheard) == (10, 3, 0, 0)
    assert result.test.first_score.breakdown.comparisons is None, "nobody compares an answer with itself"
    assert set(models.judged.values()) == set(models.answered.values()) == {1}
    assert result.calls["judge"] == models.judged.total()
    assert result.calls["task"] + result.calls.get("credit", 0) == models.answered.total()
    kept = orjson.loads((tmp_path / "out" / "test_scores.json").read_bytes())
    assert kept["measured"]["the opponent"].endswith("answered by openai/m")
