"""The records of what happened inside a program: in order, bounded in length, nothing twice."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.programs.calls import calls_of
from agents.prompting.inside import STEPS, in_short, inside
from agents.prompting.material import error_blocks, right_blocks
from agents.prompting.records import record_of
from protocols.embedding import HashedNgrams
from protocols.model import ChatMessage
from protocols.program import Step
from protocols.prompt import estimate_tokens
from tests.programs import OUTCOMES, PROMPTS, outcome, step
from tests.strategies import texts

BASE = OUTCOMES[0]
steps = st.lists(
    st.builds(
        lambda name, reply, values, error: Step(name, reply, values, error=error),
        st.sampled_from(["extract", "decide", ""]),
        texts | st.just("long " * 400),
        st.dictionaries(st.sampled_from(["text", "facts"]), texts, max_size=2),
        st.sampled_from(["", "", "timeout\nafter 5 s"]),
    ),
    max_size=25,
).map(tuple)


@given(steps, st.integers(40, 400))
@settings(max_examples=80, deadline=None)
def test_a_record_tells_its_calls_in_order_and_stays_short(traced: tuple[Step, ...], tokens: int) -> None:
    lines = inside(replace(BASE, steps=traced), tokens)
    said = "\n".join(lines)
    assert "\n\n" not in said, "blank lines separate records"
    calls = [(int(n), name) for n, name in re.findall(r"^Call (\d+): (\w+)$", said, re.MULTILINE)]
    all_calls = list(enumerate([s.prompt for s in traced if s.prompt], start=1))
    assert len(calls) <= STEPS
    assert [call for call in all_calls if call in calls] == calls
    assert calls == all_calls or "more steps)" in said
    assert estimate_tokens(said) <= 60 * len(lines) + 4 * max(tokens, 36 * 32)


def test_what_failed_was_cut_off_or_was_sent_beside_the_prompt_is_told() -> None:
    chat = (ChatMessage("assistant", "look(a)"), ChatMessage("user", "found: nothing"))
    traced = (
        step("extract", "", BASE.inputs, error="the call timed out"),
        step("extract", "so far", BASE.inputs, finish="length"),
        Step("decide", "no", {}, chat),
    )
    assert inside(replace(BASE, steps=traced), 100) == [
        "Call 1: extract", "  failed: the call timed out",
        "Call 2: extract", "  replied (the reply was cut off at its longest): so far",
        "Call 3: decide", "  last message, of the user: found: nothing", "  replied: no",
    ]  # fmt: skip


def test_an_answer_that_the_program_has_made_of_a_reply_is_told_once() -> None:
    made = replace(BASE, reply='{"label": "no"}')
    assert "Returned: {" in record_of(made, 100, inside(made, 100))
    assert "Returned" not in record_of(BASE, 100, inside(BASE, 100))


def test_right_examples_have_their_short_replies_on_a_line_and_long_ones_in_a_record() -> None:
    long = outcome(8, " ".join(map(str, range(60))), "yes", right=True)
    calls = calls_of(PROMPTS, (*OUTCOMES, long))
    listed, whole = map(str, right_blocks((*OUTCOMES, long), calls))
    assert "- t 4 birch | extract: is angry → no" in listed
    assert "- t 8 birch → yes" in listed
    assert in_short(long) == ""
    assert "Call 1: extract\n  replied: 0 1 2" in whole
    assert whole.count("Input:") == 1


def test_calls_that_failed_are_counted_with_the_errors() -> None:
    failed = replace(BASE, steps=(step("extract", "", BASE.inputs, error="timeout"), *BASE.steps))
    summary = str(
        error_blocks((failed, *OUTCOMES[1:]), HashedNgrams().vector, calls_of(PROMPTS, (failed, *OUTCOMES[1:])))[0]
    )
    assert "Calls that failed: extract (1 of 6)." in summary
