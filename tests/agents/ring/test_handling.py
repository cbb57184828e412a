"""Evaluator, critic, proposer and controller, each by `handle` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.archive.archive import Member
from agents.archive.choices import Choices
from agents.archive.credit import believed
from agents.archive.endings import HOPELESS
from agents.archive.ends import UNREAD
from agents.archive.reward import Reward
from agents.archive.unanswered import EARLIER, Unanswered
from agents.operators.operator import Context, saved
from agents.prompting.forward import Concurrency, Forward
from agents.prompting.material import USES
from agents.ring.controller import Controller, SearchSettings
from agents.ring.critic import Critic, read_gradients
from agents.ring.evaluator import Evaluator, RaceSettings
from agents.ring.injected_edit import InjectedEdit, edited_section, nearest
from agents.ring.proposer import Proposer
from agents.selectors.selector import Action, Choice
from memory.experience import EVERYWHERE, Ending, Experience, Recalled, Where
from memory.store import Memory
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Ledger
from protocols.embedding import HashedNgrams
from protocols.errors import (
    AuthenticationFailed,
    BudgetExhausted,
    EditRejected,
    ModelError,
    RunFailed,
    ServerFailed,
)
from protocols.files.prompt_file import read_section
from protocols.messages import (
    FIRST,
    Assignment,
    Candidate,
    Continue,
    Credit,
    Critique,
    Evaluation,
    Failure,
    FailureKind,
    Finished,
    Inject,
    Message,
    Outcome,
    Partner,
    Pause,
    Scores,
    Stop,
    mean,
)
from protocols.model import Reply, Request
from protocols.prompt import Prompt, Section
from protocols.wrappers.metered import MeteredModel
from tests.strategies import texts
from tests.world import FIRST_PROMPT, NO_CORPUS, TASK, WORDS, AddWord, Oracle, shuffled

pytestmark = pytest.mark.anyio
ALL = FIRST_PROMPT.edit("rule", " ".join(WORDS), ())
NONE = FIRST_PROMPT.edit("rule", "nothing", ())


def scores_of(prompt: Prompt) -> Scores:
    """The validation scores of a prompt in the world."""
    return tuple(float(e.inputs["text"].split()[-1] in prompt["rule"].text) for e in TASK.validation)


async def evaluate(model: Oracle, candidate: Candidate, race: RaceSettings, caps: Caps | None = None) -> Evaluation:
    metered = MeteredModel(model, Ledger(caps or Caps(), {}, lambda: 0.0), "task")
    forward = Forward(metered, TASK, NO_CORPUS, Concurrency(4))
    [evaluation] = await Evaluator(forward, TASK, race, seed=1).handle(candidate)
    assert isinstance(evaluation, Evaluation)
    assert (evaluation.assignment, evaluation.prompt) == (candidate.assignment, candidate.prompt)
    return evaluation


def child(prompt: Prompt, parent: Prompt) -> Candidate:
    return Candidate(3, prompt, scores_of(parent), parent.tokens)


async def test_the_first_prompt_is_evaluated_in_full() -> None:
    model = Oracle()
    evaluation = await evaluate(model, Candidate(FIRST, FIRST_PROMPT), RaceSettings(critique=6))
    assert evaluation.survived
    assert evaluation.scores == scores_of(FIRST_PROMPT)
    assert (evaluation.gain, evaluation.paired, evaluation.unanswered) == (0, 0, 0)
    assert len({outcome.example for outcome in evaluation.outcomes}) == 6
    assert {outcome.example for outcome in evaluation.outcomes} <= {example.id for example in TASK.train}
    assert model.calls == 16 + 6


async def test_a_winner_is_measured_on_the_same_examples() -> None:
    evaluation = await evaluate(Oracle(), child(ALL, FIRST_PROMPT), RaceSettings(critique=6))
    assert evaluation.survived
    assert evaluation.scores == (1.0,) * 16
    assert (evaluation.gain, evaluation.paired) == (14 / 16, 16)


async def test_a_loser_stops_early_and_feeds_no_critic(anyio_backend_name: str) -> None:
    model = Oracle(delay=anyio.lowlevel.checkpoint)
    evaluation = await evaluate(model, child(NONE, ALL), RaceSettings(critique=6, at_once=32, racers=8))
    assert not evaluation.survived
    assert (evaluation.gain, evaluation.outcomes) == (-1, ())
    looked = sum(score is not None for score in evaluation.scores)
    assert evaluation.paired == looked < model.calls
    if anyio_backend_name == "asyncio":  # tasks have their turns in order: nobody runs ahead
        assert model.calls <= looked + 3, "what was in flight was paid for"


@given(racing=st.integers(1, 12), at_once=st.integers(1, 64), racers=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_racers_share_the_calls_in_flight_and_each_has_more_while_fewer_race(
    racing: int, at_once: int, racers: int
) -> None:
    """A prompt of 16 examples may have 2 in flight beyond its equal share."""
    model = Oracle(delay=anyio.lowlevel.checkpoint)
    race = RaceSettings(critique=6, at_once=at_once, racers=racers, alpha=0.001, futile=0)  # lost by nobody

    async def main() -> None:
        evaluator = Evaluator(Forward(model, TASK, NO_CORPUS, Concurrency(64)), TASK, race, seed=5)
        async with anyio.create_task_group() as tasks:
            for _ in range(racing):
                tasks.start_soon(evaluator.handle, child(NONE, FIRST_PROMPT))

    anyio.run(main)
    each = max(1, min(at_once // racing, max(at_once // racers, 2)))
    assert model.calls == 16 * racing
    assert model.most_in_flight == racing * min(16, each)


@pytest.mark.parametrize(("text", "survives"), [("amber", True), ("Know: amber and more", False)])
async def test_of_equals_the_shorter_survives(text: str, survives: bool) -> None:
    prompt = FIRST_PROMPT.edit("rule", text, ())
    evaluation = await evaluate(Oracle(), child(prompt, FIRST_PROMPT), RaceSettings(min_effect=0.3, critique=6))
    assert (evaluation.gain, evaluation.survived) == (0, survives)


@pytest.mark.parametrize("race", [RaceSettings(min_effect=0.3, critique=6), RaceSettings(alpha=0.9, min_effect=0.9)])
async def test_a_shorter_child_of_a_prompt_that_is_right_nowhere_does_not_survive(race: RaceSettings) -> None:
    evaluation = await evaluate(Oracle(), child(FIRST_PROMPT.edit("rule", "x", ()), NONE), race)
    assert (evaluation.gain, evaluation.survived) == (0, False)


async def test_what_is_filled_for_each_input_is_no_shorter() -> None:
    prompt = Prompt((Section("nearest", "examples", "{examples:4}"), *FIRST_PROMPT))
    longer = Prompt((Section("same", "reminders", "amber " * 9), *FIRST_PROMPT))
    race = RaceSettings(min_effect=0.3, critique=6)
    equal = replace(child(prompt, FIRST_PROMPT), parent_tokens=longer.tokens)
    evaluation = await evaluate(Oracle(), equal, race)
    assert prompt.tokens < longer.tokens < evaluation.tokens == NO_CORPUS.tokens(prompt)
    assert (evaluation.gain, evaluation.survived) == (0, False)
    [candidate] = await Proposer(Edits(ALL), Says(), NO_CORPUS, None, 1, 0.0).handle(
        replace(ASSIGNMENT, prompt=prompt)
    )
    assert isinstance(candidate, Candidate)
    assert candidate.parent_tokens == evaluation.tokens


def some_fail(word: str) -> Oracle:
    return Oracle(fault=lambda request: ServerFailed("no", model="m") if word in request.messages[-1].text else None)


async def test_failed_calls_are_left_out_of_the_comparison() -> None:
    candidate = child(ALL, FIRST_PROMPT)
    evaluation = await evaluate(some_fail("amber"), candidate, RaceSettings(critique=6, max_unanswered=0.2))
    assert (evaluation.unanswered, evaluation.paired, evaluation.gain) == (2, 14, 1.0)
    assert [n for n, score in enumerate(evaluation.scores) if score is None] == [0, 8]
    assert evaluation.unread == 1
    going_on = Unanswered(0.05, least=10)
    going_on.take_up(evaluation)
    assert (going_on.asked, going_on.reasons) == (evaluation.asked, {EARLIER: 3})
    with pytest.raises(RunFailed, match=rf"3 of {evaluation.asked} examples .* \(3 earlier\)"):
        going_on.check()
    with pytest.raises(ServerFailed):
        await evaluate(some_fail("amber"), candidate, RaceSettings(critique=6, max_unanswered=0.1))


@given(faulty=st.sets(st.sampled_from([e.id for e in (*TASK.train, *TASK.validation)])), seed=st.integers(0, 99))
@pytest.mark.parametrize("candidate", [Candidate(FIRST, FIRST_PROMPT), child(ALL, FIRST_PROMPT), child(NONE, ALL)])
@settings(max_examples=30, deadline=None)
def test_what_is_left_unanswered_counts_the_same_live_and_when_the_run_goes_on(
    candidate: Candidate, faulty: set[str], seed: int
) -> None:
    """Of the race, of the full evaluation and of the critic's examples, whatever was still in flight."""
    texts = {example.inputs["text"] for example in (*TASK.train, *TASK.validation) if example.id in faulty}

    def fault(request: Request) -> ModelError | None:
        failed = any(text in request.messages[-1].text for text in texts)
        return ServerFailed("no", model="m") if failed else None

    async def main() -> None:
        model = Oracle(fault=fault, delay=shuffled(Random(seed), 3))
        it = Evaluator(
            Forward(model, TASK, NO_CORPUS, Concurrency(4)), TASK, RaceSettings(critique=6, max_unanswered=1), 1
        )
        try:
            [evaluation] = await it.handle(candidate)
        except (ModelError, RunFailed):
            return  # there is nothing to go on with
        assert isinstance(evaluation, Evaluation)
        going_on = Unanswered(1, 1)
        going_on.take_up(evaluation)
        live = it.unanswered
        assert (going_on.asked, going_on.reasons.total()) == (live.asked, live.reasons.total())

    anyio.run(main)


