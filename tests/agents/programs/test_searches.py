"""A program of one prompt makes the decisions of the task without a program; one of two prompts is trained, as a
function and as a command."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from agents.config.configuration import load
from agents.directory.run_directory import JOURNAL
from agents.run.opening import open_run
from memory.journals.reading import read_journal
from protocols.messages import Assignment
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
CODE = """
async def one(inputs, prompts, call):
    return await call("main", prompts.main.render(inputs))


async def two(inputs, prompts, call):
    facts = await call("extract", prompts.extract.render(inputs))
    return await call("decide", prompts.decide.render(inputs, facts=facts))
"""
COMMAND = """
import json, sys
from openai import OpenAI

client = OpenAI()


def ask(name, messages):
    return client.chat.completions.create(model=name, messages=messages).choices[0].message.content


for line in sys.stdin:
    asked = json.loads(line)
    facts = ask("extract", asked["prompts"]["extract"]["messages"])
    told = [{**m, "content": m["content"].replace("{facts}", facts)} for m in asked["prompts"]["decide"]["messages"]]
    print(json.dumps({"id": asked["id"], "answer": ask("decide", told)}), flush=True)
"""
WIDTH_1 = ["search.width=1", "search.assignments=5"]


@pytest.fixture(autouse=True)
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small_programs.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


async def decisions(config: Path, settings: list[str], out: Path) -> list[object]:
    """Each message of a search, without how the examples were answered."""
    async with open_run(load(config, settings), {}, out) as run:
        await run.search()
    return [(e.to, type(e.message).__name__, without_steps(asdict(e.message))) for e in read_journal(out / JOURNAL)]


def without_steps(value: object) -> object:
    match value:
        case dict():
            return {name: without_steps(inner) for name, inner in value.items() if name != "steps"}
        case tuple() | list():
            return [without_steps(inner) for inner in value]
    return value


@pytest.mark.parametrize("seed", range(5))
async def test_a_program_of_one_prompt_decides_as_the_plain_task_does(seed: int, tmp_path: Path) -> None:
    settings = [*WIDTH_1, f"search.seed={seed}"]
    usual = await decisions(write_task(tmp_path / "plain"), settings, tmp_path / "r1")
    tables = {
        "task": {"name": "small", "program": "small_programs:one"}
        | {split: f"{split}.jsonl" for split in ("train", "validation", "test")},
        "prompt": {},
        "prompts.main": {"file": "prompt.txt"},
    }
    assert await decisions(write_task(tmp_path / "program", tables=tables), settings, tmp_path / "r2") == usual
    assert len(usual) > 5


@pytest.mark.parametrize("program", ["small_programs:two", {"command": [sys.executable, "two.py"], "workers": 2}])
async def test_the_prompts_of_a_program_are_edited_by_their_addresses(program: object, tmp_path: Path) -> None:
    splits = {split: f"{split}.jsonl" for split in ("train", "validation", "test")}
    tables = {
        "task": {"name": "small", **splits},
        "task.program": program if isinstance(program, dict) else {"use": program},
        "prompt": {},
        "prompts.extract": {"text": "What is it about? {text}"},
        "prompts.decide": {"text": "Which is it?\nLabels: invoice, parcel, 退款\nText: {text}\nAbout: {facts}"},
    }
    config = write_task(tmp_path / "task", tables=tables)
    (tmp_path / "task" / "two.py").write_text(COMMAND, encoding="utf-8")
    async with open_run(load(config, WIDTH_1), dict(os.environ), tmp_path / "run") as run:
        await run.search()
        first = run.controller.first
    assert first is not None
    assert first.prompt.names == ("extract", "decide")
    assert {step.prompt for outcome in first.outcomes for step in outcome.steps} == {"extract", "decide"}
    assignments = [e.message for e in read_journal(tmp_path / "run" / JOURNAL) if isinstance(e.message, Assignment)]
    assert {each.section for each in assignments} <= {section.name for section in first.prompt} | {"*"}
    assert assignments
