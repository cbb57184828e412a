"""Length as a part of the aim, over a whole run: the cap, the phase that shrinks, what answers take, the front."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from agents.config.configuration import load
from agents.directory.run_directory import JOURNAL, PARETO
from agents.history.progress import progress_of
from agents.history.replay import replay
from agents.results.result import Result
from agents.run.opening import open_run
from memory.journals.reading import read_calls, read_journal
from protocols.errors import ConfigError
from protocols.files import prompt_file
from protocols.messages import SHRINK, Assignment, Conclude
from run import app
from tests.agents.history.test_looking_back import ignore
from tests.small_task import PROMPT, SIZES, write_task

pytestmark = pytest.mark.anyio
NEEDLESS = "".join(f"- Think of number {n} first, and be polite to everybody.\n" for n in range(10))
PADDED = PROMPT.replace("=== definitions", f"=== manners (reminders) ===\n{NEEDLESS}=== definitions")


async def searched(folder: Path, *settings: str, prompt: str = PADDED) -> tuple[Path, Result]:
    path = write_task(folder / "task", prompt=prompt)
    async with open_run(load(path, settings), {}, folder / "run") as run:
        return folder / "run", await run.search()


async def test_a_longer_first_prompt_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    prompt = PROMPT.replace("=== examples (examples) ===", "=== examples (examples, turns) ===\n{examples:4}")
    said = r"^prompt.max_tokens = 60 is too small: the first prompt has about 1\d\d tokens without the input; shorten"
    with pytest.raises(ConfigError, match=said):
        await searched(tmp_path, "prompt.max_tokens=60", prompt=prompt)
    assert not (tmp_path / "run").exists()


def test_doctor_refuses_a_first_prompt_that_is_longer_than_any_may_be(tmp_path: Path) -> None:
    path = write_task(tmp_path, prompt=PADDED)
    done = CliRunner().invoke(app, ["doctor", str(path), "--offline", "--set", "prompt.max_tokens=60"])
    assert done.exit_code == 2
    assert "prompt.max_tokens = 60 is too small" in " ".join(done.output.split())


async def test_a_search_whose_calls_are_capped_shrinks_its_result_and_says_what_answers_take(tmp_path: Path) -> None:
    calls = 400
    directory, result = await searched(
        tmp_path, f"budget.calls={calls}", "search.assignments=500", "search.shrink=8", "search.prefer=short",
        'providers.embedded.price={input=1, output=2}',
    )  # fmt: skip
    assert sum(result.calls.values()) <= calls
    assert result.stopped_by == "budget: calls"
    said = [envelope.message for envelope in read_journal(directory / JOURNAL)]
    assert any(isinstance(message, Conclude) for message in said)
    cuts = [m.assignment for m in said if isinstance(m, Assignment) and m.operator == SHRINK]
    assert 0 < len(cuts) <= 8
    assert result.assignments == sum(isinstance(m, Assignment) for m in said) - len(cuts)
    assert (await replay(directory, ignore)).candidate == result.candidate
    best = progress_of(directory).best
    assert best is not None
    assert best.assignment == result.candidate
    assert result.answers is not None
    assert result.test is not None
    tested = [call.usage for call in read_calls(directory / JOURNAL) if call.assignment is None]
    if result.answers.first.split == "test" and tested:
        asked = sum(taken.input * taken.n for taken in (result.answers.first, result.answers.best)) / 1000
        assert asked == pytest.approx(sum(usage.input for usage in tested), rel=0.01)
    assert result.answers.first.n == SIZES["test"]


async def test_the_front_names_candidates_whose_prompts_can_be_had(tmp_path: Path) -> None:
    directory, result = await searched(tmp_path, "search.assignments=12")
    rows = orjson.loads((directory / PARETO).read_bytes())
    assert [row["candidate"] for row in rows if row["result"]] == [result.candidate]
    for a in rows:
        for b in rows:
            same = [a[name] == b[name] for name in ("value", "tokens", "dollars", "seconds")]
            worse = [a["value"] <= b["value"], *(a[n] >= b[n] for n in ("tokens", "dollars", "seconds") if a[n])]
            assert a is b or b["result"] or a["result"] or not all(worse) or all(same)
    runner = CliRunner()
    for row in rows:
        done = runner.invoke(app, ["show", str(directory), "--candidate", str(row["candidate"])])
        assert done.exit_code == 0
        shown = prompt_file.loads(done.stdout)
        said = f"candidate {row['candidate']}: "
        assert said in done.stderr
        assert f"validation {row['value']:.3f}" in done.stderr
        if row["result"]:
            assert shown == prompt_file.load(directory / "best_prompt.txt")
    assert prompt_file.loads(runner.invoke(app, ["show", str(directory), "--candidate", "0"]).stdout) == (
        prompt_file.load(directory / "first_prompt.txt")
    )
    missing = runner.invoke(app, ["show", str(directory), "--candidate", "999"])
    assert missing.exit_code == 2
