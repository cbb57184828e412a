"""What traces tell of a program: which reply is the answer, what becomes of the others, in which order they come."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.programs.calls import answering, calls_of
from agents.programs.trace import TEXT, middle
from agents.prompting.inside import inside
from protocols.messages import Outcome
from protocols.model import ChatMessage
from protocols.program import Step
from protocols.prompt import Prompt, Section
from tests.programs import OUTCOMES, PROMPTS, step


def prompts(*names: str) -> Prompt:
    return Prompt(tuple(Section(f"{name}.task", "task", "Do it.") for name in names))


def told(reply: str, answer: str | None, *calls: tuple[str, str]) -> Outcome:
    steps = tuple(step(name, said, {}) for name, said in calls)
    return Outcome("t1", {"text": "a"}, "yes", reply, answer, 0.0, "", steps=steps)


@pytest.mark.parametrize(
    ("outcome", "answers", "whole"),
    [
        (told("yes", "yes", ("a", "a long fact"), ("b", "yes\n")), "b", True),
        (told("yes", "yes", ("a", "yes"), ("b", "It is yes, I checked.")), "a", True),
        (told("yes", "yes", ("a", "yes"), ("b", "yes")), "b", True),
        (told('{"label":"yes"}', "yes", ("a", "no idea"), ("b", "yes")), "b", False),
        (told("yes", "yes", ("a", "no idea"), ("b", "I say: YES.")), "b", False),
        (told("3", "3", ("a", "the first is 3"), ("b", "fine")), "a", False),
        (told(f"{'x' * 3 * TEXT}", None, ("a", middle("x" * 3 * TEXT)), ("b", "fine")), "a", True),
        (told("computed", "computed", ("a", "1"), ("b", "2")), "", False),
        (told("", None, ("a", ""), ("b", "")), "", False),
    ],
)
def test_the_prompt_that_answers_is_told_by_its_reply_and_by_no_name(
    outcome: Outcome, answers: str, whole: bool
) -> None:
    calls = calls_of(prompts("a", "b"), [outcome])
    assert calls is not None
    assert (calls.answers, calls.whole) == (answers, whole)
    swapped = replace(outcome, steps=tuple(replace(s, prompt={"a": "b", "b": "a"}[s.prompt]) for s in outcome.steps))
    assert answering(prompts("a", "b"), [swapped]) == {"a": "b", "b": "a", "": ""}[answers]


@given(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=9))
def test_most_examples_decide(who: list[str]) -> None:
    outcomes = [told("yes", "yes", ("a", "yes" if name == "a" else "?"), ("b", "yes" if name == "b" else "?"))
                for name in who]  # fmt: skip
    found = answering(prompts("a", "b"), outcomes)
    assert who.count(found) >= len(who) / 2
    assert answering(Prompt((Section("task", "task", "x"),)), outcomes) == "", "it stands alone"


def test_calls_are_counted_and_what_is_never_called_comes_last() -> None:
    prompt = Prompt((Section("spare.task", "task", "x"), *PROMPTS))
    failed = replace(OUTCOMES[0], steps=(*OUTCOMES[0].steps, step("extract", "", {}, error="timeout")))
    calls = calls_of(prompt, (failed, *OUTCOMES[1:]))
    assert calls is not None
    assert [one.prompt for one in calls.called] == ["extract", "decide", "spare"] == list(calls.ordered(prompt).names)
    extract, decide, spare = calls.called
    assert (extract.times, extract.examples, extract.failed) == (6, 5, 1)
    assert (extract.values, extract.becomes) == (("text",), (("decide", "facts"),))
    assert (decide.times, decide.becomes, spare.times, spare.examples) == (5, (), 0, 0)


def test_a_call_that_belongs_to_no_prompt_may_answer_and_is_no_note() -> None:
    unnamed = Step("", "yes", messages=(ChatMessage("user", "Is it?"),))
    made = replace(told("yes", "yes"), steps=(step("a", "maybe yes", {}), Step("", "yes"), unnamed))
    assert answering(prompts("a", "b"), [made]) == ""
    assert answering(prompts("a", "b"), [replace(made, steps=made.steps[:2])]) == "a"
    assert inside(made, 50) == [
        "Call 1: a", "  replied: maybe yes", "Noted: yes",
        "Call 2: a model, with none of the prompts", "  last message, of the user: Is it?", "  replied: yes",
    ]  # fmt: skip


def test_a_short_reply_in_a_longer_text_becomes_nothing() -> None:
    steps = (step("a", "yes", {}), step("b", "no", {"text": "yesterday"}), Step("", "yes"))
    calls = calls_of(prompts("a", "b"), [replace(told("no", "no"), steps=steps)])
    assert calls is not None
    assert calls.of("a").becomes == ()
