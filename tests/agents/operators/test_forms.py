"""What form few_shot gives an edit, from what past edits earned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.operators.few_shot import FewShot
from agents.operators.forms import COUNTS, FORMS, MOST, NEAREST, Form, Prices, Shown, choose_form, shown
from agents.operators.operator import Context
from agents.prompting.requests import show_example
from agents.prompting.shelves import open_shelves, places
from memory.experience import Experience, Recalled
from memory.judgement import Judged
from protocols.messages import FIRST, Assignment
from protocols.metrics.match import Accuracy
from protocols.model import Reply, Request
from protocols.prompt import Prompt, Section
from protocols.task import Example, Task, TaskKind

TRAIN = tuple(Example(f"t{n}", {"text": f"text {n}"}, ("no", "yes")[n % 2]) for n in range(150))
TASK = Task("t", TRAIN, TRAIN[:2], TRAIN[:2], Accuracy(TaskKind()), ("text",))
FRAME = Section("input", "task", "Text: {text}\nLabel:", frozen=True)
states = st.builds(Shown, st.integers(1, 200)) | st.builds(Shown, st.sampled_from(NEAREST), st.just(True))


@dataclass
class Unasked:
    name: str = "unasked"

    async def complete(self, request: Request) -> Reply:
        raise AssertionError("few_shot asks no model")


def experience(before: str, after: str, reward: float = 0.1, evidence: int = 100) -> Experience:
    return Experience(
        "t", "examples", "examples", "few_shot", before, after, "", reward, evidence, 0, "survived", 0.0
    )


def text(state: Shown | None, first: int = 0) -> str:
    """What shows this; its examples are numbered from `first`."""
    if state is None:
        return ""
    if state.nearest:
        return f"{{examples:{state.count}}}"
    return "\n\n".join(f"Text: {n}\nLabel: x" for n in range(first, first + state.count))


def told(after: Shown, reward: float, evidence: int = 100, before: Shown | None = None) -> Experience:
    """What was shown before is shown no more, unless it is said to have survived."""
    return experience(text(before), text(after, 0 if after.survived else 500), reward, evidence)


def recalled(past: Experience) -> Judged:
    return Judged(Recalled(past, 1.0), past.reward, 1.0, 1)


@given(st.none() | states)
def test_what_a_section_shows_is_read_from_its_text(state: Shown | None) -> None:
    assert shown(text(state)) == state
    assert shown(text(state), survivor=text(state)) == (state and replace(state, survived=True))
    assert shown(text(state), survivor=text(Shown(3), 500)) == state
    assert shown(f"{text(Shown(3))}\n\n{text(Shown(2), 7)}", survivor=text(Shown(3))) == Shown(5, survived=True)


@given(st.none() | states, states, st.integers(0, 999))
@settings(deadline=None)
def test_a_section_shows_what_the_form_of_its_edit_says(now: Shown | None, other: Shown, seed: int) -> None:
    prompt = Prompt((Section("examples", "examples", text(now)), FRAME))
    asked = Assignment(1, "few_shot", "examples", FIRST, prompt, "", (), (0.0, 1.0))
    context = Context(TASK, Unasked(), [recalled(told(other, 0.5))], Random(seed), open_shelves(TASK, ()), 0.0)
    edited = shown(anyio.run(FewShot().edit, asked, context)["examples"].text)
    added = {Shown(now.count + count) for count in COUNTS if now and not now.nearest}
    assert edited in {*AFTER.values(), *added}
    assert edited != now or not now.nearest


SEEDS = 100
AFTER = {form: Shown(form.count, form.shape == "nearest") for form in FORMS if form.shape != "added"}
"""What may be shown where nothing is."""
GROWN = {form: Shown(20 + form.count, survived=True) for form in FORMS if form.shape == "added"}
"""And where 20 are, beside these."""


def shares(past: list[Experience], possible: Mapping[Form, Shown] = AFTER, token_price: float = 0.0) -> Counter[Form]:
    prices = Prices(token_price, 20.0)
    return Counter(choose_form(past, possible, TASK.name, prices, Random(seed)) for seed in range(SEEDS))


def test_where_little_is_known_any_form_is_chosen() -> None:
    """At 0.0001 a token: the fewer are the likelier the dearer they are."""
    assert set(shares([], token_price=1e-4)) >= set(AFTER) - {Form("fixed", 64)}
    few = {form: AFTER[form] for form in FORMS[:3]}
    assert set(shares([told(Shown(64), 0.05)], few, 1e-4)) == set(few)


@given(st.sampled_from(sorted(AFTER, key=str)), st.floats(0.1, MOST))
@settings(max_examples=8, deadline=None)
def test_the_form_that_earned_most_is_chosen_most_unless_it_is_outvoted(best: Form, value: float) -> None:
    others = [told(after, value / 4) for form, after in AFTER.items() if form != best]
    assert shares(3 * [told(AFTER[best], value), *others]).most_common(1)[0][0] == best
    against = 9 * [told(AFTER[best], -value), *others]
    assert shares([told(AFTER[best], 9.0, 10**6), *against])[best] < SEEDS / 10


def test_what_is_said_of_some_counts_tells_of_others() -> None:
    past = 3 * [told(Shown(4), 0.0), told(Shown(16), 0.1)]
    assert shares(past)[Form("fixed", 64)] > 5 * shares(past)[Form("fixed", 4)]
    assert shares(past, GROWN)[Form("added", 64)] > shares(past, GROWN)[Form("added", 4)]


def test_what_was_earned_on_the_way_tells_where_nothing_is_shown() -> None:
    """And one who knows only that a full section lost by being emptied knows it, too."""
    steps = [told(Shown(16), 0.1, before=Shown(4)), told(Shown(64), 0.1, before=Shown(16))]
    back = [told(Shown(4), -0.2, before=Shown(64))]
    for past in (3 * steps, 3 * back):
        assert shares(past)[Form("fixed", 64)] > 5 * shares(past)[Form("fixed", 4)]


def test_before_anything_is_known_more_examples_are_expected_to_help_where_they_are_cheap() -> None:
    few, many = Form("fixed", 4), Form("fixed", 64)
    assert shares([])[many] > 2 * shares([])[few]
    assert shares([], token_price=1e-4)[many] < shares([], token_price=1e-4)[few]


def test_what_more_examples_cost_counts_against_them_and_not_against_what_they_are_worth() -> None:
    """64 of 20 tokens cost 0.128 at 0.0001 a token."""
    form, worth = Form("fixed", 64), 3 * [told(Shown(64), 0.1)]
    assert shares(worth, token_price=1e-4)[form] < shares(worth, token_price=1e-5)[form]
    paid = [replace(edit, reward=edit.reward - 1e-4 * 64 * 20, cost=64 * 20) for edit in worth]
    assert shares(paid, token_price=1e-4) == shares(worth, token_price=1e-4)
    assert max(shares([], token_price=1.0), key=lambda form: form.count).count == 4


def test_another_task_is_believed_until_this_one_says_otherwise() -> None:
    form = Form("fixed", 64)
    theirs = 9 * [replace(told(Shown(64), -0.2), task="other")]
    mine = told(Shown(64), 0.2)
    assert shares(theirs)[form] < 0.7 * shares([])[form]
    assert shares([*theirs, mine, mine])[form] > shares([])[form]
    slight = told(Shown(64), -0.03)
    assert shares([slight])[form] < shares([replace(slight, task="other")])[form]


def test_that_a_survivor_is_hard_to_better_says_nothing_against_showing_more() -> None:
    """Another draw of as many examples lost as much."""
    again = 10 * [told(Shown(count), -0.03, before=Shown(16)) for count in (16, 16, 64)]
    chosen = shares([told(Shown(16), 0.1), *again])
    assert chosen[Form("fixed", 64)] > chosen[Form("fixed", 16)]


def test_where_others_in_a_survivors_place_lost_examples_are_added_to_it() -> None:
    """And an edit that only added says nothing of that."""
    afresh, added = Form("fixed", 64), Form("added", 32)
    both = {afresh: Shown(64), added: Shown(52, survived=True)}
    unknown = shares([], both)[added]
    again = 10 * [told(Shown(16), -0.05, before=Shown(16))]
    assert shares(again, both)[added] > unknown + SEEDS / 8
    kept = 10 * [told(Shown(16, survived=True), -0.05, before=Shown(16))]
    assert abs(shares(kept, both)[added] - unknown) < SEEDS / 10


def test_few_shot_adds_to_what_survived_where_others_in_its_place_lost() -> None:
    """At a price at which it seldom does before anything is known."""
    now = "\n\n".join(show_example(Prompt((FRAME,)), TASK, example) for example in TRAIN[:16])
    prompt = Prompt((Section("examples", "examples", now), FRAME))
    asked = Assignment(1, "few_shot", "examples", FIRST, prompt, "", (), (0.0, 1.0))

    def adds(tried: list[Experience]) -> int:
        contexts = [
            Context(TASK, Unasked(), [recalled(edit) for edit in tried], Random(seed), open_shelves(TASK, ()), 3e-4)
            for seed in range(20)
        ]
        edited = [anyio.run(FewShot().edit, asked, context)["examples"].text for context in contexts]
        return sum(text.startswith(now) for text in edited)

    assert adds(10 * [told(Shown(16), -0.2, before=Shown(16))]) > adds([]) + 4


def test_what_was_measured_on_little_says_little() -> None:
    def chosen(evidence: int) -> int:
        return shares([told(Shown(64), -0.05, evidence)])[Form("fixed", 64)]

    assert 3 * chosen(1000) < chosen(4) < 1.5 * chosen(0)


def test_a_form_that_the_section_has_or_was_given_before_is_not_proposed_again() -> None:
    """Nor are examples added where all are shown."""
    everything = "\n\n".join(show_example(Prompt((FRAME,)), TASK, example) for example in TRAIN)
    for now in ("{examples:8}", everything):
        prompt = Prompt((Section("examples", "examples", now), FRAME))
        asked = Assignment(1, "few_shot", "examples", FIRST, prompt, "", (), (0.0, 1.0))
        tried = [recalled(experience(now, "{examples:16}", 0.0))]
        texts = set[str]()
        for seed in range(60):
            context = Context(TASK, Unasked(), tried, Random(seed), open_shelves(TASK, ()), 1e-4)
            texts.add(anyio.run(FewShot().edit, asked, context)["examples"].text)
        assert {text for text in texts if places(text)} == {"{examples:4}", "{examples:8}"} - {now}
        assert all(not text.startswith(now) for text in texts)
