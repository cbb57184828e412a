"""The commands that a stranger meets first: version, completion, prices, init, runs and compare."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import orjson
import pytest
from anyio import to_thread
from typer.core import TyperGroup
from typer.main import get_command

from agents.config.configuration import load
from protocols.budget.prices import published
from run import app
from tests.command_line import answer, invoke, without_keys
from tests.guard import python_path
from tests.pages import ROOT, execute
from tests.small_task import write_task
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
LABELS = ("billing", "shipping", "returns")
CSV = "Nachricht;Team\n" + "".join(f'"Wo ist {n}; und wann?";{LABELS[n % 3]}\n' for n in range(60))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, without anybody's keys."""
    monkeypatch.chdir(tmp_path)
    without_keys(monkeypatch)
    return tmp_path


def test_the_version_is_that_of_the_project() -> None:
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    code, out, _ = invoke("--version")
    assert (code, out.split()[:2]) == (0, ["promptflow", said])


COMPLETED = [
    (["com"], "compare"),
    (["evaluate", "a", "b", "--sp"], "--split"),
    (["evaluate", "a", "b", "--split", "val"], "validation"),
    (["memory", "pr"], "prune"),
]


def test_a_shell_completes_commands_options_and_values() -> None:
    """bash itself, with the script that the command line prints."""
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = (
        f'source <({ROOT}/run.py --show-completion bash); complete=$(complete -p run.py | sed "s/.*-F //; s/ .*//")\n'
    )
    for words, _ in COMPLETED:
        typed = " ".join(["run.py", *words])
        script += (
            f'COMP_WORDS=({typed}); COMP_CWORD={len(words)}; $complete {ROOT}/run.py; echo "${{COMPREPLY[@]}}"\n'
        )
    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=True)
    for (_, completed), said in zip(COMPLETED, done.stdout.splitlines(), strict=True):
        assert completed in said.split(), done.stderr


def commands_of(group: TyperGroup, before: tuple[str, ...] = ()) -> dict[tuple[str, ...], set[str]]:
    """The options of each command, by its words."""
    found: dict[tuple[str, ...], set[str]] = {}
    for name, command in group.commands.items():
        words = (*before, name)
        if isinstance(command, TyperGroup):
            found |= commands_of(command, words)
        else:
            found[words] = {option for parameter in command.params for option in parameter.opts}
    return found


def test_every_command_that_prints_a_result_has_it_as_json() -> None:
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    options = commands_of(root)
    assert {words for words, known in options.items() if "--json" not in known} == {("watch",)}


@pytest.mark.parametrize(
    "words", [["evaluate"], ["show", "x", "--split", "none"], ["runs", "--bogus"], ["memory", "stats"], ["bogus"]]
)
def test_a_call_that_is_no_call_says_so_as_json_where_that_is_asked_for(words: list[str]) -> None:
    code, out, err = invoke(*words, "--json")
    error = orjson.loads(out)["error"]
    assert (code, error["type"]) == (2, "UsageError")
    assert error["message"] in err
    assert invoke(*words)[:2] == (2, "")


def test_known_prices_have_a_date_and_a_source() -> None:
    code, out, _ = invoke("prices")
    assert code == 0
    for each in answer("prices")["lists"]:
        assert re.fullmatch(r"20\d\d-\d\d", each["date"])
        assert f"{each['provider']}: read in {each['date']} from {each['source']}" in " ".join(out.split())
        for model, price in each["models"].items():
            assert 0 <= price["cached"] <= price["input"] <= price["output"], model
    assert {each.provider for each in published()} == {"openai", "anthropic"}


def test_the_price_of_each_role_is_that_of_its_model(here: Path) -> None:
    config = write_task(here / "task")
    models = ("--set", "models.default=openai/gpt-5-mini", "--set", "models.critic=openai/unheard-of")
    own = ("--set", 'providers."openai/gpt-5-mini".price={input=9.0,output=99.0}')
    roles = answer("prices", config, *models)["roles"]
    assert roles["task"]["price"]["output"] == 2.0
    assert roles["critic"]["price"] is None
    assert answer("prices", config, *[*models, *own])["roles"]["task"]["price"]["output"] == 99.0
    _, out, _ = invoke("prices", config, *models)
    assert "openai/unheard-of: no price is known" in out
    assert invoke("prices", "--set", "a.b=1")[0] == 2


