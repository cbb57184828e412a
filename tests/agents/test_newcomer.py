"""Code of the user's, as objects of a program and as names with parameters: both are the same run."""

from __future__ import annotations

import ast
import inspect
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.api import evaluate, open_training, train
from agents.config.configuration import Configuration, build
from agents.directory.run_directory import CONFIGURATION, read_configuration
from agents.history.progress import Ending
from agents.study.study import load_study
from protocols.errors import ConfigError, ServerFailed
from protocols.files.named import Named, as_named
from protocols.messages import Envelope
from protocols.model import ChatMessage, Reply, Request, Usage
from protocols.providers.own_model import open_own
from protocols.task import Example, Json
from tests.agents import newcomer
from tests.agents.newcomer import Exp3, PlainWords, Rules, Tally, near
from tests.small_task import SETTINGS, rows, write_task

pytestmark = pytest.mark.anyio
MODULE = "tests.agents.newcomer"
SEARCH = {**SETTINGS["search"], "width": 1, "headroom": False}
BY_NAME: dict[str, Any] = {
    "models": {"default": {"use": f"{MODULE}:Rules"}, "proposer": {"use": f"{MODULE}:Rules", "label": "bills"}},
    "agents": {"critic": "none", "observers": [{"use": f"{MODULE}:Tally", "file": "seen.txt"}]},
    "search": {
        **SEARCH,
        "operators": ["few_shot", f"{MODULE}:PlainWords"],
        "selector": {"use": f"{MODULE}:Exp3", "gamma": 0.3},
    },
}
AS_OBJECTS: dict[str, Any] = {
    "models": {"default": Rules, "proposer": {"use": Rules, "label": "bills"}},
    "agents": {"critic": "none", "observers": [partial(Tally, file="seen.txt")]},
    "search": {**SEARCH, "operators": ["few_shot", PlainWords], "selector": {"use": Exp3, "gamma": 0.3}},
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def text_of(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def copy(path: str, to: str) -> None:
    Path(to).write_bytes(Path(path).read_bytes())


def task(**other: object) -> dict[str, object]:
    return {"name": "small", **{split: rows(split) for split in ("train", "validation", "test")}, **other}


def right(example: Example, answer: Json) -> float:
    return float(answer == example.target)


async def test_objects_and_names_with_parameters_are_one_run() -> None:
    """Written down alike, with the same decisions, and each goes on where the other was left."""
    named = await train(task(metric={"use": f"{MODULE}:near", "most": 0.5}), directory="named", environ={}, **BY_NAME)
    given = await train(task(metric={"use": near, "most": 0.5}), directory="given", environ={}, **AS_OBJECTS)
    documents = [orjson.loads(text_of(f"{place}/{CONFIGURATION}")) for place in ("named", "given")]
    for document in documents:
        document["task"] = {k: v for k, v in document["task"].items() if k not in ("train", "validation", "test")}
    assert documents[0] == documents[1]
    assert (given.prompt, given.result.best) == (named.prompt, named.result.best)
    assert 0 < given.result.best.value <= 0.5
    assert given.result.models["task"] == f"own/{MODULE}:Rules"
    assert text_of("given/seen.txt") == text_of("named/seen.txt")
    more = {**BY_NAME, "search": {**BY_NAME["search"], "assignments": 8}}
    went_on = await train(task(metric={"use": f"{MODULE}:near", "most": 0.5}), directory="given", environ={}, **more)
    assert went_on.result.assignments == 8


async def test_lambdas_instances_and_functions_of_a_program_search_and_are_refused_only_when_it_goes_on() -> None:
    seen: Counter[str] = Counter()

    def see(envelope: Envelope) -> None:
        seen[type(envelope.message).__name__] += 1

    async def trained(**search: Any) -> Any:
        chosen = {**SEARCH, "operators": [PlainWords()], **search}
        metric = lambda example, answer: float(answer == example.target)  # noqa: E731
        return await train(
            task(metric=metric, parser=lambda reply: reply.strip()),
            models=Rules("invoice"),
            directory="run",
            environ={},
            search=chosen,
            agents={"critic": "none", "observers": [see]},
        )

    found = await trained()
    assert found.result.models["task"] == "own/Rules"
    assert 0 < found.result.best.value < 1
    assert seen["Assignment"] == found.result.assignments
    assert await trained() == found, "it has ended: nothing goes on"
    with pytest.raises(ConfigError) as caught:
        await trained(assignments=9)
    assert "task.metric is <lambda in line" in str(caught.value)
    assert "Put it into a module" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_prompt_scores_what_the_search_said() -> None:
    judged = task(metric=lambda example, answer: 0.5 * right(example, answer))
    found = await train(judged, directory="run", environ={}, **BY_NAME)
    options: dict[str, Any] = {"models": Rules(), "environ": {}}
    assert (await evaluate(judged, found.prompt, **options)).value == found.result.best.value
    again = await evaluate(judged, Path("run/best_prompt.txt"), "test", **options)
    assert found.result.test is not None
    assert again.value == found.result.test.best
    assert os.listdir() == ["run"]


async def test_an_observer_may_be_another_when_a_run_goes_on() -> None:
    for assignments in (2, 4):
        seen: list[Envelope] = []
        search = {**BY_NAME["search"], "assignments": assignments}
        agents = {"critic": "none", "observers": [seen.append]}
        found = await train(task(), directory="run", environ={}, **{**BY_NAME, "search": search, "agents": agents})
        assert seen
    assert found.result.assignments == 4


async def test_a_run_under_way_is_steered_whatever_judges_it() -> None:
    async with open_training(
        task(metric=lambda example, answer: right(example, answer)), models=Rules(), directory="run", environ={},
        search={**SEARCH, "assignments": 5000, "operators": [PlainWords]}, agents={"critic": "none"},
    ) as training:  # fmt: skip
        async for event in training:
            if isinstance(event, Ending):
                copy("run/first_prompt.txt", "mine.txt")
                assert await training.steer("inject", "mine.txt")
                await training.steer("stop")
                break
        await training.found()
    assert read_configuration(Path("run")).task.metric


def test_an_arm_varies_one_parameter(tmp_path: Path) -> None:
    config = write_task(tmp_path / "task")
    text = config.read_text(encoding="utf-8")
    selector = f'selector = {{ use = "{MODULE}:Exp3", gamma = 0.3 }}'
    config.write_text(text.replace("[search]\n", f"[search]\n{selector}\n"), encoding="utf-8")
    arms = (
        "[arms.bold.search.selector]\ngamma = 0.9\n"
        f'[arms.other.search]\nselector = {{ use = "{MODULE}:Other" }}\n'
        '[arms.ours.search]\nselector = "ucb"\n'
    )
    file = tmp_path / "study.toml"
    file.write_text(f'[study]\ntasks = ["{config}"]\nseeds = 2\n{arms}', encoding="utf-8")
    chosen = {cell.setting: cell.configuration.search.selector.dumped() for cell in load_study(file).cells}
    assert chosen == {
        "baseline": {"use": f"{MODULE}:Exp3", "gamma": 0.3},
        "bold": {"use": f"{MODULE}:Exp3", "gamma": 0.9},
        "other": f"{MODULE}:Other",
        "ours": "ucb",
    }


@pytest.mark.parametrize("settings", [BY_NAME, AS_OBJECTS])
@pytest.mark.parametrize("metric", [None, "exact", {"exact": 2, near: 1}, [{"use": near, "weight": 3, "most": 0.1}]])
def test_what_is_written_down_is_read_as_the_same(settings: dict[str, Any], metric: object) -> None:
    configuration = build({"task": {"name": "x", "data": "x.jsonl", "metric": metric}, **settings}, Path())
    assert Configuration.model_validate_json(configuration.model_dump_json()) == configuration
    assert Configuration.model_validate(configuration.model_dump()) == configuration


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            {"search": {"selector": {"use": f"{MODULE}:Exp3", "gama": 1}}},
            "selector 'tests.agents.newcomer:Exp3' must",
        ),
        ({"search": {"selector": {"gamma": 1}}}, 'search.selector: a table needs use = "module:name"'),
        ({"search": {"selector": {"use": "ucb", "c": 1}}}, "selector ucb takes no parameters"),
        ({"search": {"selector": {"use": Exp3, "api_key": "x"}}}, "search.selector: api_key looks like a secret"),
        ({"search": {"selector": {"use": Exp3, "gamma": object()}}}, "search.selector: parameters are texts"),
        ({"search": {"selector": 3}}, 'search.selector: give "module:name"'),
        ({"search": {"selector": object()}}, "selector: <object> has no method choose"),
        ({"search": {"operators": [{"use": "few_shot", "k": 3}]}}, "operator few_shot takes no parameters"),
        ({"models": object()}, "models: <object> has no method complete"),
        ({"models": {"default": "own/x"}}, 'one of your own is named as a table: { use = "module:Class" }'),
        ({"models": {"default": Rules("a"), "task": Rules("b")}}, "two models are called own/Rules"),
        ({"models": Rules(), "providers": {"own": {"base_url": "x"}}}, "providers.own.base_url: a model of your own"),
        ({"agents": {"observers": [object()]}}, "agents.observers: '<object>' has no method observe"),
        ({"task": task(metric={"use": near, "least": 1})}, "task.metric 'tests.agents.newcomer:near' must take"),
        ({"task": task(metric=["exact", "exact"])}, "task.metric: two are exact"),
        ({"task": task(metric={"use": "exact", "k": 1})}, "task.metric: exact takes no parameters"),
        ({"task": task(parser=near)}, "task.parser 'tests.agents.newcomer:near' must take reply"),
        ({"task": task(parser=Rules)}, "task.parser 'tests.agents.newcomer:Rules' is a class without __call__"),
    ],
)
async def test_what_cannot_be_used_is_one_line(table: dict[str, Any], says: str) -> None:
    usual: dict[str, Any] = {"task": task(), "models": Rules(), "environ": {}, "agents": {"critic": "none"}}
    with pytest.raises(ConfigError) as caught:
        await train(**{**usual, **table})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [name for _, _, names in os.walk(".") for name in names]


