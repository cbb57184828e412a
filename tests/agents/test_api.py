"""Training from Python: the same run as from files, and a reader who may come and go."""

from __future__ import annotations

import builtins
import math
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import orjson
import pytest
from matplotlib.figure import Figure

from agents import api
from agents.api import Event, Found, Training, ask, fit, open_training, train
from agents.directory.run_directory import BEST_PROMPT, JOURNAL, RESULT, read_document
from agents.history.progress import Ending
from agents.history.replay import replay
from agents.operators.operator import Context, of_kinds
from memory.journals.reading import read_journal
from protocols.errors import ConfigError, DataError, InputError, PromptError, RunFailed
from protocols.files import prompt_file
from protocols.messages import Assignment, Critique, Failure, Stop
from protocols.prompt import Prompt
from protocols.task import Task
from tests.agents.history.test_looking_back import ignore
from tests.agents.run.test_search import check_journal
from tests.small_task import PROMPT, SETTINGS, rows, write_task

pytestmark = pytest.mark.anyio
SEARCH: Mapping[str, object] = SETTINGS["search"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def task(**other: object) -> dict[str, object]:
    return {"name": "small", **{split: rows(split) for split in ("train", "validation", "test")}, **other}


def exists(path: str) -> bool:
    return Path(path).exists()


def contents() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@asynccontextmanager
async def opened(**other: Any) -> AsyncIterator[Training]:
    arguments = {"models": "embedded", "search": SEARCH, "environ": {}, **other}
    async with open_training(task(), prompt_file.loads(PROMPT), **arguments) as training:
        yield training


async def read_all(leave_by: Exception | None = None, **other: Any) -> None:
    async with opened(**other) as training:
        async for _ in training:
            if leave_by is not None:
                raise leave_by


async def trained(prompt: Prompt | Path | str | None = None, **other: Any) -> Found:
    return await train(
        task(), prompt or prompt_file.loads(PROMPT), environ={}, **{"models": "embedded", "search": SEARCH, **other}
    )


async def test_objects_find_what_files_find_and_leave_a_run_like_any_other() -> None:
    alone = {**SEARCH, "width": 1}  # so that one outcome after the other decides
    found = await trained(search=alone)
    assert found.directory == Path("runs/small-1")
    assert prompt_file.load(found.directory / BEST_PROMPT) == found.prompt
    assert read_document(found.directory / RESULT) == orjson.loads(orjson.dumps(found.result))
    check_journal(found.directory, 6)
    assert (await replay(found.directory, ignore)).candidate == found.result.candidate
    from_files = await train(write_task(Path("task")), environ={}, directory="other", search=alone)
    assert from_files.prompt == found.prompt
    assert (from_files.result.best, from_files.result.test) == (found.result.best, found.result.test)
    assert not exists("other/given")


async def test_the_same_call_says_what_was_found_and_goes_on_with_more() -> None:
    found = await trained(directory="run")
    assert await trained(directory="run") == found
    more = await trained(directory="run", search={**SEARCH, "assignments": 8})
    assert (more.result.assignments, found.result.assignments) == (8, 6)
    before = contents()
    with pytest.raises(ConfigError, match=r"keeps another prompt\.file"):
        await trained(prompt_file.loads(PROMPT.replace("Which", "What")), directory="run")
    other = task(test=rows("test")[1:])
    with pytest.raises(ConfigError, match=r"keeps another task\.test"):
        await train(other, prompt_file.loads(PROMPT), models="embedded", directory="run", search=SEARCH)
    assert contents() == before


async def test_a_prompt_may_be_a_text_or_a_file_and_a_split_a_path() -> None:
    config = write_task(Path("task"))
    short = {**SEARCH, "assignments": 0}
    given = task(train=Path("task/train.jsonl"), test="task/test.jsonl")
    first = [
        await trained(Path("task/prompt.txt"), search=short),
        await trained("Which is it?", search=short),
        await train(given, models="embedded", search=short, environ={}),
        await train(config, "Which is it?", search=short, environ={}),
        await train(str(config), search=short, environ={}),
    ]
    assert [found.prompt["task"].text.split("\n")[0] for found in first[:2]] == ["Which is it?"] * 2
    assert first[1].prompt == first[3].prompt
    assert first[0].prompt == first[4].prompt
    kept = [sorted(path.name for path in (found.directory / "given").glob("*")) for found in first]
    assert kept == [["test.jsonl", "train.jsonl", "validation.jsonl"]] * 2 + [["validation.jsonl"], [], []]


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"task": task(train=[{"input": {"text": "x"}}])}, DataError, "train.jsonl:1"),
        ({"task": task(train=[{"input": {"text": object()}}])}, DataError, "task.train, row 1: "),
        ({"task": task(train={"a": 1})}, DataError, "task.train: give a path, or a sequence of rows"),
        ({"task": task(validation=rows("train"))}, DataError, "train"),
        ({"task": task(kind="singing")}, ConfigError, "task.kind: input should be"),
        ({"task": {"name": "x"}}, ConfigError, "train and validation and test missing"),
        ({"budget": {"cals": 1}}, ConfigError, "did you mean budget.calls?"),
        ({"models": "nobody/x"}, ConfigError, "nobody"),
        ({"budget": 1}, ConfigError, "budget is a table, not 1"),
        ({"prompt": "Which {colour}?"}, PromptError, "{colour}"),
    ],
)
async def test_what_cannot_be_used_is_one_line_and_leaves_nothing(
    given: Mapping[str, Any], kind: type[InputError], says: str
) -> None:
    usual = {"task": task(), "prompt": prompt_file.loads(PROMPT), "models": "embedded", "search": SEARCH}
    arguments = {**usual, "environ": {}, **given}
    for directory in (None, "run"):
        with pytest.raises(kind) as caught:
            await train(**arguments, directory=directory)
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
    assert contents() == {}
    assert not exists("run")


