"""What form few_shot gives an edit, from what past edits earned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.operators.few_shot import FewShot
from agents.operators.forms import COUNTS, FORMS, NEAREST, Form, choose_form, form_of
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
forms = st.one_of(
    st.builds(Form, st.just("nearest"), st.sampled_from(NEAREST)),
    st.builds(Form, st.sampled_from(["fixed", "added"]), st.sampled_from(COUNTS)),
)


@dataclass
class Unasked:
    name: str = "unasked"

    async def complete(self, request: Request) -> Reply:
        raise AssertionError("few_shot asks no model")


def experience(before: str, after: str, reward: float = 0.1, evidence: int = 100) -> Experience:
    return Experience(
        "t", "examples", "examples", "few_shot", before, after, "", reward, evidence, 0, "survived", 0.0
    )


def told(form: Form, reward: float, evidence: int = 100) -> Experience:
    before = "Text: a\nLabel: b" if form.shape == "added" else ""
    shown = [f"Text: {n}\nLabel: x" for n in range(form.count)]
    after = f"{{examples:{form.count}}}" if form.shape == "nearest" else "\n\n".join([before] * bool(before) + shown)
    return experience(before, after, reward, evidence)


def recalled(past: Experience) -> Judged:
    return Judged(Recalled(past, 1.0), past.reward, 1.0, 1)


@given(forms, st.integers(0, 999))
def test_the_form_of_an_edit_is_read_back_from_its_texts(form: Form, seed: int) -> None:
    shown = "Text: old\nLabel: no"
    prompt = Prompt((Section("examples", "examples", shown), FRAME))
    asked = Assignment(1, "few_shot", "examples", FIRST, prompt, "", (), (0.0, 1.0))
    past = replace(told(form, 0.5), before=shown) if form.shape != "added" else experience(shown, f"{shown}\n\nx")
    context = Context(TASK, Unasked(), [recalled(past)], Random(seed), open_shelves(TASK, ()))
    edited = anyio.run(FewShot().edit, asked, context)
    possible = [other for other in FORMS if other.shape != "nearest" or past.after != f"{{examples:{other.count}}}"]
    assert form_of(experience(shown, edited["examples"].text)) == choose_form([past], possible, Random(seed))


def shares(past: list[Experience], possible: Sequence[Form] = FORMS) -> Counter[Form]:
    return Counter(choose_form(past, possible, Random(seed)) for seed in range(300))


def test_where_nothing_is_known_any_form_is_chosen_and_never_one_that_is_not_possible() -> None:
    assert set(shares([])) == set(FORMS)
    assert set(shares([told(Form("fixed", 64), 0.05)], FORMS[:3])) == set(FORMS[:3])
    assert set(shares([told(Form("fixed", 64), 0.5)], FORMS[:3])) <= set(FORMS[:3])


@given(forms, forms, st.floats(0.1, 1))
@settings(max_examples=20)
def test_the_form_that_earned_most_is_chosen_most_unless_it_is_outvoted(
    best: Form, other: Form, value: float
) -> None:
    if best == other:
        return
    past = 9 * [told(best, value), told(other, value / 4)]
    assert shares(past)[best] > shares(past)[other]
    assert shares([told(best, 9.0, 10**6), *(9 * [told(best, -value), told(other, value / 4)])])[best] < 30


def test_what_is_said_of_some_counts_tells_of_others() -> None:
    past = shares(3 * [told(Form("fixed", 4), 0.0), told(Form("fixed", 16), 0.1)])
    assert past[Form("fixed", 64)] > 5 * past[Form("fixed", 4)]
    assert past[Form("added", 64)] > past[Form("added", 4)]


def test_what_was_measured_on_little_says_little() -> None:
    form = Form("nearest", 8)
    assert shares([told(form, 0.2, 1000)])[form] > shares([told(form, 0.2, 4)])[form]
    assert shares([told(form, 0.2, 0)]) == shares([])


def test_a_form_that_the_section_has_or_was_given_before_is_not_proposed_again() -> None:
    """Nor are examples added where all are shown."""
    everything = "\n\n".join(show_example(Prompt((FRAME,)), TASK, example) for example in TRAIN)
    for shown in ("{examples:8}", everything):
        prompt = Prompt((Section("examples", "examples", shown), FRAME))
        asked = Assignment(1, "few_shot", "examples", FIRST, prompt, "", (), (0.0, 1.0))
        tried = [recalled(experience(shown, "{examples:16}", -0.1))]
        texts = set[str]()
        for seed in range(60):
            context = Context(TASK, Unasked(), tried, Random(seed), open_shelves(TASK, ()))
            texts.add(anyio.run(FewShot().edit, asked, context)["examples"].text)
        assert {text for text in texts if places(text)} == {"{examples:4}", "{examples:8}"} - {shown}
        assert all(not text.startswith(shown) for text in texts)
