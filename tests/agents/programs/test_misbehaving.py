"""Programs that misbehave, through the command line: one clear line with the place, and whatever else goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

import run
from agents.programs.running import MOST_CALLS
from tests.small_task import SIZES, write_task

ROOT = Path(__file__).resolve().parents[3]
PROMPTS = """
[prompts.extract]
text = "Which words matter? {text}"
[prompts.decide]
text = "Labels: invoice, parcel, 退款. Words: {words}"
"""
CODE = """
import asyncio
import sys
import time

import anyio


def ask(prompts, inputs, call):
    return call("extract", prompts.extract.render(inputs))


async def two(inputs, prompts, call):
    return await call("decide", prompts.decide.render(words=await ask(prompts, inputs, call)))


async def raises(inputs, prompts, call):
    if inputs["text"].endswith("train 1") or inputs["text"].endswith("validation 3"):
        raise KeyError("amount")  # line 19
    return await ask(prompts, inputs, call)


async def leaves(inputs, prompts, call):
    sys.exit(3)


async def nothing(inputs, prompts, call):
    await ask(prompts, inputs, call)


async def no_json(inputs, prompts, call):
    return {"a": object()}


async def no_number(inputs, prompts, call):
    return [float("nan")]


async def hangs(inputs, prompts, call):
    await asyncio.sleep(1000)


async def holds_up(inputs, prompts, call):
    time.sleep(1000)


async def unknown(inputs, prompts, call):
    return await call("exract", prompts.extract.render(inputs))


async def unknown_attribute(inputs, prompts, call):
    return await call("extract", prompts.exract.render(inputs))


async def not_given(inputs, prompts, call):
    return await call("decide", prompts.decide.render(inputs))


async def cancels_itself(inputs, prompts, call):
    raise asyncio.CancelledError()


async def in_a_group(inputs, prompts, call):
    async with asyncio.TaskGroup() as group:
        group.create_task(call("exract", prompts.extract.render(inputs)))


async def many_lines(inputs, prompts, call):
    raise ValueError("first\\n\\nsecond")


async def not_awaited(inputs, prompts, call):
    return asyncio.get_running_loop().create_future()


async def half_a_pair(inputs, prompts, call):
    print("\\ud83d")
    return "\\ud83d"


async def asks_half_a_pair(inputs, prompts, call):
    return await call("extract", prompts.extract.render(text="\\ud83d"))


async def circles(inputs, prompts, call):
    while True:
        try:
            await ask(prompts, inputs, call)
        except Exception:
            pass


async def circles_stubbornly(inputs, prompts, call):
    while True:
        try:
            await ask(prompts, inputs, call)
        except:
            pass


def prints(inputs, prompts, call):
    print("before")
    said = ask(prompts, inputs, call)
    print("after")
    return said


async def cancels(inputs, prompts, call):
    with anyio.move_on_after(0):
        await ask(prompts, inputs, call)
    try:
        await asyncio.wait_for(ask(prompts, inputs, call), 1e-9)
    except asyncio.TimeoutError:
        return (await asyncio.gather(*(ask(prompts, inputs, call) for _ in range(5))))[0]


def returns_a_coroutine(inputs, prompts, call):
    return two(inputs, prompts, call)


class Answerer:
    async def answer(self, inputs, prompts, call):
        return await ask(prompts, inputs, call)


def few(inputs, prompts):
    return ""


def never_ends(inputs, prompts, call):
    import threading

    threading.Event().wait()


def in_threads_of_its_own(inputs, prompts, call):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda _: ask(prompts, inputs, call), range(2)))[-1]


async def asks_nothing(inputs, prompts, call):
    return "invoice"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "misbehaving.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "misbehaving", raising=False)
    monkeypatch.chdir(tmp_path)
    path = write_task(tmp_path / "task")
    table = path.read_text(encoding="utf-8").replace('[prompt]\nfile = "prompt.txt"\n', "")
    path.write_text(table + PROMPTS, encoding="utf-8")
    return path


def called(*args: object, code: int = 0) -> tuple[str, str]:
    """What a command says on standard output and on standard error."""
    result = CliRunner().invoke(run.app, [str(arg) for arg in args])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout, result.stderr


