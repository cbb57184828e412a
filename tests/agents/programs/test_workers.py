"""Programs that are commands: what they are told, what they answer, and how they go wrong."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import uvloop
from anyio.lowlevel import checkpoint

from agents.programs import worker as working
from agents.programs import workers as pool
from agents.programs.endpoint.calls import Patience
from agents.programs.environment import Command, environment
from agents.programs.running import Draw, Running
from agents.programs.workers import CommandProgram
from protocols.errors import BadRequest, BudgetExhausted, ConfigError, ProgramFailed, PromptFlowError
from protocols.model import ChatMessage, Reply, Request, Usage
from protocols.program import Call, Prompts
from protocols.prompt import Prompt, Section
from protocols.task import Json, TaskProgram
from tests.agents.programs.helpers import ONE, TWO, Scripted, answering, example, python

pytestmark = pytest.mark.anyio
NOTHING = Scripted()
FDS = Path("/proc/self/fd")


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Processes are the event loop's own business, so both loops run them here."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(scope="module", autouse=True)
def _signals() -> None:
    """libuv keeps a pipe for signals from its first loop on."""
    uvloop.new_event_loop().close()


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """No test leaves a process behind, not even a dead one, or a descriptor."""
    before = descriptors()
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert descriptors() - before == Counter()


def descriptors() -> Counter[str]:
    """The kinds of descriptors that are open in this process."""
    return Counter(os.readlink(fd).partition(":")[0] for fd in FDS.iterdir() if fd.is_symlink())


async def answers(
    command: Command,
    call: Call = NOTHING,
    count: int = 1,
    prompts: Prompts = ONE,
    notes: list[str] | None = None,
    environ: dict[str, str] | None = None,
) -> list[Json | PromptFlowError]:
    """What the program says to so many examples, one after the other, or the error of each."""
    said: list[Json | PromptFlowError] = []
    async with CommandProgram(command, os.environ if environ is None else environ) as program:
        for number in range(count):
            try:
                heard = [] if notes is None else notes
                said.append(await program.answer(example(number), prompts, call, heard.append))
            except PromptFlowError as error:
                said.append(error)
    return said


def failed(said: Json | PromptFlowError) -> ProgramFailed:
    assert isinstance(said, ProgramFailed), said
    return said


def is_there(pid: int) -> bool:
    """Whether a process runs; one that has ended may still wait for its parent, whoever that is now."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][:1] != "Z"
    except FileNotFoundError:
        return False


async def test_a_worker_gets_inputs_and_prompts_and_answers_one_example_after_the_other(tmp_path: Path) -> None:
    command = python(tmp_path, answering("return [it, os.getpid(), os.getcwd()]"))
    first, second = await answers(command, count=2, prompts=TWO)
    assert isinstance(first, list)
    assert isinstance(second, list)
    assert first[0] == {
        "id": "e0",
        "inputs": {"text": "Where is my parcel?"},
        "prompts": {
            "extract": {
                "text": "List the facts.\n{text}",
                "messages": [{"role": "user", "content": "List the facts.\nWhere is my parcel?"}],
            },
            "decide": {
                "text": "Which department?\n{facts}",
                "messages": [{"role": "user", "content": "Which department?\n{facts}"}],
            },
        },
    }
    assert first[1] == second[1]
    assert first[2] == str(tmp_path)


async def test_its_calls_are_made_by_the_call_of_its_example(tmp_path: Path) -> None:
    """Many examples at once, more than workers, each with a call of its own."""
    calls = [Scripted(reply=lambda text, number=number: f"{number}: {text}") for number in range(12)]  # type: ignore[misc]
    said: dict[int, Json] = {}
    pids = set[Json]()
    command = python(tmp_path, answering("return [ask(it['inputs']['text']), os.getpid()]"), workers=3)

    async def answer(number: int) -> None:
        got = await program.answer(example(number, f"text {number}"), ONE, calls[number], lambda _: None)
        assert isinstance(got, list)
        said[number] = got[0]
        pids.add(got[1])

    async with CommandProgram(command, os.environ) as program, anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(answer, number)
    assert said == {number: f"{number}: text {number}" for number in range(12)}
    assert [call.asked[0][:2] for call in calls] == [
        ("decide", (ChatMessage("user", f"text {number}"),)) for number in range(12)
    ]
    assert len(pids) <= 3


OPENAI = """
import openai
said = openai.OpenAI().chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
return said.choices[0].message.content
"""
ANTHROPIC = """
import anthropic
hi = [{"role": "user", "content": "hi"}]
return anthropic.Anthropic().messages.create(model="m", max_tokens=5, messages=hi).content[0].text
"""


