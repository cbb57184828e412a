"""Section credit: what leaving a section out shows, when it may be called for, and how lineages carry it on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.archive.credit import LEAST, UNKNOWN, LeaveOneOut, believed, pooled, show_credit
from agents.prompting.forward import Concurrency, Forward
from agents.ring.controller import SearchSettings
from agents.ring.critic import Critic
from agents.ring.evaluator import RaceSettings
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Account, Attempt, Ledger
from protocols.errors import AuthenticationFailed, ServerFailed
from protocols.messages import Assignment, Credit, Critique, Evaluation, Outcome, Partner
from protocols.model import Reply, Request
from protocols.prompt import Prompt, Section
from protocols.wrappers.metered import MeteredModel
from tests.agents.ring.test_handling import Says
from tests.world import NO_CORPUS, TASK, WORDS, Ring

pytestmark = pytest.mark.anyio

INPUT = Section("input", "task", "Text: {text}", frozen=True)
PLANTED = Prompt(
    (
        Section("rule", "task", "Know: " + " ".join(WORDS)),
        Section("manners", "format", "Be kind, and take your time.", frozen=True),
        Section("myths", "knowledge", "Forget amber, forget birch, forget cedar."),
        Section("empty", "examples"),
        INPUT,
    )
)


def right(prompt: Prompt, example: str) -> bool:
    """What the scripted model makes of a prompt, from its texts alone."""
    word = example.split()[-1]
    said = " ".join(section.text for section in prompt if section.name != "input")
    return word in said.replace(f"orget {word}", "") and f"orget {word}" not in said


@dataclass
class Planted:
    """A model that knows the words that it is told of and was not told to forget. `error`: what a request meets that
    has `failing` in it."""

    error: Exception | None = None
    failing: str = ""
    name: str = "planted"
    calls: int = 0

    async def complete(self, request: Request) -> Reply:
        self.calls += 1
        if self.error is not None and self.failing in request.messages[-1].text:
            raise self.error
        said = "\n".join(message.text for message in request.messages)
        text = request.messages[-1].text
        wanted = "yes" if int(text.split()[-2]) % 3 else "no"
        told = Prompt((Section("all", "task", said.replace(text, "") or "-"),))
        return Reply(wanted if right(told, text) else "neither")


def evaluated(prompt: Prompt, count: int = len(TASK.train)) -> Evaluation:
    outcomes = tuple(
        Outcome(e.id, e.inputs, str(e.target), "", str(e.target), float(right(prompt, e.inputs["text"])), "")
        for e in TASK.train[:count]
    )
    return Evaluation(3, prompt, (1.0,), True, 0.5, 0.1, 1, 0, outcomes)


def leave_one_out(forward: Forward, share: float = 1.0, asked: int = 1000) -> LeaveOneOut:
    """One for which a loser's evaluation has asked so many questions."""
    it = LeaveOneOut(forward, share)
    assert it.plan(Evaluation(1, PLANTED, (0.0,) * asked, False, -0.5, 0.1, 1, 0)) == ((), ())
    return it


def measure(
    evaluation: Evaluation, model: Planted, share: float = 1.0, asked: int = 1000
) -> tuple[Mapping[str, Credit], Account]:
    ledger = Ledger(Caps(), {}, lambda: 0.0)
    forward = Forward(MeteredModel(model, ledger, "credit"), TASK, NO_CORPUS, Concurrency(3))
    return anyio.run(leave_one_out(forward, share, asked), evaluation).credit, ledger.account("credit", "planted")


def test_a_useless_and_a_harmful_section_are_found() -> None:
    credit, own = measure(evaluated(PLANTED), Planted())
    assert credit.keys() == {"rule", "manners", "myths"}, "those with a text that show no input, frozen or not"
    assert own.calls == 3 * len(TASK.train)
    assert credit["manners"].value == 0
    assert credit["rule"].value - 2 * credit["rule"].error > 0, "it carries the prompt"
    assert credit["myths"].value + 2 * credit["myths"].error < 0, "it does harm"


