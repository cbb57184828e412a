"""What of a request goes where the window has no room for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from agents.prompting.blocks import CUT, ROOM, Block, cut, examples, remark
from agents.prompting.requests import compose, show_prompt
from protocols.model import Request
from protocols.prompt import Prompt, Section, estimate_tokens

QUESTION = "What is to be done? Reply between <new> and </new>."


@dataclass
class Narrow:
    """A model that takes so many tokens."""

    tokens: float

    def spare(self, request: Request) -> float:
        return self.tokens - sum(estimate_tokens(message.text) for message in request.messages)


def body(blocks: Sequence[str | Block], tokens: float) -> tuple[str, Request]:
    request = compose(blocks, QUESTION, 0, model=Narrow(tokens))
    return request.messages[-1].text, request


@given(st.lists(st.integers(1, 900), max_size=12), st.integers(0, 4000), st.integers(0, 60))
def test_examples_go_first_and_the_instruction_never(lengths: list[int], tokens: int, said: int) -> None:
    records = [f"<{n}>" + "x" * length for n, length in enumerate(lengths)]
    fixed = "must stay"
    text, request = body([fixed, examples("failures", records), remark("advice", "a" * said)], tokens)
    assert text.startswith(fixed)
    assert text.endswith(QUESTION)
    over = Narrow(tokens).spare(request)
    if over < 0:
        assert "<failures>" not in text
        assert "<advice>" not in text
    if said and "<advice>" not in text:
        assert "<failures>" not in text, "examples go before what was said"
    gone = [n for n in range(len(records)) if f"<{n}>" not in text]
    assert request.left_out >= len(gone)
    if gone and (stay := [n for n in range(len(records)) if n not in gone and CUT not in text]):
        assert max(len(records[n]) for n in stay) <= min(len(records[n]) for n in gone) + 4, "the longest go first"


def test_where_there_is_room_nothing_goes() -> None:
    blocks = [show_prompt(Prompt((Section("task", "task", "Do it."),))), examples("failures", ["one", "two"])]
    wide, request = body(blocks, math.inf)
    assert wide == compose(blocks, QUESTION, 0).messages[-1].text
    assert request.left_out == 0
    assert "[task]\nDo it." in wide
    assert "<failures>\none\n\ntwo\n</failures>" in wide


def test_the_last_example_is_cut_before_it_goes() -> None:
    text, request = body([examples("failures", ["long " * 2000, "longer " * 2000])], 400)
    assert CUT in text
    assert "longer" not in text
    assert Narrow(400).spare(request) >= 0


def test_worked_examples_of_the_prompt_go_like_others_and_its_instructions_stay() -> None:
    shown = "\n\n".join(f"Text: {n} {'x' * 400}\nAnswer: yes" for n in range(20))
    prompt = Prompt((Section("task", "task", "Do it. " * 20), Section("examples", "examples", shown)))
    text, request = body([show_prompt(prompt), examples("failures", ["a failure"])], 400)
    assert prompt["task"].text in text
    assert "a failure" in text, "the short one says as much, and stays"
    assert request.left_out > 10
    assert Narrow(400).spare(request) >= 0


@given(st.text(), st.integers(1, 40))
def test_what_is_cut_is_no_longer_than_it_may_be(text: str, tokens: int) -> None:
    shorter = cut(text, tokens)
    assert estimate_tokens(shorter) <= max(tokens, estimate_tokens(CUT))
    assert shorter == text or text.startswith(shorter.removesuffix(CUT))


def test_one_example_of_any_length_is_no_longer_than_all_may_be() -> None:
    """Also where no window is known: 245,000 tokens were sent."""
    text, _ = body([examples("failures", ["x" * 1_000_000] * 24)], math.inf)
    assert estimate_tokens(text) < ROOM + 100
