"""The command line, from its arguments to exit code, output and the files that it leaves."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from anyio.abc import ByteReceiveStream, Process

from agents.commands import demonstrating
from agents.config.configuration import Configuration
from agents.directory.run_directory import LOG
from memory.journals.reading import read_journal
from protocols.messages import Assignment, Critique, Failure
from tests.command_line import answer, invoke, without_keys
from tests.pages import KEY
from tests.small_task import PROMPT, SIZES, rows, write_task
from tests.wire_server import Fault, WireServer

ROOT = Path(__file__).resolve().parent.parent
OPENAI = ("--set", "models.default=openai/gpt-x")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs in a folder of its own, without anybody's keys."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    without_keys(monkeypatch)


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def nothing_written(folder: Path) -> Iterator[None]:
    before = {path for path in folder.rglob("*")}
    yield
    assert {path for path in folder.rglob("*")} == before


# A whole search


def test_a_search_leaves_what_the_page_promises(tmp_path: Path) -> None:
    result = answer("search", write_task(tmp_path))
    directory = Path(result["directory"])
    assert directory == Path("runs/small-1")
    names = {path.name for path in directory.iterdir()}
    assert {"configuration.json", "journal.sqlite", "first_prompt.txt", "best_prompt.txt", "result.json"} <= names
    kept = orjson.loads((directory / "result.json").read_bytes())
    assert kept | {"directory": str(directory)} == result
    assert {"first", "best", "test", "calls", "tokens", "saved", "dollars", "seconds", "stopped_by"} <= kept.keys()
    assert kept["best"].keys() == {"value", "n", "refused", "truncated", "unreadable", "textless", "quoted"}
    assert {"first", "best", "difference", "n", "errors"} <= kept["test"].keys()
    assert kept["dollars"] == 0
    assert kept["stopped_by"] == "assignments"
    assert kept["calls"].keys() == kept["tokens"].keys() >= {"task", "critic", "proposer/few_shot"}


def test_run_directories_are_numbered_and_never_reused(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    few = ("--set", "search.assignments=1")
    assert answer("search", config, *few)["directory"] == "runs/small-1"
    assert answer("search", config, *few)["directory"] == "runs/small-2"
    code, _, err = invoke("search", config, "--out", "runs/small-1", "--set", "search.width=2")
    assert code == 2
    assert "search.width is 3 there and 2 here" in err
    assert answer("search", config, *few, "--set", "run.directory=mine")["directory"] == str(tmp_path / "mine")


def test_evaluate_scores_the_exported_prompt_as_the_run_did(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    result = answer("search", config, "--seed", 3)
    assert result["random_seed"] == 3
    best = Path(result["directory"]) / "best_prompt.txt"
    scored = answer("evaluate", best, config, "--split", "test")
    assert (scored["value"], scored["n"], scored["errors"]) == (result["test"]["best"], SIZES["test"], 0)
    winner = result["test"]["best_score"]
    assert {name: scored[name] for name in winner} == winner
    first = answer("evaluate", Path(result["directory"]) / "first_prompt.txt", config, "--split", "test")
    assert {name: first[name] for name in winner} == result["test"]["first_score"]
    validation = answer("evaluate", best, config)
    assert (validation["split"], validation["value"]) == ("validation", result["best"]["value"])
    assert scored["calls"] == SIZES["test"]
    assert scored["dollars"] == 0


def test_evaluate_takes_braces_of_examples_as_text_and_says_so(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    quoting = tmp_path / "quoting.txt"
    quoting.write_text(
        "=== task (task) ===\nSay {name}.\nLabels: invoice, parcel\n=== input (task) ===\n{text}\nLabel:\n",
        encoding="utf-8",
    )
    code, out, err = invoke("evaluate", quoting, config)
    assert code == 0
    assert "on validation" in out
    assert "{name}" in err


def test_show_prints_the_result_the_prompt_and_its_lineage(tmp_path: Path) -> None:
    result = answer("search", write_task(tmp_path), "--set", "search.assignments=12")
    directory = Path(result["directory"])
    shown = answer("show", directory)
    assert shown["best_prompt"] == (directory / "best_prompt.txt").read_text(encoding="utf-8")
    assert shown["result"]["test"] == result["test"]
    lineage = shown["lineage"]
    assert lineage[0]["kind"] == "first"
    assert lineage[-1]["assignment"] == result["candidate"]
    assert [ending["parent"] for ending in lineage[1:]] == [ending["assignment"] for ending in lineage[:-1]]
    assert lineage[-1]["value"] == result["best"]["value"]
    code, out, _ = invoke("show", directory)
    assert code == 0
    for ending in lineage[1:]:
        assert f"{ending['operator']} on {ending['section']}" in out
    assert "退款" in out


def test_show_of_a_run_that_has_no_result(tmp_path: Path) -> None:
    directory = Path(answer("search", write_task(tmp_path))["directory"])
    (directory / "result.json").unlink()
    shown = answer("show", directory)
    assert shown["result"] is None
    assert shown["lineage"]
    code, out, _ = invoke("show", directory)
    assert code == 0
    assert "no result" in out
    (directory / "result.json").write_bytes(b'{"seed": ')
    code, _, err = invoke("show", directory)
    assert code == 1
    assert "result.json" in err


def test_a_finished_run_is_shown_again(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    result = answer("search", config, "--out", "out")
    kept = everything_below(Path("out"))
    code, out, err = invoke("search", config, "--out", "out", "--json")
    assert code == 0
    assert orjson.loads(out) == result
    assert "finished" in err
    assert everything_below(Path("out")) == kept


def test_a_run_is_replayed_traced_blamed_and_compared(tmp_path: Path) -> None:
    result = answer("search", write_task(tmp_path), "--out", "out", "--set", "search.assignments=9")
    replayed = answer("replay", "out", "--speed", 1000)
    assert (replayed["assignments"], replayed["candidate"]) == (9, result["candidate"])
    links = answer("trace", "out")["links"]
    assert [link["ending"]["assignment"] for link in links][-1] == result["candidate"]
    assert links[0]["calls"][0]["model"] == "embedded"
    lines = answer("blame", "out")["lines"]
    assert {line["edit"]["candidate"] for line in lines} <= {link["ending"]["assignment"] for link in links}
    sections = {change["section"] for change in answer("diff", "out/first_prompt.txt", "out")["sections"]}
    assert sections == {line["section"] for line in lines} | {"definitions", "examples"}
    for command, *says in (
        (("replay", "out"), "decisions came out"),
        (("trace", "out", 0), "first prompt", "task asked embedded"),
        (("blame", "out"), "=== task ===", "退款"),
        (("diff", "out/first_prompt.txt", "out"), f"{result['first']['value']:.3f}", "=== input: same ==="),
    ):
        code, out, _ = invoke(*command)
        assert code == 0
        for expected in says:
            assert expected in out
    for wrong in (("replay", tmp_path), ("trace", tmp_path), ("blame", tmp_path), ("diff", tmp_path, "out")):
        code, _, err = invoke(*wrong)
        assert (code, err.count("\n")) == (2, 1)
        assert "not a run directory" in err


def test_texts_are_utf8_and_never_escaped(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    code, out, _ = invoke("search", config, "--json", "-vv", "--out", "out")
    assert code == 0
    content = everything_below(Path("out"))
    content["stdout"] = out.encode()
    for name, data in content.items():
        assert not re.search(rb"\\u[0-9a-fA-F]{4}", data), name
    assert "退款".encode() in content["journal.sqlite"] + content.get("journal.sqlite-wal", b"")
    assert "退款".encode() in content["log.jsonl"]


SIMULATED_DEMO = ("demo", "--set", "models.default=embedded", "--set", "search.assignments=2")


def test_the_demo_shows_what_was_learned() -> None:
    code, out, err = invoke(*SIMULATED_DEMO, "--out", "d")
    assert code == 0
    told = (
        "which of 8 skills", "no language model", "The first prompt, as it was sent", "Some of its wrong answers",
        "The best prompt, as it is sent", "Wrong before, right now", "The score", "95 %", "Run directory: d", "Next:",
    )  # fmt: skip
    places = [out.index(expected) for expected in told]
    assert places == sorted(places)
    labels = "Labels: clock, cooking, forecast, heating, lighting, music, phone, shopping"
    assert out.count(labels) == 2
    assert "first prompt: validation" in err
    assert "Reading the test split" in err


def test_the_demo_says_so_where_its_model_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstrating, "hindrance", lambda configuration: "no wheel\nfor this\x1b[2J platform")
    code, out, _ = invoke("demo", "--set", "search.assignments=1", "--out", "d")
    assert code == 0
    [said] = [line for line in out.splitlines() if "cannot be used here" in line]
    assert "(no wheel for this platform), so a simulator answers" in said
    assert "SmolLM2" not in out
    assert orjson.loads(Path("d/result.json").read_bytes())["models"]["task"] == "embedded"


def test_the_demo_of_another_model_asks_nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(configuration: Configuration) -> str:
        raise AssertionError("nobody needs the model of this machine")

    monkeypatch.setattr(demonstrating, "hindrance", asked)
    result = answer(*SIMULATED_DEMO)
    assert result["models"]["task"] == "embedded"


def test_the_demo_needs_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstrating, "EXAMPLES", Path("not/here"))
    monkeypatch.setattr(demonstrating, "DISTRIBUTION", "not-installed")
    code, _, err = invoke("demo")
    assert code == 2
    assert "install the package again" in err


def test_the_demo_finds_the_examples_of_an_installed_distribution(tmp_path: Path) -> None:
    """Where `data-files` in pyproject.toml puts them; nothing of a checkout is beside the packages."""
    site, share = tmp_path / "lib" / "site", tmp_path / "share" / "promptflow" / "examples"
    for name in ("agents", "memory", "protocols"):
        shutil.copytree(ROOT / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "examples", share)
    shutil.copy(ROOT / "run.py", site)
    installed = site / f"{demonstrating.DISTRIBUTION.replace('-', '_')}-9.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {demonstrating.DISTRIBUTION}\nVersion: 9\n")
    (installed / "RECORD").write_text("../../share/promptflow/examples/home.toml,,\n")
    less = ["--set", "models.default=embedded", "--set", "search.assignments=0"]
    command = [sys.executable, "-c", "import run; run.main()", "demo", *less, "--out", "out"]
    environ = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "share/promptflow/examples/home.toml" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "init",
        "search",
        "evaluate",
        "doctor",
        "prices",
        "show",
        "runs",
        "compare",
        "demo",
        "replay",
        "trace",
        "blame",
        "diff",
    ],
)
def test_help_teaches(command: str) -> None:
    code, out, _ = invoke(command, "--help")
    assert code == 0
    assert any(line.strip().startswith(f"promptflow {command}") for line in out.splitlines())
    assert "\\b" not in out


# A look before a run


def test_the_doctor_lists_what_is_wrong_and_tells_the_shell(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    with nothing_written(tmp_path):
        code, out, err = invoke("doctor", config)
    assert (code, err) == (0, "")
    assert not [line for line in out.splitlines() if line.startswith("failed")]
    for expected in ("call to embedded", "calls", "tokens", "cost", "Assumed"):
        assert expected in out
    unknown = invoke("doctor", config, "--offline", *OPENAI, "--set", "providers.openai.base_url=http://localhost/v1")
    assert unknown[0] == 0
    assert "set the price of openai/gpt-x" in unknown[1]
    wrong = ("--set", "task.test=none.jsonl", "--set", "search.selector=best", "--set", "prompt.file=none.txt")
    code, out, err = invoke("doctor", config, *wrong)
    assert (code, err) == (2, "")
    assert len([line for line in out.splitlines() if line.startswith("failed")]) == 3
    code, out, _ = invoke("doctor", config, *wrong, "--json")
    document = orjson.loads(out)
    assert (code, document["estimate"]) == (2, None)
    assert sum(finding["status"] == "failed" for finding in document["findings"]) == 3
    down = ("--set", "providers.openai.base_url=http://127.0.0.1:1", *OPENAI, "--json")
    code, out, _ = invoke("doctor", config, *down)
    assert code == 1
    assert orjson.loads(out)["estimate"]["dollars"] is None


def test_a_search_from_a_prompt_without_the_labels_says_so(tmp_path: Path) -> None:
    for number, prompt in enumerate((PROMPT, PROMPT.replace("invoice, ", ""))):
        config = write_task(tmp_path / str(number), prompt=prompt)
        code, _, err = invoke("search", config, "--out", tmp_path / f"out{number}")
        assert code == 0
        assert ("invoice stands nowhere in the prompt" in err) == bool(number)
        log = (tmp_path / f"out{number}" / LOG).read_text(encoding="utf-8")
        assert ("invoice stands nowhere in the prompt" in log) == bool(number)


# Bad input


def changed(split: str, **change: object) -> dict[str, Any]:
    made = rows(split)
    return {split: [{**made[0], **change}, *made[1:]]}


TRAIN_INPUT = rows("train")[0]["input"]
BAD_DATA: list[tuple[dict[str, Any], list[str]]] = [
    ({"train": b'{"input": {"text": "a"}, "target": "x"}\n{"input": \n'}, ["train.jsonl:2", "not JSON"]),
    ({"train": b"[1]\n"}, ["train.jsonl: row 1", "object"]),  # an array, whatever the file is called
    ({"train": b"[1]\n[2]\n"}, ["train.jsonl:1", "object"]),
    ({"train": b'{"input": {"text": "a"}}\n'}, ["train.jsonl:1", "no target"]),
    ({"train": b'{"input": {"text": 3}, "target": "x"}\n'}, ["train.jsonl:1", "text"]),
    ({"train": b'{"input": {"text": "a"}, "target": "x", "lable": "y"}\n'}, ["train.jsonl:1", "lable"]),
    ({"validation": b"\n\xff"}, ["validation.jsonl:2", "UTF-8"]),
    ({"validation": b""}, ["validation split is empty"]),
    (changed("test", target="letter"), ["test split", "letter", "test-0"]),
    (changed("train", target=["invoice"]), ["train split", "labels", "train-0"]),
    (changed("train", target=" "), ["train split", "no answer", "train-0"]),
    (changed("train", target="Invoice"), ["'Invoice'", "'invoice'"]),
    (changed("test", id="test-1"), ["duplicate ids", "test-1"]),
    (changed("test", id="train-1"), ["test and train", "train-1"]),
    (changed("test", input=TRAIN_INPUT), ["test and train", "test-0", "train-0"]),
    (changed("validation", input={"txt": "a"}), ["fields", "validation"]),
]


@pytest.mark.parametrize(("splits", "expected"), BAD_DATA)
def test_bad_data_is_refused_in_one_line(tmp_path: Path, splits: dict[str, Any], expected: list[str]) -> None:
    config = write_task(tmp_path, splits)
    with nothing_written(tmp_path):
        code, out, err = invoke("search", config)
    assert (code, out, err.count("\n")) == (2, "", 1)
    for part in expected:
        assert part in err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('text,target\n"a,x\n', ["train.csv:"]),
        ("text,target\na,b,c\n", ["train.csv:2", "3 cells"]),
        ("text,label\na,b\n", ["train.csv:1", "target"]),
    ],
)
def test_a_bad_csv_is_refused_with_its_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    config = write_task(tmp_path)
    (tmp_path / "train.csv").write_text(text, encoding="utf-8")
    with nothing_written(tmp_path):
        code, _, err = invoke("search", config, "--set", "task.train=train.csv")
    assert (code, err.count("\n")) == (2, 1)
    for part in expected:
        assert part in err


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("=== task (task) ===\nAnswer {question} of {text}\n", ["prompt.txt", "{question}", "literal"]),
        ("=== task (task) ===\nAnswer\n", ["prompt.txt", "shows no input", "{text}"]),
        ("Answer {text}\n=== task (task) ===\n{text}\n", ["prompt.txt:1", "header"]),
        ("=== task (tsk) ===\n{text}\n", ["prompt.txt:1", "tsk"]),
        ("=== task (task, frozen) ===\n{text}\n", ["no section", "may be edited"]),
    ],
)
def test_a_bad_prompt_is_refused(tmp_path: Path, prompt: str, expected: list[str]) -> None:
    config = write_task(tmp_path, prompt=prompt)
    with nothing_written(tmp_path):
        code, _, err = invoke("search", config)
    assert (code, err.count("\n")) == (2, 1)
    for part in expected:
        assert part in err


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("search.sed=1", "did you mean search.seed?"),
        ("search.calls=1", "did you mean budget.calls?"),
        ("serch.seed=1", "did you mean search?"),
        ("search.width=0", "search.width"),
        ("search.operators=[]", "at least one"),
        ('search.operators=["few_shots"]', "few_shots"),
        ("search.selector=best", "unknown selector"),
        ("models.default=openia/gpt", "unknown provider"),
        ("models.default=openai/", "names no model"),
        ("models.default=openai/gpt", "set OPENAI_API_KEY"),
        ("models.critic=anthropic/claude", "set ANTHROPIC_API_KEY"),
        ("models.proposers.few_shots=embedded", "few_shots"),
        ("providers.openia.timeout=3", "openia"),
        ("providers.openai.api_key_env=sk-secret-0123456789", "not the key"),
        ("budget.calls=5", "too small"),
        ("task.train=nowhere.jsonl", "nowhere.jsonl"),
        ("task.kind=sorting", "'generation' or 'reasoning'"),
        ("prompt.text=x", "exclude"),
        ("nothing", "table.key=value"),
    ],
)
def test_a_bad_setting_is_refused(tmp_path: Path, setting: str, expected: str) -> None:
    config = write_task(tmp_path)
    with nothing_written(tmp_path):
        code, out, err = invoke("search", config, "--set", setting, "--json")
    assert (code, err.count("\n")) == (2, 1)
    assert expected in err
    assert "sk-secret" not in err
    document = orjson.loads(out)
    assert document["error"]["type"] in ("ConfigError", "DataError", "MissingKey")
    assert f"promptflow: {document['error']['message']}" == err.rstrip("\n")


def test_a_dollar_cap_needs_every_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    config = write_task(tmp_path)
    with nothing_written(tmp_path):
        code, _, err = invoke("search", config, *OPENAI, "--set", "budget.dollars=1")
    assert code == 2
    assert "openai/gpt-x" in err
    assert "price" in err


def test_a_memory_of_something_else_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    done = Path(answer("search", config)["directory"]).absolute()
    with nothing_written(tmp_path):
        code, _, err = invoke("search", config, "--set", f"memory.path={done / 'journal.sqlite'}")
    assert (code, err.count("\n")) == (2, 1)
    assert "journal.sqlite" in err


def test_a_configuration_that_is_not_there_or_no_toml(tmp_path: Path) -> None:
    assert invoke("search", "no.toml")[0] == 2
    Path("bad.toml").write_text("[task\n", encoding="utf-8")
    code, _, err = invoke("search", "bad.toml")
    assert code == 2
    assert "bad.toml" in err
    code, _, err = invoke("show", tmp_path)
    assert code == 2
    assert "not a run directory" in err


def test_an_unknown_option_is_exit_code_2() -> None:
    code, out, err = invoke("search", "x.toml", "--sed", "3")
    assert (code, out) == (2, "")
    assert "--sed" in err


# Against a server that speaks the wire format


def start(*args: object, url: str, **options: Any) -> Any:
    """The real command in a process of its own."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI", "ANTHROPIC", "COV"))
    }
    environ |= {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": url, **options.pop("environ", {})}
    environ = {name: value for name, value in environ.items() if value is not None}
    command = [sys.executable, str(ROOT / "run.py"), *map(str, args)]
    return anyio.open_process(command, env=environ, stdin=subprocess.DEVNULL, **options)


class Gate:
    """Lets the first `free` calls through and holds every later one until it is opened."""

    def __init__(self, free: int) -> None:
        self._free, self._count = free, 0
        self.held, self.opened = anyio.Event(), anyio.Event()

    async def __call__(self) -> None:
        self._count += 1
        if self._count > self._free:
            self.held.set()
            await self.opened.wait()


async def read_until(stream: ByteReceiveStream, expected: bytes) -> bytes:
    seen = b""
    while expected not in seen:
        seen += await stream.receive()
    return seen


async def read_all(stream: ByteReceiveStream | None) -> bytes:
    assert stream is not None
    return b"".join([chunk async for chunk in stream])


FIRST_EVALUATION = SIZES["validation"] + 12 + 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("free", "assignments", "stopped_by"),
    [(FIRST_EVALUATION, 9, "interrupted"), (FIRST_EVALUATION, 0, "assignments")],
    ids=["assignments in flight", "held-out report"],
)
async def test_one_ctrl_c_drains_and_writes_the_result(
    tmp_path: Path, free: int, assignments: int, stopped_by: str
) -> None:
    config, gate = write_task(tmp_path), Gate(free)
    operators = ("--set", 'search.operators=["few_shot"]', "--set", f"search.assignments={assignments}")
    async with WireServer(lambda turns: "parcel", delay=gate) as server:
        out = tmp_path / "out"
        process: Process = await start(
            "search", config, *OPENAI, *operators, "--json", "--out", out, url=server.openai_url
        )
        async with process:
            await gate.held.wait()
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            await read_until(process.stderr, b"Stopping")
            gate.opened.set()
            result = orjson.loads(await read_all(process.stdout))
        assert process.returncode == 0
        assert result["stopped_by"] == stopped_by
        assert result["assignments"] <= 3
        assert result["test"]["n"] == SIZES["test"]
        assert sum(result["calls"].values()) == server.stats.calls
        assert result["dollars"] is None
        kept = orjson.loads((out / "result.json").read_bytes())
        assert kept | {"directory": str(out)} == result


