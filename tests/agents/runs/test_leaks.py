"""The leak guard: what is a copy, and what is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runs.leaks import LONGEST, SHORTEST, leaks
from protocols.prompt import Prompt, Section
from protocols.task import Example
from tests.world import FIRST_PROMPT, TASK

LATIN = "the parcel that i ordered on monday has not arrived and nobody answers the phone"
HAN = "上周一订购的包裹至今没有送到客服电话也无人接听"
SECRETS = {"test": LATIN, "validation": HAN}
LEAKY = replace(
    TASK,
    validation=(*TASK.validation, Example("v!", {"text": HAN}, "no")),
    test=(*TASK.test, Example("h!", {"text": LATIN}, "yes")),
)


def prompt(text: str) -> Prompt:
    return FIRST_PROMPT.edit("rule", text, ())


@pytest.mark.parametrize(("split", "identity"), [("test", "h!"), ("validation", "v!")])
def test_a_copied_example_is_found_with_its_place(split: str, identity: str) -> None:
    [leak] = leaks(prompt(f"Know: amber. For example:\n{SECRETS[split].upper()}!\nAnswer: yes"), FIRST_PROMPT, LEAKY)
    assert (leak.section, leak.split, leak.example) == ("rule", split, identity)
    assert leak.text.casefold() in SECRETS[split]


@given(st.integers(0, 7), st.integers(1, 16), st.sampled_from(["\n", "  ", ", "]))
def test_so_many_words_in_a_row_are_a_copy(start: int, count: int, between: str) -> None:
    words = LATIN.split()[start : start + count]
    found = leaks(prompt(f"Zebra {between.join(words)} zebra"), FIRST_PROMPT, LEAKY)
    assert bool(found) == (len(words) >= LONGEST)


@pytest.mark.parametrize(("text", "found"), [("will my card come today", True), ("will my card come", False)])
def test_a_short_example_must_be_there_whole(text: str, found: bool) -> None:
    task = replace(LEAKY, test=(Example("h1", {"text": text}, "no"),))
    assert (len(text.split()) >= SHORTEST) == found
    assert bool(leaks(prompt(f"Say: {text}? No."), FIRST_PROMPT, task)) == found
    assert not leaks(prompt("Say: will my card not come today? No."), FIRST_PROMPT, task)


@pytest.mark.parametrize("secret", [LATIN, HAN])
def test_what_the_first_prompt_or_a_training_example_has_is_no_leak(secret: str) -> None:
    winner = prompt(f"For example: {secret}")
    assert leaks(winner, FIRST_PROMPT, LEAKY)
    assert not leaks(winner, prompt(secret), LEAKY)
    known = replace(LEAKY, train=(*TASK.train, Example("t!", {"text": f"so {secret}"}, "no")))
    assert not leaks(winner, FIRST_PROMPT, known)


def test_a_copied_answer_is_found() -> None:
    task = replace(LEAKY, test=(Example("h1", {"text": "sum up"}, LATIN),))
    assert [leak.example for leak in leaks(prompt(LATIN), FIRST_PROMPT, task)] == ["h1"]


def test_each_example_is_named_once_and_untouched_prompts_have_none() -> None:
    both = Prompt((*prompt(f"{LATIN}\n{LATIN}").sections, Section("more", "examples", f"{HAN} {LATIN}")))
    assert [leak.example for leak in leaks(both, FIRST_PROMPT, LEAKY)] == ["v!", "h!"]
    assert leaks(FIRST_PROMPT, FIRST_PROMPT, LEAKY) == ()