async def test_from_a_csv_file_to_a_trained_prompt(here: Path) -> None:
    """In three commands, each as the one before it says; the model is a local server."""
    (here / "post.csv").write_text("\ufeff" + CSV, encoding="utf-8")
    code, out, err = invoke("init", "post.csv")
    assert (code, err) == (0, "")
    lines = [found.split() for found in re.findall(r"^  (?:promptflow|python run\.py) (.*)$", out, re.MULTILINE)]
    assert [words[0] for words in lines] == ["doctor", "search"]
    config = here / "post.toml"
    capped = re.sub(r"^dollars = \S+", "calls = 3000", config.read_text(encoding="utf-8"), flags=re.MULTILINE)
    config.write_text(capped, encoding="utf-8")  # no price is known of the server
    async with WireServer(lambda turns: "billing") as server:
        for words in lines:
            await to_thread.run_sync(execute, ["python", str(ROOT / "run.py"), *words], here, server)
    assert (here / "runs" / "post-1" / "best_prompt.txt").is_file()


def test_questions_are_asked_on_a_terminal_and_answers_obeyed(here: Path) -> None:
    (here / "post.csv").write_text(CSV.replace("Team", "Wohin"), encoding="utf-8")
    leader, follower = pty.openpty()
    environ = {**os.environ, "PYTHONPATH": python_path(ROOT), "COLUMNS": "200"}
    command = [sys.executable, str(ROOT / "run.py"), "init"]
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environ) as asked:
        os.close(follower)
        os.write(leader, b"post.csv\n\nWhich team takes this?\nopenai/gpt-5\n")
        said = b""
        try:
            while chunk := os.read(leader, 4096):
                said += chunk
        except OSError:  # Linux's end of a terminal
            pass
        assert asked.wait() == 0, said
    os.close(leader)
    assert b"(Nachricht, Wohin) [Wohin]" in said
    configuration = load(here / "post.toml", [])
    assert configuration.models.of("task") == "openai/gpt-5"
    assert "Which team takes this?" in (here / "post.prompt.txt").read_text(encoding="utf-8")


def test_without_a_terminal_nothing_is_asked(here: Path) -> None:
    assert invoke("init")[0] == 2
    (here / "post.csv").write_text(CSV, encoding="utf-8")
    found = answer("init", "post.csv", "--model", "embedded")
    assert (found["kind"], found["target"], found["input"]) == ("classification", "Team", ["Nachricht"])
    assert sorted(found["labels"]) == sorted(LABELS)
    code, _, err = invoke("init", "post.csv")
    assert code == 2
    assert "--force" in err
    assert invoke("init", "post.csv", "--force")[0] == 0


def test_runs_are_listed_and_compared(here: Path) -> None:
    config = write_task(here / "task")
    for number in range(2):
        code, out, _ = invoke("search", config, "--set", f"search.assignments={number}")
        assert code == 0
        assert f"show runs/small-{number + 1} prints the prompt, export runs/small-{number + 1} --to" in out
    assert Path(answer("export", "runs/small-1", "--to", "python", "--out", "p.py")["files"][0]).is_file()
    assert "{text}" in answer("export", "runs/small-1", "--to", "langfuse")["files"].popitem()[1]
    assert Path(answer("report", "runs/small-1")["report"]).is_file()
    assert answer("report", "runs/small-1", "--format", "json", "--out", "r.json") == {"report": "r.json"}
    assert answer("report", "runs/small-1", "--format", "json") == orjson.loads((here / "r.json").read_bytes())
    assert invoke("report", "runs/small-1", "--format", "md", "--json")[0] == 2
    (here / "runs" / "foreign").mkdir()
    code, out, _ = invoke("runs")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "run", "runs/small-2", "runs/small-1", "runs/foreign:",
    ]  # fmt: skip
    assert [row["state"] for row in answer("runs")["runs"]] == ["finished", "finished", "unreadable"]
    code, out, err = invoke("compare", "runs/small-1", "runs/small-2", "--html", "beside.html")
    assert code == 0, err
    assert "accuracy on 9 test examples" in out
    assert (here / "beside.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    document = answer("compare", "runs/small-1", "runs/small-2")
    assert document["shared"] == 9
    assert len(document["sides"]) == 2
    code, _, err = invoke("compare", "runs/small-1", "runs/foreign")
    assert (code, len(err.splitlines())) == (2, 1)