@pytest.mark.parametrize("anyio_backend", [False], indirect=True)
@pytest.mark.parametrize(("provider", "source"), [("OPENAI", OPENAI), ("ANTHROPIC", ANTHROPIC)])
async def test_the_sdks_find_the_endpoint_by_themselves(tmp_path: Path, provider: str, source: str) -> None:
    command = Command((sys.executable, "-c", answering(source)), tmp_path, f"{provider}_BASE_URL")
    keys = {f"{provider}_API_KEY": "the user's own", f"{provider}_AUTH_TOKEN": "the user's own"}
    proxies = dict.fromkeys(["http_proxy", "HTTP_PROXY", "https_proxy"], "http://127.0.0.1:9")
    assert await answers(command, environ={**os.environ, **keys, **proxies}) == ["to hi"]


NODE = """
const lines = require('readline').createInterface({input: process.stdin});
lines.on('line', async line => {
  const it = JSON.parse(line);
  const url = process.env.OPENAI_BASE_URL + '/chat/completions';
  const headers = {authorization: 'Bearer ' + process.env.OPENAI_API_KEY, 'content-type': 'application/json'};
  const body = JSON.stringify({model: 'decide', messages: it.prompts.decide.messages});
  const reply = await (await fetch(url, {method: 'POST', headers, body})).json();
  console.log('thinking');
  console.log(JSON.stringify({id: it.id, answer: reply.choices[0].message.content}));
});
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on this machine")
async def test_a_worker_in_another_language(tmp_path: Path) -> None:
    (tmp_path / "agent.js").write_text(NODE, encoding="utf-8")
    notes: list[str] = []
    command = Command(("node", "agent.js"), tmp_path, workers=1)
    said = await answers(command, count=2, notes=notes)
    assert said == ["to Which department?\nWhere is my parcel?"] * 2
    assert notes == ["thinking"] * 2


async def test_a_program_that_ends_after_each_example(tmp_path: Path) -> None:
    once = "import json\nit = json.loads(input())\nprint(json.dumps({'id': it['id'], 'answer': it['id']}))"
    assert await answers(python(tmp_path, once), count=3) == ["e0", "e1", "e2"]


async def test_an_error_is_that_of_its_example_alone(tmp_path: Path) -> None:
    source = """
import json, os, sys
for line in sys.stdin:
    it = json.loads(line)
    said = {"answer": os.getpid()}
    if it["id"] == "e1":
        print("Traceback: the reason", file=sys.stderr)
        said = {"error": "several\\nlines, the last: no such department"}
    print(json.dumps({"id": it["id"], **said}))
"""
    first, second, third = await answers(python(tmp_path, source), count=3)
    assert first == third
    assert (
        str(failed(second))
        == "the program: on the example e1, it answered with an error: lines, the last: no such department"
    )
    assert "the reason" in failed(second).trace


BAD = {
    "not JSON": ('print(\'{"id": "e0", "answer": nan}\')', "is not JSON"),
    "another id": ('print(\'{"id": "e9", "answer": 1}\')', "answered the example 'e9', but was asked 'e0'"),
    "no id": ("print('{\"answer\": 1}')", 'has no "id"'),
    "dies": ("sys.stderr.write('oh no'); sys.exit(3)", "it ended with code 3 before it answered: oh no"),
    "killed": ("os.kill(os.getpid(), 9)", "it was ended by SIGKILL"),
    "raises": ("raise KeyError('missing')", "KeyError: 'missing'"),
    "long line": ("print('{' + 'x' * 1_100_000)", "line of more than 1 MiB"),
    "floods": ("while True: print('y' * 100)", "printed more than 2 MiB"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_program_that_goes_wrong_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Its example fails and says why, and the next one is answered by another process."""
    monkeypatch.setattr(working, "MOST", 2**21)
    monkeypatch.setattr(working, "LONGEST", 2**20)
    does, why = BAD[kind]
    source = answering(f"if it['id'] == 'e0':\n    {does}\nreturn 'well'")
    first, second = await answers(python(tmp_path, source), count=2)
    assert why in str(failed(first))
    assert second == "well"
    if kind == "raises":
        assert "Traceback" in failed(first).trace


async def test_a_worker_that_answers_unasked_is_replaced_before_it_is_asked(tmp_path: Path) -> None:
    """A second answer to one example must not become that of the next."""
    source = answering("print(json.dumps({'id': it['id'], 'answer': 1}))\nreturn 2")
    async with CommandProgram(python(tmp_path, source), os.environ) as program:
        for _ in range(3):
            assert await program.answer(example(), ONE, NOTHING, lambda _: None) == 1
            with anyio.move_on_after(5):
                while program._idle and program._idle[0].fit:
                    await checkpoint()


