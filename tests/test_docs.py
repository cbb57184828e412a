"""Every command and every piece of code in the README and in docs does what is said there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import get_args

import anyio
import orjson
import pytest
from anyio import to_thread
from typer.testing import CliRunner

from agents.api import train
from agents.archive.ends import INTERRUPTED
from agents.config.catalogue import OPERATORS
from agents.config.configuration import build, load
from agents.config.loading import sources
from agents.config.metrics import METRICS
from agents.config.tables.search import CapsTable
from agents.directory.resume_fingerprint import FREE, FREE_OF_PROVIDERS
from agents.directory.run_directory import JOURNAL
from agents.exports.formats import FORMATS as FORMATS_OF_EXPORT
from agents.history.progress import Progress
from agents.imports.writing import ORIGINS
from agents.programs.bound import Bound
from agents.programs.worker import ANSWERS
from agents.programs.workers import question
from agents.results.saved import load_prompt
from agents.run.opening import open_run
from agents.run.steering import settable
from examples.agent.program import PRICES
from memory.journals.reading import read_calls, read_journal
from protocols.data import load_examples
from protocols.files import prompt_file
from protocols.kinds.kinds import TASK_KINDS
from protocols.messages import (
    Accept,
    Assignment,
    Candidate,
    Change,
    Continue,
    Envelope,
    Evaluation,
    Freeze,
    Inject,
    Message,
    Pause,
    Reject,
    Stop,
)
from protocols.program import Prompts
from protocols.prompt import FORMS, Prompt, Section
from run import app
from tests.guard import python_path
from tests.pages import KEY, README, ROOT, blocks, checkout, commands, execute, page
from tests.processes import run_python
from tests.renderers import plainly, python
from tests.small_task import SIMULATED, SIZES, write_task
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
DATA_PAGE = page("docs/data.md")
OPERATORS_PAGE = page("docs/operators.md")
AGENTS_PAGE = page("docs/agents.md")
RUNS_PAGE = page("docs/runs.md")
STEERING_PAGE = page("docs/steering.md")
PYTHON_PAGE = page("docs/python.md")
REPORTS_PAGE = page("docs/reports.md")
METRICS_PAGE = page("docs/metrics.md")
PROGRAMS_PAGE = page("docs/programs.md")


async def test_every_command_runs_as_it_is_written(tmp_path: Path) -> None:
    """In order, in a folder that looks like the checkout; a local server stands in for the provider."""
    checkout(tmp_path)
    write_post(tmp_path)
    write_task(tmp_path / "data")
    for split in SIZES:
        shutil.copy(tmp_path / "data" / f"{split}.jsonl", tmp_path)
    priced = "[providers.openai]\nprice = { input = 0.25, output = 2.0 }\n"  # no price is known of the server
    (tmp_path / "mine.toml").write_text(blocks("toml")[0] + priced, encoding="utf-8")
    async with WireServer(lambda turns: "billing") as server:
        for command in commands():
            await to_thread.run_sync(execute, command, tmp_path, server)
    for name in ("real", "mine-1"):
        result = orjson.loads((tmp_path / "runs" / name / "result.json").read_bytes())
        assert result["models"]["task"] == "openai/gpt-5-mini"


async def test_every_command_about_runs_runs_as_it_is_written(tmp_path: Path) -> None:
    checkout(tmp_path)
    async with WireServer(lambda turns: "billing") as server:
        for command in commands(RUNS_PAGE):
            await to_thread.run_sync(execute, command, tmp_path, server)
    names = set(re.findall(r"`([\w.-]+)`", "".join(re.findall(r"^\| (`.*?) \|", RUNS_PAGE, re.MULTILINE))))
    there = {path.name for path in (tmp_path / "runs" / "first").iterdir()}
    assert there - names <= {
        "journal.sqlite-wal",
        "journal.sqlite-shm",
        "memory.sqlite-wal",
        "memory.sqlite-shm",
    }


COMMANDED = [
    "docs/answers.md",
    "docs/moving.md",
    "docs/beginning.md",
    "docs/comparing.md",
    "docs/data.md",
    "docs/simulator.md",
    "docs/spending.md",
    "docs/sweeps.md",
]


async def test_every_command_about_preferences_runs_as_it_is_written(tmp_path: Path) -> None:
    checkout(tmp_path)
    text = page("docs/preferences.md")
    (tmp_path / "thanks.toml").write_text(blocks("toml", text)[0], encoding="utf-8")
    prompt = "=== task (task) ===\nGive thanks for {text}.\n=== examples (examples) ===\n"
    (tmp_path / "thanks.txt").write_text(prompt, encoding="utf-8")
    (tmp_path / "gifts.jsonl").write_bytes(b"\n".join(orjson.dumps({"text": f"gift {n}"}) for n in range(60)))
    async with WireServer(lambda turns: "Better: 0" if "<answer_1>" in turns[-1][1] else "Thank you!") as server:
        for command in commands(text):
            await to_thread.run_sync(execute, command, tmp_path, server)
    result = orjson.loads((tmp_path / "runs" / "thanks-2" / "result.json").read_bytes())
    assert (result["first"]["value"], result["test"]["best"]) == (0.5, 0.5)


def write_post(folder: Path) -> None:
    """The file of examples that a page and the README begin with, and more of its kind."""
    [said] = blocks("csv", page("docs/beginning.md"))
    more = "".join(f'"Nachricht {n}; mehr davon";{("versand", "rechnung")[n % 2]};2026-02-01\n' for n in range(40))
    (folder / "post.csv").write_text(said + more, encoding="utf-8")


@pytest.mark.parametrize("name", COMMANDED)
async def test_every_command_of_a_page_runs_as_it_is_written(tmp_path: Path, name: str) -> None:
    checkout(tmp_path)
    write_post(tmp_path)
    async with WireServer(lambda turns: "billing") as server:
        for command in commands(page(name)):
            await to_thread.run_sync(execute, command, tmp_path, server)


SEARCHES_TO_STEER = re.findall(r"^    (python run.py search .*)$", STEERING_PAGE, re.MULTILINE)


async def test_every_command_about_edits_that_wait_is_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the numbers of two edits that wait in the place of those of the page."""
    monkeypatch.chdir(tmp_path)
    checkout(tmp_path)
    words = shlex.split(SEARCHES_TO_STEER[1])
    assert words[3::2] == ["examples/simulated.toml", "runs/reviewed", "search.review=true"]
    progress, several, decided = Progress(), anyio.Event(), list[Message]()

    async def look(envelope: Envelope) -> None:
        progress.follow(envelope)
        if len(progress.waiting) == 2:
            several.set()
        if isinstance(envelope.message, Accept | Reject):
            decided.append(envelope.message)

    async with (
        open_run(load(Path(words[3]), words[7:]), {}, Path(words[5])) as run,
        anyio.create_task_group() as tasks,
    ):
        run.bus.tap(look)
        tasks.start_soon(run.search)
        await several.wait()
        there = iter([*progress.waiting])
        for command in [each for each in commands(STEERING_PAGE) if "runs/reviewed" in each]:
            said = [str(next(there)) if word.isdecimal() else word for word in command[2:]]
            done = await to_thread.run_sync(CliRunner().invoke, app, said)
            assert (done.exit_code, done.stderr) == (0, "")
        await run.stop(INTERRUPTED)
    assert [type(message) for message in decided] == [Accept, Reject]


