"""The pages lead to each other, the first run goes as its page says, and every message that is quoted is one."""

from __future__ import annotations

import ast
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import numpy as np
import pytest
from anyio.from_thread import start_blocking_portal
from typer.testing import CliRunner

import run
from agents.config.catalogue import SELECTORS, open_selector
from agents.config.configuration import build
from agents.directory.run_directory import read_configuration
from agents.selectors.selector import Action, Choice
from protocols.errors import BadReply
from protocols.files.named import Named
from protocols.model import Usage
from protocols.providers.responses.decoding import decode
from protocols.providers.responses.failures import Answer, kind_of
from tests.command_line import without_keys
from tests.pages import KEY, ROOT, blocks, checkout, commands, page
from tests.small_task import SIMULATED, SIZES, write_task
from tests.wire_server import WireServer

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
FIRST_RUN = page("docs/first-run.md")
PROVIDERS = page("docs/providers.md")
SELECTORS_PAGE = page("docs/selectors.md")
TROUBLESHOOTING = page("docs/troubleshooting.md")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory without keys, from which a module `mine` can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    without_keys(monkeypatch)
    yield tmp_path
    sys.modules.pop("mine", None)


@contextmanager
def serving() -> Iterator[WireServer]:
    """A provider on this machine that runs beside a command of this process."""

    async def made() -> WireServer:
        return WireServer(lambda turns: "parcel")

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(portal.call(made)) as server:
        yield server