async def test_what_the_parent_left_unanswered_is_asked_and_not_compared() -> None:
    known = tuple(None if n % 3 else score for n, score in enumerate(scores_of(FIRST_PROMPT)))
    evaluation = await evaluate(Oracle(), replace(child(ALL, FIRST_PROMPT), parent_scores=known), RaceSettings(0.9))
    assert (evaluation.survived, evaluation.paired) == (True, 6)
    assert evaluation.scores == (1.0,) * 16


async def test_a_first_prompt_with_too_few_answers_fails_the_run_and_says_why() -> None:
    with pytest.raises(RunFailed, match=r"2 of 16 examples .* \(2 ServerFailed\).*max_unanswered = 0\.1 .*m: no"):
        await evaluate(some_fail("amber"), Candidate(FIRST, FIRST_PROMPT), RaceSettings(max_unanswered=0.1))


async def test_what_was_answered_by_nobody_wins_nothing() -> None:
    shorter = FIRST_PROMPT.edit("rule", "x", ())
    nobody = replace(child(shorter, FIRST_PROMPT), parent_scores=(None,) * 16)
    for race in (RaceSettings(), RaceSettings(alpha=0.99, min_effect=0.9)):
        assert not (await evaluate(Oracle(), nobody, race)).survived
    with pytest.raises(ServerFailed):
        await evaluate(some_fail("v"), child(shorter, FIRST_PROMPT), RaceSettings(max_unanswered=1))


