"""What an example is asked as: who asks the same asks it the same way."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.prompting.asking import reply_limit, task_request
from agents.prompting.forward import Concurrency, Forward
from protocols.model import Reply, Request
from protocols.prompt import KINDS, Kind, Prompt, Section
from protocols.task import TaskKind
from tests.world import FIRST_PROMPT, NO_CORPUS, TASK, Oracle

KIND = TaskKind("classification", limit=32, thought=512)
ASKS = [
    "Think step by step, then give the label.",
    "First explain your choice in one sentence, then name the label.",
    "Step 1: find the verb. Step 2: choose.",
    "Analyse the text. Do not guess.",
    "Reason about it.\nThe last line is the label.",
    "Give a rationale, then the label.",
    "请一步一步思考，然后给出标签。",
    "先解释，再给出标签。",
]
FORBID = [
    "Choose the one label that fits.",
    "Reply with the label, and do not explain it.",
    "Don't think, answer.",
    "Name the label without any reasoning.",
    "Reply with exactly one of these labels.\nLabels: billing, shipping",
    "只回答标签，不要解释。",
    "从下列标签中选择一个。",
]


def prompt(text: str, kind: Kind = "task") -> Prompt:
    return Prompt((Section("it", kind, text), Section("input", "task", "{text}")))


@pytest.mark.parametrize("text", ASKS)
def test_a_prompt_that_asks_for_thought_has_room_for_it(text: str) -> None:
    assert reply_limit(KIND, prompt(text)) == 544
    assert reply_limit(KIND, prompt(text, "examples")) == 32, "what is shown asks for nothing"


@pytest.mark.parametrize("text", FORBID)
def test_a_prompt_that_asks_for_none_has_no_room_for_it(text: str) -> None:
    assert reply_limit(KIND, prompt(text)) == 32
    assert reply_limit(KIND, prompt(text, "reasoning")) == 544, "a section that says how to think does so"
    assert reply_limit(KIND, prompt("  \n", "reasoning")) == 32


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.text(st.characters(exclude_categories=["Cs"])))), st.integers(1))
def test_the_limit_is_the_kinds_or_that_and_room_for_thought(parts: list[tuple[Kind, str]], limit: int) -> None:
    sections = [Section(f"s{n}", kind, text) for n, (kind, text) in enumerate(parts)]
    whole = Prompt((*sections, Section("input", "task", "{text}")))
    assert reply_limit(TaskKind(limit=limit, thought=7), whole) in {limit, limit + 7}
    assert reply_limit(TaskKind(limit=limit), whole) == limit


@pytest.mark.anyio
async def test_what_is_asked_is_what_windows_are_measured_with() -> None:
    asked: list[Request] = []

    class Listening(Oracle):
        async def complete(self, request: Request) -> Reply:
            asked.append(request)
            return await super().complete(request)

    await Forward(Listening(), TASK, NO_CORPUS, Concurrency(1))(FIRST_PROMPT, TASK.validation)
    expected = [task_request(TASK.kind, FIRST_PROMPT, FIRST_PROMPT.render(e.inputs)) for e in TASK.validation]
    assert asked == expected
    assert {(request.temperature, request.max_tokens) for request in asked} == {(0.0, TASK.kind.limit)}
    measured: list[Request] = []

    def room(request: Request) -> float:
        measured.append(request)
        return 5.0

    assert replace(NO_CORPUS, room=room).spare(FIRST_PROMPT) == 5.0 < math.inf
    assert set(measured[1:]) <= set(asked)