async def test_what_is_printed_and_noted_becomes_notes_within_bounds(tmp_path: Path) -> None:
    body = """
print("hello"); print({"a": 1}); print('{"level": "info", "error": "none"}')
print(json.dumps({"id": it["id"], "note": "looked up"}))
print("z" * 10_000_000)
for number in range(100_000): print(number)
sys.stderr.write("w" * 10_000_000)
return 1
"""
    notes: list[str] = []
    assert await answers(python(tmp_path, answering(body)), notes=notes) == [1]
    assert notes[:4] == ["hello", "{'a': 1}", '{"level": "info", "error": "none"}', "looked up"]
    assert notes[4].startswith("zzz")
    assert len(notes) == working.NOTES + 1
    assert max(map(len, notes)) <= working.NOTE + 2


async def test_standard_error_is_kept_within_bounds(tmp_path: Path) -> None:
    body = "sys.stderr.write('w' * 10_000_000 + 'the end'); sys.exit(1)"
    [said] = await answers(python(tmp_path, answering(body)))
    assert failed(said).trace.endswith("the end")
    assert len(failed(said).trace) <= working.ERRORS


async def test_the_clock_of_an_example_stands_still_during_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(anyio, "current_time", lambda: now[0])
    patience = Patience(10)
    assert patience.scope.deadline == 110
    patience.stop()
    patience.stop()
    now[0] = 1000
    patience.begin()
    assert patience.scope.deadline == math.inf
    patience.shorten(2)
    patience.begin()
    assert patience.scope.deadline == 1002


async def test_one_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.1, 60])
    monkeypatch.setattr(pool, "Patience", lambda _: Patience(next(seconds)))
    source = answering("if it['id'] == 'e0':\n    sys.stdin.readline()\nreturn 'well'")
    first, second = await answers(python(tmp_path, source), count=2)
    assert "made no call and gave no answer for 60 s; it must read its input line by line" in str(failed(first))
    assert second == "well"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["no-such-command-anywhere"], "cannot be started"),
        ([sys.executable, "-c", "import no_such_module"], "No module named 'no_such_module'"),
        ([sys.executable, "no-such-file.py"], "No such file"),
        ([sys.executable, "-c", ""], "ended with code 0"),
        ([sys.executable, "-c", "print('{\"answer\": 1}')"], 'has no "id"'),
    ],
)
async def test_a_command_that_cannot_run_is_said_once_and_clearly(
    tmp_path: Path, command: list[str], why: str
) -> None:
    said = await answers(Command(tuple(command), tmp_path), count=pool.ATTEMPTS)
    assert isinstance(said[-1], ConfigError)
    assert why in str(said[-1])
    assert "\n" not in str(said[-1])


async def test_the_children_of_a_worker_end_with_it(tmp_path: Path) -> None:
    body = """
import subprocess
child = subprocess.Popen(["sleep", "1000"])
if it["id"] == "e0":
    print(json.dumps({"id": "e0", "note": str(child.pid)}))
    sys.exit(1)
return child.pid
"""
    notes: list[str] = []
    first, second = await answers(python(tmp_path, answering(body)), count=2, notes=notes)
    assert isinstance(first, ProgramFailed)
    assert isinstance(second, int)
    with anyio.fail_after(10):
        while is_there(int(notes[0])) or is_there(second):
            await checkpoint()


async def test_a_cap_ends_the_example_whatever_the_program_does(tmp_path: Path) -> None:
    call = Scripted(error=BudgetExhausted("calls", 3))
    [said] = await answers(python(tmp_path, answering("return [ask('one'), ask('two')]")), call)
    assert said is call.error
    assert len(call.asked) == 1


@pytest.mark.parametrize("catches", [True, False])
async def test_a_failed_call_is_the_error_of_the_example_unless_it_is_caught(tmp_path: Path, catches: bool) -> None:
    call = Scripted(error=BadRequest("too odd", model="m", status=400))
    source = answering("said = ask('one')\n" + ("return said" if catches else "raise ValueError(said)"))
    [said] = await answers(python(tmp_path, source), call)
    assert said == "400: m: too odd (HTTP 400)" if catches else said is call.error


async def test_a_bug_in_a_call_is_raised_where_it_is_seen(tmp_path: Path) -> None:
    call = Scripted(error=RuntimeError("a bug"))
    async with CommandProgram(python(tmp_path, answering("return ask('one')")), os.environ) as program:
        with pytest.raises(RuntimeError, match="a bug"):
            await program.answer(example(), ONE, call, lambda _: None)


async def test_a_call_without_the_token_or_of_an_example_that_has_ended_is_refused(tmp_path: Path) -> None:
    body = """
if it["id"] == "e0":
    return ask("hi", token="wrong")
import threading
late = []
thread = threading.Thread(target=lambda: (sys.stdin.readline(), late.append(ask("hi"))))
print(json.dumps({"id": it["id"], "answer": "early"})); thread.run()
print(json.dumps({"id": "e1", "error": late[0]}))
sys.exit(0)
"""
    first, second = await answers(python(tmp_path, answering(body)), count=2)
    assert str(first).startswith("401: the API key is not")
    assert second == "early"


