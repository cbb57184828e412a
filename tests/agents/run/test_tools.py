"""A search with tools: the descriptions are edited, offered, journalled, saved and scored; bad input is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.api import evaluate, load_prompt, train
from agents.config.configuration import Configuration, load
from agents.config.loading import load_first_prompt, load_task
from agents.directory.resume_fingerprint import resume_fingerprint
from agents.directory.run_directory import BEST_PROMPT, JOURNAL
from agents.models.asking import check_asked
from agents.prompting.asking import task_request
from agents.prompting.requests import show_prompt
from memory.journals.reading import read_journal
from protocols.errors import DataError, InputError, PromptError
from protocols.messages import Evaluation
from protocols.model import Reply, Request, ToolCall
from protocols.prompt import Section
from protocols.task import Task
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "route",
            "description": "Routes.",
            "parameters": {
                "type": "object",
                "properties": {"to": {"type": "string", "description": "where"}},
                "required": ["to"],
            },
        },
    }
]
PROMPT = "=== rule (task, frozen) ===\nRoute the message.\n=== input (task, frozen) ===\nMessage: {text}\n"


PROGRAM = """
async def answer(inputs, prompts, call):
    return await call("find", prompts.find.render(inputs))
"""


def rows(name: str) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{name}-{n}",
            "input": {"text": f"{name} message {n}"},
            "target": [] if n % 4 == 3 else {"name": "route", "arguments": {"to": f"{n}"}},
        }
        for n in range(12)
    ]


def written(folder: Path, tools: object = TOOLS, **tables: Mapping[str, object]) -> Path:
    """The configuration of a task with one tool."""
    (folder / "tools.json").write_bytes(orjson.dumps(tools))
    splits = {split: rows(split) for split in ("train", "validation", "test")}
    task = {"name": "calls", "kind": "generation", "metric": "tool_calls"}
    usual: dict[str, Mapping[str, object]] = {
        "task": {**task, **{split: f"{split}.jsonl" for split in splits}},
        "prompt": {"file": "prompt.txt", "tools": "tools.json"},
        "models": {"default": "openai/m"},
        "search": {"assignments": 3, "operators": ["self_reflection"], "headroom": False, "shrink": 0, "width": 1},
    }
    return write_task(folder, splits, PROMPT, {**usual, **tables})


class Router:
    """Calls the tool rightly once its description says how; writes the description that says so."""

    async def complete(self, request: Request) -> Reply:
        said = request.messages[-1].text
        if request.offer is None:
            if "<critique> and </critique>" in said:
                return Reply("<critique>\n[tool-route] say the number\n</critique>")
            return Reply("<new>Routes to a number.\nto: the number of the message</new>")
        sent: Any = request.offer.openai["tools"]
        number = said.split()[-1]
        if int(number) % 4 == 3:
            return Reply("Nothing to route.")
        knows = (
            sent[0]["function"]["parameters"]["properties"]["to"].get("description") == "the number of the message"
        )
        return Reply("", calls=(ToolCall("route", orjson.dumps({"to": number if knows else "?"}).decode(), "c"),))


async def test_the_description_of_a_tool_is_trained(tmp_path: Path) -> None:
    found = await train(written(tmp_path), models=Router(), directory=tmp_path / "run", environ={})
    assert found.result.first.value == pytest.approx((9 * 0.5 + 3) / 12)
    assert found.result.best.value == 1
    assert found.prompt["tool-route"].text == "Routes to a number.\nto: the number of the message"
    assert [section.kind for section in found.prompt] == ["task", "task", "tool"]
    saved = load_prompt(tmp_path / "run")
    assert saved.prompt == found.prompt
    assert [message.speaker for message in saved.render({"text": "a"})] == ["system", "user"]
    assert saved.offer is not None
    kept: Any = saved.offer.openai["tools"]
    parameters = kept[0]["function"].pop("parameters")
    assert parameters == {
        "type": "object",
        "properties": {"to": {"type": "string", "description": "the number of the message"}},
        "required": ["to"],
    }
    assert kept[0]["function"] == {"name": "route", "description": "Routes to a number."}
    envelopes = read_journal(tmp_path / "run" / JOURNAL, (Evaluation,))
    outcomes = [
        outcome for one in envelopes if isinstance(one.message, Evaluation) for outcome in one.message.outcomes
    ]
    replies = {outcome.reply for outcome in outcomes}
    assert "Nothing to route." in replies
    assert '[{"name": "route", "arguments": {"to": "?"}}]' in replies
    assert all(outcome.instead is None for outcome in outcomes)
    again = await evaluate(written(tmp_path), tmp_path / "run" / BEST_PROMPT, "test", models=Router(), environ={})
    assert again.value == 1


def test_sections_stand_in_for_the_descriptions_of_the_file(tmp_path: Path) -> None:
    configuration = load(written(tmp_path))
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    assert first["tool-route"] == Section("tool-route", "tool", "Routes.\nto: where")
    (tmp_path / "prompt.txt").write_text(PROMPT + "=== tool-route (tool, frozen) ===\nOther.\n", encoding="utf-8")
    own = load_first_prompt(configuration, task)
    assert own["tool-route"] == Section("tool-route", "tool", "Other.", frozen=True)
    request = task_request(task.kind, own, own.render({"text": "a"}))
    assert request.offer == task.kind.offer(own) != task.kind.offer(first)
    shown = str(show_prompt(first, task.fields, "tool-route"))
    assert "sent beside the messages ---\n<part" in shown


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"models": {"default": "embedded"}}, "prompt.tools: the simulator"),
        ({"providers": {"openai": {"api": "completions"}}}, "prompt.tools: openai/m is asked for completions"),
        (
            {"models": {"parameters": {"critic": {"tool_choice": "auto"}}}},
            "tool_choice is for calls that offer tools",
        ),
        ({"prompt": {"tools": "nowhere.json"}}, "nowhere.json: cannot read the tools"),
        ({"prompt": {"tools": "prompt.txt"}}, "prompt.txt:1: not JSON"),
        ({"prompt": {"response_schema": "tools.json"}}, "not a JSON schema"),
        (
            {"prompt": {"response_schema": "schema.json"}, "models": {"default": "anthropic/m"}},
            'without "additionalProperties": false in each object; it is missing in the schema',
        ),
        (
            {
                "prompt": {"response_schema": "schema.json"},
                "models": {"parameters": {"task": {"response_format": {"type": "json_object"}}}},
            },
            "set a format of replies too",
        ),
    ],
)
def test_what_cannot_be_offered_is_refused(tmp_path: Path, tables: Mapping[str, Any], said: str) -> None:
    (tmp_path / "schema.json").write_text('{"type": "object", "properties": {}}', encoding="utf-8")
    usual = load(written(tmp_path))
    check_asked(usual)
    settings = [f"{table}.{key}={toml(value)}" for table, keys in tables.items() for key, value in keys.items()]
    with pytest.raises(InputError) as caught:
        check_asked(load(tmp_path / "small.toml", settings))
    assert said in str(caught.value)


def toml(value: object) -> str:
    """A value as TOML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    return f'"{value}"'


