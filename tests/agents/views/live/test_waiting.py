"""Silence: when a person is told what is waited for, in which words, and where."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agents.directory.run_directory import LOG
from agents.history.progress import Progress
from agents.models.accounts import Waits
from agents.views.live.sweeping import SweepLines
from agents.views.live.terminal import FEW, LOST, PlainLines, watch
from agents.views.live.waiting import GAPS, PATIENCE, Silence, in_words, stopping
from agents.views.page.feed import Feed
from agents.views.telemetry.logs import RunLog, last_wait, open_log
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Attempt, Ledger
from protocols.errors import ServerFailed
from protocols.messages import Assignment, Candidate, Critique, Envelope, Evaluation
from protocols.prompt import Prompt, Section
from tests.agents.views.page.runs import write_run
from tests.protocols.wrappers.clocked import simulate

NOTHING = Waits(0, 0.0, None, 0, 0, 0.0, (), (), 0, 0, None, 0, "")
LINE = "Waiting for 2 calls in flight, the oldest for 0:07 (no reply yet)."


def told(seconds: float, heard: tuple[float, ...], look: Callable[[], str] = lambda: LINE) -> list[float]:
    """When a person is told what is waited for, who is told something else at the moments of `heard`."""
    moments: list[float] = []

    async def main() -> None:
        start = anyio.current_time()
        silence = Silence(look, lambda line: moments.append(anyio.current_time() - start))
        with anyio.move_on_after(seconds + 0.5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(silence.watch)
                for moment in heard:
                    await anyio.sleep_until(start + moment)
                    silence.hear()

    simulate(main)
    return [round(moment, 3) for moment in moments]


@pytest.mark.parametrize(
    ("seconds", "heard", "lines"),
    [
        (260, (), [5, 20, 65, 125, 185, 245]),
        (30, tuple(range(0, 30, 4)), []),
        (20, (4,), [9]),
        (40, (6,), [5, 20]),
        (40, (21,), [5, 20]),
        (70, (21,), [5, 20, 65]),
        (100, (6, *range(7, 71, 4)), [5, 72, 87]),
        (12, (5.5, 6.5), [5]),
    ],
)
def test_a_person_is_told_after_five_seconds_and_then_now_and_then(
    seconds: float, heard: tuple[float, ...], lines: list[float]
) -> None:
    assert told(seconds, heard) == pytest.approx(lines, abs=1.1)


@given(heard=st.lists(st.floats(0, 300), max_size=40))
def test_no_silence_is_long_and_no_lines_are_many(heard: list[float]) -> None:
    lines = told(300, tuple(sorted(heard)))
    assert len(lines) <= 3 + 300 / GAPS[0]
    moments = sorted([0.0, *heard, *lines, 300.0])
    assert max(b - a for a, b in pairwise(moments)) <= GAPS[-1] + 0.5
    for line in lines:
        assert not [moment for moment in heard if line - PATIENCE + 0.01 < moment < line - 0.01]


def test_where_nothing_is_waited_for_nothing_is_said_and_it_is_soon_once_something_is() -> None:
    looks = iter([""] * 3 + [LINE] * 9)
    assert told(21, (), lambda: next(looks)) == [20]


@pytest.mark.parametrize(
    ("waits", "line"),
    [
        (NOTHING, ""),
        (replace(NOTHING, replies=3, answered=1.0), ""),
        (replace(NOTHING, in_flight=2, oldest=7.2), LINE),
        (
            replace(NOTHING, in_flight=1, oldest=661.0, replies=1, answered=65.0),
            "Waiting for 1 call in flight, the oldest for 11:01 (1 reply so far, the last 1:05 ago).",
        ),
        (
            replace(NOTHING, naps=3, next_try=7.6, failures=4, last="openai/m: nobody\nlistens"),
            "Waiting for the next try of 3 calls, the first in 8 s (no reply yet). "
            "4 tries have failed since, the last with: openai/m: nobody listens",
        ),
        (
            replace(
                NOTHING, queued=1, held=(("http://h/v1", 59.7),), replies=1200, answered=2.0, failures=1, last="x"
            ),
            "Waiting for a free place for 1 call; http://h/v1, which asked us to slow down, for 60 s more "
            "(1,200 replies so far, the last 0:02 ago). 1 try has failed since, the last with: x",
        ),
        (
            replace(NOTHING, others=2),
            "Waiting for room in the budget, or a call with the same prefix, for 2 calls (no reply yet).",
        ),
    ],
)
def test_what_is_waited_for_in_words(waits: Waits, line: str) -> None:
    assert in_words(waits) == line


@pytest.mark.parametrize(
    ("waits", "line"),
    [
        (NOTHING, "Stopping: no call is in flight; then. Ctrl-C again stops at once."),
        (
            replace(NOTHING, in_flight=1, within=1.4),
            "Stopping: 1 call in flight ends, at most 1 s; then. Ctrl-C again stops at once.",
        ),
        (
            replace(NOTHING, in_flight=12, within=120.0),
            "Stopping: 12 calls in flight end, at most 120 s; then. Ctrl-C again stops at once.",
        ),
        (replace(NOTHING, in_flight=2), "Stopping: 2 calls in flight end; then. Ctrl-C again stops at once."),
    ],
)
def test_what_a_first_ctrl_c_brings_in_words(waits: Waits, line: str) -> None:
    assert stopping(waits, "then") == line


# Where it is told


PROMPT = Prompt((Section("task", "task", "{text}"),))
ENDING = Envelope(1, None, "a", "b", 0.0, Critique(0, Evaluation(0, PROMPT, (0.5,), True, 0, 0, 1, 0, value=0.5), {}))


@pytest.mark.parametrize("kind", ["search", "sweep"])
def test_the_plain_view_prints_it_and_whatever_else_it_prints_breaks_the_silence(kind: str) -> None:
    console, heard = Console(file=io.StringIO(), width=200), list[int]()
    plain = PlainLines(console, Ledger(Caps(), {}, lambda: 0.0), 3, Progress())
    view = plain if kind == "search" else SweepLines(console, 3)
    view.hear = lambda: heard.append(1)
    view.wait(LINE)
    assert heard == []
    view.say("something")
    assert heard == [1]
    if view is plain:
        anyio.run(plain.observe, ENDING)
        assert len(heard) == 2
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().startswith(f"{LINE}\nsomething\n")


def printed(assignments: int, ended: Sequence[tuple[int, str, bool]]) -> list[str]:
    """The plain lines of the first prompt and of assignments that end in this order: each with its number, its
    operator and whether it survived."""
    console = Console(file=io.StringIO(), width=200)
    plain = PlainLines(console, Ledger(Caps(), {}, lambda: 0.0), assignments, Progress())

    async def observe() -> None:
        await plain.observe(ENDING)
        for number, operator, survived in ended:
            asked = Assignment(number, operator, "task", 0, PROMPT, "", (), (0.5,))
            raced = Evaluation(number, PROMPT, (0.6,), survived, 0.1, 0.0, 1, 0, value=0.6)
            await plain.observe(Envelope(2 * number, None, "a", "b", 0.0, asked))
            await plain.observe(Envelope(2 * number + 1, None, "a", "b", 0.0, Critique(number, raced, {})))

    anyio.run(observe)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_survivor_is_named_by_the_number_that_show_takes() -> None:
    """Assignments end in any order."""
    first, third, second = printed(9, [(3, "merge", True), (2, "merge", True)])
    assert first.startswith("[0/9] first prompt: ")
    assert third.startswith("[1/9] candidate 3: merge on task: ")
    assert second.startswith("[2/9] merge on task: ")


def test_edits_without_a_survivor_are_summed_up_in_a_long_search() -> None:
    edits = [(number, "merge" if number % 2 else "rag", number == LOST) for number in range(1, 2 * LOST + 2)]
    _, survivor, others = printed(FEW + 1, edits)
    assert survivor.startswith(f"[{LOST}/{FEW + 1}] ")
    assert others.startswith(f"[{2 * LOST}/{FEW + 1}] {LOST} edits in a row without a survivor: merge 2, rag 3 (")


def test_the_live_view_shows_it_until_something_comes() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=200, height=40, _environ={"TERM": "xterm"})
    ledger, moments = Ledger(Caps(), {}, lambda: 0.0), iter(range(10**6))
    with watch(console, ledger, "task", 3, lambda: float(next(moments))) as view:
        for comes in ("a reply", "an ending"):
            file.truncate(0)
            view.wait(LINE)
            view.called(Attempt("task", "m", ServerFailed("busy", model="m")))
            assert LINE in file.getvalue()
            if comes == "a reply":
                view.called(Attempt("task", "m", None))
            else:
                anyio.run(view.observe, ENDING)
            assert LINE not in file.getvalue()[file.getvalue().rfind("score") :]


async def page_of(directory: Path) -> Any:
    feed = Feed(directory, dict)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.follow)
        change = await anext(feed.changes())
        tasks.cancel_scope.cancel()
    return change["waiting"]


@pytest.mark.anyio
async def test_the_log_and_the_page_say_the_same(tmp_path: Path) -> None:
    directory = await write_run(tmp_path, [("evaluator", Candidate(0, PROMPT))])
    assert await page_of(directory) == ""
    with open_log(directory / LOG, Console(file=io.StringIO()), 0, ()) as logger:
        log = RunLog(logger)
        log.waits(LINE)
        entry = orjson.loads((directory / LOG).read_bytes().splitlines()[-1])
        assert (entry["event"], entry["says"]) == ("waiting", LINE)
        assert await page_of(directory) == LINE
        log.called(Attempt("task", "m", ServerFailed("busy", model="m")))
    assert await page_of(directory) == "", "something has come since"


@pytest.mark.parametrize(
    ("content", "heard", "line"),
    [
        (None, None, ""),
        (b"", None, ""),
        (b"no json\n", None, ""),
        (b'["event"]\n', None, ""),
        (b'{"event": "waiting", "says": "x"}\n', None, ""),
        (b'{"event": "waiting", "timestamp": "no time", "says": "x"}\n', None, ""),
        (b'{"event": "waiting", "timestamp": "%T", "says": "x\\u001b[2J"}\n', None, "x"),
        (b'{"event": "other", "timestamp": "%T", "says": "x"}\n', None, ""),
        (b'{"event": "waiting", "timestamp": "%T", "says": "x"}\n', 999.0, "x"),
        (b'{"event": "waiting", "timestamp": "%T", "says": "x"}\n', 1001.0, ""),
        (b'{"event": "waiting", "timestamp": "%T", "says": "old"}\n{"event": "e", "timestamp": "%T"}\n', None, ""),
    ],
)
def test_what_a_log_says_last(tmp_path: Path, content: bytes | None, heard: float | None, line: str) -> None:
    path = tmp_path / "log.jsonl"
    if content is not None:
        stamp = datetime.fromtimestamp(1000.0, UTC).isoformat().replace("+00:00", "Z")
        path.write_bytes(content.replace(b"%T", stamp.encode()))
    assert last_wait(path, heard) == line
