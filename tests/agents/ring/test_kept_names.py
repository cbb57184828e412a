"""What replies are read for survives every edit, whoever makes it; a person's edit is their own."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import pytest

from agents.operators.differential_evolution import DifferentialEvolution
from agents.operators.few_shot import FewShot
from agents.operators.merge import Merge
from agents.operators.operator import WHOLE, Operator
from agents.operators.rewriting import SelfReflection
from agents.operators.self_consistency import SelfConsistency
from agents.operators.short_instruction import ShortInstruction
from agents.prompting.retrieval_slots import open_slots
from agents.prompting.wording import count_words
from agents.ring.injected_edit import InjectedEdit
from agents.ring.proposer import Proposer
from protocols.errors import EditRejected
from protocols.messages import Assignment, Candidate, Partner
from protocols.model import Reply, Request
from protocols.naming import closed
from protocols.prompt import Prompt, Section
from protocols.task import Task
from tests.agents.operators.test_operators import Script
from tests.agents.ring.test_handling import WRONG, Edits
from tests.world import KIND, TASK

pytestmark = pytest.mark.anyio

NAMES = closed(["yes", "no"], loose=True)
NAMED: Task = replace(TASK, kind=replace(KIND, names=NAMES))
SHELVES = open_slots(NAMED, ())
PROMPT = Prompt(
    (
        Section("task", "task", "Read the message with all the care that you have, and say at the end what it is."),
        Section("definitions", "definitions"),
        Section("examples", "examples", "Text: a\nAnswer: yes\n\nText: b\nAnswer: no"),
        Section("format", "format", "Reply with one of these two labels and with nothing else at all: yes, no"),
        Section("input", "task", "Text: {text}", frozen=True),
    )
)
DEFINED = PROMPT.edit("definitions", "yes: amber\nno: birch", ()).edit("format", "Reply with a label.", ())
EDITORS: list[tuple[Operator, str, Prompt]] = [
    (ShortInstruction(), "format", PROMPT),
    (DifferentialEvolution(), "format", PROMPT),
    (SelfReflection(), "definitions", DEFINED),
    (SelfConsistency(), "definitions", DEFINED),
]


@dataclass
class Forgets:
    """A model that loses a label until it is told so."""

    name: str = "forgets"
    asked: int = 0
    told: int = 0

    async def complete(self, request: Request) -> Reply:
        again = "the edit loses no" in request.messages[-1].text
        self.told += again
        self.asked += not again
        return Reply("<new>yes or no</new>" if again else "<new>Only yes.</new>")


def assignment(section: str, prompt: Prompt, *partners: Partner) -> Assignment:
    return Assignment(5, "x", section, 0, prompt, "", (WRONG,), (0.0,), {}, partners)


def proposer(operator: Operator, *replies: str) -> Proposer:
    return Proposer(operator, Script(replies), SHELVES, None, 1, 0.0)


def other(prompt: Prompt, section: str) -> Partner:
    texts = (replace(s, text=f"{s.text} more") if s.name == section else s for s in prompt)
    return Partner(7, Prompt(tuple(texts)), (1.0,), {}, prompt)


@pytest.mark.parametrize(("operator", "section", "prompt"), EDITORS)
async def test_a_rewrite_that_loses_a_label_is_rejected(operator: Operator, section: str, prompt: Prompt) -> None:
    asked = assignment(section, prompt, other(prompt, section))
    with pytest.raises(EditRejected, match="the edit loses no:"):
        await proposer(operator, *["<new>Only yes.</new>"] * 8).handle(asked)


@pytest.mark.parametrize(("operator", "section", "prompt"), EDITORS)
async def test_a_model_that_lost_a_label_is_told_and_asked_once_more(
    operator: Operator, section: str, prompt: Prompt
) -> None:
    model = Forgets()
    asked = assignment(section, prompt, other(prompt, section))
    [candidate] = await Proposer(operator, model, SHELVES, None, 1, 0.0).handle(asked)
    assert isinstance(candidate, Candidate)
    assert candidate.prompt[section].text == "yes or no"
    assert model.told == model.asked


@pytest.mark.parametrize(("operator", "section", "prompt"), EDITORS)
async def test_a_label_that_another_section_names_may_go(operator: Operator, section: str, prompt: Prompt) -> None:
    named = Prompt((*prompt, Section("reminders", "reminders", "YES or No")))
    asked = assignment(section, named, other(named, section))
    [candidate] = await proposer(operator, *["<new>A label.</new>"] * 4).handle(asked)
    assert isinstance(candidate, Candidate)
    assert candidate.prompt[section].text == "A label."


async def test_what_an_operator_of_a_users_own_loses_is_rejected_with_its_text() -> None:
    lost = PROMPT.edit("format", "A label.", ())
    with pytest.raises(EditRejected, match="the edit loses yes, no") as caught:
        await proposer(Edits(lost)).handle(assignment("format", PROMPT))
    assert caught.value.text == "A label."


async def test_a_merge_that_loses_a_label_is_rejected() -> None:
    """Each of the two names the labels, in a section that it takes from the other."""
    bare = PROMPT.edit("task", "yes or no?", ())
    moved = bare.edit("format", "A label.", ())
    told = bare.edit("task", "Say it.", ())
    mine = replace(assignment(WHOLE, moved, Partner(7, told, (1.0,), {}, bare)), scores=(0.0,))
    with pytest.raises(EditRejected, match="the edit loses yes, no"):
        await proposer(Merge()).handle(mine)


async def test_worked_examples_are_chosen_freely() -> None:
    [candidate] = await proposer(FewShot()).handle(assignment("examples", PROMPT))
    assert isinstance(candidate, Candidate)
    assert candidate.prompt["format"] == PROMPT["format"]


async def test_a_persons_edit_is_not_rejected() -> None:
    lost = PROMPT.edit("format", "A label.", ())
    by_hand = replace(assignment("format", PROMPT), operator="hand", edited=lost)
    [candidate] = await InjectedEdit(SHELVES).handle(by_hand)
    assert isinstance(candidate, Candidate)
    assert candidate.prompt == lost


def test_a_section_of_little_but_names_is_not_to_be_shortened() -> None:
    many = tuple(f"intent_{number}" for number in range(77))
    task = replace(TASK, kind=replace(KIND, names=closed(many, loose=True)))
    listing = Section("format", "format", f"Reply with one of these: {', '.join(many)}")
    alone = Prompt((listing, Section("input", "task", "{text}")))
    assert ShortInstruction().targets(alone, task) == []
    twice = Prompt((*alone, Section("more", "task", listing.text)))
    assert ShortInstruction().targets(twice, task) == ["format", "more"], "either may go"


async def test_the_names_are_no_words_that_a_shorter_text_must_do_without() -> None:
    many = tuple(f"intent_{number}" for number in range(77))
    task = replace(TASK, kind=replace(KIND, names=closed(many, loose=True)))
    text = f"Reply with one of these labels, please, and with nothing else whatsoever: {', '.join(many)}"
    prompt = Prompt((Section("format", "format", text), Section("input", "task", "{text}")))
    script = Script([f"<new>One of {', '.join(many)}</new>"])
    await Proposer(ShortInstruction(), script, open_slots(task, ()), None, 1, 0.0).handle(
        assignment("format", prompt)
    )
    said = script.asked[0].messages[-1].text
    [most] = [int(number) for number in re.findall(r"At most (\d+) words", said)]
    assert count_words(", ".join(many)) < most < count_words(text)