def test_a_target_of_another_tool_and_a_section_of_no_tool_are_refused(tmp_path: Path) -> None:
    configuration = load(written(tmp_path, [{"name": "other"}]))
    with pytest.raises(DataError, match=r"calls route; tools has other"):
        load_task(configuration)
    configuration = load(written(tmp_path))
    task = load_task(configuration)
    (tmp_path / "prompt.txt").write_text(PROMPT + "=== tool-x (tool) ===\nOther.\n", encoding="utf-8")
    with pytest.raises(PromptError, match="tool-x describes a tool that is not there"):
        load_first_prompt(configuration, task)


def of_program(folder: Path, **tables: Mapping[str, object]) -> Path:
    """The configuration of a program of two prompts, one of which has a tool and a schema."""
    (folder / "schema.json").write_text('{"type": "object", "properties": {}}', encoding="utf-8")
    (folder / "calling_programs.py").write_text(PROGRAM, encoding="utf-8")
    usual: dict[str, Mapping[str, object]] = {
        "task.program": {"use": "calling_programs:answer"},
        "prompt": {},
        "prompts.find": {"text": "Find it.", "tools": "tools.json", "response_schema": "schema.json"},
        "prompts.say": {"text": "Say it. {text}"},
    }
    return written(folder, **{**usual, **tables})


def opened(configuration: Configuration) -> Task:
    check_asked(configuration)
    return load_task(configuration)


async def test_each_prompt_of_a_program_offers_its_own_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    configuration = load(of_program(tmp_path))
    task = opened(configuration)
    assert task.program is not None
    first = load_first_prompt(configuration, task)
    assert first["find.tool-route"].text == "Routes.\nto: where"
    assert first["find.reply-schema"].kind == "tool"
    assert task.program.offered(first).keys() == {"find"}
    edited = task.program.offered(first.edit("find.tool-route", "Other.", ()))["find"].openai["tools"]
    assert edited[0]["function"]["description"] == "Other."  # type: ignore[index]
    assert "the tools of prompts.find" in resume_fingerprint(configuration, task, (), first)


async def test_a_program_of_one_prompt_offers_its_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    path = of_program(tmp_path, **{"prompts.say": {"text": "Say it. {text}", "tools": "tools.json"}})
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition("[prompts.find]")
    path.write_text(head + rest[rest.index("[") :], encoding="utf-8")
    configuration = load(path)
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    assert task.program is not None
    assert first["tool-route"].text == "Routes.\nto: where"
    assert task.program.offered(first)["say"].names == ("route",)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('models.prompts.find="embedded"', "prompts.find.tools: the simulator"),
        ('models.prompts.find="anthropic/m"', "prompts.find.response_schema: anthropic/m takes no schema without"),
        ('models.parameters.task.tool_choice="auto"', "give tool_choice to single calls"),
        ('prompts.find.tools="nowhere.json"', "nowhere.json: cannot read the tools"),
        ('prompt.tools="tools.json"', "name them under [prompts.NAME]"),
    ],
)
def test_what_a_prompt_of_a_program_cannot_offer_is_refused(
    setting: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError) as caught:
        opened(load(of_program(tmp_path), [setting]))
    assert said in str(caught.value)


def test_a_prompt_without_a_file_of_tools_may_describe_those_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "find.txt").write_text(PROMPT + "=== tool-x (tool) ===\nOther.\n", encoding="utf-8")
    config = of_program(tmp_path, **{"prompts.find": {"file": "find.txt", "response_schema": "schema.json"}})
    configuration = load(config)
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    assert (first["find.tool-x"].text, first["find.reply-schema"].text) == ("Other.", "")
    configuration = load(config, ['prompts.find.tools="tools.json"'])
    with pytest.raises(PromptError, match="tool-x describes a tool that is not there"):
        load_first_prompt(configuration, task)
