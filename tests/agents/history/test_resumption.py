"""What `Resumed` makes void, told in two ways: message by message, and by an independent count of the whole run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from agents.archive.ends import ALL_MADE
from agents.history.progress import Progress
from agents.history.resumption import Ends, is_end, stopped_short
from agents.views.page.run_summary import RunSummary
from protocols.bus import NOBODY
from protocols.messages import (
    FIRST,
    Assignment,
    Conclude,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    Finished,
    Resumed,
    Stop,
)
from protocols.prompt import Prompt, Section

PROMPT = Prompt((Section("task", "task", "{text}"),))
GONE_ON = [Resumed(0.0), Resumed(0.0, more=True)]


def measured(number: int, cut: str = "") -> Evaluation:
    return Evaluation(number, PROMPT, (0.5,), True, 0.1, 0.1, 1, 0, value=number / 9, cut=cut)


def told(spoken: Sequence[tuple[str, Any]]) -> list[Envelope]:
    return [Envelope(n, None, "s", to, float(n), message) for n, (to, message) in enumerate(spoken, start=1)]


numbers = st.integers(1, 6)
spoken = st.one_of(
    st.sampled_from([Stop("minutes"), Conclude(ALL_MADE, 4), Finished("calls"), *GONE_ON, *GONE_ON]),
    st.builds(lambda n: Assignment(n, "merge", "task", 0, PROMPT, "", (), ()), numbers),
    st.builds(lambda n, cut: Critique(n, measured(n, cut), {}), numbers, st.sampled_from(["", "calls"])),
    st.builds(Failure, numbers, st.sampled_from(["call", "budget", "stopped"]), st.just("why")),
).map(lambda message: ("controller", message))
logs: st.SearchStrategy[list[Envelope]] = st.lists(
    st.one_of(
        spoken,
        st.sampled_from(
            [(NOBODY, Failure(3, "raised", "the run ended")), ("controller", Failure(FIRST, "call", ""))]
        ),
    ),
    max_size=14,
).map(told)


def counted(log: Sequence[Envelope]) -> list[Envelope]:
    """The ends that stand: those before the last conclusion are behind a door that `more` alone opens."""
    behind: list[Envelope] = []
    before: list[Envelope] = []
    for envelope in log:
        match envelope.message:
            case Resumed(more=more):
                behind, before = [] if more else behind, []
            case Conclude():
                behind, before = [*behind, *before, envelope], []
            case _ if is_end(envelope):
                before.append(envelope)
            case _:
                pass
    return [*behind, *before]


@example(told([("c", Stop("minutes")), ("c", Conclude("minutes", 1)), ("c", Resumed(0.0)), ("c", GONE_ON[1])]))
@given(logs)
def test_what_is_told_as_it_comes_is_what_the_whole_run_says(log: list[Envelope]) -> None:
    ends, undone = Ends(), list[Envelope]()
    for envelope in log:
        undone += ends.take(envelope)
    assert ends.standing == counted(log)
    assert [end for end in log if Ends(log).undone(end)] == sorted(undone, key=lambda end: end.id)
    again = Envelope(len(log) + 1, None, "team", NOBODY, 0.0, Resumed(0.0))
    assert ends.provisional == [end for end in ends.standing if end not in counted([*log, again])]


@given(logs)
def test_whoever_looks_at_a_journal_sees_what_is_void_as_if_it_had_not_been(log: list[Envelope]) -> None:
    """But for the list of endings of a page, which are told once each."""
    ends = Ends(log)
    seen, plain = RunSummary("best"), RunSummary("best")
    for envelope in log:
        seen.follow(envelope, 0)
        if not ends.undone(envelope) and not isinstance(envelope.message, Resumed):
            plain.follow(envelope, 0)
    for name in ("ended", "stands", "cuts", "stopping", "stopped_by"):
        assert getattr(seen.progress, name) == getattr(plain.progress, name)
    assert +seen.progress.counts == +plain.progress.counts
    assert {(row["kind"], row["count"]) for row in seen.failures()} == {
        (row["kind"], row["count"]) for row in plain.failures()
    }


def test_the_failure_of_the_first_prompt_is_no_assignment_of_a_run_that_goes_on() -> None:
    progress = Progress()
    for envelope in told([("controller", Failure(FIRST, "call", "no")), ("team", Resumed(0.0))]):
        progress.follow(envelope)
    assert (progress.ended, progress.stands) == (0, 0)


@given(logs, st.integers(3, 5))
def test_a_search_stopped_short_is_one_whose_conclusion_stands(log: list[Envelope], assignments: int) -> None:
    concluded = any(isinstance(end.message, Conclude) for end in counted(log))
    assert stopped_short(log, assignments) == (concluded and assignments > 4)