async def test_cancelling_ends_the_worker_and_its_call(tmp_path: Path) -> None:
    call = Scripted(wait=anyio.sleep_forever)
    notes: list[str] = []
    body = "print(os.getpid())\nreturn ask('hi')"
    async with CommandProgram(python(tmp_path, answering(body)), os.environ) as program:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(program.answer, example(), ONE, call, notes.append)
            while not call.asked:
                await checkpoint()
            tasks.cancel_scope.cancel()
        assert not is_there(int(notes[0]))


async def test_it_runs_as_any_program_of_a_task(tmp_path: Path) -> None:
    """Its calls are those of the prompts that they name or quote, and its steps are traced."""
    asked: list[Request] = []

    class Model:
        name = "scripted"

        async def complete(self, request: Request) -> Reply:
            asked.append(request)
            return Reply(f"reply {len(asked)}", Usage(10, 2))

    body = """
print("facts first")
facts = ask(it["prompts"]["extract"]["messages"][0]["content"])
return {"department": ask(it["prompts"]["decide"]["messages"][0]["content"].replace("{facts}", facts))}
"""
    prompt = Prompt(
        (
            Section("extract.task", "task", "List the facts.\n{text}"),
            Section("decide.task", "task", "Which department?\n{facts}"),
        )
    )
    async with CommandProgram(python(tmp_path, answering(body)), os.environ) as program:
        task = TaskProgram(program, {"extract": None, "decide": None}, ("inputs", "facts"), math.inf)
        running = Running(task, Model(), ("text", "facts"), lambda name, part: 99, lambda part, values: values)
        reply, steps = await running.answer(prompt, example(), Draw(0, None, None))
    assert reply.text == '{"department":"reply 2"}'
    assert reply.usage == Usage(20, 4)
    assert [(step.prompt, step.reply) for step in steps] == [
        *(("", "facts first"), ("extract", "reply 1"), ("decide", "reply 2"))
    ]
    assert steps[1].values == {"text": "Where is my parcel?"}
    assert asked[1].messages == (ChatMessage("user", "Which department?\nreply 1"),)


async def test_a_program_may_end_by_itself(tmp_path: Path) -> None:
    """At the end its standard input is closed, and it has time to put things away."""
    source = answering("return 1") + "open('put-away', 'w').close()\n"
    assert await answers(python(tmp_path, source)) == [1]
    assert (tmp_path / "put-away").exists()


async def test_one_that_does_not_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LEAVING", 0.1)
    source = answering("return os.getpid()") + "import time; time.sleep(1000)\n"
    [pid] = await answers(python(tmp_path, source))
    assert isinstance(pid, int)
    assert not is_there(pid)


def test_the_environment_of_a_worker() -> None:
    theirs = {
        "OPENAI_API_KEY": "secret",
        "OPENAI_ADMIN_KEY": "secret",
        "OPENAI_API_BASE": "https://elsewhere",
        "OPENAI_ORG_ID": "org",
        "ANTHROPIC_API_KEY": "theirs",
        "no_proxy": "a.b",
        "PYTHONIOENCODING": "latin-1",
    }
    made = environment(Command(("x",), Path()), theirs, "http://here/w1/v1", "token")
    assert made == {
        "OPENAI_API_KEY": "token",
        "OPENAI_ADMIN_KEY": "token",
        "OPENAI_API_BASE": "http://here/w1/v1",
        "OPENAI_BASE_URL": "http://here/w1/v1",
        "OPENAI_ORG_ID": "org",
        "ANTHROPIC_API_KEY": "theirs",
        "no_proxy": "a.b,127.0.0.1",
        "NO_PROXY": "a.b,127.0.0.1",
        "PYTHONIOENCODING": "latin-1",
        "PYTHONUNBUFFERED": "1",
    }
    assert environment(Command(("x",), Path()), {"NO_PROXY": "*"}, "u", "t")["NO_PROXY"] == "*"


@pytest.mark.parametrize(
    ("base_url", "api_key", "key"),
    [
        ("ANTHROPIC_BASE_URL", "", "ANTHROPIC_API_KEY"),
        ("OPENAI_API_BASE", "", "OPENAI_API_KEY"),
        ("MODEL_AT", "", "OPENAI_API_KEY"),
        ("OPENAI_BASE_URL", "MY_KEY", "MY_KEY"),
    ],
)
def test_the_variable_of_the_key_follows_that_of_the_url(base_url: str, api_key: str, key: str) -> None:
    assert Command(("x",), Path(), base_url, api_key).key_name == key
