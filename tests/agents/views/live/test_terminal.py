"""The terminal view: hostile texts, no terminal, and what the figures say."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from itertools import count, groupby
from typing import get_args

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from agents.history.progress import Progress
from agents.ring.team import PERSON
from agents.run.steering import in_words
from agents.views.live.drawing import OnTerminal
from agents.views.live.terminal import FEW, LOST, TESTING, LiveView, Onlooker, clock, sparkline, time_left, watch
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Account, Attempt, Books, Ledger, Saved
from protocols.budget.prices import Price
from protocols.messages import (
    Assignment,
    Change,
    Command,
    Continue,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    FailureKind,
    Finished,
    Freeze,
    Inject,
    Message,
    Pause,
    Resumed,
    Stop,
)
from protocols.prompt import Prompt, Section
from protocols.text import one_line, printable

unhurried = settings(deadline=None, max_examples=60)
MARKUP = ["[bold]", "[/]", "[red", "😀"]
CONTROL = ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\r", "\n", "\x00", "\u202e", "\ud800"]
hostile = st.lists(st.sampled_from(MARKUP + CONTROL) | st.text(max_size=6), max_size=6).map("".join)
KINDS: tuple[FailureKind, ...] = get_args(FailureKind)
PROMPT = Prompt((Section("task", "task", "{text}"),))


def evaluation(number: int, score: float, survived: bool, gain: float) -> Evaluation:
    return Evaluation(number, PROMPT, (score,) * 4, survived, gain, 0.01, 4, 0, value=score)


@st.composite
def stories(draw: st.DrawFn) -> list[Message]:
    """The messages of a run, with hostile texts wherever people, data or models may write."""
    summary: list[Message] = [Critique(0, evaluation(0, 0.5, True, 0.0), {})]
    for number in range(1, draw(st.integers(0, 5)) + 1):
        summary.append(Assignment(number, draw(hostile), draw(hostile), 0, PROMPT, draw(hostile), (), ()))
        if draw(st.booleans()):
            summary.append(Failure(number, draw(st.sampled_from(KINDS)), draw(hostile)))
        else:
            score, survived = draw(st.floats(0, 1)), draw(st.booleans())
            summary.append(Critique(number, evaluation(number, score, survived, draw(st.floats(-1, 1))), {}))
    return [*summary, Stop(draw(hostile)), Finished(draw(hostile))]


def ledger(caps: Caps | None = None, step: float = 0.05) -> Ledger:
    ticks = count()
    return Ledger(caps or Caps(), {"m": Price(1, 1)}, lambda: next(ticks) * step)


def shown(
    summary: Sequence[Message],
    task: str,
    *,
    terminal: bool,
    encoding: str = "utf-8",
    sender: str = "a",
    assignments: int = 5,
) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace")
    console = Console(
        file=file, force_terminal=terminal, width=100, height=40, color_system=None, legacy_windows=False
    )
    books = ledger()

    async def play() -> None:
        with watch(console, books, task, assignments, iter(range(10_000)).__next__) as view:
            for number, message in enumerate(summary, start=1):
                await view.observe(Envelope(number, None, sender, "b", 0.0, message))
                view.called(Attempt("task", "m", None))
            view.say(task)

    anyio.run(play)
    file.flush()
    return raw.getvalue().decode(encoding)


@unhurried
@given(stories(), hostile, st.sampled_from(["utf-8", "ascii"]))
def test_hostile_texts_never_break_the_live_view(summary: list[Message], task: str, encoding: str) -> None:
    seen = shown(summary, task, terminal=True, encoding=encoding)
    assert "\x1b[2J" not in seen
    assert "\x1b]" not in seen
    assert seen.rfind("\x1b[?25h") > seen.rfind("\x1b[?25l")


@unhurried
@given(stories(), hostile, st.sampled_from([FEW, FEW + 1]))
def test_without_a_terminal_there_are_plain_lines(summary: list[Message], task: str, assignments: int) -> None:
    """One for each that survived, or for each that ended where they are few; else for `LOST` others in a row, too; of
    the test split; and what is said."""
    seen = shown(summary, task, terminal=False, assignments=assignments)
    assert not any(unicodedata.category(c) in ("Cc", "Cs") and c != "\n" for c in seen)
    survivors = sum(isinstance(m, Critique) and m.evaluation.survived for m in summary)
    assert seen.count("validation") >= survivors
    ended = [isinstance(m, Critique) and m.evaluation.survived for m in summary if isinstance(m, Critique | Failure)]
    runs = [len([*others]) for survived, others in groupby(ended) if not survived]
    summed = survivors + sum(run // LOST for run in runs)
    assert len(seen.splitlines()) == (len(ended) if assignments <= FEW else summed) + 2
    assert seen.count(TESTING) == 1


@unhurried
@given(hostile)
def test_nothing_that_steers_a_terminal_is_printable(text: str) -> None:
    clean = printable(text)
    assert printable(clean) == clean
    assert "\x1b" not in clean
    assert clean.encode("utf-8").decode("utf-8") == clean
    assert "\n" not in one_line(text)
    assert len(one_line(text, 5)) <= 5


@unhurried
@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=40))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("terminal", [True, False])
def test_what_a_person_commands_is_shown(terminal: bool) -> None:
    told: list[Command] = [Pause(), Change("budget.calls", None, 5), Inject(PROMPT), Freeze("task\x1b[2J")]
    seen = shown(told, "t", terminal=terminal, sender=PERSON)
    assert "\x1b[2J" not in seen
    assert all(in_words(message)[:40] in seen for message in told[:3])


def test_the_live_view_says_that_the_run_is_paused() -> None:
    stories: list[tuple[list[Message], bool]] = [
        ([Pause()], True),
        ([Pause(), Continue()], False),
        ([Pause(), Resumed(1.0)], False),
    ]
    for told, paused in stories:
        last = shown(told, "t", terminal=True).rpartition("assignments")[2]
        assert ("PAUSED" in last) is paused


def test_a_view_whose_reader_has_gone_does_not_fail_the_run() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    for terminal in (True, False):
        console = Onlooker(file=Gone(), width=80, force_terminal=terminal)
        with watch(console, ledger(), "t", 5, lambda: 0.0) as view:
            view.say("hello")
            view.say("hello")


def test_the_live_view_is_drawn_at_most_every_interval() -> None:
    class CountingLive:
        drawn = 0

        def refresh(self) -> None:
            self.drawn += 1

    live, moments = CountingLive(), iter([n * 0.01 for n in range(101)])
    view = LiveView(OnTerminal(live, lambda: next(moments)), ledger(), "t", 5, Progress())  # type: ignore[arg-type]
    for _ in range(101):
        view.called(Attempt("task", "m", None))
    assert 9 <= live.drawn <= 11


@unhurried
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 500), st.integers(1, 60))
def test_a_sparkline_rises_from_the_first_value_to_the_best(values: list[float], more: int, width: int) -> None:
    best = [max(values[: n + 1]) for n in range(len(values))]
    curve = [(10 * (n + 1), value) for n, value in enumerate(best)]
    line = sparkline(curve, curve[-1][0] + more, width)
    assert len(line) == width
    assert list(line) == sorted(line)
    assert (line[-1] == "█") == (best[-1] > best[0])


def test_time_left_is_that_of_the_first_cap() -> None:
    books = Ledger(Caps(calls=100, minutes=10), {}, iter([0.0, *[60.0] * 20]).__next__)
    assert time_left(books, 0, 50) == 540
    books.take_up(Books((Account("task", "m", calls=50),), Saved(), 0.0))
    assert time_left(books, 10, 50) == 60
    assert time_left(books, 40, 50) == 15
    assert time_left(Ledger(Caps(), {}, lambda: 0.0), 0, 50) is None


def test_clock() -> None:
    assert [clock(7.9), clock(754), clock(3723)] == ["0:07", "12:34", "1:02:03"]


def test_progress_follows_the_archive_and_gives_the_lineage() -> None:
    progress = Progress()
    longer = Prompt((Section("task", "task", "{text}" + "x" * 40),))
    summary: list[tuple[int, int, float, Prompt]] = [(1, 0, 0.6, longer), (2, 1, 0.6, PROMPT), (3, 0, 0.55, PROMPT)]
    progress.follow(Envelope(1, None, "", "", 0.0, Critique(0, evaluation(0, 0.5, True, 0.0), {})))
    for number, parent, score, prompt in summary:
        progress.follow(Envelope(1, None, "", "", 0.0, Assignment(number, "op", "s", parent, prompt, "", (), ())))
        done = replace(evaluation(number, score, True, 0.1), prompt=prompt)
        progress.follow(Envelope(1, None, "", "", 0.0, Critique(number, done, {})))
    assert progress.best is not None
    assert progress.best.assignment == 2
    assert [ending.assignment for ending in progress.lineage(2)] == [0, 1, 2]
    assert progress.ended == 3
    assert not progress.open
