"""The leak guard: what is a copy, and what is none."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.results.leaks import LONGEST, SHORTEST, leaks
from protocols.prompt import Prompt, Section
from protocols.task import Example, Task
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


def leaks_by_sets(prompt: Prompt, first: Prompt, task: Task) -> set[tuple[str, str, str, str]]:
    """Section, split, example and text of each leak, from a set of all that is allowed."""
    sizes = range(SHORTEST, LONGEST + 1)

    def grams(text: str, size: int) -> list[str]:
        words = text.split()
        return [" ".join(words[start : start + size]) for start in range(len(words) - size + 1)]

    allowed = [section.text for section in first] + [example.inputs["text"] for example in task.train]
    known = {gram for text in allowed for size in sizes for gram in grams(text, size)}
    new: dict[str, str] = {}
    for section in prompt:
        for gram in (gram for size in sizes for gram in grams(section.text, size)):
            if gram not in known:
                new.setdefault(gram, section.name)
    found = set()
    for split in ("validation", "test"):
        for example in task.split(split):
            text = example.inputs["text"]
            size = min(LONGEST, len(text.split()))
            shared = [gram for gram in grams(text, size) if gram in new] if size >= SHORTEST else []
            found |= {(new[gram], split, example.id, gram) for gram in shared[:1]}
    return found


few_words = st.lists(st.sampled_from("ab"), max_size=12).map(" ".join)


@given(st.lists(few_words, min_size=2, max_size=2), few_words, *[st.lists(few_words, max_size=4)] * 3)
def test_what_leaks_is_what_a_set_of_all_that_is_allowed_says(
    sections: list[str], first: str, train: list[str], validation: list[str], test: list[str]
) -> None:
    def split(name: str, lines: list[str]) -> tuple[Example, ...]:
        return tuple(Example(f"{name}{n}", {"text": text}, "no") for n, text in enumerate(lines))

    task = replace(TASK, train=split("t", train), validation=split("v", validation), test=split("h", test))
    winner = Prompt((*prompt(sections[0]).sections, Section("more", "examples", sections[1])))
    found = leaks(winner, prompt(first), task)
    assert len(found) == len({(leak.split, leak.example) for leak in found})
    assert {(leak.section, leak.split, leak.example, leak.text) for leak in found} == leaks_by_sets(
        winner, prompt(first), task
    )


def test_a_large_training_split_takes_no_memory() -> None:
    train = tuple(Example(f"t{n}", {"text": f"{n} {LATIN} {n}"}, "no") for n in range(500))
    task = replace(LEAKY, train=train, test=(Example("h!", {"text": HAN}, "yes"),))
    tracemalloc.start()
    try:
        found = leaks(prompt(f"For example: {HAN}"), FIRST_PROMPT, task)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found
    assert peak < 2**19, "a set of its runs of words takes megabytes"


def test_a_copied_answer_is_found() -> None:
    task = replace(LEAKY, test=(Example("h1", {"text": "sum up"}, LATIN),))
    assert [leak.example for leak in leaks(prompt(LATIN), FIRST_PROMPT, task)] == ["h1"]


def test_each_example_is_named_once_and_untouched_prompts_have_none() -> None:
    both = Prompt((*prompt(f"{LATIN}\n{LATIN}").sections, Section("more", "examples", f"{HAN} {LATIN}")))
    assert [leak.example for leak in leaks(both, FIRST_PROMPT, LEAKY)] == ["v!", "h!"]
    assert leaks(FIRST_PROMPT, FIRST_PROMPT, LEAKY) == ()
