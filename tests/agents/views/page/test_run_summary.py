"""The fold that the page tells: whatever the order of messages, its figures are those of the journal, and bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.views.page import run_summary as storytelling
from agents.views.page.run_summary import OFTEN, RunSummary, front
from protocols.bus import NOBODY
from protocols.messages import (
    Assignment,
    Candidate,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    FailureKind,
    Finished,
    Message,
    Resumed,
)
from protocols.prompt import Prompt, Section

PROMPT = Prompt((Section("task", "task", "{text}"),))
OPERATORS, SECTIONS = ("few_shot", "merge"), ("task", "*")
Ended = tuple[str, float, int, float]
"""How it ended, the value, the tokens in words of four bytes, as many as paired examples, and the gain."""
ends = st.lists(
    st.tuples(
        st.sampled_from(["survived", "lost", "rejected", "call"]),
        st.floats(0, 1),
        st.integers(1, 30),
        st.floats(-1, 1),
    ),
    max_size=40,
)


def told(ended: Sequence[Ended], first: Ended = ("survived", 0.5, 1, 0)) -> list[Envelope]:
    """A run: the first prompt, then one assignment after the other, each a child of the last survivor."""
    messages: list[tuple[str, Message]] = [("evaluator", Candidate(0, PROMPT)), *critique(0, first)]
    parent = 0
    for number, end in enumerate(ended, start=1):
        operator, section = OPERATORS[number % 2], SECTIONS[number // 2 % 2]
        asked = Assignment(number, operator, section, parent, PROMPT, "", (), ())
        messages.append((f"proposer/{operator}", asked))
        kind: FailureKind = "rejected" if end[0] == "rejected" else "call"
        if end[0] in ("survived", "lost"):
            messages += critique(number, end)
            parent = number if end[0] == "survived" else parent
        else:
            messages.append(("controller", Failure(number, kind, f"because {number}")))
    return [Envelope(i, None, "sender", to, float(i), message) for i, (to, message) in enumerate(messages, start=1)]


def critique(number: int, end: Ended) -> list[tuple[str, Message]]:
    kind, value, words, gain = end
    prompt = Prompt((Section("task", "task", "word" * words),))
    made = Evaluation(number, prompt, (value,), kind == "survived", gain, 0.1, words, 0, value=value)
    return [("critic", made), ("controller", Critique(number, made, {}))]


def tell(envelopes: Sequence[Envelope]) -> RunSummary:
    summary = RunSummary("best")
    for envelope in envelopes:
        summary.follow(envelope, envelope.id)
    return summary


@given(ends)
def test_the_table_counts_every_edit_once(ended: Sequence[Ended]) -> None:
    summary = tell(told(ended))
    rows = {(row["operator"], row["section"]): row for row in summary.values()}
    expected: dict[tuple[str, str], list[Ended]] = {}
    for number, end in enumerate(ended, start=1):
        expected.setdefault((OPERATORS[number % 2], SECTIONS[number // 2 % 2]), []).append(end)
    assert rows.keys() == expected.keys()
    for names, cell in expected.items():
        gains = [gain for kind, _, words, gain in cell if kind in ("survived", "lost") for _ in range(words)]
        measured = sum(kind in ("survived", "lost") for kind, *_ in cell)
        row = rows[names]
        assert (row["measured"], row["failed"]) == (measured, len(cell) - measured)
        assert row["survived"] == sum(kind == "survived" for kind, *_ in cell)
        assert row["gain"] == (pytest.approx(fmean(gains)) if gains else None)
        if row["interval"]:
            assert row["interval"][0] <= row["gain"] <= row["interval"][1]
    failed = Counter(kind for kind, *_ in ended if kind in ("rejected", "call"))
    assert sum(row["count"] for row in summary.failures()) == failed.total()
    for row in summary.failures():
        assert min(row["count"], OFTEN) <= sum(count for _, count in row["reasons"]) <= row["count"]
    assert summary.total == len(ended) + 1
    assert not summary.at_work


@given(ends)
def test_nobody_on_the_front_is_beaten_and_everybody_else_is(ended: Sequence[Ended]) -> None:
    summary = tell(told(ended))
    survivors = {p["assignment"]: p for p in summary.points if p["value"] is not None}
    shown = front(summary.points)
    for number, point in survivors.items():
        beaten = any(
            other["value"] >= point["value"] and other["tokens"] <= point["tokens"] and other is not point
            for other in (survivors[n] for n in shown)
        )
        assert beaten == (number not in shown)
    best = max(point["value"] for point in survivors.values())
    assert survivors[summary.lineage()[-1]]["value"] == best
    assert summary.lineage()[0] == 0


@pytest.mark.parametrize(
    ("values", "best", "leading"),
    [
        ([(0.0, 9), (0.0, 1), (0.0, 5)], 0, [0]),
        ([(0.0, 9), (0.0, 1), (0.2, 12)], 2, [2]),
        ([(0.2, 9), (0.0, 1), (0.2, 5)], 2, [2]),
    ],
)
def test_at_a_value_of_0_shortness_makes_nobody_the_best_nor_puts_them_on_the_front(
    values: Sequence[tuple[float, int]], best: int, leading: Sequence[int]
) -> None:
    first, *later = [("survived", value, words, 0.0) for value, words in values]
    summary = tell(told(later, first))
    assert summary.progress.best is not None
    assert summary.progress.best.assignment == best
    assert front(summary.points) == leading


@settings(max_examples=20)
@given(ends, st.integers(8, 20))
def test_a_long_story_keeps_what_is_looked_for(ended: Sequence[Ended], kept: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storytelling, "KEPT", kept)
        summary = tell(told([*ended] * 8))
    whole = tell(told([*ended] * 8))
    there = {point["assignment"] for point in summary.points}
    wanted = {*whole.lineage(), *front(whole.points)} | {p["assignment"] for p in whole.points if p["best"]}
    assert wanted <= there
    assert len(summary.points) <= kept + len(wanted) + kept // 2
    assert (summary.total, summary.values()) == (whole.total, whole.values())


def test_what_the_end_of_a_run_ended_is_open_again_once_it_goes_on() -> None:
    envelopes = told([("survived", 0.6, 2, 0.1)])
    cut = Assignment(2, "merge", "*", 1, PROMPT, "", (), ())
    late: list[tuple[str, Message]] = [
        ("proposer/merge", cut),
        (NOBODY, Failure(2, "stopped", "the run ended")),
        ("team", Finished("interrupted")),
    ]
    envelopes += [Envelope(i, None, "s", to, float(i), message) for i, (to, message) in enumerate(late, start=90)]
    summary = tell(envelopes)
    assert (summary.phase, summary.progress.stopped_by) == ("testing", "interrupted")
    assert [row["kind"] for row in summary.failures()] == ["stopped"]
    assert len(summary.values()) == 1
    summary.follow(Envelope(99, None, "team", NOBODY, 99.0, Resumed(1.0)), 0)
    assert (summary.phase, summary.failures(), summary.progress.stopped_by) == ("searching", [], "")
    assert list(summary.progress.open) == [2]
