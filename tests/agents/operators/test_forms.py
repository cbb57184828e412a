"""What form few_shot gives an edit, from what past edits earned."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.operators.few_shot import FewShot
from agents.operators.forms import COUNTS, FORMS, LEARNT, NEAREST, Form, best_form, choose_form, form_of
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


def experience(before: str, after: str, reward: float = 0.1) -> Experience:
    return Experience("t", "examples", "examples", "few_shot", before, after, "", reward, 100, 0, "survived", 0.0)


def judged(form: Form, value: float, votes: float = 1.0) -> Judged:
    before = "Text: a\nLabel: b" if form.shape == "added" else ""
    shown = [f"Text: {n}\nLabel: x" for n in range(form.count)]
    after = f"{{examples:{form.count}}}" if form.shape == "nearest" else "\n\n".join([before] * bool(before) + shown)
    return Judged(Recalled(experience(before, after), 1.0), value, votes, 1)


@given(forms, st.integers(0, 999))
def test_the_form_of_an_edit_is_read_back_from_its_texts(form: Form, seed: int) -> None:
    shown = "Text: old\nLabel: no"
    prompt = Prompt((Section("examples", "examples", shown), FRAME))
    asked = Assignment(1, "few_shot", "examples", FIRST, prompt, "", (), (0.0, 1.0))
    told = [judged(form, 0.5, 100.0)]
    edited = anyio.run(FewShot().edit, asked, Context(TASK, Unasked(), told, Random(seed), open_shelves(TASK, ())))
    assert form_of(experience(shown, edited["examples"].text)) == choose_form(told, FORMS, Random(seed))


@given(forms, forms, st.floats(0.01, 1))
def test_the_form_that_earned_most_is_believed_unless_it_is_outvoted(best: Form, other: Form, value: float) -> None:
    if best == other:
        return
    assert best_form([judged(best, value), judged(other, value / 2)]) == best
    assert best_form([judged(best, value), judged(best, -value, 3.0), judged(other, value / 4)]) == other
    assert best_form([judged(best, -value)]) is None


def test_half_of_the_edits_take_the_form_that_is_believed() -> None:
    believed = Form("fixed", 64)
    taken = Counter(choose_form([judged(believed, 0.2)], FORMS, Random(seed)) for seed in range(600))
    assert taken[believed] / 600 == pytest.approx(LEARNT + (1 - LEARNT) * 0.75 / 10, abs=0.06)
    assert len(taken) == 2 * len(COUNTS) + len(NEAREST)


def test_a_form_that_the_section_has_or_was_given_before_is_not_proposed_again() -> None:
    """Nor are examples added where all are shown."""
    everything = "\n\n".join(show_example(Prompt((FRAME,)), TASK, example) for example in TRAIN)
    for shown in ("{examples:8}", everything):
        prompt = Prompt((Section("examples", "examples", shown), FRAME))
        asked = Assignment(1, "few_shot", "examples", FIRST, prompt, "", (), (0.0, 1.0))
        told = [Judged(Recalled(experience(shown, "{examples:16}", -0.1), 1.0), -0.1, 1.0, 1)]
        texts = set[str]()
        for seed in range(60):
            context = Context(TASK, Unasked(), told, Random(seed), open_shelves(TASK, ()))
            texts.add(anyio.run(FewShot().edit, asked, context)["examples"].text)
        assert {text for text in texts if places(text)} == {"{examples:4}", "{examples:8}"} - {shown}
        assert all(not text.startswith(shown) for text in texts)
