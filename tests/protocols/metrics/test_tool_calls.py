"""Calls are read out of replies of any form, and scored by names and arguments."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.answers.calls import read_calls
from protocols.errors import DataError, UnreadableReply
from protocols.kinds.kinds import generation
from protocols.metrics.tool_calls import OrderedToolCalls, ToolCalls, alike, calling, show_calls
from protocols.model import ToolCall
from protocols.model import show_calls as sent
from protocols.task import Example, Json, Judgement

KIND = calling(generation({}), {}, ["weather", "trains"])
values: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text("ab c", max_size=4), lambda inner: st.lists(inner, max_size=2)
)
calls = st.builds(
    lambda name, arguments: {"name": name, "arguments": arguments},
    st.sampled_from(["weather", "trains"]),
    st.dictionaries(st.sampled_from(["at", "day"]), values, max_size=2),
)
lists = st.lists(calls, max_size=3)
ROME: dict[str, Json] = {"name": "weather", "arguments": {"at": "Rome", "day": 1}}


def judged(target: Json, reply: str, ordered: bool = False) -> Judgement:
    metric = (OrderedToolCalls if ordered else ToolCalls)(KIND)
    return anyio.run(metric.judge, Example("1", {"text": "x"}, target), reply)


@given(lists, lists)
def test_scores_are_fair(said: list[Json], wanted: list[Json]) -> None:
    score = judged(wanted, show_calls(said)).score
    assert 0 <= score <= 1
    assert judged(wanted, show_calls(wanted)).score == 1
    if len(said) == len(wanted) == 1:
        assert judged(said, show_calls(wanted)).score == score
    assert (score == 1) == (not judged(wanted, show_calls(said)).feedback)


@given(lists)
def test_the_calls_of_an_api_are_read_as_they_were_made(made: list[dict[str, Any]]) -> None:
    told = [ToolCall(call["name"], json.dumps(call["arguments"]), "c") for call in made]
    assert read_calls(sent(told)) == made


@pytest.mark.parametrize(
    ("reply", "score", "mistakes"),
    [
        (show_calls(ROME), 1, {}),
        ('{"name": "weather", "arguments": {"day": "1.0", "at": " rome."}}', 1, {}),
        ('{"name": "weather", "arguments": {"at": "Rome"}}', 2 / 3, {"weather: day missing": 1}),
        ('{"name": "weather", "arguments": {"at": "Oslo", "day": 1}}', 2 / 3, {"weather: wrong at": 1}),
        (
            '{"name": "weather", "arguments": {"at": "Rome", "day": 1, "x": 0}}',
            3 / 4,
            {"weather: unneeded x": 1},
        ),
        ('{"name": "weather", "arguments": "{bad"}', 1 / 3, {"weather: unreadable arguments": 1}),
        ('{"name": "trains", "arguments": {}}', 0, {"trains called for weather": 1}),
        ("It is warm.", 0, {"no call of weather": 1}),
        (show_calls([ROME, ROME]), 2 / 3, {"unneeded call of weather": 1}),
        ('[{"name": "weather", "arguments": {"at": "Ro', 0, {"unreadable": 1}),
        ("", 0, {"unreadable": 1}),
    ],
)
def test_each_mistake_costs_its_share_and_has_a_name(reply: str, score: float, mistakes: dict[str, int]) -> None:
    found = judged(ROME, reply)
    assert found.score == pytest.approx(score)
    assert dict(found.mistakes) == mistakes


def test_no_call_is_right_where_none_is_expected() -> None:
    assert judged([], "It is warm.").score == 1
    assert judged(None, "[]").score == 1
    wrong = judged([], show_calls(ROME))
    assert (wrong.score, dict(wrong.mistakes)) == (0, {"unneeded call of weather": 1})


def test_order_counts_where_it_is_asked_for() -> None:
    trains: Json = {"name": "trains", "arguments": {}}
    reply = show_calls([trains, ROME])
    assert judged([ROME, trains], reply).score == 1
    found = judged([ROME, trains], reply, ordered=True)
    assert found.score == 0.5
    assert "wrong place" in found.feedback or "called" in found.feedback


READ = [{"name": "weather", "arguments": {"at": "Rome"}}]
CALL = '{"name": "weather", "arguments": {"at": "Rome"}}'


@pytest.mark.parametrize(
    "reply",
    [
        CALL,
        f"I will look it up.\n```json\n[{CALL}]\n```\nDone.",
        f"<tool_call>\n{CALL}\n</tool_call>",
        f'{{"tool_calls": [{CALL}]}}',
        '{"type": "function", "function": {"name": "weather", "arguments": "{\\"at\\": \\"Rome\\"}"}}',
        '{"type": "tool_use", "id": "t", "name": "weather", "input": {"at": "Rome"}}',
        '{"name": "weather", "parameters": {"at": "Rome"}}',
        '{"tool": "weather", "args": {"at": "Rome"}}',
        f"[TOOL_CALLS] [{CALL}]",
        f'<think>Not {{"name": "trains", "arguments": {{}}}}.</think>{CALL}',
        f'First I thought of {{"name": "trains", "arguments": {{}}}}, but this is it: {CALL}',
        f'The user is {{"name": "Ada", "age": 3}}. {CALL}',
    ],
)
def test_calls_are_read_as_a_careful_reader_would(reply: str) -> None:
    assert read_calls(reply) == READ


def test_calls_that_stand_together_are_one_answer() -> None:
    tags = "".join(f"<tool_call>{CALL}</tool_call>\n" for _ in range(40))
    assert read_calls(tags) == READ * 40
    assert read_calls('The user is {"name": "Ada", "age": 3}.') == []
    with pytest.raises(UnreadableReply, match="cut off"):
        read_calls('{"name": "weather", "arguments": {"at": {"x": 1}', "length")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        ("1,000", 1000, True),
        ("007", "7", False),
        ("-5", "5", False),
        ("+", "-", False),
        ("C++", "C", False),
        (True, "true", True),
        (True, 1, False),
        ([1, "A"], ["1", "a"], True),
        ([1, 2], [2, 1], False),
        ({"a": 1}, {"a": "1"}, True),
        ({"a": 1}, {}, False),
        (None, None, True),
        ("", 0, False),
    ],
)
def test_values_are_compared_by_what_they_mean(one: Json, other: Json, same: bool) -> None:
    assert alike(one, other) is alike(other, one) is same


@pytest.mark.parametrize("target", ["weather", 3, [1], {"arguments": {}}])
def test_targets_that_are_no_calls_are_refused(target: Json) -> None:
    splits = {"train": (Example("7", {"text": "x"}, target),)}
    with pytest.raises(DataError, match="id 7"):
        calling(generation({}), splits, ())


def test_targets_that_call_a_tool_that_is_not_offered_are_refused() -> None:
    splits = {"train": (Example("7", {"text": "x"}, {"name": "fly", "arguments": {}}),)}
    assert calling(generation({}), splits, ()).format
    with pytest.raises(DataError, match=r"the target of 7 \(train\) calls fly"):
        calling(generation({}), splits, ("weather",))
