"""A DSPy module is trained unchanged, and what was trained loads back into it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.api import train
from agents.operators.operator import Context
from protocols.errors import PromptError
from protocols.messages import Assignment
from protocols.model import ChatMessage, Request
from protocols.prompt import Prompt, Section
from protocols.task import Task
from tests.small_task import rows

pytest.importorskip("dspy", reason="DSPy is not installed beside us")
import dspy

from agents.programs.adapters.dspy_module import DSPyProgram, demos, from_dspy

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
DESK = {"bank": "invoice", "van": "parcel"}
TURNS = (
    "--- user ---\n[[ ## wish ## ]]\na {wish}\n--- assistant ---\n[[ ## desk ## ]]\nparcel\n\n[[ ## completed ## ]]"
)


class Routing(dspy.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.extract = dspy.Predict("text -> wish")
        self.decide = dspy.Predict("wish -> desk")

    def forward(self, text: str) -> Any:
        return self.decide(wish=self.extract(text=text).wish)


class Hinting:
    """Edits `decide.task` in the way that the model below wants it."""

    name = "hinting"

    def targets(self, prompt: Prompt, task: Task) -> Sequence[str]:
        return ["decide.task"]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        return assignment.prompt.edit("decide.task", "Look at {x} closely.", context.task.placeholders)


def reply(request: Request) -> str:
    """What a model says that is right once it is told to look closely."""
    last = request.messages[-1].text
    if request.prompt == "extract":
        return f"[[ ## wish ## ]]\n{last.splitlines()[1]}\n[[ ## completed ## ]]"
    if "closely" not in request.messages[0].text:
        return "I do not know."
    desk = next((desk for word, desk in DESK.items() if word in last), "退款")
    return f"[[ ## desk ## ]]\n{desk}\n[[ ## completed ## ]]"


async def test_a_module_is_trained_and_loaded_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = Routing()
    module.decide.demos = [dspy.Example(wish="a {wish}", desk="parcel").with_inputs("wish")]
    adapted, asked = from_dspy(module), list[Request]()

    async def model(request: Request) -> str:
        asked.append(request)
        return reply(request)

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
    trained = adapted.load(found.prompt)
    assert trained.decide.signature.instructions == "Look at {x} closely."
    assert trained.extract.signature.instructions == module.extract.signature.instructions
    assert module.decide.signature.instructions == "Given the fields `wish`, produce the fields `desk`."
    same = next(r.messages for r in asked if r.prompt == "decide" and "closely" in r.messages[0].text)
    wish = same[-1].text.splitlines()[1]
    as_loaded = dspy.ChatAdapter().format(trained.decide.signature, trained.decide.demos, {"wish": wish})
    assert [bare(m["content"]) for m in as_loaded] == [bare(message.text) for message in same]


def bare(text: str) -> str:
    """The text without white space."""
    return "".join(text.split())


def test_demos_are_turns_and_become_demos_again() -> None:
    module = Routing()
    module.decide.demos = [dspy.Example(wish="a {wish}", desk="parcel").with_inputs("wish")]
    adapted = from_dspy(module)
    assert adapted.prompts["decide"]["demos"].text == TURNS
    sections = [
        Section(f"{name}.{s.name}", s.kind, s.text, s.frozen, s.form)
        for name, p in adapted.prompts.items()
        for s in p
    ]
    [demo] = adapted.load(Prompt(tuple(sections))).decide.demos
    assert demo.toDict() == module.decide.demos[0].toDict()


@pytest.mark.parametrize("text", ["{examples:4}", "--- user ---\nhello\n--- assistant ---\nparcel"])
def test_what_cannot_be_a_demo_is_refused(text: str) -> None:
    with pytest.raises(PromptError, match=r"decide\.demos"):
        demos(Section("decide.demos", "examples", text, form="turns"), Routing().decide.signature)


async def test_the_prompt_of_a_single_predictor_has_bare_addresses() -> None:
    module = dspy.Predict("text -> desk")
    adapted = from_dspy(module, "desk")
    assert isinstance(adapted, DSPyProgram)
    [(name, prompt)] = adapted.prompts.items()
    trained = adapted.load(prompt.edit("task", "Say it.", ()))
    assert (name, trained.signature.instructions) == ("self", "Say it.")
    assert ChatMessage("user", "x") == prompt.render({"request": "x"})[-1]
