"""A cancellation that the user's code raises by itself ends the search with an error that names the code; nothing
waits for ever. A cancellation of ours is none of these."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from agents.api import open_training, train
from agents.directory.run_directory import JOURNAL
from agents.operators.operator import Context, of_kinds
from agents.ring.place import Place
from agents.selectors.baselines import Uniform
from agents.selectors.selector import Choice
from memory.journals.reading import read_journal
from protocols.errors import ConfigError
from protocols.messages import Assignment, Envelope, Evaluation, Failure, Message
from protocols.model import Request
from protocols.prompt import Prompt
from protocols.task import Example, Task
from tests.small_task import LABELS, SETTINGS, WORDS, rows

pytestmark = pytest.mark.anyio
SEARCH: Mapping[str, Any] = {**SETTINGS["search"], "operators": ["self_reflection"], "headroom": False}
PATIENCE = 60.0


async def stray() -> None:
    """What awaiting a future of a closed session raises."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


class Model:
    """Answers half of the examples, so that there is something to learn. `fails`: the kind of request that fails."""

    def __init__(self, fails: str = "", waits: bool = False) -> None:
        self.fails, self.waits, self.asked = fails, waits, anyio.Event()
        self.calls = 0

    async def complete(self, request: Request) -> str:
        self.calls += 1
        text = request.messages[-1].text
        kind = "critique" if "<critique>" in text else "edit" if "<new>" in text else "task"
        if self.waits:
            self.asked.set()
            await anyio.sleep_forever()
        if kind == self.fails and (kind != "task" or self.calls > 20):
            await stray()
        if kind == "edit":
            return f"<new>Which is it, {self.calls}?</new>"
        if kind == "critique":
            return "<critique>\n[task] Look at the words. (1)\n</critique>"
        shown = text.rpartition("Text:")[2]
        return next((label for label in LABELS[:2] if WORDS[label].split()[0] in shown), "parcel")


class Operator:
    name = "strays"

    def targets(self, prompt: Prompt, task: Task) -> Sequence[str]:
        return of_kinds(prompt, "task")

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        await stray()
        return assignment.prompt


class Selector(Uniform):
    def choose(self, choices: Sequence[Choice]) -> Choice:
        raise asyncio.CancelledError


class Forgetful(Uniform):
    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        raise asyncio.CancelledError


class Agent:
    def __init__(self, place: Place) -> None: ...

    async def handle(self, message: Message) -> Sequence[Message]:
        await stray()
        return []


async def metric(example: Example, answer: object) -> float:
    await stray()
    return 1.0


def plain_metric(example: Example, answer: object) -> float:
    raise asyncio.CancelledError


def parser(reply: str) -> object:
    raise asyncio.CancelledError


async def observer(envelope: Envelope) -> None:
    if isinstance(envelope.message, Evaluation):
        await stray()


def given(**other: object) -> dict[str, object]:
    return {"name": "small", **{split: rows(split) for split in ("train", "validation", "test")}, **other}


CASES: Mapping[str, tuple[dict[str, Any], str]] = {
    "a task call": ({"models": Model("task")}, "model own/Model"),
    "a critic call": ({"models": Model("critique")}, "model own/Model"),
    "a writer call": ({"models": Model("edit")}, "model own/Model"),
    "operator": ({"search": {**SEARCH, "operators": [Operator]}}, "operator strays"),
    "selector": ({"search": {**SEARCH, "selector": Selector}}, "the selector"),
    "what a selector learns": ({"search": {**SEARCH, "selector": Forgetful}}, "the selector"),
    "critic": ({"agents": {"critic": Agent}}, "critic"),
    "observer": ({"agents": {"observers": [observer]}}, "observer/1"),
    "metric": ({"task": given(metric=metric)}, "metric .*for example"),
    "plain metric": ({"task": given(metric=plain_metric)}, "metric .*for example"),
    "parser": ({"task": given(kind="generation", metric="exact", parser=parser)}, "what answers example"),
}


async def searched(directory: Path, **other: Any) -> None:
    arguments = {"task": given(), "models": Model(), "search": SEARCH, "environ": {}, **other}
    with anyio.fail_after(PATIENCE):
        await train(**arguments, prompt="Which is it?", directory=directory)


@pytest.mark.parametrize("name", CASES)
async def test_the_search_ends_with_an_error_that_names_the_users_code(tmp_path: Path, name: str) -> None:
    other, what = CASES[name]
    with pytest.raises(ConfigError, match=rf"{what}.* raised CancelledError") as caught:
        await searched(tmp_path / "run", **other)
    assert caught.value.file == __file__


@pytest.mark.parametrize("other", [{"models": Model("edit")}, {"agents": {"proposers": {"self_reflection": Agent}}}])
async def test_it_is_tolerated_as_any_exception_of_an_agent_is(tmp_path: Path, other: dict[str, Any]) -> None:
    search = {**SEARCH, "on_agent_error": "skip", "agent_errors": 99}
    await searched(tmp_path / "run", **{**other, "search": search})
    messages = [envelope.message for envelope in read_journal(tmp_path / "run" / JOURNAL)]
    failures = [message for message in messages if isinstance(message, Failure)]
    assert {failure.kind for failure in failures} == {"raised"}
    assert all("raised CancelledError" in failure.reason for failure in failures)


async def test_a_search_that_is_left_ends_at_once_while_a_model_waits(tmp_path: Path) -> None:
    model = Model(waits=True)
    with anyio.fail_after(PATIENCE):
        async with open_training(
            given(), "Which?", models=model, search=SEARCH, environ={}, directory=tmp_path / "run"
        ):
            await model.asked.wait()


async def test_a_task_that_asyncio_cancels_is_cancelled(tmp_path: Path) -> None:
    model = Model(waits=True)
    task = asyncio.ensure_future(searched(tmp_path / "run", models=model))
    await model.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
