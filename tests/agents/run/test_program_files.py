"""The prompts of a program in files and commands: as a folder or as one file, frozen whole, compared and rendered."""

from __future__ import annotations

from pathlib import Path

import anyio
import orjson
import pytest
from anyio import to_thread
from typer.testing import CliRunner

import run
from agents.config.configuration import load
from agents.directory.run_directory import BEST_PROMPT, BEST_PROMPTS, COMMANDS
from agents.results.saved import load_prompt
from agents.run.opening import open_run
from agents.run.steering import command
from agents.views.page.answers import STEP, STEPS
from agents.views.page.details import details
from protocols.errors import ConfigError, PromptError
from protocols.files import prompt_file, prompt_folder
from protocols.messages import Assignment, Envelope
from tests.agents.forecast.test_trial import PROMPTS
from tests.small_task import write_task

CODE = """
async def answer(inputs, prompts, call):
    words = await call("extract", prompts.extract.render(inputs))
    return await call("decide", prompts.decide.render(inputs, words=words))
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "two_prompts.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    path = write_task(tmp_path / "task")
    text = path.read_text(encoding="utf-8").replace('[prompt]\nfile = "prompt.txt"\n', "")
    path.write_text(text.replace("[task]\n", '[task]\nprogram = "two_prompts:answer"\n') + PROMPTS, encoding="utf-8")
    return path


def said(*args: object) -> str:
    result = CliRunner().invoke(run.app, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_run_has_its_prompts_as_a_folder_and_both_forms_are_the_same(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = orjson.loads(said("search", config, "--out", out, "--json"))
    folder = out / BEST_PROMPTS
    assert sorted(path.name for path in folder.iterdir()) == ["decide.txt", "extract.txt"]
    best = prompt_file.load(out / BEST_PROMPT)
    assert prompt_folder.in_order(prompt_folder.load(folder), ("extract", "decide")) == best
    one, other = (orjson.loads(said("evaluate", path, config, "--json")) for path in (folder, out / BEST_PROMPT))
    assert one["value"] == other["value"]
    assert said("diff", out, folder).count(": same ===") == len(best.sections)
    assert result["prompts"]["extract"]["first"]["calls"] == 1000
    shown = said("show", out)
    assert "The prompt decide: about " in shown
    assert "The prompt decide: about " in said("report", out, "--format", "md").replace("\\", "")
    row = details(out, 0, most=STEP, answers=1)
    assert row is not None
    [answer] = row["asked"]["splits"][0]["rows"]
    assert [step["prompt"] for step in answer["steps"]] == ["extract", "decide"]
    assert answer["made"] <= STEPS
    assert "What the program did" in (out / "report.html").read_text(encoding="utf-8")

    saved = load_prompt(out)
    assert "Words: pay" in saved.of("decide").render({"words": "pay"})[-1].text
    for wrong in (
        lambda: saved.render({"text": "a"}),
        lambda: saved.of("decid"),
        lambda: saved.of("extract").render({}),
    ):
        with pytest.raises(PromptError):
            wrong()


@pytest.mark.anyio
async def test_a_whole_prompt_is_frozen_and_a_folder_is_injected(config: Path, tmp_path: Path) -> None:
    edited: list[str] = []
    async with open_run(load(config, ["search.assignments=12", "search.width=1"]), {}, tmp_path / "run") as search:
        told = anyio.Event()

        async def observe(envelope: Envelope) -> None:
            if isinstance(envelope.message, Assignment):
                if not told.is_set():
                    told.set()
                    confirmed = await to_thread.run_sync(command, search.directory, ["freeze", "extract"])
                    assert confirmed.startswith("extract is frozen, with all of its sections")
                    with pytest.raises(ConfigError, match="and the prompts extract, decide"):
                        await to_thread.run_sync(command, search.directory, ["freeze", "extrac"])
                    for name, text in prompt_folder.dumps(search.first).items():
                        (tmp_path / name).write_text(text.replace("Labels:", "The labels:"), encoding="utf-8")
                    await to_thread.run_sync(command, search.directory, ["inject", str(tmp_path)])
                edited.append(envelope.message.section)

        search.bus.tap(observe)
        await search.search()
    lines = [orjson.loads(line) for line in (tmp_path / "run" / COMMANDS).read_bytes().splitlines() if line]
    assert [words[1] for words in lines if words[0] == "freeze"] == [s.name for s in search.first.of("extract")]
    assert "decide.task" in edited