@pytest.mark.anyio
async def test_a_first_evaluation_that_is_stopped_has_no_result_and_goes_on(tmp_path: Path) -> None:
    """What is in flight ends, the rest is not sent, and nothing is paid for twice."""
    config, gate, out = write_task(tmp_path), Gate(0), tmp_path / "out"
    command = ("search", config, *OPENAI, "--set", 'providers."openai/gpt-x".concurrency=4', "--json", "--out", out)
    async with WireServer(lambda turns: "parcel", delay=gate) as server:
        async with await start(*command, url=server.openai_url) as process:
            await gate.held.wait()
            process.send_signal(signal.SIGINT)
            said = await read_until(process.stderr, b"stops at once")
            gate.opened.set()
            document = orjson.loads(await read_all(process.stdout))
        assert process.returncode == 130
        assert re.search(
            rb"Stopping: \d calls? in flight ends?, at most 1\d\d s; the first prompt is not evaluated yet", said
        )
        assert f"the same command with --out {out} goes on" in document["error"]["message"]
        assert 1 <= server.stats.calls <= 4
        assert not (out / "result.json").exists()
        async with await start(*command, url=server.openai_url) as process:
            result = orjson.loads(await read_all(process.stdout))
        assert process.returncode == 0
        assert result["saved"]["calls"] > 0
        assert result["failures"].get("stopped") is None
        assert sum(result["calls"].values()) == server.stats.calls


