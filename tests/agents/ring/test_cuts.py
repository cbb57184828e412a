"""What may be left out of a prompt: never what must stay, and what goes is found in few tries."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.prompting.retrieval_slots import places
from agents.ring.cuts import Cuts, pieces
from protocols.messages import Credit
from protocols.model import ChatMessage
from protocols.naming import NO_NAMES, Names, closed
from protocols.prompt import Prompt, Section, placeholders
from protocols.turns import dump_turns
from tests.strategies import FIELDS, prompts, texts


def cuts(prompt: Prompt, names: Names = NO_NAMES, filled: int = 0, **credit: Credit) -> Cuts:
    return Cuts(prompt, FIELDS, names, filled, credit)


def shrunk(left: Cuts, holds: Callable[[Prompt], bool], most: int = 1000) -> tuple[Prompt, int]:
    """What is left when every cut that holds is made, and how many were tried."""
    tried = 0
    while tried < most and (found := left.next()) is not None:
        cut, prompt = found
        tried += 1
        if holds(prompt):
            left.held(cut, prompt)
        else:
            left.failed(cut)
    return left.prompt, tried


@given(texts)
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One rule.\n\nAnother.\n", ["One rule.\n\n", "Another.\n"]),
        ("- a\n  more of a\n- b\n", ["- a\n  more of a\n", "- b\n"]),
        ('Reply:\n{\n "a": [1,\n 2]\n}\nThen stop.', ["Reply:\n", '{\n "a": [1,\n 2]\n}\n', "Then stop."]),
        ("```\nx\n\ny\n```\nEnd", ["```\nx\n\ny\n```\n", "End"]),
        ("A smile :( is a sign.\nB", ["A smile :( is a sign.\n", "B"]),
        (f"{'Read it well. ' * 12}Use e.g. this.", ["Read it well. "] * 12 + ["Use e.g. this."]),
        ("付款失败要先核对银行卡余额再联系客服。发货问题请查询快递公司并且留下订单号码。", None),
        ("Short. Prose. Stays.", ["Short. Prose. Stays."]),
    ],
)
def test_what_belongs_together_is_one_piece(text: str, found: list[str] | None) -> None:
    assert pieces(text) == (found or [f"{part}。" for part in text.split("。")[:-1]])


@given(prompts, st.randoms(use_true_random=False), st.integers(0, 50))
@example(Prompt((Section("a", "task", "\n--- assistant ---\n--- user ---", form="input"),)), Random(0), 0)
@settings(max_examples=150, deadline=None)
def test_no_cut_takes_what_must_stay(prompt: Prompt, rng: object, filled: int) -> None:
    draw: Callable[[], float] = rng.random  # type: ignore[attr-defined]
    names = closed(["付款", "%s", "text"])
    left, asked = cuts(prompt, names, filled), list[Prompt]()

    def holds(after: Prompt) -> bool:
        before = left.prompt
        asked.append(after)
        assert [(s.name, s.kind, s.frozen) for s in after] == [(s.name, s.kind, s.frozen) for s in prompt]
        changed = [s for s, was in zip(after, before, strict=True) if s != was]
        assert len(changed) == 1
        assert not changed[0].frozen
        assert weight(after) < weight(before)
        for section in after:
            was = prompt[section.name]
            assert placeholders(section.filled, FIELDS) == placeholders(was.filled, FIELDS)
        said = [{n for s in p if s.kind != "examples" for n in names.named(s.said)} for p in (after, prompt)]
        assert said[0] == said[1]
        return draw() < 0.5

    shrunk(left, holds)


def weight(prompt: Prompt) -> tuple[int, int]:
    """Items that are filled in, and characters."""
    items = sum(int(p.partition(":")[2]) * n for s in prompt for p, n in places(s.filled).items())
    return items + sum(len(section.text) for section in prompt), items


RULES = [f"- Rule {n}: of cases such as this one take the answer that has number {n}.\n" for n in range(32)]


@given(st.sets(st.integers(0, 31), max_size=3))
@settings(max_examples=40, deadline=None)
def test_what_does_nothing_is_found_in_few_tries(needed: set[int]) -> None:
    prompt = Prompt(
        (Section("rules", "definitions", "".join(RULES)), Section("input", "task", "{text}", frozen=True))
    )
    kept = [RULES[n].strip() for n in needed]
    found, tried = shrunk(cuts(prompt), lambda p: all(rule in p["rules"].text for rule in kept))
    assert found["rules"].text.splitlines() == [RULES[n].strip() for n in sorted(needed)]
    assert tried <= 1 + 2 * len(needed) * math.log2(32)


@pytest.mark.parametrize("needed", range(17))
def test_fewer_of_the_nearest_examples_are_shown_down_to_what_is_needed(needed: int) -> None:
    prompt = Prompt((Section("shots", "examples", "{examples:16}", form="turns"), Section("input", "task", "{text}")))

    def shown(p: Prompt) -> int:
        return sum(int(place.partition(":")[2]) for place in places(p["shots"].filled))

    found, tried = shrunk(cuts(prompt, filled=320), lambda p: shown(p) >= needed)
    assert shown(found) == needed
    assert tried <= 2 * math.log2(16) + 1


def test_worked_examples_go_one_by_one_as_turns_and_as_text() -> None:
    pairs = [
        (ChatMessage("user", f"question {n} of many"), ChatMessage("assistant", f"answer {n}")) for n in range(4)
    ]
    turned = dump_turns([turn for pair in pairs for turn in pair])
    told = "\n\n".join(f"Text: question {n}\nof it\nLabel: answer {n}" for n in range(4))
    for text, form in ((turned, "turns"), (told, "system")):
        prompt = Prompt((Section("shots", "examples", text, form=form),))  # type: ignore[arg-type]
        found, _ = shrunk(cuts(prompt), lambda p: "question 2" in p["shots"].said)
        assert [n for n in range(4) if f"answer {n}" in found["shots"].said] == [2]
        emptied, _ = shrunk(cuts(prompt), lambda p: True)
        assert emptied["shots"] == Section("shots", "examples")


def test_a_section_that_is_known_to_help_is_not_left_out_as_a_whole() -> None:
    prompt = Prompt((Section("rules", "definitions", "".join(RULES)),))
    first = cuts(prompt, rules=Credit(0.2, 0.05)).next()
    assert first is not None
    assert len(first[1]["rules"].text.splitlines()) == 16
    unsure = cuts(prompt, rules=Credit(0.05, 0.05)).next()
    assert unsure is not None
    assert not unsure[1]["rules"].text