def test_every_command_about_steering_is_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkout(tmp_path)
    [begin, _] = SEARCHES_TO_STEER
    begun = [sys.executable, *shlex.split(begin)[1:]]
    with subprocess.Popen(begun, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as search:
        assert search.stderr is not None
        assert "first prompt" in search.stderr.readline()
        first = (tmp_path / "runs" / "steered" / "first_prompt.txt").read_text(encoding="utf-8")
        (tmp_path / "mine.txt").write_text(first.replace("answer this", "answer that"), encoding="utf-8")
        for command in [words for words in commands(STEERING_PAGE) if "runs/steered" in words]:
            assert command[:2] == ["python", "run.py"]
            done = CliRunner().invoke(app, command[2:])
            assert (done.exit_code, done.stderr) == (0, "")
            assert len(done.stdout.splitlines()) == 1
        _, errors = search.communicate()
    assert search.returncode == 0, errors
    kinds = [Pause, Change, Change, Freeze, Inject, Continue, Stop]
    said = [e for e in read_journal(tmp_path / "runs" / "steered" / JOURNAL) if e.sender == "person"]
    assert [type(envelope.message) for envelope in said] == kinds
    assert {kind.__name__ for kind in kinds} <= set(re.findall(r"`(\w+)`", STEERING_PAGE))


def test_what_can_be_set_is_what_the_page_says(tmp_path: Path) -> None:
    table = {"budget": {"roles": {"critic": {"calls": 1}}, "operators": {"few_shot": {"calls": 1}}}}
    task = {"name": "t", **{s: f"{s}.jsonl" for s in SIZES}}
    caps = "|".join(CapsTable.model_fields)
    known = {
        re.sub(rf"(roles|operators)\.\w+\.({caps})", r"\1", name)
        for name in settable(build({"models": SIMULATED, "task": task, **table}, tmp_path))
    }
    rows = "".join(re.findall(r"^\| (`(?:search|budget).*?) \|", STEERING_PAGE, re.MULTILINE))
    said = {re.sub(r"\.(ROLE|OPERATOR)\.CAP", "", name) for name in re.findall(r"`([\w.]+)`", rows)}
    assert said == known


@pytest.mark.parametrize("name", ["train", "watch", "own"])
def test_the_examples_in_python_are_those_of_the_page_and_run(tmp_path: Path, name: str) -> None:
    code = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
    assert code in blocks("python", PYTHON_PAGE)
    checkout(tmp_path)
    done = run_python(["-m", f"examples.{name}"], tmp_path, {**os.environ, "PYTHONPATH": python_path(ROOT)})
    assert done.returncode == 0, done.stderr
    assert re.search(r"(validation|test) 0\.\d\d to [01]\.\d\d|[01]\.\d\d after \d+ messages", done.stdout)


@pytest.mark.parametrize("section", ["Labels: invoice, parcel", "{examples:2}", "Know:\n{passages:1}"])
async def test_the_best_prompt_is_used_as_the_page_says(
    tmp_path: Path, section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without assignments the first prompt is the best one; the search asks it on the test split at last."""
    [code] = [block for block in blocks("python", PYTHON_PAGE) if "load_prompt" in block]
    [text] = re.findall(r'"text": "(.*?)"', code)
    (tmp_path / "corpus.txt").write_text("What is charged is an invoice.", encoding="utf-8")
    test = [{"input": {"text": text}, "target": "invoice", "id": "asked"}]
    task = {"name": "mine", **{s: f"{s}.jsonl" for s in SIZES}, "corpus": "corpus.txt"}
    prompt = (
        f"=== task (task) ===\nWhich?\n=== shown (examples) ===\n{section}\n=== in (task, frozen) ===\n{{text}}\n"
    )
    config = write_task(tmp_path, splits={"test": test}, prompt=prompt, tables={"task": task})
    (tmp_path / "use.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", python_path(ROOT))
    async with WireServer(lambda turns: "invoice") as server:
        environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.openai_url}
        directory, none = tmp_path / "runs" / "mine-1", {"assignments": 0}
        await train(config, models="openai/gpt-5-mini", directory=directory, environ=environ, search=none)
        await to_thread.run_sync(execute, ["python", "use.py"], tmp_path, server)
        asked = [call.body["messages"] for call in server.received if text.encode() in call.raw]
    first, last = asked
    assert first == last
    fixed = ["Which?", *[section] * ("{" not in section)]
    assert isinstance(last, list)
    assert last[0] == {"role": "system", "content": "\n\n".join(fixed)}
    assert last[1]["content"].endswith(text)


def test_the_settings_that_may_change_are_those() -> None:
    table = "".join(re.findall(r"^\| (`(?:\[budget|search|agents).*?) \|", RUNS_PAGE, re.MULTILINE))
    said = {name.strip("[]") for name in re.findall(r"`([\w.\[\]]+)`", table)}
    assert said == {name for name in FREE if name.startswith(("budget", "search", "agents"))} | FREE_OF_PROVIDERS


FORMATS = re.findall(
    r"^### ([^\n]+)\n.*?^```\w+\n(.*?)^```\n\n```toml\n(.*?)^```\n\n```jsonl\n(.*?)^```",
    DATA_PAGE,
    re.MULTILINE | re.DOTALL,
)


NUMBERS = {
    6: "six|half a dozen",
    12: "twelve|a dozen",
    1: "one|a",
    **{n + 2: word for n, word in enumerate(["two", "three", "four", "five"])},
    **{n + 7: word for n, word in enumerate(["seven", "eight", "nine", "ten", "eleven"])},
    **{n + 13: word for n, word in enumerate(["thirteen", "fourteen", "fifteen", "sixteen"])},
    18: "eighteen",
    20: "twenty",
}
"""Numbers as the orders of the examples say them; `half a dozen` before `a dozen`, and these before `a`."""


def test_every_format_of_the_page_is_read() -> None:
    assert [name for name, *_ in FORMATS] == re.findall(r"^### (.*)$", DATA_PAGE, re.MULTILINE)


@pytest.mark.parametrize(
    ("content", "settings", "becomes"), [row[1:] for row in FORMATS], ids=[r[0] for r in FORMATS]
)
def test_a_file_becomes_the_examples_that_the_page_says(
    tmp_path: Path, content: str, settings: str, becomes: str
) -> None:
    table = tomllib.loads(settings)["task"]
    (tmp_path / table["train"]).write_text(content, encoding="utf-8")
    configuration = build(
        {"models": SIMULATED, "task": {"name": "t", "validation": "v", "test": "t"} | table}, tmp_path
    )
    loaded = load_examples(sources(configuration)["train"], "train")
    expected = [orjson.loads(line) for line in becomes.splitlines()]
    assert [{"id": e.id, "input": e.inputs, "target": e.target} for e in loaded] == expected


def test_every_piece_of_configuration_is_one() -> None:
    task = {"name": "mine", **{split: f"{split}.jsonl" for split in SIZES}}
    for block in blocks("toml", DATA_PAGE):
        given = tomllib.loads(block)["task"]
        build({"models": SIMULATED, "task": ({} if "data" in given else task) | given}, ROOT)
    for block in (*blocks("toml"), *blocks("toml", OPERATORS_PAGE)[:1]):
        build({"models": SIMULATED, "task": task} | tomllib.loads(block), ROOT)
    for block in blocks("toml", METRICS_PAGE):
        table = tomllib.loads(block)
        build({"models": SIMULATED, **table, "task": task | table["task"]}, ROOT)


def test_the_benchmark_that_is_named_runs() -> None:
    [module] = set(re.findall(r"python -m (benchmarks\.\w+)", README))
    few = ["--calls", "40", "--in-flight", "8", "--latency", "0.005", "--rounds", "1"]
    done = run_python(["-m", module, *few], ROOT)
    assert done.returncode == 0, done.stderr
    assert "the whole ring" in done.stdout


def test_a_prompt_with_turns_is_sent_as_the_page_says() -> None:
    [text] = [block for block in blocks("text", OPERATORS_PAGE) if "--- user ---" in block]
    sent = prompt_file.loads(text).render({"text": "x"})
    assert [(message.speaker, message.text) for message in sent] == [
        ("system", "Which department answers the message?"),
        ("user", "Message: I was charged twice\nDepartment:"),
        ("assistant", "billing"),
        ("user", "Message: x\nDepartment:"),
    ]
    assert [row[1:-1] for row in re.findall(r"^\| (`\w+`) \| t(?:ext|urns) of ", OPERATORS_PAGE, re.M)] == [*FORMS]


async def test_a_program_is_trained_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In 30 lines, and from Python. A local server answers, of which both prompts ask the same."""
    checkout(tmp_path)
    [program, script, *_], [table, *_] = blocks("python", PROGRAMS_PAGE), blocks("toml", PROGRAMS_PAGE)
    run_by = "".join(blocks("sh", PROGRAMS_PAGE))
    assert len([line for line in (program + table + run_by).splitlines() if line.strip()]) <= 30
    (tmp_path / "mine.py").write_text(program, encoding="utf-8")
    (tmp_path / "mine.toml").write_text(table, encoding="utf-8")
    assert '"assignments": 20' in script
    (tmp_path / "objects.py").write_text(script.replace(": 20}", ": 1}"), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", python_path(ROOT))
    async with WireServer(lambda turns: "3 x croissant") as server:
        for command in commands(PROGRAMS_PAGE):
            await to_thread.run_sync(execute, command, tmp_path, server)
        await to_thread.run_sync(execute, ["python", "objects.py"], tmp_path, server)
    for run_name in ("orders", "objects"):
        best = prompt_file.load(tmp_path / "runs" / run_name / "best_prompt.txt")
        assert best.names == ("extract", "write")


def test_what_the_page_of_programs_names_is_what_there_is() -> None:
    task = {"name": "mine", **{split: f"{split}.jsonl" for split in SIZES}}
    for given in map(tomllib.loads, blocks("toml", PROGRAMS_PAGE)):
        prompts = given.get("prompts") or {"extract": {"text": "x"}}
        build({"models": SIMULATED, **given, "prompts": prompts, "task": task | given.get("task", {})}, ROOT)
    asked, answered = (orjson.loads(block) for block in blocks("json", PROGRAMS_PAGE))
    [example] = load_examples(sources(load(ROOT / "examples" / "pipeline.toml"))["train"], "train")[:1]
    bound = Bound("extract", Prompt((Section("task", "task"),)), frozenset(), lambda prompt, values: values)
    sent = orjson.loads(question(example, Prompts({"extract": bound})))
    assert sent.keys() == asked.keys()
    assert sent["prompts"]["extract"].keys() == asked["prompts"]["extract"].keys()
    assert answered.keys() <= {"id", *ANSWERS}


@pytest.mark.parametrize("name", ["pipeline", "agent"])
def test_an_example_of_a_program_runs_on_the_simulator(tmp_path: Path, name: str) -> None:
    checkout(tmp_path)
    less = ["search.assignments=1", "search.critique=4"]
    command = ["search", f"examples/{name}.toml", "--out", "out", *(word for one in less for word in ("--set", one))]
    done = run_python(["run.py", *command], tmp_path)
    assert done.returncode == 0, done.stderr
    messages = [envelope.message for envelope in read_journal(tmp_path / "out" / JOURNAL)]
    outcomes = [outcome for message in messages if isinstance(message, Evaluation) for outcome in message.outcomes]
    tables = tomllib.loads((ROOT / "examples" / f"{name}.toml").read_text(encoding="utf-8"))
    assert {step.prompt for outcome in outcomes for step in outcome.steps} == tables["prompts"].keys()


@pytest.mark.parametrize("name", ["pipeline", "agent"])
def test_the_rows_of_a_program_s_example_are_right(name: str) -> None:
    """Each order says its number in words, and its item; what it costs is in the price list."""
    rows = [
        orjson.loads(line)
        for split in SIZES
        for line in (ROOT / "examples" / name / f"{split}.jsonl").read_bytes().splitlines()
    ]
    assert len({row["input"]["text"] for row in rows}) == len({row["id"] for row in rows}) == 96
    for row in rows:
        said = row["input"]["text"].lower().replace("loaves", "loaf")
        [item] = [item for item in PRICES if item in said]
        count = next(number for number, words in NUMBERS.items() if re.search(rf"\b({words})\b[a-z ]* {item}", said))
        assert row["target"] == (f"{count} x {item}" if name == "pipeline" else str(count * PRICES[item])), row


def test_the_targets_that_are_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\w+)", README + page("CONTRIBUTING.md"), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_an_operator_of_ones_own_takes_part_in_a_search(tmp_path: Path) -> None:
    """With the embedded model, in a process that finds it in the working directory."""
    [writer, code], [_, table] = blocks("python", OPERATORS_PAGE), blocks("toml", OPERATORS_PAGE)
    assert len([line for line in code.splitlines() if line.strip()]) < 25
    assert len(writer.splitlines()) < 10
    [call] = re.findall(r"`(reply = await .*?)`; the answer", OPERATORS_PAGE)
    asking = f"""
from protocols.model import ChatMessage, Request


class Asks(NameTheMissed):
    name = "asks"

    async def edit(self, assignment, context):
        question = "What is missing?"
        {call}
        return assignment.prompt.edit(assignment.section, "Asked: " + reply.text, context.task.fields)
"""
    (tmp_path / "mine.py").write_text(writer + code + asking, encoding="utf-8")
    task = "=== task (task) ===\nWhich?\nLabels: invoice, parcel, 退款"
    prompt = f"{task}\n=== end (reminders) ===\n=== examples (examples) ==="
    operators = [*tomllib.loads(table)["search"]["operators"], "mine:Asks", "mine:PlainWords"]
    search = {"assignments": 12, "width": 2, "critique": 12, "operators": operators}
    config = write_task(tmp_path, prompt=f"{prompt}\n=== input (task) ===\n{{text}}\n", tables={"search": search})
    done = run_python([str(ROOT / "run.py"), "search", str(config), "--out", "out"], tmp_path)
    assert done.returncode == 0, done.stderr
    candidates = [e.message for e in read_journal(tmp_path / "out" / JOURNAL) if isinstance(e.message, Candidate)]
    for said in ("Do not forget: ", "Asked: "):
        assert any(said in candidate.prompt["end"].text for candidate in candidates)
    calls = [call for call in read_calls(tmp_path / "out" / JOURNAL) if call.role == "proposer/plain_words"]
    assert calls, "it has asked its model"


async def test_a_judge_is_compared_with_people_as_it_is_written(tmp_path: Path) -> None:
    [table] = [text for text in blocks("toml", METRICS_PAGE) if 'target = "none"' in text]
    rows = [orjson.loads(line) for line in blocks("jsonl", METRICS_PAGE)[0].splitlines()]
    said = tomllib.loads(table)["task"]
    fields = said.pop("fields")
    task = {"name": "mine", **{split: f"{split}.jsonl" for split in SIZES}, **said}
    some = {split: [{"text": f"{split} {n}"} for n in range(4)] for split in SIZES}
    checkout(tmp_path)
    tables = {"task": task, "task.fields": fields, "models": {"default": "openai/m"}}
    write_task(tmp_path, splits=some, tables=tables).rename(tmp_path / "mine.toml")
    (tmp_path / "grades.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows * 10)))
    command, _ = commands(METRICS_PAGE)
    async with WireServer(lambda turns: f"Score: {8 if 'book' in turns[-1][1] else 3}") as server:
        await to_thread.run_sync(execute, command, tmp_path, server)


def test_a_metric_and_a_parser_of_ones_own_judge_a_run(tmp_path: Path) -> None:
    [code], [*_, table] = blocks("python", METRICS_PAGE), blocks("toml", METRICS_PAGE)
    *_, command = commands(METRICS_PAGE)
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    task = {"name": "mine", **{split: f"{split}.jsonl" for split in SIZES}, **tomllib.loads(table)["task"]}
    write_task(tmp_path, tables={"task": task}).rename(tmp_path / "mine.toml")
    for words in (command[2:], ["search", "mine.toml", "--out", "out"]):
        done = run_python([str(ROOT / "run.py"), *words], tmp_path)
        assert done.returncode == 0, done.stderr
    messages = [envelope.message for envelope in read_journal(tmp_path / "out" / JOURNAL)]
    outcomes = [outcome for message in messages if isinstance(message, Evaluation) for outcome in message.outcomes]
    assert outcomes
    assert all(outcome.score == 1 or "expected" in outcome.feedback for outcome in outcomes)


def test_agents_of_ones_own_take_part_in_a_search(tmp_path: Path) -> None:
    [code], [table] = blocks("python", AGENTS_PAGE), blocks("toml", AGENTS_PAGE)
    assert len(code.splitlines()) < 40
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    tables = {"search": {"assignments": 6, "width": 2, "critique": 12}, **tomllib.loads(table)}
    config = write_task(tmp_path, tables=tables)
    done = run_python([str(ROOT / "run.py"), "search", str(config), "--out", "out"], tmp_path)
    assert done.returncode == 0, done.stderr
    messages = [envelope.message for envelope in read_journal(tmp_path / "out" / JOURNAL)]
    assert any("Missed most: " in m.gradient for m in messages if isinstance(m, Assignment))
    counted = Counter(type(message).__name__ for message in messages)
    tally = (tmp_path / "out" / "tally.txt").read_text(encoding="utf-8")
    assert tally == "".join(f"{name} {count}\n" for name, count in sorted(counted.items()))


def test_the_table_of_messages_is_whole() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\| ([^|]*) \|", AGENTS_PAGE, re.MULTILINE)
    said = {name: set(re.findall(r"`(\w+)`", names)) for name, names in rows}
    assert said == {kind.__name__: {field.name for field in fields(kind)} for kind in get_args(Message)}


def test_the_table_of_operators_is_whole() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", OPERATORS_PAGE.split("\n## ")[0], re.MULTILINE)) == set(OPERATORS)


def test_the_tables_of_kinds_and_metrics_are_whole() -> None:
    named = re.findall(r"^\| `(\w+)` \|", METRICS_PAGE, re.MULTILINE)
    assert named == [*TASK_KINDS, *METRICS]


async def test_every_command_about_reports_runs_as_it_is_written(tmp_path: Path) -> None:
    """`watch` is ended as its page says, once it has printed its address."""
    checkout(tmp_path)
    async with WireServer(lambda turns: "billing") as server:
        for command in commands(REPORTS_PAGE):
            run = watch if "watch" in command else execute
            await to_thread.run_sync(run, command, tmp_path, server)
    assert (tmp_path / "runs" / "watched" / "report.html").is_file()
    assert orjson.loads((tmp_path / "first.json").read_bytes())["held"]


def watch(command: list[str], folder: Path, server: WireServer) -> None:
    with subprocess.Popen([sys.executable, *command[1:]], cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "http://127.0.0.1:" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


async def test_every_command_about_exports_runs_as_it_is_written(tmp_path: Path) -> None:
    """The files that the page shows are imported; what was exported renders what the search has sent."""
    checkout(tmp_path)
    text = page("docs/export.md")
    for name, language in (("promptfooconfig.yaml", "yaml"), ("answers.jsonl", "jsonl")):
        [block] = blocks(language, text)
        (tmp_path / name).write_text(block, encoding="utf-8")
    async with WireServer(lambda turns: "billing") as server:
        for command in commands(text):
            await to_thread.run_sync(execute, command, tmp_path, server)
    rendered = python((tmp_path / "tickets.py").read_text(encoding="utf-8"))["render"]({"text": "{text} 付款"})
    assert rendered == plainly(load_prompt(tmp_path / "runs" / "tickets-1").render({"text": "{text} 付款"}))
    assert tomllib.loads((tmp_path / "sorting" / "sorting.toml").read_text(encoding="utf-8"))["models"]["default"]
    assert set(re.findall(r"^\| `([a-z][\w-]+)` \|", text, re.MULTILINE)) == {*FORMATS_OF_EXPORT, *ORIGINS}