@pytest.mark.anyio
async def test_an_evaluation_that_is_stopped_scores_what_was_answered(tmp_path: Path) -> None:
    config, gate = write_task(tmp_path), Gate(3)
    few = ("--set", 'providers."openai/gpt-x".concurrency=2', "--json")
    async with WireServer(lambda turns: "parcel", delay=gate) as server:
        command = ("evaluate", tmp_path / "prompt.txt", config, *OPENAI, *few)
        async with await start(*command, url=server.openai_url) as process:
            await gate.held.wait()
            process.send_signal(signal.SIGINT)
            await read_until(process.stderr, b"what was answered is scored")
            gate.opened.set()
            scored = orjson.loads(await read_all(process.stdout))
            said = (await read_all(process.stderr)).decode()
        assert process.returncode == 130
        assert f"stopped by a person: {scored['n']} of {SIZES['validation']} examples were answered" in said
        assert scored["stopped"]
        assert 3 <= scored["n"] == scored["calls"] == server.stats.calls <= 5
    assert scored["reasons"] == {"Interrupted": SIZES["validation"] - scored["n"]}


FAULTS = {
    "overloaded": Fault(status=529, body=b'{"error": {"message": "overloaded"}}'),
    "overloaded for long": Fault(status=529, headers={"retry-after": "800"}, body=b"{}"),
    "busy": Fault(status=503, body=b'{"error": {"message": "busy"}}'),
    "cut off": Fault("drop"),
}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("command", "trouble", "end"),
    [
        ("search", "overloaded", signal.SIGINT),
        ("search", "overloaded for long", signal.SIGTERM),
        ("search", "busy", signal.SIGINT),
        ("search", "cut off", signal.SIGINT),
        ("evaluate", "overloaded", signal.SIGTERM),
        ("evaluate", "cut off", signal.SIGINT),
        ("sweep", "overloaded for long", signal.SIGINT),
        ("sweep", "busy", signal.SIGTERM),
    ],
)
async def test_one_signal_ends_the_wait_for_a_next_try(
    tmp_path: Path, command: str, trouble: str, end: signal.Signals
) -> None:
    config, out, gate = write_task(tmp_path), tmp_path / "out", Gate(3)
    grid = tmp_path / "grid.toml"
    grid.write_text(f'[sweep]\ntasks = ["{config.name}"]\nseeds = [0, 1]\ndirectory = "{out}"\n', "utf-8")
    words: dict[str, tuple[object, ...]] = {
        "search": ("search", config, "--out", out),
        "evaluate": ("evaluate", tmp_path / "prompt.txt", config),
        "sweep": ("sweep", grid),
    }
    few = ("--set", 'providers."openai/gpt-x".concurrency=4')
    async with WireServer(lambda turns: "parcel", delay=gate) as server:
        server.faults.extend([FAULTS[trouble]] * 1_000)
        async with await start(*words[command], *OPENAI, *few, url=server.openai_url) as process:
            await gate.held.wait()
            process.send_signal(end)
            said = await read_until(process.stderr, b"stops at once")
            gate.opened.set()
            said += await read_all(process.stderr)
        assert server.stats.calls <= 4 + 3
    assert process.returncode == (1 if command == "sweep" else 130), said
    assert b"Traceback" not in said


