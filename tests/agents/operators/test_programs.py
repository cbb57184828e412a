"""What writers and the critic are told of a program of two prompts, and what they make of it."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.archive.credit import unseen
from agents.operators.contract import Contract
from agents.operators.define_sort import DefineSort
from agents.operators.describe import Describe
from agents.operators.differential_evolution import DifferentialEvolution
from agents.operators.few_shot import FewShot
from agents.operators.merge import Merge
from agents.operators.operator import WHOLE, Operator
from agents.operators.rag import Rag
from agents.operators.restart import Restart
from agents.operators.rewriting import ChainOfThought, SelfReflection
from agents.operators.self_consistency import SelfConsistency
from agents.operators.short_instruction import ShortInstruction
from agents.operators.writing import check_names
from agents.prompting.requests import PROGRAM_ROLE, ROLE
from agents.prompting.retrieval_slots import open_slots, places
from agents.ring.critic import Critic
from protocols.errors import EditRejected, InapplicableError, UnreadableReply
from protocols.messages import Assignment, Credit, Critique, Evaluation, Outcome, Partner
from protocols.model import Request
from protocols.program import Step
from protocols.prompt import Prompt
from protocols.providers.embedded.material import gather
from protocols.task import Task
from protocols.turns import load_turns
from tests.agents.operators.test_operators import PROMPT, assignment, context
from tests.agents.ring.test_handling import WRONG, Says
from tests.programs import ONE, OUTCOMES, PROMPTS, TWO, outcome, step
from tests.world import one

pytestmark = pytest.mark.anyio
OTHER = PROMPTS.edit("extract.task", "What is wanted?", ()).edit("decide.task", "Is it?", ())
WRITERS: list[tuple[Operator, str]] = [
    (SelfReflection(), "extract.task"),
    (SelfReflection(), "decide.task"),
    (ChainOfThought(), "extract.reasoning"),
    (SelfConsistency(), "extract.task"),
    (DifferentialEvolution(), "decide.task"),
    (ShortInstruction(), "extract.task"),
    (Contract(), "extract.format"),
    (Describe(), "decide.task"),
    (Restart(), WHOLE),
]


def given_here(section: str, outcomes: tuple[Outcome, ...] = OUTCOMES, prompt: Prompt = PROMPTS) -> Assignment:
    partners = (Partner(7, OTHER, (1.0,), {}, PROMPTS, {"t1": 1.0}),)
    return replace(assignment(section, outcomes, prompt), partners=partners)


async def sent(operator: Operator, made: Assignment, task: Task = TWO) -> Request:
    model = Says("")
    with pytest.raises((UnreadableReply, EditRejected)):
        await operator.edit(made, context(model, task))
    return model.asked[0]


async def criticised(
    prompt: Prompt, outcomes: tuple[Outcome, ...], task: Task, text: str = ""
) -> tuple[Request, Critique]:
    model = Says(text)
    [said] = await Critic(model, task, None).handle(Evaluation(3, prompt, (1.0,), True, 0.5, 0.1, 1, 0, outcomes))
    assert isinstance(said, Critique)
    return model.asked[0], said


def in_order(text: str, *parts: str) -> bool:
    """Whether the text holds these parts, one after the other."""
    place = 0
    for part in parts:
        if (place := text.find(part, place)) < 0:
            return False
        place += len(part)
    return True


TOLD = (
    "<task>\n",
    "order in which it called them on 5 examples:\n",
    "- extract: called once on each; given text; its reply becomes {facts} of decide; at most 1024 tokens",
    "- decide: called once on each; given text, facts; its reply is the answer; at most 1024 tokens",
    "</task>",
    "=== the prompt extract ===",
    "=== the prompt decide ===",
    "<errors ",
    "Input: t 1 birch\nCall 1: extract\n  replied: wants a refund at once\nNoted: note 1\n"
    "Call 2: decide\n  facts: the reply of call 1\n  replied: no\nExpected: yes\nAnswered: no\nExample: t1",
    "<right>",
    "- t 2 birch | extract: wants a refund → yes",
)
"""What every request tells of the program, in this order."""


@pytest.mark.parametrize(("operator", "section"), WRITERS)
async def test_a_writer_is_told_the_program_its_calls_and_whose_part_it_writes(
    operator: Operator, section: str
) -> None:
    request = await sent(operator, given_here(section))
    said = request.messages[-1].text
    assert request.messages[0].text == PROGRAM_ROLE
    assert in_order(said, *TOLD, "<diagnosis>", "Think first.")
    question = said.rpartition("\n</")[2]
    if section == WHOLE:
        assert "extract.task (what comes in and what is wanted; at most 140 words)" in question
        assert "decide.task (what comes in and what is wanted; at most 170 words)" in question, "explains two answers"
    elif section.startswith("extract"):
        assert "belongs to the prompt extract. Its reply is not scored" in question
        assert "it becomes {facts} of decide" in question
        assert "every answer" not in question
    else:
        assert "belongs to the prompt decide, whose reply is the answer" in question


async def test_the_critic_is_asked_for_the_first_wrong_call_and_blames_the_parts_that_it_names() -> None:
    text = (
        "<critique>Two causes.\n[extract.task] say when (t1)\n**[decide.format]**: one word (t7)\n"
        "[decide] is no part\n[other.task] nor is this</critique>"
    )
    request, said = await criticised(PROMPTS, OUTCOMES, TWO, text)
    asked = request.messages[-1].text
    assert request.messages[0].text == PROGRAM_ROLE
    assert in_order(asked, *TOLD, "which call went wrong first", "such as [extract.task]", "decide.format (")
    assert said.gradients == {
        "extract.task": "say when (t1)",
        "decide.format": "one word (t7)\n[decide] is no part\n[other.task] nor is this",
    }


async def test_a_part_named_without_its_prompt_counts_if_one_prompt_has_it() -> None:
    prompt = Prompt((*PROMPTS, replace(PROMPTS["extract.task"], name="extract.steps")))
    _, said = await criticised(prompt, OUTCOMES, TWO, "<critique>\n[steps] a\n[task] b</critique>")
    assert said.gradients == {"extract.steps": "a\n[task] b"}, "there are two of the name task"


@pytest.mark.parametrize(
    ("operator", "section"), [(SelfReflection(), "task"), (Restart(), WHOLE), (Contract(), "format")]
)
async def test_a_program_of_one_prompt_is_told_as_a_task_without_a_program(operator: Operator, section: str) -> None:
    """To the byte, though its outcomes have steps."""
    bare = (replace(WRONG, answer=None), replace(WRONG, example="t2", target="no", score=1.0))
    traced = tuple(replace(o, steps=(step("main", o.reply, o.inputs), Step("", "a note"))) for o in bare)
    plain = replace(ONE, program=None)
    request = await sent(operator, assignment(section, bare), plain)
    assert request == await sent(operator, assignment(section, traced), ONE)
    assert request.messages[0].text == ROLE
    assert (await criticised(PROMPT, bare, plain))[0] == (await criticised(PROMPT, traced, ONE))[0]


@given(traced=st.booleans(), seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_a_program_of_one_prompt_is_shown_the_examples_of_its_task(traced: bool, seed: int) -> None:
    plain, steps = replace(ONE, program=None), (step("main", WRONG.reply, WRONG.inputs),) * traced
    made = assignment("examples", (replace(WRONG, steps=steps),))
    expected = anyio.run(FewShot().edit, assignment("examples", (WRONG,)), context(Says(""), plain, seed))
    assert anyio.run(FewShot().edit, made, context(Says(""), ONE, seed)) == expected


def test_names_must_stay_in_the_prompt_that_answers_and_there_alone() -> None:
    """The other prompt says one of them, too."""
    made = given_here("decide.format")
    with pytest.raises(EditRejected, match="loses yes"):
        check_names(PROMPTS.edit("decide.format", "Reply with no.", ()), made, TWO, "")
    check_names(PROMPTS.edit("extract.task", "What is wanted?", ()), made, TWO, "")
    blank = PROMPTS.edit("decide.format", "No?", ()).edit("extract.task", "What?", ())
    with pytest.raises(EditRejected, match="loses yes"):
        check_names(blank, replace(made, outcomes=()), TWO, "")


def test_an_operator_is_offered_where_it_has_something_to_do() -> None:
    assert Describe().targets(PROMPTS, TWO) == ["decide.task", "extract.task"]
    assert [Describe().fits(PROMPTS, name, OUTCOMES) for name in ("decide.task", "extract.task")] == [True, False]
    assert Describe().fits(PROMPTS, "extract.task", ()), "nobody knows yet"
    formats = ("decide.format", "extract.format")
    assert Contract().mends(OUTCOMES)
    assert [Contract().fits(PROMPTS, name, OUTCOMES) for name in formats] == [False, True]
    broken = (replace(OUTCOMES[0], answer=None), *OUTCOMES[1:])
    assert [Contract().fits(PROMPTS, name, broken) for name in formats] == [True, True]


async def test_a_contract_of_an_inner_prompt_says_what_its_replies_hold() -> None:
    said = (await sent(Contract(), given_here("extract.format"))).messages[-1].text
    assert "Write the part extract.format: the form of a reply to this prompt." in said
    with pytest.raises(InapplicableError):
        await Contract().edit(given_here("decide.format"), context(Says(""), TWO))


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=20, deadline=None)
def test_sections_are_reordered_within_their_prompt(seed: int, measured: bool) -> None:
    prompt = PROMPTS.edit("decide.reasoning", "Think.", ()).edit("extract.format", "A line.", ())
    credit = {"extract.task": Credit(0.3, 0.01)} if measured else {}
    made = replace(given_here(WHOLE, prompt=prompt), credit=credit)
    moved = one(anyio.run(DefineSort().edit, made, replace(context(Says(""), TWO), rng=Random(seed))))
    assert moved != prompt
    assert sorted(moved, key=str) == sorted(prompt, key=str)
    assert moved.names == prompt.names
    names = [section.name for section in moved]
    assert not measured or names.index("extract.format") < names.index("extract.task"), "credit comes nearer"


async def test_restart_writes_the_parts_of_all_prompts() -> None:
    reply = '<part name="extract.task">\nName it.\n</part>\n<part name="decide.task">\nDecide: yes?\n</part>'
    made = one(await Restart().edit(given_here(WHOLE), context(Says(reply), TWO)))
    assert made == PROMPTS.edit("extract.task", "Name it.", ()).edit("decide.task", "Decide: yes?", ())


async def test_merge_takes_one_prompt_from_each() -> None:
    mine = PROMPTS.edit("extract.task", "Mine.", ())
    theirs = Partner(7, PROMPTS.edit("decide.task", "Theirs.", ()), (1.0,), {}, PROMPTS)
    made = replace(given_here(WHOLE, prompt=mine), partners=(theirs,))
    assert await Merge().edit(made, context(Says(""), TWO)) == mine.edit("decide.task", "Theirs.", ())


async def test_passages_are_found_by_what_the_prompt_was_rendered_with() -> None:
    sections = tuple(
        replace(s, name=s.name.replace("reasoning", "known"), kind="knowledge") if s.kind == "reasoning" else s
        for s in PROMPTS
    )
    corpus = ["on refunds and what is wanted at once", "birch and other trees"]
    with_corpus = replace(context(Says(""), TWO), slots=open_slots(TWO, corpus))
    found = {}
    for seed in range(12):
        for name in ("extract.known", "decide.known"):
            made = given_here(name, OUTCOMES[:1], Prompt(sections))
            text = one(await Rag().edit(made, replace(with_corpus, rng=Random(seed))))[name].text
            if not places(text) and "\n\n" not in text:
                found[name] = text
    assert found == {"extract.known": corpus[1], "decide.known": corpus[0]}


words = st.lists(st.sampled_from(["amber", "birch", "冷杉", "a {facts} b", "{text}", "dune"]), min_size=1, max_size=4)
traced = st.lists(
    st.builds(
        lambda number, text, facts, right, answer: outcome(number, facts, answer, right, text),
        st.integers(0, 11),
        words.map(" ".join),
        words.map(" ".join),
        st.booleans(),
        st.sampled_from(["yes", "no"]),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda o: o.example,
).map(tuple)


def shown_pairs(prompt: Prompt, section: str) -> set[tuple[str, str]]:
    """The question and the answer of each worked example."""
    there = prompt[section]
    if there.form == "turns":
        turns = load_turns(there.text)
        return {(user.text, reply.text) for user, reply in zip(turns[::2], turns[1::2], strict=True)}
    mark = " " if section.startswith("decide") else "\nAnswer: "
    return {(text.rpartition(mark)[0], text.rpartition(mark)[2]) for text in filter(None, there.text.split("\n\n"))}


@pytest.mark.parametrize("section", ["extract.examples", "decide.examples"])
@given(outcomes=traced, seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_prompt_is_shown_its_own_calls_of_right_answers_as_worked_examples(
    section: str, outcomes: tuple[Outcome, ...], seed: int
) -> None:
    """The prompt that answers is shown the right answers themselves, also where it gave another. No example that is
    shown counts as unseen."""
    made = given_here(section, outcomes)
    targets = {example.id: str(example.target) for example in TWO.train}
    calls = {o.example: {s.prompt: s for s in o.steps} for o in outcomes}
    if section == "extract.examples":
        right = {o.example for o in outcomes if o.score == 1.0}
        known = {
            n: (f"Text: {c['extract'].values['text']}", c["extract"].reply) for n, c in calls.items() if n in right
        }
    else:
        known = {
            n: (f"Message: {c['decide'].values['text']}\nFacts: {c['decide'].values['facts']}\nLabel:", targets[n])
            for n, c in calls.items()
        }
    try:
        edited = one(anyio.run(FewShot().edit, made, context(Says(""), TWO, seed)))
    except InapplicableError:
        assert not known or all("{" in question + reply for question, reply in known.values())
        return
    assert {s.name for s in edited if s != PROMPTS[s.name]} == {section}
    assert not places(edited[section].filled)
    shown = shown_pairs(edited, section)
    assert shown
    assert shown <= set(known.values())
    unknown = {o.example for o in unseen(edited, outcomes)}
    assert not {n for n, pair in known.items() if pair in shown} & unknown


async def test_an_example_is_seen_if_a_prompt_shows_what_it_was_given_and_nothing_of_the_input() -> None:
    bare = replace(PROMPTS["decide.input"], text="Facts: {facts}\nLabel:")
    inner = Prompt(tuple(bare if section.name == bare.name else section for section in PROMPTS))
    shown = one(await FewShot().edit(given_here("decide.examples", OUTCOMES[:2], inner), context(Says(""), TWO)))
    assert not any(o.inputs["text"] in shown["decide.examples"].said for o in OUTCOMES)
    assert unseen(shown, OUTCOMES) == [*OUTCOMES[2:]]
    assert unseen(inner, OUTCOMES) == [*OUTCOMES]


async def test_full_replies_of_the_prompt_that_answers_may_be_shown() -> None:
    thought = "I think about it. " * 6
    told = tuple(
        replace(o, reply=thought + o.target, steps=(*o.steps[:-1], replace(o.steps[-1], reply=thought + o.target)))
        for o in OUTCOMES
    )
    replies = set()
    for seed in range(40):
        edited = one(await FewShot().edit(given_here("decide.examples", told), context(Says(""), TWO, seed)))
        if edited["decide.examples"].form == "turns":
            replies |= {turn.text for turn in edited["decide.examples"].turns[1::2]}
    assert any(reply.startswith("I think") for reply in replies)
    assert all(reply in ("yes", "no") or reply.startswith("I think") for reply in replies)


async def test_what_a_trace_has_cut_or_what_failed_is_no_worked_example() -> None:
    good = OUTCOMES[1]
    extract = good.steps[0]
    for bad in (
        replace(extract, error="timeout", reply=""),
        replace(extract, finish="length"),
        replace(extract, values={"text": "x" * 2005}),
        replace(extract, values={}),
    ):
        one_outcome = (replace(good, steps=(bad, good.steps[2])),)
        with pytest.raises(InapplicableError):
            await FewShot().edit(given_here("extract.examples", one_outcome), context(Says(""), TWO))


@pytest.mark.parametrize(("operator", "section"), WRITERS)
async def test_the_simulator_finds_its_way_in_what_a_writer_is_told(operator: Operator, section: str) -> None:
    found = gather((await sent(operator, given_here(section))).messages)
    assert found is not None
    names = {s.name for s in PROMPTS if not s.frozen and s.kind != "examples"} if section == WHOLE else {section}
    assert {part.name for part in found.parts} == names
    assert {part.name: part.text for part in found.parts}.get("extract.task", "What does").startswith("What does")
    assert {(e.id, e.expected) for e in found.errors} == {("t1", "yes"), ("t7", "yes")}


async def test_the_simulator_criticises_every_part_by_its_address() -> None:
    request, _ = await criticised(PROMPTS, OUTCOMES, TWO)
    found = gather(request.messages)
    assert found is not None
    assert {part.name for part in found.parts} == {s.name for s in PROMPTS if not s.frozen}
