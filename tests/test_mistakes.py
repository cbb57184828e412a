"""Mistakes of a person, through the command line: exit code 2, one line that says where and what to do, nothing
written."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import orjson
import pytest
from typer.testing import CliRunner

import run
from tests.command_line import without_keys
from tests.small_task import SIZES, rows, write_task

ROOT = Path(__file__).resolve().parent.parent
SERVER = ("models.default=openai/m", "providers.openai.base_url=http://127.0.0.1:1")
EVERYTHING = [row for split in SIZES for row in rows(split)]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs in a folder of its own, without anybody's keys, and with the modules of `CODE`."""
    code = tmp_path / "code"
    code.mkdir()
    for name, text in CODE.items():
        (code / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(code)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    without_keys(monkeypatch)


def refused(*args: object, below: Path) -> str:
    """The one line that a command ends with."""
    before = {path: path.read_bytes() for path in below.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    result = CliRunner().invoke(run.app, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    after = {path: path.read_bytes() for path in below.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.output
    assert after == before
    assert not Path("runs").exists()
    return result.stderr


@pytest.mark.parametrize("words", [["show"], ["runs"], ["init"], ["ctl", "status"], ["diff", "runs"]], ids=" ".join)
def test_a_path_that_the_system_refuses_is_named(words: list[str], tmp_path: Path) -> None:
    command, *more = words
    assert "x" * 300 in refused(command, tmp_path / ("x" * 300), *more, below=tmp_path)


TASK = b'[task]\nname = "t"\ntrain = "train.jsonl"\nvalidation = "validation.jsonl"\ntest = "test.jsonl"\n'
CONFIGURATIONS: list[tuple[bytes, str]] = [
    (TASK + b"x = " + b"[" * 3000 + b"]" * 3000, "c.toml: not TOML: nested more than 32 levels deep"),
    (TASK + b"x = " + b"{a=" * 100 + b"1" + b"}" * 100, "nested more than 32 levels deep"),
    (TASK + b"[search]\nseed = " + b"9" * 5000, "c.toml:7: not TOML: a number has too many digits"),
    (TASK + b"[search]\nseed = 9223372036854775808", "search.seed: holds a whole number of more than 63 bits"),
    (TASK + b"[search]\ntoken_price = 1e308", "search.token_price: input should be less"),
    (TASK + b"[search]\ntoken_price = 1e999", "search.token_price: input should be a finite number"),
    (
        TASK + b"[search]\nfailure_reward = -1e308",
        "search.failure_reward: input should be greater",
    ),
    (TASK + b"[search]\ncredit_share = nan", "search.credit_share: input should be a finite number"),
    (TASK + b"[search]\nalpha = -inf", "search.alpha: input should be a finite number"),
    (TASK + b"[search]\nwidth = true", "search.width: true is given where something else is expected"),
    (TASK + b"[search]\nwidth = 2.5", "search.width: input should be a valid integer"),
    (TASK + b"[search]\noperators = 'few_shot'", "search.operators is a list; write it in square brackets"),
    (TASK + b"[search]\nbarrier = 'perhaps'", "search.barrier: give true or false"),
    (TASK + b"[budget]\nminutes = 1e308", "budget.minutes: input should be less"),
    (TASK + b"[budget]\ndollars = -1", "budget.dollars: input should be greater than 0"),
    (TASK + b"[cache]\nmegabytes = 1000000000000000", "cache.megabytes: input should be less"),
    (
        TASK + b"[providers.openai]\ntimeout = 1e308",
        "providers.openai.timeout: input should be less",
    ),
    (
        TASK + b"[providers.openai]\nconcurrency = 1000000000",
        "providers.openai.concurrency: input should be less",
    ),
    (
        TASK + b"[providers.openai.price]\ninput = 1e308\noutput = 1",
        "price.input: input should be less than or equal",
    ),
    (TASK + b"[memory]\nembedder = 'openai/e'\ndimension = 10000000000", "memory.dimension: input should be less"),
    (b"search = 3\n" + TASK, "search is a table; set one of its keys, search.NAME: seed, width"),
    (b"models = 'openai/m'\n" + TASK, "models is a table; set one of its keys, models.NAME: default"),
    (TASK + TASK, "c.toml:6: not TOML: "),
    (TASK + b"\nkey = 'no end\n", "c.toml:7: not TOML: "),
    (TASK.decode().encode("utf-16"), "c.toml:1: not a text file but UTF-16; save it as UTF-8"),
    (TASK.decode().encode("utf-16-le"), "c.toml:1: not a text file but UTF-16"),
    (TASK + "[prompt]\ntext = 'café'\n".encode("cp1252"), "c.toml:7: not UTF-8 at byte 112; save it as UTF-8"),
    (b"", "c.toml: task: field required"),
    (b"\0" * 4000, "zero bytes; restore the file"),
    (TASK + b"[prompt]\ntext = ''", "prompt.text is empty; give it a value, or leave the key out"),
    (TASK + b"[prompt]\nfile = ' '", "prompt.file is empty; give it a value, or leave the key out"),
    (TASK + b"[run]\ndirectory = 3", "run.directory: give a path, in quotes"),
]


@pytest.mark.parametrize(("content", "expected"), CONFIGURATIONS)
def test_a_configuration_that_cannot_be_used(tmp_path: Path, content: bytes, expected: str) -> None:
    write_task(tmp_path)
    (tmp_path / "c.toml").write_bytes(content)
    assert expected in refused("search", tmp_path / "c.toml", below=tmp_path)


@pytest.mark.parametrize("command", ["search", "sweep", "study"])
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Path.mkdir, "it is a directory; name a file in it"),
        (os.mkfifo, "it is a pipe or a device; save what it gives as a file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a pipe or a device; save what it gives as a file"),
        (lambda path: path.symlink_to(path), "c.toml: cannot read the configuration: "),
        (lambda path: None, "c.toml: cannot read the configuration: No such file"),
    ],
)
def test_a_configuration_that_is_no_file(tmp_path: Path, command: str, make: object, expected: str) -> None:
    assert callable(make)
    make(tmp_path / "c.toml")
    result = CliRunner().invoke(run.app, [command, str(tmp_path / "c.toml")])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert expected in result.stderr


CODE: Mapping[str, str] = {
    "mistakes_syntax": "def f():\n    return (\n",
    "mistakes_raises": "import json\n\njson.loads('{')\n",
    "mistakes_exits": "import sys\n\nsys.exit(3)\n",
    "mistakes_imports": "import no_such_library\n",
    "mistakes_shapes": """
import os
from abc import ABC, abstractmethod

number = 3


class Nothing:
    pass


class NeedsArguments:
    name = "needs"

    def __init__(self, one, two):
        pass


class Raises:
    def __init__(self, *args):
        raise ValueError("no luck")


class Exits:
    def __init__(self, *args):
        raise SystemExit(1)


class Sync:
    name = "sync"

    def targets(self, prompt, task):
        return ["task"]

    def edit(self, assignment, context):
        return assignment.prompt


class Unnamed(Sync):
    name = None


class Operator(Sync):
    name = "own"

    async def edit(self, assignment, context):
        return assignment.prompt


class Targets(Operator):
    name = "targets"

    def targets(self, prompt, task):
        return prompt["nothing"]


class NoSection(Operator):
    name = "no_section"

    def targets(self, prompt, task):
        return "task"


class Late(Operator):
    name = "late"

    async def targets(self, prompt, task):
        return []


class Selects:
    def __init__(self, rng):
        pass

    def choose(self):
        return None

    def learn(self, choice, reward, successors):
        pass


class Agent:
    def __init__(self):
        pass

    async def handle(self, message):
        return []


class SyncAgent:
    def __init__(self, place):
        pass

    def handle(self, message):
        return []


class Abstract(ABC):
    def __init__(self, place):
        pass

    @abstractmethod
    async def handle(self, message): ...


class Observer:
    def __init__(self, task):
        pass

    async def observe(self, envelope):
        pass


def one(example):
    return 1.0


async def late(reply):
    return reply


def client():
    raise SystemExit("no key")


def takes(region):
    return None
""",
}
SHAPES = "code/mistakes_shapes.py:"
NAMED: list[tuple[str, str]] = [
    ("search.selector=os.path:join", "selector 'os.path:join'"),
    (
        "search.selector=mistakes_syntax:f",
        "mistakes_syntax.py:2: selector 'mistakes_syntax:f' cannot be imported",
    ),
    (
        "search.selector=mistakes_raises:f",
        "mistakes_raises.py:3: selector 'mistakes_raises:f' cannot be imported",
    ),
    (
        "search.selector=mistakes_exits:f",
        "mistakes_exits.py:3: selector 'mistakes_exits:f' cannot be imported",
    ),
    (
        "search.selector=mistakes_imports:f",
        "mistakes_imports.py:1: selector 'mistakes_imports:f' cannot",
    ),
    ("search.selector=mistakes_shapes:Selecs", "has no Selecs; did you mean Selects?"),
    ("search.selector=mistakes_shapes:number", "is no class and no function but a int"),
    ("search.selector=mistakes_shapes.py:Selects", "names a module and no file; write mistakes_shapes:Selects"),
    ("search.selector=my/code.py:Selects", "names a module and no file; write my.code:Selects"),
    ("search.selector=mistakes_shapes:", "write module:name"),
    ("search.selector=unifrom", "unknown selector 'unifrom'; did you mean uniform?"),
    ("search.selector=mistakes_shapes:Nothing", "selector 'mistakes_shapes:Nothing' must take rng"),
    (
        "search.selector=mistakes_shapes:NeedsArguments",
        f"{SHAPES}12: selector 'mistakes_shapes:NeedsArguments' must",
    ),
    ("search.selector=mistakes_shapes:Raises", "cannot be made: ValueError: no luck"),
    ("search.selector=mistakes_shapes:Exits", "cannot be made: it ends the process"),
    ("search.selector=mistakes_shapes:Selects", "selector 'mistakes_shapes:Selects.choose' must take choices"),
    ("search.selector=mistakes_shapes:SyncAgent", "has no method choose (docs/selectors.md)"),
    ('search.operators=["os.path:join"]', "operator 'os.path:join' must take no argument"),
    ('search.operators=["mistakes_shapes:Nothing"]', f"{SHAPES}8: operator 'mistakes_shapes:Nothing' needs a name"),
    ('search.operators=["mistakes_shapes:Unnamed"]', "operator 'mistakes_shapes:Unnamed' needs a name"),
    (
        'search.operators=["mistakes_shapes:NeedsArguments"]',
        "operator 'mistakes_shapes:NeedsArguments' must",
    ),
    ('search.operators=["mistakes_shapes:Sync"]', "edit of 'mistakes_shapes:Sync' must be async def"),
    ('search.operators=["mistakes_shapes:Late"]', "targets of 'mistakes_shapes:Late' must be a plain def"),
    ('search.operators=["mistakes_shapes:Targets"]', f"{SHAPES}54: operator 'targets' fails in targets: KeyError"),
    ('search.operators=["mistakes_shapes:NoSection"]', "operator 'no_section' must name sections of the prompt"),
    ('search.operators=["few_shots"]', "did you mean few_shot?"),
    ("agents.critic=mistakes_shapes:Nothing", "has no method handle"),
    ("agents.critic=mistakes_shapes:Agent", "agents.critic 'mistakes_shapes:Agent' must take place"),
    ("agents.critic=mistakes_shapes:SyncAgent", "handle of 'mistakes_shapes:SyncAgent' must be async def"),
    ("agents.evaluator=mistakes_shapes:Abstract", "is an abstract class; it lacks handle"),
    ("agents.proposers.few_shot=mistakes_raises:A", "mistakes_raises.py:3: "),
    ('agents.observers=["mistakes_shapes:Observer"]', "'mistakes_shapes:Observer' must take task, directory"),
    ("task.metric=mistakes_shapes:one", "task.metric 'mistakes_shapes:one' must take example, answer"),
    ("task.metric=mistakes_shapes:Nothing", "is a class without __call__; give a function of example, answer"),
    ("task.metric=mistakes_exits:f", "mistakes_exits.py:3: task.metric 'mistakes_exits:f' cannot be imported"),
    ("task.metric=acuracy", "unknown task.metric 'acuracy'"),
    ("task.parser=mistakes_shapes:late", "must be a plain def, not async"),
    ("task.parser=mistakes_syntax:f", "mistakes_syntax.py:2: "),
]


@pytest.mark.parametrize(("setting", "expected"), NAMED)
def test_code_that_is_not_what_it_is_named_for(tmp_path: Path, setting: str, expected: str) -> None:
    assert expected in refused("search", write_task(tmp_path), "--set", setting, below=tmp_path)


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("mistakes_shapes:client", "client 'mistakes_shapes:client' cannot be made: it ends the process"),
        ("mistakes_shapes:takes", "client 'mistakes_shapes:takes' must take no argument"),
        ("mistakes_syntax:f", "mistakes_syntax.py:2: client 'mistakes_syntax:f' cannot be imported: SyntaxError"),
        ("mistakes_exits:f", "mistakes_exits.py:3: client 'mistakes_exits:f' cannot be imported"),
        ("mistakes_shapes:Nothing", "returns Nothing, which openai/… cannot use"),
    ],
)
def test_a_client_that_is_none(tmp_path: Path, client: str, expected: str) -> None:
    asked = ("--set", "models.default=openai/m", "--set", f"providers.openai.client={client}")
    assert expected in refused("search", write_task(tmp_path), *asked, below=tmp_path)