@pytest.mark.anyio
@pytest.mark.parametrize("trouble", [*FAULTS, "no answer"])
async def test_a_stopped_run_does_not_wait_for_the_test_split_of_a_model_that_does_not_answer(
    tmp_path: Path, trouble: str
) -> None:
    """It has its result, says what is missing, and goes on with that."""
    config, gate, out = write_task(tmp_path), Gate(FIRST_EVALUATION), tmp_path / "out"
    few = ("--set", 'search.operators=["few_shot"]', "--set", 'providers."openai/gpt-x".timeout=2')
    command = ("search", config, *OPENAI, *few, "-v", "--json", "--out", out)
    async with WireServer(lambda turns: "parcel", delay=gate) as server:
        async with await start(*command, url=server.openai_url) as process:
            await gate.held.wait()
            server.faults.extend([FAULTS.get(trouble, Fault("stall"))] * 10_000)
            gate.opened.set()
            said = await read_until(process.stderr, b"call failed")
            process.send_signal(signal.SIGINT)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_all, process.stderr)
                result = orjson.loads(await read_all(process.stdout))
        assert process.returncode == 0, said
        assert result["stopped_by"] == "interrupted"
        assert result["test"] is None
        assert result["test_missing"].startswith("stopped by a person; the last call met: openai/gpt-x: ")
        server.faults.clear()
        async with await start(*command, url=server.openai_url, stderr=subprocess.DEVNULL) as process:
            result = orjson.loads(await read_all(process.stdout))
    assert (result["stopped_by"], result["test_missing"]) == ("assignments", None)
    assert result["test"]["n"] == SIZES["test"]


