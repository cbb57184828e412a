"""The log: where entries go, and what never gets into them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, get_args

import anyio
import orjson
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from agents.views.telemetry.logs import LONGEST, RunLog, open_log
from protocols.budget.ledger import Attempt
from protocols.errors import RateLimited, ServerFailed, StorageFailed, TemperatureRefused
from protocols.messages import Candidate, Critique, Envelope, Evaluation, Missing
from protocols.prompt import Prompt, Section

unhurried = settings(deadline=None, max_examples=100)
KEY = "sk-0123456789-secret"
PLAIN = Prompt((Section("task", "task", "Do it."),))
PLAIN_KEY = "a quite ordinary sentence"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20) | st.just(f"x{KEY}y{PLAIN_KEY}z"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just(KEY), inner, max_size=3)
    ),
    max_leaves=10,
)


def write(
    tmp_path: Path, verbosity: int, level: str, event: str, **fields: object
) -> tuple[list[dict[str, Any]], str]:
    console = Console(file=io.StringIO(), width=100)
    path = tmp_path / "log.jsonl"
    path.unlink(missing_ok=True)
    with open_log(path, console, verbosity, {KEY, PLAIN_KEY}) as log:
        getattr(log, level)(event, **fields)
    assert isinstance(console.file, io.StringIO)
    return [orjson.loads(line) for line in path.read_bytes().splitlines()], console.file.getvalue()


@unhurried
@given(value=json_values, level=st.sampled_from(["debug", "info", "warning", "error"]))
def test_a_key_is_never_written(tmp_path_factory: pytest.TempPathFactory, value: object, level: str) -> None:
    entries, shown = write(tmp_path_factory.mktemp("log"), 2, level, f"saw {PLAIN_KEY}", value=value)
    assert len(entries) == 1
    for written in (orjson.dumps(entries).decode(), shown):
        assert KEY not in written
        assert PLAIN_KEY not in written


@unhurried
@given(text=st.text(min_size=LONGEST + 1, max_size=LONGEST + 50), level=st.sampled_from(["info", "warning", "error"]))
def test_no_full_prompt_above_debug(tmp_path_factory: pytest.TempPathFactory, text: str, level: str) -> None:
    entries, _ = write(tmp_path_factory.mktemp("log"), 2, level, "e", prompt=text, nested=[{"prompt": text}])
    [entry] = entries
    assert len(entry["prompt"]) <= LONGEST
    assert len(entry["nested"][0]["prompt"]) <= LONGEST


@pytest.mark.parametrize(
    ("verbosity", "level", "in_file", "on_console"),
    [
        (0, "debug", False, False),
        (0, "info", True, False),
        (0, "warning", True, True),
        (1, "info", True, True),
        (1, "debug", False, False),
        (2, "debug", True, True),
        (9, "debug", True, True),
    ],
)
def test_levels(tmp_path: Path, verbosity: int, level: str, in_file: bool, on_console: bool) -> None:
    entries, shown = write(tmp_path, verbosity, level, "something", text="退款 😀")
    assert (bool(entries), "something" in shown) == (in_file, on_console)
    if in_file:
        assert (entries[0]["text"], entries[0]["level"]) == ("退款 😀", level)
        assert "退款 😀".encode() in (tmp_path / "log.jsonl").read_bytes()
    assert not structlog.is_configured()


def test_a_hostile_text_stays_one_line_on_the_console(tmp_path: Path) -> None:
    _, shown = write(tmp_path, 0, "warning", "e", text="a\nb\x1b[2J[bold]c")
    assert shown.count("\n") == 1
    assert "\x1b" not in shown
    assert "[bold]c" in shown


def test_a_log_that_cannot_be_opened_is_a_storage_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed), open_log(tmp_path / "no" / "log.jsonl", Console(), 0, ()):
        pass


def logged(tmp_path: Path, verbosity: int) -> list[dict[str, Any]]:
    """What a run log writes of two failed calls, a candidate and its evaluation with unanswered calls."""
    prompt = Prompt((Section("task", "task", "p" * (LONGEST + 1)),))
    evaluation = Evaluation(0, prompt, (1.0, None), True, 0.0, 0.0, 0, 1)
    with open_log(tmp_path / "log.jsonl", Console(file=io.StringIO()), verbosity, ()) as logger:
        log = RunLog(logger)
        log.called(Attempt("task", "openai/x", None))
        log.called(Attempt("task", "openai/x", RateLimited("slow", model="openai/x", status=429, request_id="r-1")))
        for message in (Candidate(0, prompt), Critique(0, evaluation, {})):
            anyio.run(log.observe, Envelope(1, None, "a", "b", 0.0, message))
        log.failed(ServerFailed("gone", model="openai/x", status=503, request_id="r-2"))
    return [orjson.loads(line) for line in (tmp_path / "log.jsonl").read_bytes().splitlines()]


def test_a_run_is_logged(tmp_path: Path) -> None:
    call, ending, failed = logged(tmp_path, 0)
    assert (call["event"], call["kind"], call["request_id"], call["level"]) == (
        "call failed",
        "RateLimited",
        "r-1",
        "info",
    )
    assert (ending["outcome"], ending["unanswered"], ending["level"]) == ("first", 1, "warning")
    assert (failed["event"], failed["request_id"], failed["status"]) == ("run failed", "r-2", 503)


def test_a_refused_temperature_is_one_line_a_model(tmp_path: Path) -> None:
    with open_log(tmp_path / "log.jsonl", Console(file=io.StringIO()), 0, ()) as logger:
        log = RunLog(logger)
        for model in ("openai/x", "openai/x", "openai/y"):
            log.called(Attempt("task", model, TemperatureRefused("no 'temperature'", model=model, status=400)))
    entries = [orjson.loads(line) for line in (tmp_path / "log.jsonl").read_bytes().splitlines()]
    assert [(entry["model"], entry["reason"], entry["level"]) for entry in entries] == [
        ("openai/x", "no 'temperature'", "info"),
        ("openai/y", "no 'temperature'", "info"),
    ]


def test_a_prompt_is_logged_whole_at_debug_alone(tmp_path: Path) -> None:
    quiet = logged(tmp_path, 1)
    assert not any("ppp" in orjson.dumps(entry).decode() for entry in quiet)
    (tmp_path / "log.jsonl").unlink()
    loud = logged(tmp_path, 2)
    assert [entry["prompt"]["task"] for entry in loud if entry["event"] == "candidate"] == ["p" * (LONGEST + 1)]


@pytest.mark.parametrize(
    ("critique", "says"),
    [
        *(
            (Critique(3, Evaluation(3, PLAIN, (1.0,), True, 0.0, 0.0, 1, 0), {}, missing=missing), "the critic")
            for missing in get_args(Missing)
            if missing
        ),
        (Critique(0, Evaluation(0, PLAIN, (None,), True, 0.0, 0.0, 0, 0, too_long=("v-7",)), {}), "v-7"),
    ],
)
def test_a_missing_critique_and_what_is_left_out_are_warnings(tmp_path: Path, critique: Critique, says: str) -> None:
    console = Console(file=io.StringIO(), width=200)
    with open_log(tmp_path / "log.jsonl", console, 0, ()) as log:
        anyio.run(RunLog(log).observe, Envelope(1, None, "critic", "controller", 0.0, critique))
    assert isinstance(console.file, io.StringIO)
    assert says in console.file.getvalue()


def test_what_a_request_had_no_room_for_is_one_line(tmp_path: Path) -> None:
    with open_log(tmp_path / "log.jsonl", Console(file=io.StringIO()), 0, ()) as log:
        for left_out in (0, 7):
            RunLog(log).called(Attempt("critic", "m", None, left_out))
    [line] = [orjson.loads(line) for line in (tmp_path / "log.jsonl").read_bytes().splitlines()]
    assert (line["role"], line["examples"]) == ("critic", 7)