def program(name: str, *more: str) -> list[str]:
    return [
        part
        for setting in (f"task.program=misbehaving:{name}", "task.program_timeout=0.2", *more)
        for part in ("--set", setting)
    ]


FAULTS = [
    ("leaves", "it ends the process (sys.exit), on the example train-0, ", "misbehaving.py:24"),
    ("nothing", "it returned None for the example train-0; return a text or an object", ""),
    ("no_json", "its answer to the example train-0, of the type dict, cannot be written as JSON", ""),
    ("no_number", "cannot be written as JSON: Out of range float values", ""),
    ("hangs", "it made no call and gave no answer for 0.2 s, on the example train-0", ""),
    (
        "unknown",
        "no prompt is called 'exract'; there are extract, decide; did you mean extract?",
        "misbehaving.py:48",
    ),
    ("unknown_attribute", "did you mean extract?, on the example train-0, ", "misbehaving.py:52"),
    ("not_given", "the prompt decide shows {words}, which render() was not given", "misbehaving.py:56"),
    ("cancels_itself", "CancelledError, on the example train-0, ", "misbehaving.py:"),
    ("in_a_group", "no prompt is called 'exract'", "misbehaving.py:"),
    ("many_lines", "ValueError: first second, on the example train-0, ", "misbehaving.py:"),
    ("not_awaited", "was not awaited; write: return await call(...)", ""),
    ("half_a_pair", "its answer to the example train-0 holds half of a surrogate pair", ""),
    ("asks_half_a_pair", "a message of the call of extract holds half of a surrogate pair", "misbehaving.py:"),
    ("circles", f"it made {MOST_CALLS:,} calls and gave no answer, on the example train-0", ""),
]


@pytest.mark.parametrize(("name", "said", "where"), FAULTS)
def test_doctor_says_what_a_program_did_and_where(config: Path, name: str, said: str, where: str) -> None:
    out, _ = called("doctor", config, *program(name), code=2)
    (line,) = [line for line in out.splitlines() if line.startswith("failed")]
    assert said in line
    assert where in line
    assert line.endswith("; 2 more of 3 examples failed, too")
    assert "the prompt decide was never called on 3 examples" in out


def test_half_a_surrogate_pair_costs_its_example_and_not_the_run(config: Path) -> None:
    _, said = called("search", config, *program("half_a_pair"), "--out", "o", code=1)
    assert "holds half of a surrogate pair" in said.splitlines()[-1]


def test_doctor_counts_the_calls_of_each_prompt_and_shows_them(config: Path) -> None:
    out, _ = called("doctor", config, *program("two"))
    assert "extract: 3 calls on 3 examples (1 an example)" in out
    assert "decide: 3 calls on 3 examples (1 an example)" in out
    assert "What the task model is sent by the prompt decide for the example train-0" in out
    assert "never called" not in out
    assert "none of its prompts" not in out
    out, _ = called("doctor", config, *program("returns_a_coroutine"))
    assert "decide: 3 calls" in out
    out, _ = called("doctor", config, *program("Answerer"))
    assert "the prompt decide was never called on 3 examples" in out
    out, _ = called("doctor", config, *program("cancels"))
    assert "extract: 15 calls" in out
    out, _ = called("doctor", config, *program("raises"))
    assert "warning     program: answered 2 of 3 training examples; train-0: " in out
    assert "KeyError: 'amount', on the example train-1, " in out
    out, _ = called("doctor", config, *program("two"), "--offline")
    assert "program: --offline; the estimate takes each prompt to be called once for an example" in out


def test_a_program_that_asks_no_model_is_pointed_out_and_searched_all_the_same(config: Path) -> None:
    out, _ = called("doctor", config, *program("asks_nothing"))
    (line,) = [line for line in out.splitlines() if "prompts: " in line]
    assert line.startswith("warning")
    assert "the program called none of its prompts on 3 examples: no edit of a prompt can change" in line
    out, _ = called("search", config, *program("asks_nothing", "search.assignments=1"), "--out", "o", "--json")
    assert "task" not in orjson.loads(out)["calls"] or orjson.loads(out)["calls"]["task"] == 0