@pytest.mark.anyio
@pytest.mark.parametrize("command", ["search", "evaluate", "doctor", "sweep"])
async def test_a_person_is_told_what_is_waited_for(tmp_path: Path, command: str) -> None:
    """On the real clock, once: the first line comes after five seconds."""
    config, gate, grid = write_task(tmp_path), Gate(0), tmp_path / "grid.toml"
    grid.write_text(f'[sweep]\ntasks = ["{config.name}"]\n', "utf-8")
    words = [command, *([tmp_path / "prompt.txt"] if command == "evaluate" else [])]
    words += [grid if command == "sweep" else config]
    async with WireServer(lambda turns: "parcel", delay=gate) as server:
        async with await start(*words, *OPENAI, url=server.openai_url) as process:
            said = await read_until(process.stderr, b"Waiting for ")
            said += await process.stderr.receive() if b"no reply yet" not in said else b""
            process.send_signal(signal.SIGTERM)
            if command != "doctor":
                said += await read_until(process.stderr, b"stops at once")
                process.send_signal(signal.SIGINT)
            said += await read_all(process.stderr)
        gate.opened.set()
    assert process.returncode == (1 if command == "sweep" else 130)
    assert re.search(rb"Waiting for \d+ calls? in flight, the oldest for 0:0\d.*\(no reply yet\)\.", said), said


