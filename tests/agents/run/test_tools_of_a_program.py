"""A program that loops with a tool is trained: the description of the tool is what has to change."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.api import evaluate, load_prompt, train
from agents.directory.run_directory import BEST_PROMPTS, JOURNAL
from memory.journals.reading import read_journal
from protocols.messages import Assignment, Evaluation
from protocols.model import Reply, Request, ToolCall
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
PROGRAM = """
from protocols.model import ChatMessage

ROOMS = {f"{n}": f"room {n}" for n in range(100)}


async def answer(inputs, prompts, call):
    said = prompts.find.render(inputs)
    while (reply := await call("find", said)).reply.calls:
        said.append(ChatMessage("assistant", reply, calls=reply.reply.calls))
        for made in reply.reply.calls:
            said.append(ChatMessage("tool", ROOMS.get(made.value["number"], "no such message"), calls=(made,)))
    return await call("say", prompts.say.render(inputs, found=reply))
"""
COMMAND = """
import json, sys
from openai import OpenAI

client = OpenAI()
ROOMS = {f"{n}": f"room {n}" for n in range(100)}
TOOL = {"type": "function", "function": {"name": "room", "parameters": {
    "type": "object", "properties": {"number": {"type": "string"}}}}}


def ask(name, said, **more):
    return client.chat.completions.create(model=name, messages=said, **more).choices[0].message


for line in sys.stdin:
    asked = json.loads(line)
    said = asked["prompts"]["find"]["messages"]
    while (reply := ask("find", said, tools=[TOOL])).tool_calls:
        said.append(reply)
        for made in reply.tool_calls:
            found = ROOMS.get(json.loads(made.function.arguments)["number"], "no such message")
            said.append({"role": "tool", "tool_call_id": made.id, "content": found})
    say = asked["prompts"]["say"]["messages"]
    last = [{**m, "content": m["content"].replace("{found}", reply.content)} for m in say]
    print(json.dumps({"id": asked["id"], "answer": ask("say", last).content}), flush=True)
"""
TOOLS = [
    {
        "name": "room",
        "description": "Finds a room.",
        "input_schema": {"type": "object", "properties": {"number": {"type": "string"}}},
    }
]
RIGHT = "Finds the room of a message.\nnumber: the number of the message"
FIND = "=== rule (task) ===\nFind the room of the message.\n=== input (task, frozen) ===\nMessage: {text}\n"
SAY = "=== rule (task, frozen) ===\nSay it.\n=== input (task, frozen) ===\nFound: {found}\n"


class Finder:
    """Gives the tool the right argument once its description says which; writes the description that does."""

    def __init__(self) -> None:
        self.offered = 0

    async def complete(self, request: Request) -> Reply:
        last = request.messages[-1]
        if request.prompt == "say":
            assert request.offer is None
            return Reply(last.text.removeprefix("Found: "))
        if request.prompt == "find":
            assert request.offer is not None
            self.offered += 1
            if last.speaker == "tool":
                return Reply(last.text)
            tool: Any = request.offer.anthropic["tools"]
            told = tool[0]["input_schema"]["properties"]["number"].get("description")
            number = last.text.split()[-1] if told == "the number of the message" else "the message"
            return Reply("", calls=(ToolCall("room", orjson.dumps({"number": number}).decode(), "c"),))
        if "<critique> and </critique>" in last.text:
            return Reply("<critique>\n[find.tool-room] say what the number is\n</critique>")
        return Reply(f"<new>{RIGHT}</new>")


@pytest.mark.parametrize(
    "program",
    [{"use": "finding_programs:answer"}, {"command": [sys.executable, "find.py"], "workers": 1}],
    ids=["function", "command"],
)
async def test_the_description_of_the_tool_of_a_program_is_trained(
    program: Mapping[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "finding_programs.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "task"
    folder.mkdir()
    for name, text in (("find.txt", FIND), ("say.txt", SAY), ("find.py", COMMAND)):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "tools.json").write_bytes(orjson.dumps(TOOLS))
    splits = {
        split: [
            {"id": f"{split}{n}", "input": {"text": f"{split} {n}"}, "target": f"room {n}"}
            for n in range(start, start + 8)
        ]
        for start, split in ((0, "train"), (20, "validation"), (40, "test"))
    }
    files = {split: f"{split}.jsonl" for split in splits}
    tables: dict[str, Mapping[str, object]] = {
        "task": {"name": "rooms", "kind": "generation", "metric": "exact", **files},
        "task.program": program,
        "prompt": {},
        "prompts.find": {"file": "find.txt", "tools": "tools.json"},
        "prompts.say": {"file": "say.txt"},
        "models": {"default": "openai/m"},
        "search": {"assignments": 4, "operators": ["self_reflection"], "headroom": False, "shrink": 0, "width": 1},
    }
    config, model, out = write_task(folder, splits, FIND, tables), Finder(), tmp_path / "run"
    found = await train(config, models=model, directory=out, environ=dict(os.environ))
    assert (found.result.first.value, found.result.best.value) == (0, 1)
    assert found.prompt["find.tool-room"].text == RIGHT
    assert model.offered > 0
    messages = [envelope.message for envelope in read_journal(out / JOURNAL, (Assignment, Evaluation))]
    assert "find.tool-room" in {one.section for one in messages if isinstance(one, Assignment)}
    outcomes = [outcome for one in messages if isinstance(one, Evaluation) for outcome in one.outcomes]
    first, second, _ = next(outcome.steps for outcome in outcomes if outcome.steps)
    assert first.reply == '[{"name": "room", "arguments": {"number": "the message"}}]'
    assert [(message.speaker, message.text) for message in second.messages] == [
        ("assistant", first.reply),
        ("tool", "no such message"),
    ]
    saved = load_prompt(out)
    assert (saved.offer, saved.of("say").offer) == (None, None)
    offer = saved.of("find").offer
    assert offer is not None
    assert offer.anthropic["tools"] == [
        {
            "name": "room",
            "description": "Finds the room of a message.",
            "input_schema": {
                "type": "object",
                "properties": {"number": {"type": "string", "description": "the number of the message"}},
            },
        }
    ]
    again = await evaluate(config, out / BEST_PROMPTS, "test", models=model, environ=dict(os.environ))
    assert again.value == 1