class Holds:
    def method(self) -> None: ...


def test_what_has_a_name_of_its_own_is_known_by_it() -> None:
    def inner() -> None: ...

    class Inner: ...

    nameless = [lambda: 0, inner, Inner, Inner(), Holds(), Holds().method, Holds.method]
    assert [as_named(thing).nameless for thing in nameless] == [True] * len(nameless)
    assert as_named(Holds) == Named(f"{__name__}:Holds")
    assert as_named(partial(Holds)) == Named(f"{__name__}:Holds")
    assert as_named(partial(print, object())).nameless


@given(
    st.dictionaries(
        st.text(), st.recursive(st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(), st.lists, max_leaves=3)
    )
)
def test_parameters_survive_writing_down(parameters: dict[str, Any]) -> None:
    parameters.pop("use", None)
    named = as_named({"use": "mine:Exp3", **parameters})
    assert as_named(named.dumped()) == named
    assert named.nameless is False


SCRIPT = """
import anyio, sys
from agents.api import train
from tests.agents.test_newcomer import task, SEARCH
from tests.agents.newcomer import PlainWords, Rules
class Mine(Rules): ...
async def main():
    await train(task(), models=Mine, directory="run", environ={}, agents={"critic": "none"},
                search={**SEARCH, "operators": [PlainWords], "assignments": int(sys.argv[1])})
anyio.run(main)
"""


