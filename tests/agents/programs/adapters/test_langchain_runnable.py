"""A LangChain runnable is trained unchanged, and what was trained is a runnable again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.api import train
from agents.operators.operator import Context
from protocols.errors import ConfigError, PromptError
from protocols.messages import Assignment
from protocols.model import Request
from protocols.prompt import Prompt, Section
from protocols.task import Task
from tests.small_task import rows

pytest.importorskip("langchain_core", reason="LangChain is not installed beside us")
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableBranch, RunnablePassthrough

from agents.programs.adapters.langchain_runnable import from_langchain, template_of

pytestmark = pytest.mark.anyio
DESK = {"bank": "invoice", "van": "parcel"}
THEIRS = FakeListChatModel(responses=["not asked"])
EXTRACT = ChatPromptTemplate.from_template("Copy: {text}")
DECIDE = ChatPromptTemplate.from_messages(
    [("system", 'Answer like {{"x": 1}}.'), ("human", "van"), ("ai", "parcel"), ("human", "{wish}, of {text}")]
)


def chain() -> Any:
    """One template inside of an assign, one inside of a branch."""
    decide = DECIDE | THEIRS.bind(temperature=0.5, stop=["\n"]) | StrOutputParser()
    branch = RunnableBranch((lambda values: not values["wish"], lambda values: "nothing"), decide)
    return RunnablePassthrough.assign(wish=EXTRACT | THEIRS | StrOutputParser()) | branch


class Hinting:
    """Edits `decide.task` in the way that the model below wants it."""

    name = "hinting"

    def targets(self, prompt: Prompt, task: Task) -> Sequence[str]:
        return ["decide.task"]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        return assignment.prompt.edit("decide.task", 'Look {closely} at {"x": 1}.', context.task.placeholders)


async def test_a_chain_is_trained_and_is_a_chain_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = list[Request]()

    async def model(request: Request) -> str:
        asked.append(request)
        last = request.messages[-1].text
        if request.prompt == "extract":
            return last.removeprefix("Copy: ")
        known = "closely" in request.messages[0].text
        return next((desk for word, desk in DESK.items() if word in last), "退款") if known else "?"

    adapted = from_langchain(chain(), "extract", "decide")
    task = {"name": "small", **{split: rows(split) for split in ("train", "validation", "test")}}
    found = await train(
        {**task, "program": adapted},
        prompts=adapted.prompts,
        models=model,
        search={"assignments": 1, "operators": [Hinting], "shrink": 0},
        agents={"critic": "none"},
        environ={},
    )
    assert found.result.test is not None
    assert (found.result.test.first, found.result.test.best) == (0.0, 1.0)
    decided = next(r for r in asked if r.prompt == "decide" and "closely" in r.messages[0].text)
    assert (decided.temperature, decided.parameters.fields) == (0.5, {"stop": ["\n"]})

    trained = adapted.load(found.prompt)
    text = decided.messages[-1].text.partition(", of ")[2]
    assert trained.invoke({"text": text}) == "not asked"
    said = template_of(found.prompt.of("decide"), DECIDE).format_messages(wish=text, text=text)
    assert [message.content for message in said] == [message.text for message in decided.messages]


def test_the_first_prompt_of_a_template_renders_to_what_it_does() -> None:
    adapted = from_langchain(DECIDE | THEIRS, "decide")
    values = {"wish": "a {b}", "text": "{wish}"}
    said = adapted.prompts["decide"].render(values)
    assert [message.text for message in said] == [str(m.content) for m in DECIDE.format_messages(**values)]


def test_a_wrong_number_of_names_is_refused() -> None:
    with pytest.raises(ConfigError, match="has 2 chat prompt templates with a model; name 2"):
        from_langchain(chain(), "extract")


@pytest.mark.parametrize("messages", [[MessagesPlaceholder("past"), ("human", "{x}")], [("human", "{x}")] * 2])
def test_a_template_that_is_no_prompt_of_ours_is_refused(messages: list[Any]) -> None:
    with pytest.raises(PromptError):
        from_langchain(ChatPromptTemplate.from_messages(messages) | THEIRS, "one")


def test_what_is_filled_for_each_input_cannot_be_a_template() -> None:
    shown = Prompt((Section("shown", "examples", "{examples:4}", form="turns"), Section("in", "task", "{text}")))
    with pytest.raises(PromptError, match="filled for each input"):
        from_langchain(EXTRACT | THEIRS, "extract").load(shown)