told = st.lists(st.sampled_from([*WORDS, *(f"Forget {word}." for word in WORDS), "付款 {}"]), max_size=5).map(
    " ".join
)


@given(st.lists(told, min_size=1, max_size=4), st.integers(0, 12), st.integers(0, 60))
@settings(deadline=None, max_examples=60)
def test_credit_is_the_paired_difference_on_the_same_examples(texts: list[str], count: int, calls: int) -> None:
    prompt = Prompt((*(Section(f"s{n}", "task", text) for n, text in enumerate(texts)), INPUT))
    evaluation = evaluated(prompt, count)
    model = Planted()
    credit, own = measure(evaluation, model, 0.5, calls)
    calls += 1 + count  # its own
    named = [section.name for section in prompt if section.text and section.name != "input"]
    each = min(count, calls // 2 // len(named)) if named else 0
    assert set(credit) == (set(named) if each >= LEAST else set())
    assert own.calls == model.calls == len(credit) * each <= calls / 2
    for name, worth in credit.items():
        without = Prompt(tuple(s for s in prompt if s.name != name))
        examples = [e.inputs["text"] for e in TASK.train[:each]]
        assert worth.value == pytest.approx(sum(right(prompt, e) - right(without, e) for e in examples) / each)
        assert 1 / each <= worth.error <= 1


def test_what_the_prompt_shows_solved_does_not_count() -> None:
    shown = TASK.train[0].inputs["text"].replace(" ", "\n ")
    prompt = PLANTED.edit("myths", f"Text: {shown}\nLabel: no", TASK.fields)
    _, own = measure(evaluated(prompt), Planted())
    assert own.calls == 3 * (len(TASK.train) - 1)


@pytest.mark.parametrize(
    ("error", "caps"), [(ServerFailed("no", model="m"), Caps()), (None, Caps(calls=10)), (None, Caps(calls=1))]
)
async def test_failed_calls_and_its_own_cap_cost_the_credit_and_not_the_gradients(
    error: Exception | None, caps: Caps
) -> None:
    ledger = Ledger(Caps(), {}, lambda: 0.0, {"credit": caps})
    forward = Forward(MeteredModel(Planted(error), ledger, "credit"), TASK, NO_CORPUS, Concurrency(3))
    critic = Critic(Says("<critique>[rule] more</critique>"), TASK, leave_one_out(forward))
    [critique] = await critic.handle(evaluated(PLANTED))
    assert isinstance(critique, Critique)
    assert (critique.gradients, critique.credit, critique.cut_by) == ({"rule": "more"}, {}, "")


async def test_a_cap_that_ends_the_search_is_named_and_nothing_is_asked_beyond_it() -> None:
    ledger = Ledger(Caps(calls=10), {}, lambda: 0.0)
    forward = Forward(MeteredModel(Planted(None), ledger, "credit"), TASK, NO_CORPUS, Concurrency(3))
    critic = Critic(Says("<critique>[rule] more</critique>"), TASK, leave_one_out(forward))
    [critique] = await critic.handle(evaluated(PLANTED))
    assert isinstance(critique, Critique)
    assert (critique.gradients, critique.credit, critique.cut_by) == ({}, {}, "calls")
    fatal = Forward(Planted(AuthenticationFailed("no", model="m")), TASK, NO_CORPUS, Concurrency(3))
    with pytest.raises(AuthenticationFailed):
        await leave_one_out(fatal)(evaluated(PLANTED))


async def test_single_calls_that_fail_are_left_out_of_the_comparison() -> None:
    prompt = Prompt((Section("rule", "task", "Know: amber"), INPUT))
    forward = Forward(Planted(ServerFailed("no", model="m"), "amber"), TASK, NO_CORPUS, Concurrency(3))
    credit = await leave_one_out(forward)(evaluated(prompt))
    assert credit.credit == {"rule": Credit(0.0, 1 / 10)}, "the two of 12 that it tells of have no answer without it"


async def test_the_critic_sees_the_credit_and_hands_it_on() -> None:
    forward = Forward(Planted(), TASK, NO_CORPUS, Concurrency(3))
    model = Says("<critique>[myths] take it out\n[manners] frozen</critique>")
    critic = Critic(model, TASK, leave_one_out(forward))
    [critique] = await critic.handle(evaluated(PLANTED))
    assert isinstance(critique, Critique)
    assert critique.gradients == {"myths": "take it out"}, "a frozen section is measured, and not criticised"
    said = model.asked[0].messages[-1].text
    sure = {name for name, worth in critique.credit.items() if abs(worth.value) > 2 * worth.error}
    assert sure == {"rule", "myths"}
    block = said.partition("<left_out>\n")[2].partition("\n</left_out>")[0]
    assert {line.split()[1] for line in block.split("\n")} == sure
    assert f"Without rule the score falls by {critique.credit['rule'].value:.3f} ± " in block
    assert f"Without myths the score rises by {-critique.credit['myths'].value:.3f} ± " in block
    [lost] = await critic.handle(replace(evaluated(PLANTED), survived=False))
    assert isinstance(lost, Critique)
    assert (lost.gradients, lost.credit, len(model.asked)) == ({}, {}, 1)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(
    share=st.sampled_from([0.01, 0.1, 0.5, 2.0]),
    width=st.integers(1, 6),
    calls=st.none() | st.integers(30, 400),
    seed=st.integers(0, 99),
)
@settings(max_examples=10, deadline=None)
def test_the_share_holds_at_every_call_of_a_search(
    backend: str, share: float, width: int, calls: int | None, seed: int
) -> None:
    ring = Ring(
        settings=SearchSettings(width, 20),
        race=RaceSettings(critique=12, max_unanswered=1.0),
        caps=Caps(calls=calls),
        seed=seed,
        credit_share=share,
    )
    task, own = (ring.ledger.account(role, "scripted") for role in ("task", "credit"))

    def check(attempt: Attempt) -> None:
        assert own.calls <= share * task.calls

    ring.ledger.tap(check)
    anyio.run(ring.run, backend=backend)
    critiques = [e.message for e in ring.log if isinstance(e.message, Critique)]
    assert all(critique.evaluation.survived for critique in critiques if critique.credit)
    measured = sum(bool(critique.credit) for critique in critiques)
    assert own.calls >= LEAST * measured
    if share >= 0.5 and calls is None:
        assert measured


# What lineages carry on

worths = st.builds(Credit, st.floats(-1, 1), st.floats(0.01, 1))


@given(worths, worths)
def test_pooling_lies_between_and_knows_more_than_either(one: Credit, other: Credit) -> None:
    both = pooled(one, other)
    assert min(one.value, other.value) - 1e-9 <= both.value <= max(one.value, other.value) + 1e-9
    assert both.error <= min(one.error, other.error)
    assert both.value == pytest.approx(pooled(other, one).value)
    assert pooled(one, None) == one


def critique(prompt: Prompt, gain: float, measured: dict[str, Credit]) -> Critique:
    evaluation = Evaluation(4, prompt, (1.0,), True, gain, 0.05, 100, 0)
    return Critique(4, evaluation, {}, measured)


def edited(name: str, text: str, prompt: Prompt = PLANTED) -> Prompt:
    return prompt.edit(name, text, TASK.fields)


def assigned(credit: dict[str, Credit], partners: Sequence[Partner] = ()) -> Assignment:
    return Assignment(4, "x", "rule", 2, PLANTED, "", (), (1.0,), credit, tuple(partners))


def test_nothing_is_known_of_a_first_text_and_no_text_is_worth_nothing() -> None:
    first = believed(critique(PLANTED, 0.0, {"rule": Credit(0.4, 0.1)}), None)
    assert first.keys() == {section.name for section in PLANTED}
    assert first["empty"] == Credit(0.0, 0.0)
    assert first["myths"] == Credit(0.0, UNKNOWN)
    assert 0.35 < first["rule"].value < 0.4, "a measurement counts for nearly all where nothing else is known"


@given(worths, st.floats(-1, 1), st.none() | worths)
def test_an_edit_adds_its_gain_and_a_measurement_is_pooled_with_that(
    before: Credit, gain: float, measured: Credit | None
) -> None:
    known = {section.name: before if section.text else Credit(0.0, 0.0) for section in PLANTED}
    child = critique(edited("rule", "new"), gain, {"rule": measured} if measured else {})
    after = believed(child, assigned(known))
    lineage = Credit(before.value + gain, math.hypot(before.error, 0.05))
    assert after == {**known, "rule": pooled(lineage, measured)}


def test_what_was_emptied_is_worth_nothing_for_sure() -> None:
    mine = {section.name: Credit(-0.1, 0.02) for section in PLANTED}
    assert believed(critique(edited("myths", ""), 0.2, {}), assigned(mine))["myths"] == Credit(0.0, 0.0)


def test_a_text_taken_from_a_partner_brings_its_credit() -> None:
    other = edited("myths", "Know amber.")
    theirs = {section.name: Credit(0.3, 0.02) for section in other}
    mine = {section.name: Credit(-0.1, 0.02) for section in PLANTED}
    merged = believed(critique(other, 0.2, {}), assigned(mine, [Partner(7, other, (1.0,), theirs)]))
    assert merged["myths"] == Credit(0.3, 0.02)
    assert merged["rule"] == Credit(-0.1, 0.02), "what was not taken is the parent's"


# Swaps of the prompts of a program


def program(**texts: str) -> Prompt:
    """Two prompts; the model knows what either says."""
    return Prompt(
        tuple(
            section
            for name in ("extract", "decide")
            for section in (
                Section(f"{name}.rule", "task", texts.get(name, "Say it.")),
                Section(f"{name}.input", "task", "Text: {text}", frozen=True),
            )
        )
    )


def survived(number: int, prompt: Prompt, value: float) -> Evaluation:
    return replace(evaluated(prompt), assignment=number, value=value)


KNOWING, HALF = f"Know: {' '.join(WORDS)}", f"Know: {' '.join(WORDS[:2])}"


async def test_a_prompt_of_another_survivor_is_tried_in_its_place() -> None:
    model = Planted()
    it = leave_one_out(Forward(model, TASK, NO_CORPUS, Concurrency(3)))
    assert (await it(survived(0, program(), 0.1))).swaps == (), "there is nobody to swap with"
    assert (await it(survived(1, program(extract=KNOWING), 0.2))).swaps == (), "one prompt differs"
    measured = await it(survived(2, program(decide=HALF), 0.3))
    assert [(swap.candidate, swap.prompt) for swap in measured.swaps] == [(1, "extract")], "decide is the first one"
    assert measured.credit == {}
    [swap] = measured.swaps
    both, own = program(extract=KNOWING, decide=HALF), program(decide=HALF)
    gained = sum(right(both, e.inputs["text"]) - right(own, e.inputs["text"]) for e in TASK.train)
    assert swap.worth.value == pytest.approx(gained / len(TASK.train))
    assert "another text of the prompt extract" in show_credit(measured)
    again = it.plan(survived(3, program(decide=HALF), 0.3))
    assert all(run.candidate is None for run in again[0]), "the same combination is not measured twice"


async def test_a_resumed_credit_plans_the_same_swaps() -> None:
    log = [survived(n, program(extract=f"{n}", decide=f"{n % 3}"), n / 10) for n in range(6)]
    first, resumed = (leave_one_out(Forward(Planted(), TASK, NO_CORPUS, Concurrency(3))) for _ in range(2))
    for evaluation in log[:-1]:
        await first(evaluation)
        resumed.plan(evaluation)
    assert first.plan(log[-1]) == resumed.plan(log[-1])
    assert first.plan(log[-1])[1], "there is something to measure"