def test_a_class_of_main_searches_and_does_not_go_on() -> None:
    root = Path(newcomer.__file__).parents[2]
    runs = [
        subprocess.run([sys.executable, "-c", SCRIPT, count], env={"PYTHONPATH": str(root)}, capture_output=True)
        for count in ("1", "2")
    ]
    assert [run.returncode for run in runs] == [0, 1], runs
    assert b"models.default is <Mine>, an object without a name" in runs[1].stderr.splitlines()[-1]


async def answer(given: object) -> Reply:
    async def complete(request: Request) -> Any:
        return given

    model = open_own(as_named(complete), "models", 5.0)
    return await model.complete(Request((ChatMessage("user", "How?"),)))


async def test_a_text_is_a_reply_with_estimated_tokens_and_a_reply_keeps_its_own() -> None:
    said = await answer("so")
    assert (said.text, said.finish, said.usage.estimated, said.model) == ("so", "stop", 1, "own/complete")
    counted = Reply("so", Usage(7, 2))
    assert (await answer(counted)).usage == Usage(7, 2)
    assert (await answer("")).instead == "nothing"
    with pytest.raises(ConfigError, match="complete returned int; return a Reply or a text"):
        await answer(3)


odd: Any = [math.nan, math.inf, -1, "7", None, 10**30, 1.5]