@pytest.mark.anyio
async def test_two_ctrl_c_stop_at_once_and_leave_the_best_prompt(tmp_path: Path) -> None:
    config, gate = write_task(tmp_path), Gate(FIRST_EVALUATION)
    async with WireServer(lambda turns: "parcel", delay=gate) as server:
        out = tmp_path / "out"
        process: Process = await start("search", config, *OPENAI, "--json", "--out", out, url=server.openai_url)
        async with process:
            await gate.held.wait()
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            await read_until(process.stderr, b"Stopping")
            process.send_signal(signal.SIGINT)
            document = orjson.loads(await read_all(process.stdout))
        gate.opened.set()
        assert process.returncode == 130
    assert "stopped at once" in document["error"]["message"]
    assert not (out / "result.json").exists()
    assert (out / "best_prompt.txt").read_bytes() == (out / "first_prompt.txt").read_bytes()
    begun, ended = set(), set()
    for envelope in read_journal(out / "journal.sqlite"):
        match envelope.message:
            case Assignment(assignment=number):
                begun.add(number)
            case Critique(assignment=number) | Failure(assignment=number):
                ended.add(number)
            case _:
                pass
    assert begun
    assert begun | {0} == ended


@pytest.mark.anyio
async def test_the_terminal_is_restored(tmp_path: Path) -> None:
    config, gate = write_task(tmp_path), Gate(0)
    master, slave = os.openpty()
    shown = b""

    def read_terminal(expected: bytes) -> None:
        nonlocal shown
        while expected not in shown:
            shown += os.read(master, 65536)

    async with WireServer(lambda turns: "parcel", delay=gate) as server:
        environ = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
        process: Process = await start(
            "search", config, *OPENAI, "--out", tmp_path / "out", url=server.openai_url, environ=environ, stderr=slave
        )
        async with process:
            await gate.held.wait()
            process.send_signal(signal.SIGINT)
            await anyio.to_thread.run_sync(read_terminal, b"Stopping")
            process.send_signal(signal.SIGINT)
            await process.wait()
        await anyio.to_thread.run_sync(read_terminal, b"stopped at once")
        gate.opened.set()
    os.close(slave)
    os.close(master)
    assert process.returncode == 130
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l") >= 0