async def test_a_cap_after_the_race_costs_the_critics_examples_only() -> None:
    evaluation = await evaluate(Oracle(), child(ALL, FIRST_PROMPT), RaceSettings(critique=6), Caps(calls=18))
    assert (evaluation.survived, evaluation.outcomes) == (True, ())
    with pytest.raises(BudgetExhausted):
        await evaluate(Oracle(), child(ALL, FIRST_PROMPT), RaceSettings(critique=6), Caps(calls=10))


@given(rule=st.lists(st.sampled_from(WORDS)), parent=st.lists(st.sampled_from(WORDS)), seeds=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_an_evaluation_depends_on_the_seed_and_the_answers_and_not_on_when_they_come(
    rule: list[str], parent: list[str], seeds: int
) -> None:
    """Nor on how many are in flight."""
    prompt = FIRST_PROMPT.edit("rule", " ".join(rule), ())
    candidate = child(prompt, FIRST_PROMPT.edit("rule", " ".join(parent), ()))

    def found(at_once: int) -> Evaluation:
        fault = some_fail("dune").fault
        model = Oracle(fault=fault, delay=shuffled(Random(seeds + at_once)))
        return anyio.run(evaluate, model, candidate, RaceSettings(0.3, 0.01, 6, 0.5, at_once, 1))

    assert found(1) == found(2) == found(4)


# The critic


@dataclass
class Says:
    """A model that says `text`, or raises; keeps what it was asked."""

    text: str = ""
    error: Exception | None = None
    name: str = "says"
    asked: list[Request] = field(default_factory=list)

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return Reply(self.text)


WRONG = Outcome("t1", {"text": "t 1 birch {text}"}, "yes", "no", "no", 0.0, "answered no")
SURVIVOR = Evaluation(3, FIRST_PROMPT, (1.0,), True, 0.5, 0.1, 1, 0, (WRONG,))


async def gradients(model: Says, evaluation: Evaluation = SURVIVOR) -> dict[str, str]:
    [critique] = await Critic(model, TASK, None).handle(evaluation)
    assert isinstance(critique, Critique)
    assert (critique.assignment, critique.evaluation) == (3, evaluation)
    return dict(critique.gradients)


async def test_a_loser_and_a_faultless_survivor_cost_no_call() -> None:
    model = Says("<critique>[rule] more</critique>")
    assert await gradients(model, replace(SURVIVOR, survived=False)) == {}
    assert await gradients(model, replace(SURVIVOR, outcomes=(replace(WRONG, score=1.0),))) == {}
    assert await gradients(model, replace(SURVIVOR, prompt=FIRST_PROMPT.freeze(("rule",)))) == {}, "nothing is free"
    assert model.asked == []


async def test_gradients_go_to_the_sections_that_may_be_edited_and_the_whole_is_kept() -> None:
    said = "It fails.\n[rule] name {more} words\n付款 too\n[input] frozen\n[nowhere] lost"
    model = Says(f"Well.\n<critique>\n{said}\n</critique>")
    [critique] = await Critic(model, TASK, None).handle(SURVIVOR)
    assert isinstance(critique, Critique)
    assert critique.gradients == {"rule": "name {more} words\n付款 too"}
    assert critique.diagnosis == said
    asked = model.asked[0].messages[-1].text
    assert f"The parts are rule ({USES['task']})." in asked
    assert "t 1 birch {text}" in asked


@pytest.mark.parametrize("before", ["[rule] x", "- [rule] x", "**[rule]** x", "1. **[rule]:** x", "## [rule]: x"])
def test_the_mark_of_a_list_or_of_emphasis_may_stand_before_a_section(before: str) -> None:
    assert read_gradients(before, FIRST_PROMPT) == {"rule": "x"}


async def test_doubts_are_of_examples_that_the_critic_was_shown() -> None:
    two = replace(WRONG, example="t 2")
    doubts = "- `t1`: the answer is yes\nt 2\nt9, x (v1)"
    model = Says(f"<critique>[rule] x</critique>\n<doubtful>{doubts}</doubtful>")
    [critique] = await Critic(model, TASK, None).handle(replace(SURVIVOR, outcomes=(WRONG, two)))
    assert isinstance(critique, Critique)
    assert critique.doubtful == ("t 2", "t1")
    assert critique.gradients == {"rule": "x"}


async def test_the_critic_is_told_what_was_cut_off_and_sees_whole_replies() -> None:
    cut = replace(WRONG, reply="First {text}\nthen no", finish="length", feedback="")
    model = Says("<critique>[rule] x</critique>")
    await gradients(model, replace(SURVIVOR, outcomes=(cut, replace(WRONG, finish="refusal"))))
    said = model.asked[0].messages[-1].text
    assert "Answered: no\nReplied: First {text}\n  then no\nWhy: the reply was cut off at its longest\n" in said
    assert "Why: answered no; the model refused\n" in said


def test_brackets_that_name_no_section_are_part_of_what_is_said() -> None:
    text = "[rule] first\n[note] second\n[1] third\n[input] frozen\n[note] of the frozen one\n[rule]: last"
    assert read_gradients(text, FIRST_PROMPT) == {"rule": "first\n[note] second\n[1] third\nlast"}


@pytest.mark.parametrize("reply", ["", "no tags", "<critique></critique>", "<critique>no section</critique>"])
async def test_a_reply_that_is_no_critique_leaves_no_gradients(reply: str) -> None:
    assert await gradients(Says(reply)) == {}


async def test_a_critic_none_of_whose_replies_can_be_read_is_asked_no_more() -> None:
    """One that was read once is asked on."""
    for first, asked in (("no tags", HOPELESS), ("<critique>\n[rule] name more words\n</critique>", 6)):
        model = Says(first)
        critic = Critic(model, TASK, None)
        await critic.handle(SURVIVOR)
        model.text = "no tags"
        for _ in range(5):
            [critique] = await critic.handle(SURVIVOR)
            assert isinstance(critique, Critique)
            assert critique.missing == "unreadable"
        assert len(model.asked) == asked


async def test_a_failed_critic_does_not_cost_the_evaluation() -> None:
    assert await gradients(Says(error=ServerFailed("no", model="m"))) == {}
    assert await gradients(Says(error=BudgetExhausted("calls", 1))) == {}
    with pytest.raises(AuthenticationFailed):
        await gradients(Says(error=AuthenticationFailed("no", model="m")))


@given(texts)
def test_any_critique_is_read(text: str) -> None:
    assert set(read_gradients(text, FIRST_PROMPT)) <= {"rule"}


@given(st.dictionaries(st.sampled_from(["rule", "reminders"]), st.text("ab {}付", min_size=1).filter(str.strip)))
def test_written_gradients_are_read_back(wanted: dict[str, str]) -> None:
    prompt = Prompt((*FIRST_PROMPT.sections, Section("reminders", "reminders")))
    text = "".join(f"[{name}] {gradient}\n" for name, gradient in wanted.items())
    assert read_gradients(text, prompt) == {name: gradient.strip() for name, gradient in wanted.items()}


# The proposer


@dataclass
class Edits:
    """An operator that does what it is told."""

    result: Prompt | Exception
    name: str = "edits"
    contexts: list[Context] = field(default_factory=list)

    def targets(self, prompt: Prompt, task: object) -> list[str]:
        return [section.name for section in prompt]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        self.contexts.append(context)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


ASSIGNMENT = Assignment(5, "edits", "rule", 2, FIRST_PROMPT, "name more", (WRONG,), (0.0, 1.0))


async def test_a_candidate_carries_what_its_race_needs() -> None:
    operator = Edits(ALL)
    proposer = Proposer(operator, Says(), NO_CORPUS, None, 1, 0.0)
    assert proposer.address == "proposer/edits"
    assert await proposer.handle(ASSIGNMENT) == [
        Candidate(5, ALL, (0.0, 1.0), FIRST_PROMPT.tokens, section="rule", known=("t1",))
    ]
    await proposer.handle(ASSIGNMENT)
    await proposer.handle(replace(ASSIGNMENT, assignment=6))
    first, again, other = (context.rng.random() for context in operator.contexts)
    assert first == again != other, "the generator depends on the seed and the assignment alone"


async def test_an_edit_that_changes_nothing_is_rejected() -> None:
    with pytest.raises(EditRejected, match="changes nothing"):
        await Proposer(Edits(FIRST_PROMPT), Says(), NO_CORPUS, None, 1, 0.0).handle(ASSIGNMENT)


async def test_a_frozen_section_has_a_text_of_the_parent_or_of_a_partner() -> None:
    """Whatever an operator of a user's own makes of it."""
    partner = Partner(3, FIRST_PROMPT.edit("rule", "dune", ()).freeze(("rule",)), (1.0, 1.0), {})
    frozen = replace(ASSIGNMENT, prompt=FIRST_PROMPT.freeze(("rule",)), partners=(partner,))
    with pytest.raises(EditRejected, match="rule is frozen"):
        await Proposer(Edits(ALL), Says(), NO_CORPUS, None, 1, 0.0).handle(frozen)
    [taken] = await Proposer(Edits(partner.prompt), Says(), NO_CORPUS, None, 1, 0.0).handle(frozen)
    assert taken == Candidate(5, partner.prompt, (1.0, 1.0), partner.prompt.tokens, section="rule", known=("t1",))


BY_HAND = replace(ASSIGNMENT, operator="hand", section="rule", edited=ALL)


async def test_what_a_person_made_is_a_candidate_like_others() -> None:
    assert await InjectedEdit(NO_CORPUS).handle(BY_HAND) == [
        Candidate(5, ALL, (0.0, 1.0), FIRST_PROMPT.tokens, section="rule", known=("t1",))
    ]
    partner = Partner(3, ALL, (1.0, 1.0), {})
    [candidate] = await InjectedEdit(NO_CORPUS).handle(replace(BY_HAND, partners=(partner,)))
    assert candidate == Candidate(5, ALL, (1.0, 1.0), ALL.tokens, section="rule", known=("t1",)), (
        "it races whom it took a text from"
    )


async def test_a_form_alone_that_a_person_changed_is_an_edit() -> None:
    other = FIRST_PROMPT.edit("rule", FIRST_PROMPT["rule"].text, (), "input")
    assert edited_section(FIRST_PROMPT, other) == "rule"
    members = [Member(n, None, prompt, 1, (1.0,), 1.0, {}, ()) for n, prompt in enumerate((FIRST_PROMPT, other))]
    assert nearest(members, other).candidate == 1
    [candidate] = await InjectedEdit(NO_CORPUS).handle(replace(BY_HAND, edited=other))
    assert isinstance(candidate, Candidate)
    assert candidate.prompt == other


@pytest.mark.parametrize(
    ("edited", "says"),
    [
        (FIRST_PROMPT, "changes nothing"),
        (Prompt((FIRST_PROMPT["rule"], replace(FIRST_PROMPT["input"], form="input"))), "input is frozen"),
        (Prompt((FIRST_PROMPT["rule"], Section("input", "task", "Text:"))), "input is frozen"),
        (FIRST_PROMPT.edit("rule", "{text}", ()), r"invents \{text\}"),
        (Prompt((FIRST_PROMPT["input"],)), r"only one of the two prompts has rule \(task\)"),
        (Prompt((Section("rule", "format", "x"), FIRST_PROMPT["input"])), r"rule \(format\), rule \(task\)"),
    ],
)
async def test_what_a_person_made_of_another_prompt_is_rejected(edited: Prompt, says: str) -> None:
    with pytest.raises(EditRejected, match=says):
        await InjectedEdit(NO_CORPUS).handle(replace(BY_HAND, edited=edited))


# The controller


@dataclass
class Notes:
    """A selector that takes the first choice and keeps what it learns."""

    learnt: list[tuple[Action, float, list[Action]]] = field(default_factory=list)

    def choose(self, choices: Sequence[Choice]) -> Choice:
        return choices[0]

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        self.learnt.append((choice.action, reward, [successor.action for successor in successors]))


@dataclass
class Picks(Notes):
    """One that chooses the parent, too: the youngest; keeps the values that it was offered."""

    offered: list[list[float]] = field(default_factory=list)

    def choose_parent(self, parents: Sequence[tuple[float, Sequence[Choice]]]) -> Choice:
        self.offered.append([value for value, _ in parents])
        return parents[-1][1][0]


def controller(width: int, assignments: int = 100, notes: Notes | None = None) -> Controller:
    settings = SearchSettings(width, assignments, token_price=0.01, failure_reward=-0.5)
    choices = Choices({"add_word": AddWord()}, TASK, HashedNgrams())
    return Controller(TASK, choices, notes or Notes(), settings, None, Random(0), lambda: 0.0)


def critique(number: int, prompt: Prompt = FIRST_PROMPT, gain: float = 0.0, survived: bool = True) -> Critique:
    scores = scores_of(prompt)
    evaluation = Evaluation(number, prompt, scores, survived, gain, 0.1, 16, 0, value=mean(scores))
    return Critique(number, evaluation, {"rule": "g"})


def assigned(messages: Sequence[Message]) -> list[int]:
    return [message.assignment for message in messages if isinstance(message, Assignment)]


@pytest.mark.parametrize(("first", "goes_on"), [("unreadable", False), ("rejected", True), ("call", False)])
async def test_an_operator_none_of_whose_replies_can_be_read_is_asked_no_more(
    first: FailureKind, goes_on: bool
) -> None:
    """One whose reply was read once, if only to be rejected, is asked on; a call that failed says nothing."""
    search = controller(1)
    await search.handle(critique(FIRST))
    unread: list[FailureKind] = ["unreadable"] * HOPELESS
    kinds = unread if first == "unreadable" else [first, *unread]
    for number, kind in enumerate(kinds, start=1):
        answer = await search.handle(Failure(number, kind, "said why"))
    assert assigned(answer) == ([len(kinds) + 1] if goes_on else [])
    assert goes_on or answer == [Finished(UNREAD)]


async def test_each_ending_is_answered_by_one_assignment_until_none_is_left() -> None:
    it = controller(width=3, assignments=5)
    assert it.begin(FIRST_PROMPT) == Candidate(FIRST, FIRST_PROMPT)
    first = await it.handle(critique(FIRST))
    assert assigned(first) == [1, 2, 3]
    assert isinstance(first[0], Assignment)
    assert (first[0].parent, first[0].gradient, first[0].scores) == (FIRST, "g", scores_of(FIRST_PROMPT))
    assert assigned(await it.handle(critique(2))) == [4]
    assert assigned(await it.handle(Failure(4, "call", "no"))) == [5]
    assert await it.handle(critique(1)) == []
    assert await it.handle(critique(5)) == []
    assert await it.handle(critique(3)) == [Finished("assignments")]


async def test_what_is_learnt_is_the_reward_and_what_is_open_at_the_child() -> None:
    notes = Notes()
    it = controller(2, notes=notes)
    await it.handle(critique(FIRST))
    await it.handle(critique(1, ALL, gain=0.8))
    await it.handle(Failure(2, "rejected", "no"))
    action = Action("add_word", "rule")
    won = Reward(0.01)(critique(1, ALL, gain=0.8).evaluation, ALL.tokens - FIRST_PROMPT.tokens)
    assert notes.learnt == [(action, won, [action]), (action, -0.5, [])]
    assert [member.candidate for member in it.archive.members] == [FIRST, 1]


async def test_what_is_remembered_says_the_form() -> None:
    kept: list[Experience] = []

    async def remember(assignment: int, experience: Experience) -> None:
        kept.append(experience)

    choices = Choices({"add_word": AddWord()}, TASK, HashedNgrams())
    it = Controller(TASK, choices, Notes(), SearchSettings(2, 100), remember, Random(0), lambda: 0.0)
    await it.handle(critique(FIRST))
    text = FIRST_PROMPT["rule"].text
    await it.handle(critique(1, FIRST_PROMPT.edit("rule", text, (), "input"), gain=0.8))
    assert [(past.before, read_section(past.after)) for past in kept] == [(text, ("input", text))]


async def test_an_edit_of_the_form_alone_is_known_for_one_that_was_tried() -> None:
    child = FIRST_PROMPT.edit("rule", FIRST_PROMPT["rule"].text, (), "input")
    said = (saved(FIRST_PROMPT, "rule"), saved(child, "rule"))
    asked: list[tuple[str, str]] = []

    class Past(Memory):
        def __init__(self) -> None:
            pass

        async def recall(self, query: str, k: int, where: Where = EVERYWHERE) -> list[Recalled]:
            return []

        async def tried(self, task: str, section: str, before: str, after: str) -> Mapping[Ending, int]:
            asked.append((before, after))
            return {"lost": 1}

    with pytest.raises(EditRejected, match="tried before: lost 1"):
        await Proposer(Edits(child), Says(), NO_CORPUS, Past(), 1, 0.0).handle(ASSIGNMENT)
    assert asked == [said]


async def test_a_frozen_section_keeps_its_form() -> None:
    child = Prompt((FIRST_PROMPT["rule"], replace(FIRST_PROMPT["input"], form="input")))
    with pytest.raises(EditRejected, match="input is frozen"):
        await Proposer(Edits(child), Says(), NO_CORPUS, None, 1, 0.0).handle(ASSIGNMENT)


async def test_a_prompt_that_is_filled_for_each_input_pays_for_what_is_filled() -> None:
    notes, expected = Notes(), Reward(0.01)
    it = controller(2, notes=notes)
    await it.handle(critique(FIRST))
    for number, parent, filled, before in ((1, FIRST, 50, FIRST_PROMPT.tokens), (2, 1, 20, ALL.tokens + 50)):
        it.open[number] = replace(it.open[number], parent=parent)
        told = critique(number, ALL, gain=0.8)
        told = replace(told, evaluation=replace(told.evaluation, filled=filled))
        await it.handle(told)
        assert notes.learnt[-1][1] == expected(told.evaluation, ALL.tokens + filled - before)


async def test_the_tokens_that_a_merge_adds_are_those_beyond_whom_it_is_measured_against() -> None:
    """A child with a text of a better, longer member gains what it gains over that one, and pays for no more."""
    notes = Notes()
    it = controller(1, notes=notes)
    await it.handle(critique(FIRST))
    long = FIRST_PROMPT.edit("rule", "amber birch and much more", ())
    [second] = await it.handle(critique(1, long, gain=0.4))
    assert isinstance(second, Assignment)
    partner = Partner(1, long, (1.0,) * 16, {})
    it.open[2] = replace(second, parent=FIRST, prompt=FIRST_PROMPT, scores=(0.0,) * 16, partners=(partner,))
    expected = Reward(0.01)
    expected(critique(1, long, gain=0.4).evaluation, 0)
    child = long.reorder(["input", "rule"])
    await it.handle(critique(2, child, gain=0.1))
    assert notes.learnt[-1][1] == expected(critique(2, child, gain=0.1).evaluation, 0)


async def test_a_selector_may_choose_the_parent() -> None:
    notes = Picks()
    it = controller(1, notes=notes)
    await it.handle(critique(FIRST))
    two = critique(1, FIRST_PROMPT.edit("rule", "amber birch", ()), gain=0.25)
    two = replace(two, evaluation=replace(two.evaluation, value=0.75))
    [later] = await it.handle(two)
    assert isinstance(later, Assignment)
    assert later.parent == 1
    assert [values[-1] for values in notes.offered] == [mean(scores_of(FIRST_PROMPT)), 0.75]


async def test_members_and_partners_carry_what_is_believed_of_their_sections() -> None:
    it = controller(1)
    [first] = await it.handle(critique(FIRST))
    assert isinstance(first, Assignment)
    assert first.partners == ()
    assert first.credit == believed(critique(FIRST), None)
    two = critique(1, FIRST_PROMPT.edit("rule", "amber birch", ()), gain=0.25)
    two = replace(two, credit={"rule": Credit(0.5, 0.1)})
    await it.handle(two)
    [member] = [member for member in it.archive.members if member.candidate == 1]
    assert member.credit == believed(two, first)
    later = [message for n in range(2, 12) for message in await it.handle(Failure(n, "call", "no"))]
    assert not any(a.partners for a in later if isinstance(a, Assignment)), "the operator combines nothing"


class Joins(AddWord):
    """Needs another member."""

    name = "joins"

    def combines(self, prompt: Prompt, section: str, partners: Sequence[Partner]) -> bool:
        return bool(partners)


async def test_what_combines_members_is_chosen_once_there_are_two() -> None:
    choices = Choices({"joins": Joins(), "add_word": AddWord()}, TASK, HashedNgrams())
    it = Controller(TASK, choices, Notes(), SearchSettings(1), None, Random(0), lambda: 0.0)
    [first] = await it.handle(critique(FIRST))
    [second] = await it.handle(critique(1, ALL, gain=0.8))
    assert isinstance(first, Assignment)
    assert isinstance(second, Assignment)
    assert len(it.archive.members) == 2
    assert (first.operator, second.operator) == ("add_word", "joins"), "the first of those that are open"
    assert (first.partners, first.best) == ((), mean(first.scores))
    assert [partner.candidate for partner in second.partners] == [1 - second.parent]


async def test_the_work_for_an_assignment_does_not_grow_with_the_square_of_the_archive() -> None:
    """Of the members, those that have something else open are not asked what they have in common with others."""
    asked: list[str] = []

    class Asked(Joins):
        def combines(self, prompt: Prompt, section: str, partners: Sequence[Partner]) -> bool:
            asked.append(section)
            return bool(partners)

    choices = Choices({"joins": Asked(), "add_word": AddWord()}, TASK, HashedNgrams())
    it = Controller(TASK, choices, Notes(), SearchSettings(1), None, Random(0), lambda: 0.0)
    await it.handle(critique(FIRST))
    for number, word in enumerate(WORDS[1:], start=1):
        asked.clear()
        await it.handle(critique(number, FIRST_PROMPT.edit("rule", f"Know: {word}", ())))
        assert len(asked) <= 1
    assert len(it.archive.members) == len(WORDS)


async def test_a_persons_edit_goes_first_of_the_nearest_member_and_teaches_the_selector_nothing() -> None:
    notes = Notes()
    it = controller(2, assignments=4, notes=notes)
    near = FIRST_PROMPT.edit("rule", "dune", ())
    await it.handle(critique(FIRST))
    assert await it.handle(Inject(near.reorder(["input", "rule"]))) == [], "there is no room"
    [first] = await it.handle(critique(1, near, gain=0.3))
    assert isinstance(first, Assignment)
    assert (first.assignment, first.operator, first.section, first.parent) == (3, "hand", "*", 1)
    await it.handle(Pause())
    assert await it.handle(Inject(ALL)) == []
    assert await it.handle(critique(2)) == []
    [second] = await it.handle(Continue())
    assert isinstance(second, Assignment)
    assert (second.operator, second.section, second.edited) == ("hand", "rule", ALL)
    await it.handle(Failure(3, "rejected", "no"))
    assert await it.handle(critique(4, ALL, gain=0.5)) == [Finished("assignments")]
    assert len(notes.learnt) == 2, "of 1 and 2"
    assert 4 in [member.candidate for member in it.archive.members]


@pytest.mark.parametrize("stop", [Stop("asked to"), Failure(1, "budget", "no more")])
async def test_a_stop_or_a_cap_drains_what_is_open(stop: Stop | Failure) -> None:
    it = controller(3)
    await it.handle(critique(FIRST))
    reason = stop.reason if isinstance(stop, Stop) else "budget"
    left = [n for n in (1, 2, 3) if not (isinstance(stop, Failure) and n == stop.assignment)]
    assert await it.handle(stop) == []
    for number in left[:-1]:
        assert await it.handle(critique(number)) == []
    assert await it.handle(Failure(left[-1], "dropped", "no")) == [Finished(reason)]


async def test_a_stop_before_the_first_evaluation_waits_for_it() -> None:
    it = controller(3)
    assert await it.handle(Stop("asked to")) == []
    assert await it.handle(critique(FIRST)) == [Finished("asked to")]
    assert it.archive.best().prompt == FIRST_PROMPT


@pytest.mark.parametrize("kind", ["call", "budget", "dropped"])
async def test_without_a_first_evaluation_there_is_no_run(kind: FailureKind) -> None:
    with pytest.raises(RunFailed, match="because of it"):
        await controller(1).handle(Failure(FIRST, kind, "because of it"))


async def test_no_assignments_means_the_first_prompt() -> None:
    assert await controller(1, assignments=0).handle(critique(FIRST)) == [Finished("assignments")]