def test_what_a_program_prints_is_a_note_and_standard_output_is_one_document(config: Path) -> None:
    out, _ = called("search", config, *program("prints", "search.assignments=1"), "--out", "o", "--json")
    assert orjson.loads(out)["calls"]["task"] > 0
    out, _ = called("doctor", config, *program("prints"))
    assert "note: printed: before" in out
    assert "note: printed: after" in out


def test_an_exception_leaves_its_example_unanswered_and_its_traceback_in_the_log(config: Path) -> None:
    settings = program("raises", "search.assignments=1", "search.max_unanswered=0.2")
    out, _ = called("search", config, *settings, "--out", "o", "--json")
    assert orjson.loads(out)["unanswered"] == {"ProgramFailed": 1} | orjson.loads(out)["unanswered"]
    log = [orjson.loads(line) for line in (config.parent.parent / "o/log.jsonl").read_bytes().splitlines()]
    (raised,) = [entry for entry in log if entry["event"] == "the program raised"]
    assert any("raise KeyError" in line for line in raised["trace"])
    _, said = called("search", config, *program("raises"), "--out", "p", code=1)
    assert "KeyError: 'amount', on the example validation-3, " in said.splitlines()[-1]
    assert "misbehaving.py:19" in said.splitlines()[-1]
    out, said = called("evaluate", "o/first_prompt.txt", config, *program("raises"))
    assert f"{SIZES['validation'] - 1} examples; 1 unanswered (1 ProgramFailed)" in out
    assert "the first example without an answer: the program: KeyError: 'amount'" in said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["task.program=misbehaving:few"], "task.program 'misbehaving:few' must take inputs, prompts, call"),
        (["task.program=misbehaving:to"], "has no to; did you mean two?"),
        (["task.program=no_such_module:two"], "No module named 'no_such_module'"),
        (["task.program=misbehaving:two", 'prompts.keys.text="a"'], "prompts.keys: a program could not write"),
        (["task.program=misbehaving:two", 'prompts."a b".text="a"'], "prompts.a b: use a-z"),
        (
            ["task.program=misbehaving:two", f"prompts.{'a' * 65}.text=a"],
            "the name has 65 characters; 64 are the most",
        ),
        (["task.program=misbehaving:two", "prompts.extract.file=x.txt"], "prompts.extract: give either file or text"),
        (["task.program=misbehaving:two", "prompt.text=a"], "has its prompts under [prompts]"),
        ([], "[prompts] belong to a program; name it under task.program"),
    ],
)
def test_what_cannot_be_a_program_is_refused_before_anything_is_written(
    config: Path, settings: list[str], said: str
) -> None:
    given = [part for setting in settings for part in ("--set", setting)]
    for command in (["search", config, "--out", "o"], ["evaluate", config.parent / "prompt.txt", config]):
        _, line = called(*command, *given, code=2)
        assert said in line
        assert line.count("\n") == 1
    assert not Path("o").exists()


def test_a_prompt_file_with_other_names_is_refused(config: Path) -> None:
    _, said = called("evaluate", config.parent / "prompt.txt", config, *program("two"), code=2)
    assert "no section belongs to the prompt extract; no section belongs to the prompt decide" in said
    assert "the section task belongs to no prompt; write extract.task" in said


TOLD = {
    "holds_up": "held up everything else for 0 s without giving way, ",
    "circles_stubbornly": f"{MOST_CALLS:,} calls",
    "never_ends": "made no call and gave no answer for 0.3 s",
}


@pytest.mark.parametrize("name", TOLD)
def test_a_program_that_nothing_else_stops_is_stopped(config: Path, name: str) -> None:
    """In a process of its own: the tests' time limit needs the alarm that stops it here."""
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        "doctor",
        str(config),
        *program(name, "task.program_timeout=0.3"),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(config.parent.parent)}
    )
    assert done.returncode == 2, done.stderr
    assert TOLD[name] in done.stdout


def test_a_plain_function_may_call_from_threads_of_its_own(config: Path) -> None:
    settings = [*program("in_threads_of_its_own"), "--set", "search.assignments=1"]
    result = orjson.loads(called("search", config, "--out", "o", "--json", *settings)[0])
    assert result["unanswered"] == {}