SETTINGS: list[tuple[tuple[str, ...], str]] = [
    (("prompt.text=",), "prompt.text is empty; give it a value, or leave the key out"),
    (("models.default=gpt-5-mini",), "write openai/gpt-5-mini"),
    (("models.critic=claude-opus-5",), "write anthropic/claude-opus-5"),
    (("models.default=OpenAI/gpt-5",), "write openai/gpt-5 "),
    (("models.default=openai:gpt-5",), "write openai/gpt-5 "),
    (("models.default=mistral/large",), "write openai/mistral/large, with base_url"),
    (("models.default=openai/ gpt-5",), "without spaces around it"),
    (("search",), "expected table.key=value"),
    (("search=3",), "search is a table"),
    (("search.seed=" + "9" * 5000,), "search.seed: "),
    (("search.operators=" + "[" * 3000 + "]" * 3000,), "search.operators is a list"),
    (("=3",), "expected table.key=value"),
    (("task.train=/dev/zero",), "/dev/zero: cannot read the examples: it is a pipe or a device"),
    (("task.train=.",), "it is a directory; name a file in it"),
    (("task.train=",), "task.train is empty"),
    (("task.name=\udcff",), "task.name: holds what is not valid Unicode"),
    (("task.corpus=/dev/zero",), "cannot read the corpus: it is a pipe or a device"),
    (("prompt.file=/dev/zero",), "cannot read the prompt: it is a pipe or a device"),
    (
        ("task.json_schema=/dev/zero", "task.metric=json_schema"),
        "cannot read the JSON schema: it is a pipe",
    ),
    (("budget.calls=30",), "budget.calls = 30 is too small: the first prompt on validation and the held-out report"),
    (("budget.roles.task.calls=30",), "budget.roles.task.calls = 30 is too small: the first prompt"),
    (
        ("budget.tokens=100",),
        "budget.tokens = 100 is too small: the first prompt on validation and",
    ),
    (("budget.roles.task.tokens=100",), "budget.roles.task.tokens = 100 is too small"),
    (
        (*SERVER, "providers.openai.price={input = 10, output = 10}", "budget.dollars=0.0001"),
        "budget.dollars = 0.0001 is too small: the first prompt on validation and the held-out report alone take",
    ),
    (("models.critic=['openai/a', 'openai/b']",), "models.critic: name one model, in quotes; of all models, only"),
    (("models.task=['openai/a', ['openai/b']]",), "models.task: a list stands in the list"),
    (("task.metric={use = 'preference', against = ''}", "task.rubric=x"), "task.metric.against is empty"),
    (("task.rubric=x",), "the metric judge or preference and task.rubric go together"),
]


