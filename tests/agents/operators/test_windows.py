"""What operators show where the window of the task's model is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.operators.few_shot import FewShot
from agents.operators.merge import Merge
from agents.operators.operator import Context, Operator
from agents.operators.rag import Rag
from agents.prompting.forward import Concurrency, Forward
from agents.prompting.retrieval_slots import open_slots
from agents.ring.evaluator import Evaluator, RaceSettings
from agents.ring.proposer import Proposer
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Candidate, Failure, Partner
from protocols.model import Request
from protocols.prompt import Prompt, Section, estimate_tokens
from protocols.task import Example, Task
from tests.agents.ring.test_handling import WRONG, Says
from tests.world import TASK, one

pytestmark = pytest.mark.anyio
PROMPT = Prompt(
    (
        Section("task", "task", "Answer."),
        Section("examples", "examples"),
        Section("knowledge", "knowledge"),
        Section("input", "task", "Text: {text}", frozen=True),
    )
)
TRAIN = tuple(Example(f"t{n}", {"text": "amber " * (1 + 7 * n % 60)}, ("no", "yes")[n % 2]) for n in range(40))
LONG = replace(TASK, train=TRAIN, validation=(*TASK.validation, Example("v-long", {"text": "birch " * 200}, "no")))
CORPUS = ["amber " * 30, "birch " * 60, "cedar " * 90, "dune " * 20]
SCORES = (0.0,) * len(LONG.validation)


def room(tokens: int) -> Callable[[Request], float]:
    """Of a model that takes so many tokens."""
    return lambda request: tokens - sum(estimate_tokens(message.text) for message in request.messages)


def context(tokens: int, seed: int) -> Context:
    slots = replace(open_slots(LONG, CORPUS), room=room(tokens))
    return Context(LONG, Says(), (), Random(seed), slots, 0.0)


def assignment(section: str, scores: tuple[float | None, ...] = SCORES) -> Assignment:
    return Assignment(5, "x", section, 2, PROMPT, "", (WRONG,), scores)


@given(st.sampled_from([(FewShot(), "examples"), (Rag(), "knowledge")]), st.integers(320, 1200), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_as_many_are_shown_as_there_is_room_for_beside_the_longest_input(
    edit: tuple[Operator, str], tokens: int, seed: int
) -> None:
    (operator, section), given_here = edit, context(tokens, seed)
    try:
        edited = one(anyio.run(operator.edit, assignment(section), given_here))
    except InapplicableError:
        return
    assert edited[section].text
    assert given_here.slots.spare(edited) >= 0


@given(st.sampled_from([(FewShot(), "examples"), (Rag(), "knowledge")]), st.integers(20, 400), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_no_more_is_shown_than_the_cap_on_tokens_leaves_room_for(
    edit: tuple[Operator, str], tokens: int, seed: int
) -> None:
    operator, section = edit
    slots = open_slots(LONG, CORPUS, tokens)
    try:
        context = Context(LONG, Says(), (), Random(seed), slots, 0.0)
        edited = one(anyio.run(operator.edit, assignment(section), context))
    except InapplicableError:
        return
    assert slots.tokens(edited) <= tokens
    left = slots.room_for(edited, section)
    assert left == tokens - PROMPT.tokens >= 0


async def test_without_a_window_nothing_is_held_back() -> None:
    slots = open_slots(LONG, CORPUS)
    edited = [
        await FewShot().edit(assignment("examples"), Context(LONG, Says(), (), Random(seed), slots, 0.0))
        for seed in range(20)
    ]
    assert max(slots.tokens(prompt) for prompt in edited) > 400


async def test_an_input_that_the_parent_could_not_be_asked_does_not_count() -> None:
    here, unanswered = context(200, 0), (*SCORES[:-1], None)
    assert here.slots.spare(PROMPT, SCORES) < 0 <= here.slots.spare(PROMPT, unanswered)


class Doubles:
    """Writes more than fits."""

    name = "doubles"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        return ["task"]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        return assignment.prompt.edit("task", "Answer. " * 500, context.task.fields)


async def test_a_child_that_cannot_fit_fails_before_a_call_is_paid() -> None:
    slots = replace(open_slots(LONG, ()), room=room(1000))
    [failure] = await Proposer(Doubles(), Says(), slots, None, 1, 0.0).handle(assignment("task"))
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.text) == ("too long", "Answer. " * 500)
    assert "tokens too long" in failure.reason


async def test_a_candidate_beyond_the_cap_fails_whoever_made_it() -> None:
    slots = open_slots(LONG, (), 200)
    [failure] = await Proposer(Doubles(), Says(), slots, None, 1, 0.0).handle(assignment("task"))
    evaluator = Evaluator(Forward(Says(), LONG, slots, Concurrency(4)), LONG, RaceSettings(), 1)
    by_hand = Candidate(5, PROMPT.edit("task", "Answer. " * 500, ()), SCORES, PROMPT.tokens, section="task")
    [refused] = await evaluator.handle(by_hand)
    assert failure == refused
    assert isinstance(failure, Failure)
    assert failure.reason == "the prompt is about 803 tokens longer than prompt.max_tokens = 200"
    assert failure.kind == "too long"


def test_merge_is_still_a_choice_among_those_that_fit() -> None:
    def partner(number: int, text: str) -> Partner:
        return Partner(number, PROMPT.edit("knowledge", text, ()), (1.0,) * len(SCORES), {}, PROMPT)

    asked = replace(
        assignment("*"),
        prompt=PROMPT.edit("task", "Answer well.", ()),
        partners=(partner(1, "amber"), partner(2, "birch " * 900)),
    )
    for seed in range(12):
        merged = anyio.run(Merge().edit, asked, context(1000, seed))
        assert merged["knowledge"].text == "amber"