def say(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    result = CliRunner().invoke(run.app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def done(*words: str) -> str:
    """What a command prints that comes to its end."""
    code, out, err = say(*words)
    assert code == 0, err
    return out


# The pages


@pytest.mark.parametrize("path", PAGES)
def test_every_link_of_a_page_leads_somewhere(path: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page(path), flags=re.DOTALL)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        there = (ROOT / path).parent / name if name else ROOT / path
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), target


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_table_of_contents_names_every_page() -> None:
    contents = page("docs/README.md")
    named = set(re.findall(r"\]\(([\w/-]+\.md)\)", contents))
    assert {f"docs/{name}" for name in named} | {"docs/README.md"} == {p for p in PAGES if p.startswith("docs/")}


RUN = {
    "tests/test_batch.py": ("docs/batch.md",),
    "tests/test_book.py": ("docs/first-run.md", "docs/providers.md"),
    "tests/test_docs.py": (
        "docs/answers.md",
        "README.md",
        "docs/beginning.md",
        "docs/comparing.md",
        "docs/data.md",
        "docs/export.md",
        "docs/metrics.md",
        "docs/moving.md",
        "docs/preferences.md",
        "docs/programs.md",
        "docs/reports.md",
        "docs/runs.md",
        "docs/simulator.md",
        "docs/spending.md",
        "docs/steering.md",
        "docs/sweeps.md",
    ),
    "tests/test_study_command.py": ("docs/studies.md",),
    "tests/agents/cluster/test_on_ray.py": ("docs/scale.md",),
}
"""The pages whose commands a test runs, by its file."""


def test_no_page_has_commands_that_no_test_runs() -> None:
    assert {path for path in PAGES if commands(page(path))} == {path for paths in RUN.values() for path in paths}
    for file, paths in RUN.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        assert [path for path in paths if path != "README.md" and f'"{path}"' not in text] == []


# The first run

SIMULATED_DEMO = ("demo", "--set", "models.default=embedded")


def test_the_demo_prints_what_the_page_explains(here: Path) -> None:
    """Every line that is quoted, but for its figures and for which edit it was."""
    code, out, err = say(*SIMULATED_DEMO)
    assert code == 0, err
    printed = set(map(shape, [*out.splitlines(), *err.splitlines()]))
    quoted = [shape(line) for block in blocks("text", FIRST_RUN) for line in block.splitlines()]
    assert quoted
    assert set(quoted) <= printed


def shape(line: str) -> str:
    """A line without its figures, its names, and the width of its columns."""
    line = re.sub(r"( \(home-[^)]*\))?", "", line)
    line = re.sub(r"\w+ on (?!test)\w+:", "OPERATOR on SECTION:", line)
    return " ".join(re.sub(r"[+-]?\d[\d,.:]*", "0", line).replace("0 example.", "0 examples.").split())


def test_every_command_of_the_first_run_runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller task stands in for the examples, and a local server for the provider."""
    for name in ("home", "tickets"):
        write_task(here / "examples").rename(here / "examples" / f"{name}.toml")
    done("search", "examples/home.toml", "--out", "runs/home-1")
    with serving() as server:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        for command in commands(FIRST_RUN):
            assert command[:2] == ["python", "run.py"]
            done(*command[2:], *(["--set", "search.assignments=1"] if "search" in command else []))
        assert server.stats.calls > 2 * SIZES["test"]


# Providers


def test_every_table_of_the_chapter_on_providers_is_configuration() -> None:
    task = {"name": "mine", **{split: f"{split}.jsonl" for split in SIZES}}
    for block in blocks("toml", PROVIDERS):
        build({"models": SIMULATED, "task": task} | tomllib.loads(block), ROOT)


def test_a_client_of_ones_own_makes_the_calls(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = blocks("python", PROVIDERS)
    [table] = [tomllib.loads(block) for block in blocks("toml", PROVIDERS) if "client =" in block]
    (here / "mine.py").write_text(code, encoding="utf-8")
    [(name, settings)] = table["providers"].items()
    given = f"""
[providers."{name}"]
client = "{settings["client"]}"
price = {{ input = {settings["price"]["input"]}, output = {settings["price"]["output"]} }}
"""
    config = write_task(here, tables={"models": table["models"]})
    config.write_text(config.read_text(encoding="utf-8") + given, encoding="utf-8")
    with serving() as server:
        monkeypatch.setenv("GATEWAY_URL", server.openai_url)
        monkeypatch.setenv("GATEWAY_TOKEN", KEY)
        said = done("search", str(config), "--set", "search.assignments=1", "--set", "budget.dollars=1")
        calls = list(server.received)
    assert calls
    assert {call.headers.find("X-Team") for call in calls} == {"support"}
    assert {call.headers.find("Authorization") for call in calls} == {f"Bearer {KEY}"}
    assert re.search(r"cost \$0\.0[0-9]*[1-9]", said)


def test_the_worked_example_is_estimated_as_the_page_says(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout(here)
    [mixed] = [block for block in blocks("toml", PROVIDERS) if 'name = "mixed"' in block]
    (here / "mixed.toml").write_text(mixed, encoding="utf-8")
    for provider in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{provider}_API_KEY", KEY)
    [command], [estimate] = commands(PROVIDERS), blocks("text", PROVIDERS)
    assert set(map(shape, estimate.splitlines())) <= set(map(shape, done(*command[2:]).splitlines()))


# Selectors


def test_the_table_of_selectors_is_whole() -> None:
    assert re.findall(r"^\| `(\w+)` \|", SELECTORS_PAGE, re.MULTILINE) == list(SELECTORS)


def test_a_selector_of_ones_own_decides_a_search(here: Path) -> None:
    (here / "mine.py").write_text(blocks("python", SELECTORS_PAGE)[0], encoding="utf-8")
    search = tomllib.loads(next(block for block in blocks("toml", SELECTORS_PAGE) if "WinStay" in block))["search"]
    search |= {"assignments": 6, "operators": ["few_shot", "self_reflection"]}
    done("search", str(write_task(here, tables={"search": search})))


def test_a_selector_has_its_parameter_and_a_setting_varies_it(here: Path) -> None:
    (here / "mine.py").write_text(blocks("python", SELECTORS_PAGE)[1], encoding="utf-8")
    [table] = [tomllib.loads(block)["search"] for block in blocks("toml", SELECTORS_PAGE) if "Exp3" in block]
    search = {"assignments": 4, "critique": 12, "operators": ["few_shot", "self_reflection"]}
    text = write_task(here, tables={"search": search}).read_text(encoding="utf-8")
    selector = 'selector = { use = "mine:Exp3", gamma = 0.2 }'
    assert tomllib.loads(selector) == table
    config = here / "exp3.toml"
    config.write_text(text.replace("[search]\n", f"[search]\n{selector}\n"), encoding="utf-8")
    done("search", str(config), "--set", "search.selector.gamma=0.5", "--out", "out")
    assert read_configuration(here / "out").search.selector.dumped() == {"use": "mine:Exp3", "gamma": 0.5}


def test_the_rule_of_the_selector_on_the_page(here: Path) -> None:
    (here / "mine.py").write_text(blocks("python", SELECTORS_PAGE)[0], encoding="utf-8")
    state = np.zeros(4, np.float32)
    choices = [Choice(Action(name, "task"), "task", state) for name in "abcdefgh"]
    selector = open_selector(Named("mine:WinStay"), Random(1))
    first = selector.choose(choices)
    selector.learn(first, 0.1, choices)
    assert selector.choose(choices) is first
    selector.learn(first, -0.1, ())
    assert len({selector.choose(choices).action for _ in range(50)}) > 1


# Messages


@pytest.fixture(scope="module")
def templates() -> list[str]:
    """Every text in the source, what differs as `…`."""
    found: list[str] = []
    sources = [path for room in ("agents", "memory", "protocols") for path in (ROOT / room).rglob("*.py")]
    for path in (ROOT / "run.py", *sources):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    with pytest.raises(BadReply) as caught:
        decode(Answer(200, {}, b"<html>", "http://127.0.0.1", 0.0), "openai/x", None, lambda usage: Usage())
    return [*found, caught.value.reason]


def quoted() -> list[str]:
    """The messages in the first column of the tables."""
    cells = re.findall(r"^\| ([^|]*`[^|]*) \|", TROUBLESHOOTING, re.MULTILINE)
    spans = [span for cell in cells for span in re.findall(r"`([^`]+)`", cell)]
    return [span for span in spans if " " in span]


def pattern(message: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, message.split("…"))), re.DOTALL)


def test_every_message_that_is_quoted_is_one(templates: list[str]) -> None:
    assert quoted()
    assert [message for message in quoted() if not any(map(pattern(message).search, templates))] == []


MISTAKES = [
    ["search.widht=3"],
    ['search.operators=["none"]'],
    ['search.operators=["nowhere:None"]'],
    ['search.operators=["rag"]'],
    ["search.selector=none"],
    ["models.proposers.merge=embedded"],
    ["models.default=openai/x"],
    ["models.default=mistral/x"],
    ["models.default=openai/x", "providers.openai.base_url=localhost:8000"],
    ["models.default=openai/x", "providers.openai.client=nowhere:none"],
    ["models.default=openai/x", "providers.openai.base_url=http://localhost:1", "budget.dollars=1"],
    ["budget.calls=5"],
    ["task.train=none.jsonl"],
    ["task.test=train.jsonl"],
    ["task.validation=''"],
    ["prompt.file=small.toml"],
    ["--no-equals"],
]


@pytest.mark.parametrize("settings", MISTAKES, ids=" ".join)
def test_what_a_mistake_is_answered_with_is_on_the_page(here: Path, settings: list[str]) -> None:
    config = write_task(here)
    code, _, said = say("search", str(config), *(word for setting in settings for word in ("--set", setting)))
    assert code == 2
    assert any(pattern(message).search(said) for message in quoted()), said
    assert not (here / "runs").exists()


def test_what_a_run_directory_is_answered_with_is_on_the_page(here: Path) -> None:
    config = str(write_task(here))
    done("search", config, "--out", "out")
    shutil.copytree(here / "out", here / "old")
    (here / "old" / "run.json").unlink()
    for words in (
        ("search", config, "--out", "out", "--set", "search.alpha=0.1"),
        ("search", config, "--out", "old"),
        ("show", "nowhere"),
    ):
        code, _, said = say(*words)
        assert code == 2
        assert any(pattern(message).search(said) for message in quoted()), said


def test_what_becomes_of_a_status_is_what_the_page_says() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| `(\w+)` \| (yes|no, the run stops|no)", TROUBLESHOOTING, re.MULTILINE)
    assert rows
    for statuses, name, again in rows:
        for status in statuses.split(", "):
            kind = kind_of(int(status), "", frozenset())
            assert kind.__name__ == name
            assert {"yes": kind.retryable, "no": not kind.retryable and not kind.fatal}.get(again, kind.fatal)