@pytest.mark.parametrize(("settings", "expected"), SETTINGS)
def test_a_setting_that_cannot_be_used(tmp_path: Path, settings: tuple[str, ...], expected: str) -> None:
    given = [part for setting in settings for part in ("--set", setting)]
    config = write_task(tmp_path, tables={"prompt": {}} if settings[0].startswith("prompt.text") else None)
    assert expected in refused("search", config, *given, below=tmp_path)


@pytest.mark.parametrize("key", ["cache.path", "memory.path"])
def test_a_database_that_cannot_be_used_is_found_before_the_run_directory_is_made(tmp_path: Path, key: str) -> None:
    asked = ["search", str(write_task(tmp_path)), "--set", f"{key}=."]
    result = CliRunner().invoke(run.app, asked)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert not Path("runs").exists()


def test_experiences_are_taken_from_files_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    said = refused("memory", "import", tmp_path / "m.sqlite", tmp_path / "pipe", below=tmp_path)
    assert "cannot read the experiences: it is a pipe or a device" in said


def test_a_name_with_a_space_is_no_model_of_a_providers_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    asked = ("--set", "models.default=openai/gpt 5")
    assert "has a space in its name" in refused("search", write_task(tmp_path), *asked, below=tmp_path)


def test_a_directory_of_something_else_is_not_filled(tmp_path: Path) -> None:
    config, memory = write_task(tmp_path), tmp_path / "memory.sqlite"
    Path("notes.md").write_text("mine", encoding="utf-8")
    asked = ["search", config, "--out", ".", "--set", f"memory.path={memory}"]
    assert "holds what is no run's (notes.md); name a new directory" in refused(*asked, below=tmp_path)