@pytest.mark.parametrize("value", odd)
async def test_odd_counts_and_latencies_are_estimated_and_measured(value: Any) -> None:
    """They go into SQLite and into caps."""
    for usage in (Usage(value, 2), Usage(7, value), value, Usage(7, 2, value), Usage(7, 2, 0, value)):
        said = (await answer(Reply("so", usage, latency=value))).usage
        assert all(isinstance(part, int) and 0 <= part < 2**63 for part in astuple(said))
        assert said.estimated or (said.input, said.output, said.cached, said.written) == (7, 2, 0, 0)
    latency = (await answer(Reply("so", Usage(7, 2), latency=value))).latency
    assert isinstance(latency, float)
    assert 0 <= latency < math.inf


async def test_a_reply_without_a_text_is_told_from_no_reply() -> None:
    nothing: Any = None
    with pytest.raises(ConfigError, match="complete returned Reply whose text is NoneType; return a Reply or a text"):
        await answer(Reply(nothing))


@pytest.mark.parametrize("raised", [OSError("gone"), ServerFailed("busy", model="own/x")])
async def test_a_call_that_failed_is_tried_again(raised: Exception) -> None:
    calls = 0

    async def complete(request: Request) -> str:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise raised
        return "invoice"

    search = {**SEARCH, "operators": ["few_shot"], "assignments": 0}
    found = await train(task(), models=complete, environ={}, search=search, agents={"critic": "none"})
    assert found.result.roles["task"].failed == 1
    assert not found.result.unanswered


async def test_a_model_that_hangs_is_a_call_that_timed_out() -> None:
    async def complete(request: Request) -> str:
        await anyio.sleep_forever()
        return ""

    with pytest.raises(Exception, match=r"no reply within 0\.01 s"):
        await open_own(as_named(complete), "models", 0.01).complete(Request((ChatMessage("user", "x"),)))


async def test_replies_of_an_object_without_a_name_are_kept_for_its_own_run_alone(tmp_path: Path) -> None:
    calls: Counter[str] = Counter()

    def model(label: str) -> Callable[[Request], Any]:
        async def complete(request: Request) -> str:
            calls[label] += 1
            return label

        return complete

    search = {**SEARCH, "operators": ["few_shot"], "assignments": 0}
    for label in ("invoice", "parcel"):
        shared = {"path": f"{tmp_path}/replies.sqlite"}
        await train(
            task(), models=model(label), environ={}, search=search, agents={"critic": "none"}, cache=shared
        )  # fmt: skip
    assert calls["parcel"] == calls["invoice"] > 0


def test_what_the_newcomer_wrote_is_short() -> None:
    for node in ast.parse(inspect.getsource(newcomer)).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 25
