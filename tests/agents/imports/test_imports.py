"""A task imported from a small file of each format can be searched, says what the file said, and tells what it left
out, by line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import run
from agents.api import train
from agents.config.configuration import load
from agents.config.loading import load_task
from agents.imports.writing import Imported, Origin, import_to
from protocols.errors import InputError
from protocols.files import prompt_file
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
LABELS = ("billing", "shipping")
N = 24


def lines(values: list[Any]) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def said(n: int) -> str:
    return f'付款 {{x}} {{{{y}}}} 😀 "{n}"\nmore'


SYSTEM = {"role": "system", "content": "Which department?\nReply {json}."}
TESTS = [{"vars": {"message": said(n)}, "assert": [{"type": "equals", "value": LABELS[n % 2]}]} for n in range(N)]
RIGHT = {
    "type": "string_check",
    "name": "right",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.label}}",
}
ASKED = {"role": "user", "content": {"type": "input_text", "text": "{{ item.message }}"}}
ITEMS = [{"item": {"message": said(n), "label": LABELS[n % 2]}} for n in range(N)]
DEFINITION: dict[str, Any] = {
    "testing_criteria": [RIGHT],
    "data_source": {
        "input_messages": {"type": "template", "template": [SYSTEM, ASKED]},
        "source": {"type": "file_content", "content": ITEMS},
    },
}


def user(n: int) -> dict[str, str]:
    return {"role": "user", "content": said(n)}


def reply(n: int) -> dict[str, str]:
    return {"role": "assistant", "content": LABELS[n % 2]}


def trace(n: int) -> dict[str, Any]:
    attributes = {
        "mlflow.spanInputs": json.dumps({"message": said(n)}),
        "mlflow.spanOutputs": json.dumps(LABELS[n % 2]),
    }
    return {"info": {"trace_id": str(n)}, "data": {"spans": [{"parent_id": None, "attributes": attributes}]}}


def listed(make: Callable[[int], Any]) -> list[Any]:
    return [make(n) for n in range(N)]


def preferred(n: int) -> dict[str, Any]:
    given = {"messages": [SYSTEM, user(n)]}
    return {"input": given, "preferred_output": [reply(n)], "non_preferred_output": [reply(n + 1)]}


FOO = json.dumps({"prompts": [json.dumps([SYSTEM, {"role": "user", "content": "{{message}}"}])], "tests": TESTS})
SAMPLES = lines(listed(lambda n: {"input": [SYSTEM, user(n)], "ideal": [LABELS[n % 2]]}))
TUNED = lines(listed(lambda n: {"messages": [SYSTEM, user(n), reply(n)]}))
RATED = lines(listed(lambda n: {"messages": [SYSTEM, user(n), reply(n)], "rating": "up"}))
OF_DATASET = listed(lambda n: {"input": {"message": said(n)}, "expectedOutput": LABELS[n % 2]})
TRACED = lines(listed(lambda n: {"input": {"messages": [SYSTEM, user(n)]}, "output": reply(n)}))
RECORDS = listed(lambda n: {"inputs": {"message": said(n)}, "expectations": {"expected_response": LABELS[n % 2]}})
FILES: list[tuple[str, Origin, str]] = [
    ("foo.json", "promptfoo", FOO),
    ("foo.yaml", "promptfoo", f"# as YAML\n{FOO}"),
    ("samples.jsonl", "openai-evals", SAMPLES),
    ("eval.json", "openai-evals", json.dumps(DEFINITION)),
    ("tuned.jsonl", "openai-finetune", TUNED),
    ("preferred.jsonl", "openai-finetune", lines(listed(preferred))),
    ("rated.jsonl", "chat-log", RATED),
    ("items.json", "langfuse", json.dumps(OF_DATASET)),
    ("traces.jsonl", "langfuse", TRACED),
    ("records.jsonl", "mlflow", lines(RECORDS)),
    ("traces.json", "mlflow", json.dumps({"traces": listed(trace)})),
]


def imported(folder: Path, name: str, origin: Origin, content: str) -> tuple[Imported, Path]:
    (folder / name).write_text(content, encoding="utf-8")
    made = import_to(origin, [folder / name], folder / "made")
    return made, folder / "made"


@pytest.mark.parametrize(("name", "origin", "content"), FILES, ids=[f"{o}-{n}" for n, o, _ in FILES])
def test_every_example_and_message_is_as_the_file_has_it(
    tmp_path: Path, name: str, origin: Origin, content: str
) -> None:
    made, folder = imported(tmp_path, name, origin, content)
    configuration = load(folder / "made.toml", ["models.default=embedded"])
    task = load_task(configuration)
    rows = [*task.train, *task.validation, *task.test]
    assert {(*row.inputs.values(), row.target) for row in rows} == {(said(n), LABELS[n % 2]) for n in range(N)}
    sent = prompt_file.load(folder / "prompt.txt").render(rows[0].inputs)
    assert (sent[-1].speaker, sent[-1].text) == ("user", rows[0].inputs[task.fields[0]])
    if name not in ("items.json", "records.jsonl", "traces.json"):  # whose inputs are no messages
        assert (sent[0].speaker, sent[0].text, len(sent)) == ("system", SYSTEM["content"], 2)
    assert made.examples == N


@pytest.mark.parametrize(
    ("name", "origin", "content"), [FILES[0], FILES[3], FILES[4]], ids=["promptfoo", "evals", "tuned"]
)
async def test_a_search_begins_with_nothing_but_a_model(
    tmp_path: Path, name: str, origin: Origin, content: str
) -> None:
    _, folder = imported(tmp_path, name, origin, content)
    async with WireServer(lambda turns: "billing") as server:
        environ = {"OPENAI_API_KEY": "sk-test-0123456789abcdef", "OPENAI_BASE_URL": server.openai_url}
        search = {"assignments": 1, "operators": ["few_shot"], "shrink": 0}
        found = await train(
            folder / "made.toml",
            models="openai/gpt-5-mini",
            directory=tmp_path / "run",
            environ=environ,
            search=search,
        )
    assert found.result.first.value == pytest.approx(0.5, abs=0.3)


LEFT: list[tuple[str, Origin, str, str]] = [
    (
        "c.yaml",
        "promptfoo",
        "prompts:\n  - 'Say {{a | upper}} {{a}}'\n  - file://p.py\ntests:\n  - vars: {a: no}\n    assert:\n"
        "      - {type: contains, value: x}\n      - {type: javascript, value: y}\n  - vars: {a: 12:30}\n",
        "c.yaml:2: '{{a | upper}}' is more than a variable; c.yaml:3: file://p.py makes its prompt in code; "
        "c.yaml:8: the assertion javascript; c.yaml:1: a test without contains is left out",
    ),
    (
        "e.json",
        "openai-evals",
        json.dumps(
            {**DEFINITION, "testing_criteria": [*DEFINITION["testing_criteria"], {"type": "python", "name": "own"}]}
        ),
        "e.json:1: the grader own is not carried over",
    ),
    (
        "t.jsonl",
        "openai-finetune",
        lines([{"messages": [user(1), reply(1)], "parallel_tool_calls": False}, {"messages": [user(2)]}]),
        "t.jsonl:1: parallel_tool_calls is not carried over; t.jsonl:2: a conversation that does not end with the",
    ),
    (
        "l.jsonl",
        "chat-log",
        lines([{"messages": [user(n), reply(n)], "rating": rating} for n, rating in enumerate([1, -1, None])]),
        "l.jsonl:2: was not liked; l.jsonl:3: a conversation without a rating",
    ),
    (
        "m.jsonl",
        "mlflow",
        lines([{"inputs": {"q": "x"}, "expectations": {"expected_response": "y", "guidelines": ["z"]}}]),
        "m.jsonl:1: the expectation guidelines is not carried over",
    ),
]


@pytest.mark.parametrize(("name", "origin", "content", "told"), LEFT, ids=[o for _, o, _, _ in LEFT])
def test_what_is_left_out_is_said_by_line(tmp_path: Path, name: str, origin: Origin, content: str, told: str) -> None:
    made, _ = imported(tmp_path, name, origin, content)
    for part in told.split("; "):
        assert any(part in remark for remark in made.remarks), (part, made.remarks)


def test_yaml_is_read_as_promptfoo_reads_it(tmp_path: Path) -> None:
    """`no` and `12:30` are texts, as in YAML 1.2."""
    tests = "- vars: {a: no, b: 12:30, c: 012}\n  assert: [{type: equals, value: off}]\n"
    content = f"prompts: ['{{{{a}}}} {{{{b}}}} {{{{c}}}}']\ntests:\n{tests}"
    _, folder = imported(tmp_path, "y.yaml", "promptfoo", content)
    row = json.loads((folder / "data.jsonl").read_text(encoding="utf-8"))
    assert row == {"input": {"a": "no", "b": "12:30", "c": "12"}, "target": "off"}


WRONG: list[tuple[str, Origin, str, str]] = [
    ("c.yaml", "promptfoo", "prompts: [a\ntests: b: c", r"c\.yaml:2: not YAML"),
    ("c.yaml", "promptfoo", "a: 1\n", r"c\.yaml:1: no configuration of promptfoo"),
    ("c.json", "promptfoo", '{"prompts": ["a"],\n "tests": }', r"c\.json:2: not JSON"),
    ("c.json", "promptfoo", '{"prompts": ["a"], "tests": "file://no.csv"}', r"no\.csv: .*No such file"),
    ("s.jsonl", "openai-evals", '{"input": "a", "ideal": "b"}\n{"input": "a"}\n', r"s\.jsonl:2: no sample"),
    ("s.jsonl", "openai-evals", '{"item": {"a": "b"}}\n', r"s\.jsonl:1: no grader names"),
    ("t.jsonl", "openai-finetune", '{"messages": [{"role": "user"}]}\n\n{"messages": 3}\n', r"t\.jsonl:3: no list"),
    ("t.jsonl", "openai-finetune", "\n\n[1, 2\n", r"t\.jsonl:\d: "),
    ("l.jsonl", "chat-log", '{"messages": [], "rating": "down"}\n', r"l\.jsonl:1: no conversation was liked"),
    ("f.json", "langfuse", '[{"input": "a", "output": "b"},\n {"output": "b"}]', r"f\.json:2: no item"),
    ("m.csv", "mlflow", "inputs,x\na\n", r"m\.csv:2: 1 cells where the header has 2"),
    ("m.json", "mlflow", "", r"m\.json: .*empty"),
    ("m.json", "mlflow", "[]", r"m\.json: .*no record"),
    ("f.json", "langfuse", '{"data": []}', r"f\.json:1: .*no record"),
    ("h.csv", "chat-log", "messages,rating\n", r"h\.csv: .*no record"),
    ("d.json", "langfuse", "[" * 5000, r"d\.json:1: .*too deeply"),
    ("u.jsonl", "openai-finetune", '{"messages": []}\n{"messages": "\\ud800"}\n', r"u\.jsonl:2: .*surrogates"),
    ("v.json", "promptfoo", '{"prompts": ["a"], "tests": [{"vars": [1]}]}', r"v\.json:1: `vars` is no mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "origin", "content", "reason"), WRONG)
def test_a_wrong_file_is_refused_with_its_line(
    tmp_path: Path, name: str, origin: Origin, content: str, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        imported(tmp_path, name, origin, content)
    assert not (tmp_path / "made").exists()


ODD: list[Any] = [
    None,
    3,
    True,
    "x",
    "{{",
    "\ud800",
    2**70,
    [],
    {},
    [1],
    [[]],
    ["x"],
    {"a": 1},
    [{"role": "user"}],
    {"role": [1]},
]
SMALL = [(origin, content) for name, origin, content in FILES if not name.endswith(".yaml")]


@given(st.sampled_from(SMALL), st.data())
@settings(max_examples=60, deadline=None)
def test_a_file_with_an_odd_value_anywhere_is_read_or_refused_in_one_line(
    case: tuple[Origin, str], data: st.DataObject
) -> None:
    """What other tools write changes with their releases."""
    origin, content = case
    whole: Any = [json.loads(line) for line in content.splitlines()]
    inner, place = whole, 0
    while True:
        place = data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(min(2, len(inner)))))
        if not isinstance(inner[place], dict | list) or not inner[place] or data.draw(st.booleans()):
            break
        inner = inner[place]
    inner[place] = data.draw(st.sampled_from(ODD))
    with TemporaryDirectory() as folder:
        said = ""
        try:
            imported(Path(folder), "odd.json", origin, "\n".join(map(json.dumps, whole)))
        except InputError as error:
            said = str(error)
        assert "\n" not in said
        assert (Path(folder) / "made").exists() == (not said)


def test_the_command_makes_the_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, origin, content = FILES[4]
    Path(name).write_text(content, encoding="utf-8")
    done = CliRunner().invoke(run.app, ["import", name, "--from", origin, "--json"])
    assert done.exit_code == 0, done.stderr
    told: Mapping[str, Any] = json.loads(done.stdout)
    assert (told["configuration"], told["examples"]) == ("tuned/tuned.toml", N)
    again = CliRunner().invoke(run.app, ["import", name, "--from", origin])
    assert again.exit_code == 2
    assert "there already" in again.stderr