@pytest.mark.anyio
@pytest.mark.parametrize("status", [401, 400])
async def test_a_key_is_in_no_file_and_no_output(tmp_path: Path, status: int) -> None:
    """Not even where the server sends it back; .env is read, and the process's variables win."""
    await anyio.Path(".env").write_text("OPENAI_API_KEY=sk-not-this-one\n", encoding="utf-8")
    body = orjson.dumps({"error": {"message": f"the key {KEY} is no good", "type": "x"}})
    config = write_task(tmp_path, tables={"search": {"assignments": 3, "critique": 12, "max_unanswered": 0.5}})
    async with WireServer(lambda turns: "parcel") as server:
        server.faults.append(Fault(status=status, body=body))
        process: Process = await start(
            "search", config, *OPENAI, "-vv", "--json", "--out", tmp_path / "out", url=server.openai_url
        )
        output: dict[str, bytes] = {}

        async def keep(name: str, stream: ByteReceiveStream | None) -> None:
            output[name] = await read_all(stream)

        async with process, anyio.create_task_group() as tasks:
            tasks.start_soon(keep, "stdout", process.stdout)
            tasks.start_soon(keep, "stderr", process.stderr)
        headers = {call.headers["Authorization"] for call in server.received}
    assert headers == {f"Bearer {KEY}"}
    assert process.returncode == (1 if status == 401 else 0)
    document = orjson.loads(output["stdout"])
    assert ("error" in document) == (status == 401)
    assert b"is no good" in output["stderr"]
    for name, data in {**everything_below(tmp_path / "out"), **output}.items():
        assert KEY.encode() not in data, name
    log = [orjson.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_bytes().splitlines()]
    failed = [entry for entry in log if entry["event"] == "call failed"]
    assert [entry["status"] for entry in failed] == [status]


@pytest.mark.anyio
async def test_the_books_of_the_ledger_and_the_server_agree(tmp_path: Path) -> None:
    """The key and the address come from .env here."""
    config = write_task(tmp_path)
    price = "providers.openai.price={input=2.0, output=4.0}"
    async with WireServer(lambda turns: "parcel") as server:
        content = f"OPENAI_BASE_URL={server.openai_url}\nOPENAI_API_KEY='{KEY}'\n"
        await anyio.Path(".env").write_text(content, encoding="utf-8")
        blank = {"OPENAI_API_KEY": None, "OPENAI_BASE_URL": None}
        process: Process = await start("search", config, *OPENAI, "--set", price, "--json", url="", environ=blank)
        async with process:
            result = orjson.loads(await read_all(process.stdout))
        stats = server.stats
    assert process.returncode == 0
    assert sum(result["calls"].values()) == stats.calls
    assert sum(result["tokens"].values()) == stats.input_tokens + stats.output_tokens
    assert result["dollars"] == pytest.approx((2 * stats.input_tokens + 4 * stats.output_tokens) / 1e6)
    asked = [call.raw for call in server.received if call.body.get("temperature") == 0]  # not the optimiser's samples
    assert len(set(asked)) == len(asked), "a request was paid for twice"