def test_a_directory_that_is_empty_but_for_hidden_files_is_filled(tmp_path: Path) -> None:
    Path(".DS_Store").write_bytes(b"x")
    asked = ["search", str(write_task(tmp_path)), "--out", ".", "--set", "search.assignments=0"]
    assert CliRunner().invoke(run.app, asked).exit_code == 0
    assert Path("result.json").exists()


def test_eight_rows_are_too_few_to_cut(tmp_path: Path) -> None:
    task = {"name": "few", "data": "few.jsonl"}
    config = write_task(tmp_path, tables={"task": task})
    (tmp_path / "few.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in EVERYTHING[:8]))
    said = refused("search", config, below=tmp_path)
    assert "8 examples of 3 classes are too few to be cut into three splits" in said
    assert "give 10 or more" in said


def test_ids_that_begin_anew_in_each_split_can_be_used_and_left_aside(tmp_path: Path) -> None:
    counted = {split: [{**row, "id": n} for n, row in enumerate(rows(split))] for split in SIZES}
    config = write_task(tmp_path / "counted", counted)
    few = ["--set", "search.assignments=0"]
    assert CliRunner().invoke(run.app, ["search", str(config), *few]).exit_code == 0
    named = {split: [{**row, "id": f"a{n}"} for n, row in enumerate(rows(split))] for split in SIZES}
    config = write_task(tmp_path / "named", named)
    said = CliRunner().invoke(run.app, ["search", str(config), *few])
    assert said.exit_code == 2
    assert 'fields.id = "none" under [task]' in said.stderr
    assert CliRunner().invoke(run.app, ["search", str(config), *few, "--set", "task.fields.id=none"]).exit_code == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Which? {{text}}", "write {text} for the input alone"),
        ("Which? {{ text }} {text}", "write {text} for the input alone"),
        ('Which? {text} as {{"label": "x"}}', "doubled ones too, but for one pair around a field"),
    ],
)
def test_doubled_braces_are_remarked_once(tmp_path: Path, text: str, expected: str) -> None:
    config = write_task(tmp_path, prompt=f"=== task (task) ===\n{text}\n=== definitions (definitions) ===\n")
    searched = CliRunner().invoke(run.app, ["search", str(config), "--set", "search.assignments=0"])
    assert searched.exit_code == 0
    assert searched.stderr.count("braces are sent as they stand") == 1
    assert expected in searched.stderr
    looked = CliRunner().invoke(run.app, ["doctor", str(config)])
    assert looked.exit_code == 0
    assert looked.stdout.count("braces are sent as they stand") == 1
    scored = CliRunner().invoke(run.app, ["evaluate", str(tmp_path / "prompt.txt"), str(config)])
    assert scored.stderr.count("braces are sent as they stand") == 1


def test_a_plain_text_is_a_prompt(tmp_path: Path) -> None:
    config = write_task(tmp_path, prompt="Which is it? {text}\nLabels: invoice, parcel, 退款\n")
    asked = ["search", str(config), "--set", 'search.operators=["self_reflection"]', "--set", "search.assignments=0"]
    assert CliRunner().invoke(run.app, [*asked, "--out", "out"]).exit_code == 0
    assert Path("out/first_prompt.txt").read_text(encoding="utf-8").startswith("=== task (task) ===\nWhich is it?")


# Outside of the environment that it needs


def test_without_its_libraries_it_says_how_to_set_up(tmp_path: Path) -> None:
    command = [sys.executable, "-S", str(ROOT / "run.py"), "doctor", "x.toml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "lacks what it needs" in done.stderr
    assert "make -C" in done.stderr


def test_a_ctrl_c_while_it_starts_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "agents.commands", Interrupted("agents.commands"))
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "run.py"))
    assert (caught.value.code, capsys.readouterr().err) == (130, "promptflow: stopped at once\n")


def test_with_an_older_python_it_says_which_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "run.py"))
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "needs Python 3.11 or newer" in said
    assert said.count("\n") == 1
