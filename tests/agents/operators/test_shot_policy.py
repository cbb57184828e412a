"""How few_shot shows worked examples, from what past edits earned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.operators.few_shot import FewShot
from agents.operators.operator import Context, saved
from agents.prompting.requests import show_turns
from agents.prompting.retrieval_slots import open_slots
from agents.prompting.shot_policy import COUNTS, MOST, NOTHING, POLICIES, ShotPolicy, Situation, choose_policy, shown
from memory.experience import Experience, Recalled
from memory.judgement import Judged
from protocols.errors import InapplicableError, UnreadableReply
from protocols.files.prompt_file import saved_section
from protocols.messages import FIRST, Assignment, Outcome
from protocols.metrics.match import Accuracy
from protocols.model import ChatMessage, Reply, Request
from protocols.prompt import Prompt, Section
from protocols.task import Example, Task, TaskKind
from protocols.turns import ORDER, dump_turns

TRAIN = tuple(Example(f"t{n}", {"text": f"text {n}"}, ("no", "yes")[n % 2]) for n in range(40))
TASK = Task("t", TRAIN, TRAIN[:2], TRAIN[:2], Accuracy(TaskKind()), ("text",))
FRAME = Section("input", "task", "Text: {text}\nLabel:", frozen=True)
BARE = [policy for policy in POLICIES if policy.count and not policy.replies]
showings = st.sampled_from([NOTHING, *BARE])
SEEDS = 100


@dataclass
class Unasked:
    name: str = "unasked"

    async def complete(self, request: Request) -> Reply:
        raise AssertionError("few_shot asks no model")


def section(policy: ShotPolicy, first: int = 0) -> Section:
    """An examples section that shows this; fixed examples are numbered from `first`."""
    if not policy.count:
        return Section("examples", "examples")
    if policy.nearest:
        return Section("examples", "examples", f"{{examples:{policy.count}}}", form=policy.form)
    numbers = range(first, first + policy.count)
    if policy.form == "turns":
        turns = [ChatMessage(who, f"{n}" if who == "user" else "x") for n in numbers for who in ORDER]
        return Section("examples", "examples", dump_turns(turns), form="turns")
    text = "\n\n".join(f"Text: {n}\nLabel: x" for n in numbers)
    return Section("examples", "examples", text, form=policy.form)


def told(
    after: ShotPolicy, reward: float, evidence: int = 100, before: ShotPolicy = NOTHING, task: str = "t"
) -> Experience:
    there, here = saved_section(section(before)), saved_section(section(after, first=500))
    return Experience(task, "examples", "examples", "few_shot", there, here, "", reward, evidence, 0, "survived", 0.0)


def recalled(past: Experience) -> Judged:
    return Judged(Recalled(past, 1.0), past.reward, 1.0, 1)


def edit(
    now: ShotPolicy,
    past: Sequence[Experience] = (),
    seed: int = 0,
    task: Task = TASK,
    outcomes: tuple[Outcome, ...] = (),
    token_price: float = 0.0,
) -> Prompt:
    prompt = Prompt((section(now), FRAME))
    asked = Assignment(1, "few_shot", "examples", FIRST, prompt, "", outcomes, (0.0, 1.0))
    known = [recalled(edit) for edit in past]
    context = Context(task, Unasked(), known, Random(seed), open_slots(task, ()), token_price)
    return anyio.run(FewShot().edit, asked, context)


def shares(
    past: Sequence[Experience],
    possible: Sequence[ShotPolicy] = BARE,
    token_price: float = 0.0,
    reasons: bool = False,
    draws: int = SEEDS,
) -> Counter[ShotPolicy]:
    situation = Situation(TASK.name, reasons, frozenset({"x"}), token_price, 20.0)
    return Counter(choose_policy(past, possible, situation, Random(seed)) for seed in range(draws))


@pytest.mark.parametrize("seed", range(20))
def test_no_example_is_shown_twice(seed: int) -> None:
    """Not even if it stands in the data several times."""
    train = tuple(Example(f"t{n}", {"text": f"text {n % 5}"}, "x") for n in range(40))
    shown_now = edit(NOTHING, seed=seed, task=replace(TASK, train=train))["examples"]
    parts = [turn.text for turn in shown_now.turns[::2]] or shown_now.text.split("\n\n")
    assert len(parts) == len(set(parts))


@given(showings)
def test_what_a_section_shows_is_read_from_what_an_experience_keeps(policy: ShotPolicy) -> None:
    assert shown(saved_section(section(policy))) == policy


@given(showings, showings, st.integers(0, 999))
@settings(deadline=None)
def test_an_edit_shows_something_else_than_before_in_one_of_the_ways(
    now: ShotPolicy, other: ShotPolicy, seed: int
) -> None:
    edited = edit(now, [told(other, 0.5)], seed)
    assert shown(saved(edited, "examples")) in {NOTHING, *BARE}
    assert edited != Prompt((section(now), FRAME))


@given(st.sampled_from(BARE), st.floats(0.2, MOST))
@settings(max_examples=10, deadline=None)
def test_what_earned_most_is_chosen_most_unless_it_is_outvoted(best: ShotPolicy, value: float) -> None:
    others = [told(policy, 0.0) for policy in BARE if policy != best]
    draws = 10  # each reads what all these edits showed
    assert shares(9 * [told(best, value), *others], draws=draws).most_common(1)[0][0] == best
    against = 9 * [told(best, -value), *others]
    assert shares([told(best, 9.0, 10**6), *against], draws=draws)[best] < draws / 10


def test_before_anything_is_known_the_nearest_are_shown_as_turns_and_other_ways_are_tried_too() -> None:
    chosen = shares([])
    assert sum(n for policy, n in chosen.items() if policy.nearest and policy.form == "turns") > SEEDS / 2
    assert len(chosen) > 4


def test_few_come_before_many_where_tokens_cost() -> None:
    dear = shares([], token_price=3e-4)
    assert max(dear, key=lambda policy: dear[policy]).count < max(COUNTS)
    assert {policy.count for policy in shares([], token_price=1.0)} == {min(COUNTS)}


def test_what_a_task_said_against_turns_leads_to_text_whatever_others_say() -> None:
    turns, text = ShotPolicy("turns", True, 8), ShotPolicy("input", True, 8)
    mine = 3 * [told(turns, -0.2), told(text, 0.2)]
    theirs = 9 * [told(turns, 0.2, task="other"), told(text, -0.2, task="other")]
    chosen = shares([*mine, *theirs])
    assert sum(n for policy, n in chosen.items() if policy.form == "turns") < SEEDS / 5


def test_what_was_earned_on_the_way_tells_where_nothing_is_shown() -> None:
    few, more, many = (ShotPolicy("turns", False, count) for count in (2, 8, 16))
    steps = [told(more, 0.1, before=few), told(many, 0.1, before=more)]
    fixed = [few, more, many]
    assert shares(3 * steps, fixed)[many] > shares([], fixed)[many]
    assert shares(3 * [told(few, 0.2, before=many)], fixed)[many] < shares([], fixed)[many]


def test_what_more_examples_cost_counts_against_them_and_not_against_what_they_are_worth() -> None:
    policy = ShotPolicy("turns", True, 16)
    worth = 3 * [told(policy, 0.1)]
    assert shares(worth, token_price=3e-4)[policy] < shares(worth)[policy]
    paid = [replace(edit, reward=edit.reward - 1e-4 * 16 * 20, cost=16 * 20) for edit in worth]
    assert shares(paid, token_price=1e-4) == shares(worth, token_price=1e-4)


def test_that_a_surviving_set_is_hard_to_better_says_nothing_against_showing_examples() -> None:
    again = 10 * [told(ShotPolicy("turns", False, 8), -0.03, before=ShotPolicy("turns", False, 8))]
    chosen = shares([told(ShotPolicy("turns", False, 8), 0.1), *again])
    assert chosen[NOTHING] == 0
    assert sum(n for policy, n in chosen.items() if policy.form == "turns") > SEEDS / 2


def test_what_was_measured_on_little_says_little() -> None:
    policy = ShotPolicy("turns", True, 8)

    def chosen(evidence: int) -> int:
        return shares([told(policy, -0.1, evidence)])[policy]

    assert 2 * chosen(1000) < chosen(2)


def test_a_way_that_the_section_has_or_was_given_before_is_not_proposed_again() -> None:
    now, before = ShotPolicy("turns", True, 8), ShotPolicy("turns", True, 16)
    lost = replace(told(before, 0.0, before=now), outcome="lost")
    made = {shown(saved(edit(now, [lost], seed), "examples")) for seed in range(60)}
    assert not made & {now, before}
    theirs = replace(lost, task="other")
    assert before in {shown(saved(edit(now, [theirs], seed), "examples")) for seed in range(60)}


WORKED = Outcome("t3", TRAIN[3].inputs, "yes", "It is odd.\nyes", "yes", 1.0, "")


def outcome(number: int, reply: str, score: float = 1.0) -> Outcome:
    example = TRAIN[number]
    return Outcome(example.id, example.inputs, str(example.target), reply, str(example.target), score, "")


def test_where_the_model_reasons_its_own_right_replies_are_shown() -> None:
    """Never a wrong one, nor one that was cut off."""
    kind = replace(TASK.kind, name="reasoning", reply=lambda target: f"Answer: {target}")
    task = replace(TASK, kind=kind)
    right = tuple(outcome(n, f"{n} is told from its end.\nAnswer: {TRAIN[n].target}") for n in range(10))
    wrong = (outcome(20, "It looks odd.\nAnswer: yes", 0.0), replace(outcome(21, "And so on", 1.0), finish="length"))
    made = [edit(NOTHING, seed=seed, task=task, outcomes=right + wrong) for seed in range(20)]
    worked = [p["examples"] for p in made if "is told from its end" in p["examples"].text]
    assert len(worked) > len(made) / 2
    frames = {
        message
        for o in right
        for message in show_turns(Prompt((FRAME,)), task, TRAIN[int(o.example.removeprefix("t"))], o.reply)
    }
    assert all(turn in frames for section in worked for turn in section.turns)


def only_json(reply: str) -> str:
    if not reply.startswith("{"):
        raise UnreadableReply("no JSON")
    return reply


@pytest.mark.parametrize("known", [0, 4])
def test_bare_answers_that_a_parser_does_not_read_are_never_shown(known: int) -> None:
    """Only whole replies that came out right are then what a model should imitate."""
    task = replace(TASK, kind=TaskKind(parse=only_json))
    right = tuple(outcome(n, f'{{"label": "{TRAIN[n].target}"}}') for n in range(known))
    for seed in range(20):
        if not known:
            with pytest.raises(InapplicableError):
                edit(NOTHING, seed=seed, task=task, outcomes=right)
        else:
            turns = edit(NOTHING, seed=seed, task=task, outcomes=right)["examples"].turns
            assert {turn.text for turn in turns if turn.speaker == "assistant"} <= {o.reply for o in right}


def raising(reply: str) -> str:
    raise KeyError(reply)


def test_a_parser_that_raises_on_a_bare_answer_reads_none() -> None:
    with pytest.raises(InapplicableError, match="reads no bare answer"):
        edit(NOTHING, task=replace(TASK, kind=TaskKind(parse=raising)))


@given(st.lists(st.tuples(st.sampled_from(["", " ", "a", "b c"]), st.sampled_from(["", "x", "y"])), max_size=12))
@settings(deadline=None)
def test_blank_inputs_and_answers_and_small_trains_are_no_obstacle(rows: list[tuple[str, str]]) -> None:
    train = tuple(Example(f"t{n}", {"text": text}, target) for n, (text, target) in enumerate(rows))
    bare = Prompt((Section("examples", "examples"), Section("input", "task", "{text}", frozen=True)))
    task = replace(TASK, train=train)
    for seed in range(6):
        asked = Assignment(1, "few_shot", "examples", FIRST, bare, "", (), (0.0, 1.0))
        context = Context(task, Unasked(), [], Random(seed), open_slots(task, ()), 0.0)
        try:
            section = anyio.run(FewShot().edit, asked, context)["examples"]
        except InapplicableError:
            continue
        assert train
        assert shown(saved_section(section)).count <= max(min(COUNTS), len(train))


def test_chatter_around_a_bare_answer_is_nothing_to_imitate() -> None:
    right = tuple(outcome(n, f"The label is {TRAIN[n].target}.") for n in range(20))
    made = [edit(NOTHING, seed=seed, outcomes=right) for seed in range(40)]
    assert not any("The label is" in prompt["examples"].text for prompt in made)


def test_what_whole_replies_earned_says_nothing_for_bare_answers() -> None:
    """Whole replies are told from bare answers, `x` here, by their text; of another task they are not told."""
    turns = [ChatMessage(who, f"{n} reasons") for n in range(8) for who in ORDER]
    worked = saved_section(Section("examples", "examples", dump_turns(turns), form="turns"))
    past = [replace(told(ShotPolicy("turns", False, 8), 0.3), after=worked)] * 6
    bare, whole = ShotPolicy("turns", False, 8), ShotPolicy("turns", False, 8, replies=True)
    assert shown(worked, frozenset({"x"})) == whole
    assert shares(past, [bare, whole], reasons=True)[bare] == 0
    theirs = [replace(edit, task="other") for edit in past]
    assert shares(theirs, [bare, whole], reasons=True)[bare] <= shares([], [bare, whole], reasons=True)[bare]


# Which examples a fixed set takes

GROUPS = (
    "the parcel was left at the wrong door",
    "my invoice shows a charge twice",
    "reset of a forgotten password",
    "an umbrella against heavy rain",
)


def grouped(each: int, answers: Sequence[str] = ("yes",)) -> Task:
    """A task whose training inputs are so many near copies of every group, which have these answers in turn."""
    train = tuple(
        Example(f"{group}.{copy}", {"text": f"{text} {'!' * copy}"}, answers[group % len(answers)])
        for group, text in enumerate(GROUPS)
        for copy in range(each)
    )
    return replace(TASK, train=train)


def fixed(
    task: Task, count: int, seed: int, failed: Sequence[str] = (), operator: FewShot | None = None
) -> list[list[str]]:
    """The input and the label of every example that a fixed set shows, in their order."""
    outcomes = tuple(Outcome("lost", {"text": text}, "yes", "no", "no", 0.0, "") for text in failed)
    asked = Assignment(1, "few_shot", "examples", FIRST, Prompt((section(NOTHING), FRAME)), "", outcomes, (0.0, 1.0))
    context = Context(task, Unasked(), [], Random(seed), open_slots(task, ()), 0.0)
    operator = operator or FewShot()
    text = operator.show(ShotPolicy("system", nearest=False, count=count), {}, asked, context)["examples"].text
    return [shown.removeprefix("Text: ").split("\nLabel: ") for shown in text.split("\n\n")]


def groups(shown: Sequence[Sequence[str]]) -> list[int]:
    return [GROUPS.index(text.rstrip(" !")) for text, _ in shown]


@given(st.integers(0, 999), st.integers(2, 5), st.integers(1, len(GROUPS)))
@settings(deadline=None)
def test_a_fixed_set_takes_what_is_farthest_from_what_it_has(seed: int, each: int, count: int) -> None:
    shown = groups(fixed(grouped(each), count, seed))
    assert len(set(shown)) == count, "near copies of one input say the same twice"


@given(st.integers(0, 999), st.integers(2, 5), st.integers(0, len(GROUPS) - 1))
@settings(deadline=None)
def test_a_fixed_set_ends_with_what_is_nearest_to_an_input_that_failed(seed: int, each: int, failed: int) -> None:
    assert groups(fixed(grouped(each), 3, seed, [GROUPS[failed]]))[-1] == failed
    assert groups(fixed(grouped(each, ("yes", "no")), 1, seed, [GROUPS[failed]])) == [failed]


def test_an_operator_that_has_seen_another_task_takes_what_a_new_one_does() -> None:
    operator, failed = FewShot(), [GROUPS[2]]
    for task in (grouped(2), grouped(5), TASK):
        assert fixed(task, 3, 0, failed, operator) == fixed(task, 3, 0, failed)


@given(st.integers(0, 999), st.integers(1, 12))
@settings(deadline=None)
def test_a_fixed_set_favours_no_answer(seed: int, count: int) -> None:
    answers = Counter(label for _, label in fixed(TASK, count, seed))
    assert answers.total() == count
    assert abs(answers["yes"] - answers["no"]) <= 1