@pytest.mark.anyio
async def test_a_first_prompt_that_cannot_be_evaluated_is_exit_code_1(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    async with WireServer(lambda turns: "parcel") as server:
        server.faults.extend([Fault(status=422, body=b'{"error": {"message": "too hot"}}')] * SIZES["validation"])
        process: Process = await start("search", config, *OPENAI, url=server.openai_url)
        async with process:
            out, err = await read_all(process.stdout), (await read_all(process.stderr)).decode()
    assert (process.returncode, out) == (1, b"")
    assert "first prompt could not be evaluated" in err.splitlines()[-1]
    assert "too hot" in err.splitlines()[-1]


@pytest.mark.anyio
async def test_a_bug_is_a_traceback(tmp_path: Path) -> None:
    """Of a user's operator here, which is found in the working directory."""
    operator = """
class Broken:
    name = "broken"

    def targets(self, prompt, task):
        return ["task"]

    async def edit(self, assignment, context):
        raise ValueError("boom")
"""
    await anyio.Path("mine.py").write_text(operator, encoding="utf-8")
    config = write_task(tmp_path)
    process: Process = await start(
        "search", config, "--set", 'search.operators=["mine:Broken"]', "--out", "out", url="http://unused"
    )
    async with process:
        out, err = await read_all(process.stdout), (await read_all(process.stderr)).decode()
    assert (process.returncode, out) == (1, b"")
    assert "Traceback" in err
    assert err.rstrip().endswith("ValueError: boom")
    assert await anyio.Path("out/best_prompt.txt").exists()


@pytest.mark.anyio
async def test_a_metric_that_gives_no_score_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    """It is noticed when it judges; what was paid for until then is in the run directory."""
    await anyio.Path("mine.py").write_text("def tenfold(example, answer):\n    return 10\n", encoding="utf-8")
    tables = {"task": {"name": "small", **{s: f"{s}.jsonl" for s in SIZES}, "metric": "mine:tenfold"}}
    config = write_task(tmp_path, tables=tables)
    async with WireServer(lambda turns: "parcel") as server:
        process: Process = await start("search", config, *OPENAI, "--out", "out", url=server.openai_url)
        async with process:
            await read_all(process.stdout)
            err = (await read_all(process.stderr)).decode()
        assert server.stats.calls > 0
    assert process.returncode == 2
    assert "promptflow: metric mine:tenfold gave 10 for example validation-" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert await anyio.Path("out/cache.sqlite").exists()


@pytest.mark.anyio
async def test_the_run_goes_on_when_nobody_reads_its_lines(tmp_path: Path) -> None:
    config, (reader, writer) = write_task(tmp_path), os.pipe()
    os.close(reader)
    process: Process = await start("search", config, "--json", "-v", url="http://unused", stderr=writer)
    async with process:
        result = orjson.loads(await read_all(process.stdout))
    os.close(writer)
    assert process.returncode == 0
    assert result["stopped_by"] == "assignments"


def test_a_cap_on_calls_that_an_evaluation_cannot_keep_is_refused_before_it_begins(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    code, out, err = invoke("evaluate", tmp_path / "prompt.txt", config, "--set", "budget.calls=3", "--json")
    assert (code, err) == (2, "promptflow: budget.calls = 3 is too small: the validation split takes 12\n")
    assert orjson.loads(out)["error"]["type"] == "ConfigError"


def test_a_cap_that_ends_an_evaluation_costs_what_it_refused(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    asked = ("evaluate", tmp_path / "prompt.txt", config, "--set", "search.concurrency=1", "--json")
    code, out, _ = invoke(*asked, "--set", "budget.tokens=300")
    part = orjson.loads(out)
    assert (code, part["tokens"] < 300) == (0, True)
    assert 0 < part["n"] < part["n"] + part["errors"] == SIZES["validation"]
    assert part["reasons"] == {"BudgetExhausted": part["errors"]}
    code, out, _ = invoke(*asked, "--set", "budget.tokens=1")
    assert (code, orjson.loads(out)["error"]["type"]) == (1, "BudgetExhausted")


@pytest.mark.anyio
async def test_an_evaluation_pays_for_nothing_that_a_named_cache_has(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    async with WireServer(lambda turns: "parcel") as server:
        for calls in (12, 0):
            asked = (
                "evaluate",
                tmp_path / "prompt.txt",
                config,
                *OPENAI,
                "--set",
                "cache.path=replies.sqlite",
                "--json",
            )
            process: Process = await start(*asked, url=server.openai_url)
            async with process:
                scored = orjson.loads(await read_all(process.stdout))
            assert (scored["n"], scored["calls"], server.stats.calls) == (12, calls, 12)


@pytest.mark.anyio
async def test_two_searches_at_once_have_a_directory_each(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    directories: list[str] = []

    async def one() -> None:
        process: Process = await start("search", config, "--json", url="http://unused")
        async with process:
            directories.append(orjson.loads(await read_all(process.stdout))["directory"])

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(one)
    assert sorted(directories) == ["runs/small-1", "runs/small-2"]


# Steering


@pytest.mark.parametrize("words", [(), ("pause",), ("set", "search.width", "3")])
def test_a_command_to_nobody_is_one_line_and_exit_code_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    directory = answer("search", write_task(tmp_path))["directory"]
    with nothing_written(tmp_path):
        code, out, err = invoke("ctl", directory, *words)
        assert (code, out) == (2, "")
        if words:
            assert err == f"promptflow: the run in {directory} has finished\n"
            code, out, _ = invoke("ctl", directory, *words, "--json")
            assert (code, orjson.loads(out)["error"]["type"]) == (2, "ConfigError")
