"""What a run makes of replies that are no plain answers, in both wire formats: read, or counted by kind and said."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from agents import foreground
from agents.config.configuration import Configuration, load
from agents.directory.run_directory import LOG
from agents.run.scoring import Scored, Scoring
from agents.views.report import read_report, show_report, show_scored
from tests.small_task import LABELS, SIZES, WORDS, write_task
from tests.wire_server import Fault, WireServer

pytestmark = pytest.mark.anyio
WAYS = ("openai", "anthropic")
N = SIZES["validation"]


def right(turns: list[tuple[str, str]]) -> str:
    """The gold label."""
    said = turns[-1][1].rpartition("Text:")[2]
    return next(label for label in LABELS if WORDS[label] in said)


def configured(folder: Path, server: WireServer, way: str, *settings: str) -> Configuration:
    url = server.openai_url if way == "openai" else server.url
    own = (f"models.default={way}/m", f"providers.{way}.base_url={url}")
    return load(write_task(folder), [*own, *settings])


def body(way: str, content: object, finish: str) -> bytes:
    """A whole answer whose content (Anthropic: its blocks; OpenAI: its message) is this."""
    if way == "openai":
        usage = {"prompt_tokens": 9, "completion_tokens": 3}
        return orjson.dumps({"choices": [{"message": content, "finish_reason": finish}], "usage": usage})
    usage = {"input_tokens": 9, "output_tokens": 3}
    return orjson.dumps({"type": "message", "content": content, "stop_reason": finish, "usage": usage})


async def scored(folder: Path, way: str, server: WireServer) -> Scored:
    environ = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
    return await Scoring(configured(folder, server, way), environ, folder / "prompt.txt", "validation").score()


THINKS = '<think>\nLabels: invoice, parcel, 退款. Perhaps <new>parcel</new>, {"label": "parcel"}.\n</think>\n\n'


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        THINKS + "{}",
        "invoice or parcel?\n</think>\n{}",
        "Label: {}\n\nExplanation: it is not about a parcel.",
        '```json\n{"label": "{}"}\n```',
        'Sure! Here it is:\n{"label": "{}"}',
        THINKS + '{"label": "{}"}',
        "**{}**",
        "{} (not the others)",
    ],
)
async def test_an_answer_is_read_in_whatever_frame(tmp_path: Path, way: str, form: str) -> None:
    async with WireServer(lambda turns: form.replace("{}", right(turns))) as server:
        found = await scored(tmp_path, way, server)
    assert (found.value, found.unreadable, found.textless) == (1.0, 0, {})


TEXTLESS: list[tuple[str, object, str, dict[str, int], int, int]] = [
    ("openai", {"content": None, "reasoning_content": "parcel"}, "stop", {"reasoning": N}, 0, 0),
    (
        "openai",
        {"content": None, "tool_calls": [{"function": {"name": "parcel"}}]},
        "tool_calls",
        {"tool calls": N},
        0,
        0,
    ),
    ("openai", {"content": []}, "stop", {"nothing": N}, 0, 0),
    ("openai", {"content": [{"type": "refusal", "refusal": "No parcel."}]}, "stop", {}, N, 0),
    ("openai", {"content": "<think>\nThe labels are invoice, parcel"}, "length", {}, 0, N),
    ("anthropic", [{"type": "thinking", "thinking": "parcel"}], "end_turn", {"reasoning": N}, 0, 0),
    ("anthropic", [{"type": "redacted_thinking", "data": "x"}], "max_tokens", {"reasoning": N}, 0, N),
    ("anthropic", [{"type": "tool_use", "name": "parcel", "input": {}}], "tool_use", {"tool calls": N}, 0, 0),
    ("anthropic", [], "end_turn", {"nothing": N}, 0, 0),
    ("anthropic", [{"type": "text", "text": "No parcel for you."}], "refusal", {}, N, 0),
    ("anthropic", [{"type": "text", "text": "<think>\nThe labels are invoice, parcel"}], "max_tokens", {}, 0, N),
]


@pytest.mark.parametrize(("way", "content", "finish", "textless", "refused", "truncated"), TEXTLESS)
async def test_what_is_no_answer_is_counted_by_kind_and_shown(
    tmp_path: Path, way: str, content: object, finish: str, textless: dict[str, int], refused: int, truncated: int
) -> None:
    async with WireServer(right) as server:
        server.faults.extend(
            [Fault(body=body(way, content, finish))] * 2 * N
        )  # a thought that was cut is asked again
        found = await scored(tmp_path, way, server)
    assert (found.value, found.unreadable, found.n) == (0.0, N, N)
    assert (found.textless, found.refused, found.truncated) == (textless, refused, truncated)
    shown = printed(lambda console: show_scored(console, found))
    assert f"{N} of {N} replies hold no answer that can be read" in shown
    for kind in textless:
        assert f"{N} without a text ({kind})" in shown
    assert (f"{N} refusals" in shown, f"{N} truncated" in shown) == (bool(refused), bool(truncated))


@pytest.mark.parametrize("way", WAYS)
async def test_a_search_whose_replies_cannot_be_read_says_so_at_its_first_evaluation(
    tmp_path: Path, way: str
) -> None:
    screen = StringIO()
    console = Console(file=screen, width=1000)
    small = ("search.assignments=1", "search.width=1", "search.critique=2")
    async with WireServer(lambda turns: "I \x1b[31mcannot\nsay.") as server:
        configuration = configured(tmp_path, server, way, *small)
        environ = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
        trained = await foreground.train(configuration, environ, tmp_path / "run", console, 0)
    said = f"{N} of {N} replies hold no answer that can be read, such as “I cannot say.”"
    lines = [line for line in screen.getvalue().splitlines() if said in line]
    assert len(lines) == 1
    assert screen.getvalue().index(said) < screen.getvalue().index("first prompt: validation")
    assert trained.result is not None
    assert trained.result["first"]["unreadable"] == N
    log = [orjson.loads(line) for line in (trained.directory / LOG).read_bytes().splitlines()]
    assert [entry["level"] for entry in log if "hold no answer" in entry["event"]] == ["warning"]
    shown = printed(lambda console: show_report(console, read_report(trained.directory)))
    assert said in shown
    assert f"of the first prompt's {N} replies: {N} unreadable" in shown


def printed(show: Callable[[Console], None]) -> str:
    """What is shown on a wide console."""
    screen = StringIO()
    show(Console(file=screen, width=1000))
    return screen.getvalue()


async def test_a_parser_of_ones_own_is_given_the_reply_without_its_thought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first.py").write_text("def line(reply):\n    return reply.strip().partition('\\n')[0] or None\n")
    monkeypatch.syspath_prepend(tmp_path)
    async with WireServer(lambda turns: f"{THINKS}{right(turns)}\nWhy not?") as server:
        configuration = configured(tmp_path, server, "openai", "task.parser=first:line")
        found = await Scoring(configuration, {"OPENAI_API_KEY": "k"}, tmp_path / "prompt.txt", "validation").score()
    assert found.value == 1.0
