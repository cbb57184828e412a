"""A search by preferences finds what the judge prefers to the first prompt's answers, and pays for each answer and
each verdict once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from random import Random

import orjson
import pytest
from anyio import to_thread
from rich.console import Console

from agents.directory.run_directory import read_document
from agents.history.wrong import wrong
from agents.results.finished import finished
from agents.run.asking import ask
from agents.run.grading import check_judge
from agents.run.opening import open_run
from agents.run.scoring import Scoring
from agents.views.report import show_scored
from protocols.errors import ConfigError, InputError
from tests.agents.run.preferring import PROMPT, SIZES, Turns, configuration, replying, search, shown, write
from tests.agents.run.test_resume import Executioner, start
from tests.batch_server import BatchServer
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
    assert result.test.first == 0.5
    assert result.test.best == pytest.approx(1 - 0.5 * 3 / 10)
    low, high = result.test.best_score.interval
    assert 0.5 < low <= result.test.best <= high
    compared = result.test.best_score.breakdown.comparisons
    assert compared is not None
    assert (compared.n, compared.first, compared.second, compared.unheard) == (10, 3, 0, 0)
    assert result.test.first_score.breakdown.comparisons is None, "nobody compares an answer with itself"
    assert set(models.judged.values()) == set(models.answered.values()) == {1}
    assert result.calls["judge"] == models.judged.total()
    assert result.comparisons is not None
    assert compared.n < result.comparisons.n <= models.judged.total() / 2 + result.saved.calls
    assert result.calls["task"] + result.calls.get("credit", 0) == models.answered.total()
    kept = orjson.loads((tmp_path / "out" / "test_scores.json").read_bytes())
    assert kept["measured"]["the opponent"].endswith("answered by openai/m")


async def test_a_search_that_is_killed_pays_for_no_answer_and_no_verdict_twice(tmp_path: Path) -> None:
    write(tmp_path / "task")
    executioner, models = Executioner(Random(0)), Counting()
    async with WireServer(models, delay=executioner) as server:
        asked = Counter[object]()
        for gap in (5, 25, 25, 25, 0):
            executioner.left = gap
            executioner.process = process = start(tmp_path / "task", server.openai_url, tmp_path / "out", work=search)
            await to_thread.run_sync(process.join)
            assert process.exitcode == (-9 if gap else 0)
        asked.update(models.judged)
        asked.update(models.answered)
    result = read_document(tmp_path / "out" / "result.json")
    assert result is not None
    assert result["best"]["value"] == pytest.approx(0.875)
    again = sum(count - 1 for count in asked.values())
    assert again <= 4 * 4, "at most what was in flight at each of four kills"


async def test_a_cap_on_calls_counts_verdicts_and_leaves_a_result(tmp_path: Path) -> None:
    write(tmp_path)
    models = Counting()
    async with WireServer(models) as server:
        search: dict[str, object] = {"assignments": 50, "shrink": 0, "operators": ["self_reflection", "few_shot"]}
        capped = configuration(tmp_path, server.openai_url, budget={"calls": 130}, search=search)
        async with open_run(capped, ENVIRON, tmp_path / "out") as run:
            result = await run.search()
        assert server.stats.calls == sum(result.calls.values()) <= 130
    assert result.calls["judge"] == models.judged.total() > 0
    assert result.stopped_by == "budget: calls"
    assert result.test is not None
    assert (result.test.n, result.test_missing) == (SIZES["test"], None)


@pytest.mark.parametrize("verdict", ["Better: 1", "Better: 2", "Who can tell?"])
async def test_a_judge_that_goes_by_the_place_or_says_nothing_keeps_the_first_prompt(
    verdict: str, tmp_path: Path
) -> None:
    write(tmp_path)

    def models(turns: Turns) -> str:
        return verdict if "Say which of two answers" in turns[-1][1] else replying(turns)

    async with (
        WireServer(models) as server,
        open_run(configuration(tmp_path, server.openai_url), ENVIRON, tmp_path / "out") as run,
    ):
        result = await run.search()
    assert (result.first.value, result.best.value) == (0.5, 0.5)
    found = result.comparisons
    assert found is not None
    assert max(found.first, found.second, found.unheard) == found.n > 0
    assert (found.longer, found.shorter) == (0, 0)


async def test_an_evaluation_compares_with_the_first_prompt_or_with_another_that_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    warm = tmp_path / "warm.txt"
    warm.write_text(PROMPT.replace("Thank them.", "Be warm."), encoding="utf-8")
    models = Counting()
    async with WireServer(models) as server:
        usual = configuration(tmp_path, server.openai_url)
        against: dict[str, object] = {"metric": {"use": "preference", "against": "warm.txt"}}
        other = configuration(tmp_path, server.openai_url, task=against)
        same = await Scoring(usual, ENVIRON, tmp_path / "prompt.txt", "test").score()
        assert (same.value, same.calls, models.judged.total()) == (0.5, 2 * SIZES["test"], 0)
        better = await Scoring(usual, ENVIRON, warm, "test").score()
        worse = await Scoring(other, ENVIRON, tmp_path / "prompt.txt", "test").score()
        asked = await ask(usual, ENVIRON, warm, "test-1")
        async with open_run(other, ENVIRON, tmp_path / "out") as run:
            result = await run.search()
    assert better.value == pytest.approx(0.85)
    assert worse.value == pytest.approx(1 - better.value)
    assert asked.exchange.score in (0.5, 1.0)
    console = Console(file=(out := StringIO()), width=400)
    show_scored(console, better)
    said = out.getvalue()
    assert "compared 10 answers with the opponent's; on 3 (30%) it changed its mind" in said
    assert "(it preferred the one shown first 3 times, the second 0); of 7 that it decided" in said
    assert "it preferred the longer answer on 7" in said
    assert result.first.value == pytest.approx(0.125)
    assert result.best.value == 0.5, "the prompt that is found is the opponent's"
    lost = wrong(tmp_path / "out", candidate=0, split="validation")
    assert (len(lost.exchanges), lost.compared) == (12, True)
    assert all("It could be warmer" in each.feedback for each in lost.exchanges)
    assert wrong(tmp_path / "out").exchanges == []
    warm.write_text(PROMPT, encoding="utf-8")
    with pytest.raises(ConfigError, match="the prompt to compare with differs"):
        finished(other, tmp_path / "out")


async def test_repeats_are_compared_sample_by_sample_and_weights_add_up(tmp_path: Path) -> None:
    write(tmp_path, targets=True)
    both: dict[str, object] = {"metric": {"preference": 3, "contains": 1}}
    models = Counting()
    async with WireServer(models) as server:
        twice = configuration(tmp_path, server.openai_url, True, task=both, search={"repeats": 2})
        first = await Scoring(twice, ENVIRON, tmp_path / "prompt.txt", "test").score()
        assert not models.judged
        (tmp_path / "warm.txt").write_text(PROMPT.replace("Thank them.", "Be warm."), encoding="utf-8")
        warm = await Scoring(twice, ENVIRON, tmp_path / "warm.txt", "test").score()
    assert first.breakdown.metrics["preference"] == 0.5
    assert warm.breakdown.metrics["preference"] == pytest.approx(0.85)
    assert warm.value == pytest.approx(0.75 * 0.85 + 0.25 * warm.breakdown.metrics["contains"])
    compared = warm.breakdown.comparisons
    assert compared is not None
    assert (compared.n, compared.first) == (10, 3)


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"metric": {"use": "preference", "against": "gone.txt"}}, r"gone\.txt"),
        ({"metric": {"use": "preference", "of": "x"}}, "takes one parameter, against"),
        ({"metric": ["preference", {"use": "preference", "against": "prompt.txt"}]}, "twice"),
        ({"metric": {"preference": 1, "judge": 1}, "pattern": "x"}, "regex and task.pattern"),
        ({"rubric": None}, "the metric preference and task.rubric go together"),
    ],
)
async def test_what_cannot_be_compared_is_refused_before_anything_is_spent(
    task: dict[str, object], reason: str, tmp_path: Path
) -> None:
    write(tmp_path)
    with pytest.raises(InputError, match=reason):
        async with open_run(configuration(tmp_path, "http://127.0.0.1:1", task=task), ENVIRON, tmp_path / "out"):
            pass
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("named", [False, True])
async def test_a_cap_that_does_not_pay_for_the_report_is_refused(tmp_path: Path, named: bool) -> None:
    """Of the first prompt on validation and test, the result on test, and the judge of both orders there; where
    another prompt is the opponent, of its answers and the verdicts on the first prompt as well."""
    write(tmp_path)
    validation, test = SIZES["validation"], SIZES["test"]
    least = 2 * (validation + test) + 5 * test if named else validation + 4 * test
    metric = {"use": "preference", "against": "prompt.txt"} if named else "preference"
    capped = configuration(tmp_path, "http://127.0.0.1:1", task={"metric": metric}, budget={"calls": least})
    with pytest.raises(ConfigError, match=f"take {least}, and a search needs more"):
        async with open_run(capped, ENVIRON, tmp_path / "out"):
            pass


async def test_the_judge_of_preferences_gives_no_grades_to_check(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ConfigError, match=r"--set task\.metric=judge"):
        await check_judge(configuration(tmp_path, "http://127.0.0.1:1"), ENVIRON, tmp_path / "grades.jsonl")


async def test_in_batches_each_prompt_and_the_opponent_are_asked_at_the_lower_price(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "warm.txt").write_text(PROMPT.replace("Thank them.", "Be warm."), encoding="utf-8")
    models = Counting()
    async with BatchServer(models) as server:
        batched = configuration(tmp_path, server.openai_url, run={"batch": True, "directory": tmp_path / "out"})
        async with open_run(batched, ENVIRON, None) as run:
            result = await run.search()
        sizes = [len(batch.lines) for batch in server.taken]
        found = await Scoring(batched, ENVIRON, tmp_path / "warm.txt", "test").score()
        assert [len(batch.lines) for batch in server.taken[len(sizes) :]] == [SIZES["test"], SIZES["test"]]
    assert result.test is not None
    assert found.value == pytest.approx(result.test.best)
    assert sizes == [SIZES["validation"], 2 * SIZES["test"]]
    assert set(models.judged.values()) <= {1, 2}, "the evaluation has another cache"


PROGRAM = """
async def program(inputs, prompts, call):
    draft = await call("draft", prompts.draft.render(inputs))
    return await call("polish", prompts.polish.render(inputs, draft=draft))
"""


async def test_the_answers_of_programs_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    (tmp_path / "preferred_program.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    models = Counting()
    files = {name: {"file": f"{name}.txt"} for name in ("draft", "polish")}
    (tmp_path / "draft.txt").write_text(PROMPT, encoding="utf-8")
    (tmp_path / "polish.txt").write_text(PROMPT.replace("{text}", "{draft} {text}"), encoding="utf-8")
    program: dict[str, object] = {"program": "preferred_program:program"}
    async with WireServer(models) as server:
        url, search = server.openai_url, {"assignments": 12}
        of_program = configuration(tmp_path, url, task=program, prompts=files, prompt={"file": None}, search=search)
        async with open_run(of_program, ENVIRON, tmp_path / "out") as run:
            result = await run.search()
    assert result.first.value == 0.5
    assert result.best.value > 0.8
    assert set(models.judged.values()) == set(models.answered.values()) == {1}