def have_folder(name: str, file: str) -> None:
    Path(name).mkdir(parents=True)
    if file:
        Path(name, file).write_text("my own", encoding="utf-8")


@pytest.mark.parametrize("own", ["", "mine", "test.jsonl"])
async def test_what_was_there_before_is_never_taken_away(own: str) -> None:
    """A folder that is called as that of a run, with a file or none, one of which may be called as one of a run."""
    have_folder("run/given", own)
    with pytest.raises(InputError):
        await trained("Which {colour}?", directory="run")
    assert contents() == ({Path("run/given", own): b"my own"} if own else {})
    assert exists("run/given")


@pytest.mark.parametrize("table", ["task", "prompt", "search", "models"])
async def test_a_table_that_is_none_is_one_line(table: str) -> None:
    config = write_task(Path("task"))
    lines = f"{table} = 1\n" + re.sub(rf"\[{table}\]\n(.+\n)*", "", config.read_text(encoding="utf-8"))
    config.write_text(lines, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        await train(config, "Which is it?", models="embedded", environ={}, search=SEARCH)
    assert table in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_every_assignment_and_every_ending_is_an_event() -> None:
    async with opened() as training:
        events = [event async for event in training]
        found = await training.found()
    told = [e.message for e in read_journal(found.directory / JOURNAL, (Assignment, Critique, Failure))]
    assert [e.assignment for e in events if isinstance(e, Assignment | Ending)] == [m.assignment for m in told]  # type: ignore[union-attr]
    assert [type(e) is Assignment for e in events] == [isinstance(m, Assignment) for m in told]
    assert training.progress.ended == 6
    async with opened(directory=found.directory) as again:
        assert [event async for event in again] == []
        assert await again.found() == found
        with pytest.raises(ConfigError, match="has finished"):
            await again.steer("pause")


@pytest.mark.parametrize("read", [0, 1, 7])
async def test_a_reader_may_stop_and_the_search_goes_on(monkeypatch: pytest.MonkeyPatch, read: int) -> None:
    monkeypatch.setattr(api, "UNREAD", 1)
    with anyio.fail_after(60):
        async with opened() as training:
            for _ in range(read):
                await anext(training)
            assert (await training.found()).result.stopped_by == "assignments"


@pytest.mark.parametrize("unread", [1, 256])
@pytest.mark.parametrize("read", [0, 5])
async def test_who_leaves_cancels_and_the_same_call_goes_on(
    monkeypatch: pytest.MonkeyPatch, unread: int, read: int
) -> None:
    """Also a search that waits for its reader."""
    monkeypatch.setattr(api, "UNREAD", unread)
    with anyio.fail_after(60):
        long = {**SEARCH, "assignments": 20}
        async with opened(search=long, directory="run") as training:
            for _ in range(read):
                await anext(training)
        assert not exists("run/result.json")
        with pytest.raises(RunFailed, match="can be gone on with"):
            await training.found()
        found = await trained(directory="run", search=long)
    assert found.result.assignments == 20
    assert (await replay(found.directory, ignore)).stopped_by == "assignments"


async def test_a_search_is_steered() -> None:
    seen: list[Event] = []
    long = {**SEARCH, "assignments": 5000}
    async with opened(search=long) as training:
        async for event in training:
            seen.append(event)
            if isinstance(event, Ending) and event.kind == "first":
                assert (await training.steer("stop")).startswith("stopping")
        found = await training.found()
    assert found.result.stopped_by == "interrupted"
    assert any(isinstance(event, Stop) for event in seen)


class Raises:
    """An operator with a bug."""

    name = "raises"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        return of_kinds(prompt, "task")

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        return math.sqrt(-1)  # type: ignore[return-value]


async def test_an_error_of_the_search_or_of_the_reader_comes_out_as_it_is() -> None:
    broken = {**SEARCH, "operators": [f"{__name__}:Raises"]}
    with pytest.raises(ValueError, match="math domain error"):
        await trained(search=broken)
    with pytest.raises(ValueError, match="math domain error"):
        await read_all(search=broken)
    with pytest.raises(KeyError, match="mine"):
        await read_all(KeyError("mine"))


def test_a_script_needs_no_loop_and_finds_the_same() -> None:
    """The history has every assignment once, its last row the sums of the result before the test split."""
    alone = {**SEARCH, "width": 1}
    found = fit(task(), prompt_file.loads(PROMPT), models="embedded", search=alone, environ={}, directory="run")
    told = [e.message for e in read_journal(found.directory / JOURNAL, (Critique, Failure))]
    assert [row["assignment"] for row in found.history] == [m.assignment for m in told]  # type: ignore[union-attr]
    first, last = found.history[0], found.history[-1]
    assert (first["outcome"], first["value"]) == ("first", found.result.first.value)
    assert last["best"] == found.result.best.value
    calls = [row["calls"] for row in found.history]
    assert calls == sorted(calls, key=lambda some: some or 0)
    assert 0 < int(last["calls"] or 0) < sum(found.result.calls.values())
    assert int(last["tokens"] or 0) < sum(found.result.tokens.values())
    assert last["dollars"] == 0.0
    assert found.result.test is not None
    assert len(found.wrong(0)) == sum(row["score"] < 1 for row in found.wrong(0)) > 0
    axes = found.plot(Figure().subplots())
    assert [*axes.lines[0].get_ydata()] == [row["best"] for row in found.history]
    more = fit(task(), prompt_file.loads(PROMPT), models="embedded", environ={}, directory="run",
               search={**alone, "assignments": 8})  # fmt: skip
    assert len({row["assignment"] for row in more.history}) == len(more.history) > len(found.history)


async def test_in_a_running_loop_fit_names_the_way() -> None:
    with pytest.raises(ConfigError, match=r"await train\(…\)$"):
        fit(task(), "Which?", models="embedded", environ={})
    assert contents() == {}


async def test_one_example_is_asked() -> None:
    asked = await ask(task(), prompt_file.loads(PROMPT), rows("test")[0]["id"], models="embedded", environ={})  # type: ignore[arg-type]
    assert (asked.split, asked.exchange.example) == ("test", rows("test")[0]["id"])
    assert contents() == {}


async def test_a_notebook_shows_the_search_and_takes_the_drawing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class ZMQInteractiveShell:
        """What rich knows a notebook by."""

    class Handle:
        def update(self, page: str) -> None:
            shown.append(page)

    def display(page: str, *, display_id: bool = False, **other: object) -> Handle:
        shown.append(page)
        return Handle()

    shown: list[str] = []
    module = ModuleType("IPython.display")
    vars(module).update(HTML=str, display=display)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    await train(task(name="<b>"), "Which?", models="embedded", environ={}, search=SEARCH)
    assert shown == []
    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    found = await train(task(name="<b>"), "Which?", models="embedded", environ={}, search=SEARCH, directory="run")
    assert "&lt;b&gt;" in shown[0]
    assert "<b>" not in "".join(shown)
    assert shown[-1] == ""
    assert "<b>" not in found.result._repr_html_()
