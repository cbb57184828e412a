"""What a run asks of the task's model, over the wire: how long, how warm, how often, and the same by whoever asks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from agents.config.configuration import Configuration, load
from agents.results.result import Result
from agents.run.opening import open_run
from agents.run.scoring import Scoring
from memory.journals.reading import read_calls
from tests.agents.models.test_replies_over_the_wire import right
from tests.small_task import PROMPT, SIZES, write_task
from tests.wire_server import Call, WireServer

pytestmark = pytest.mark.anyio
ENVIRON = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
WAYS = ("openai", "anthropic")
N = SIZES["validation"]
THINKING = PROMPT.replace("=== examples", "=== reasoning (reasoning) ===\nFind the verb first.\n=== examples")


def configured(folder: Path, server: WireServer, way: str, *settings: str, prompt: str = PROMPT) -> Configuration:
    url = server.openai_url if way == "openai" else server.url
    own = [f"models.default={way}/m", f"providers.{way}.base_url={url}"]
    return load(write_task(folder, prompt=prompt), [*own, *settings])


def of_the_task(call: Call) -> bool:
    return call.body.get("temperature") == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("prompt", "settings", "tokens"),
    [
        (PROMPT, [], 32),
        (THINKING, [], 544),
        (THINKING, ["task.reply_tokens=9"], 9),
        (PROMPT, ["task.reply_tokens=3000"], 3000),
        (PROMPT, ["task.parser=textwrap:dedent"], 1024),
        (PROMPT, ["task.metric.accuracy=1", "task.metric.regex=1", "task.pattern=x"], 1024),
    ],
)
async def test_a_reply_has_the_tokens_of_its_kind_or_those_that_are_set(
    tmp_path: Path, way: str, prompt: str, settings: list[str], tokens: int
) -> None:
    async with WireServer(right) as server:
        configuration = configured(tmp_path, server, way, *settings, prompt=prompt)
        await Scoring(configuration, ENVIRON, tmp_path / "prompt.txt", "validation").score()
        asked = [(call.body["max_tokens"], call.body["temperature"]) for call in server.received]
    assert asked == [(tokens, 0.0)] * N


@pytest.mark.parametrize("way", WAYS)
async def test_a_model_that_thinks_keeps_its_room(tmp_path: Path, way: str) -> None:
    async with WireServer(right) as server:
        configuration = configured(tmp_path, server, way, f"providers.{way}.reply_tokens=700", "task.reply_tokens=9")
        await Scoring(configuration, ENVIRON, tmp_path / "prompt.txt", "validation").score()
        assert {call.body["max_tokens"] for call in server.received} == {700}


async def test_evaluate_asks_each_example_as_often_as_is_said_and_pays_once(tmp_path: Path) -> None:
    async with WireServer(right) as server:
        configuration = configured(tmp_path, server, "openai", "search.repeats=3", "cache.path=cache.sqlite")
        for _ in range(2):
            found = await Scoring(configuration, ENVIRON, tmp_path / "prompt.txt", "validation").score()
            assert (found.value, found.n, server.stats.calls) == (1.0, N, 3 * N)
            assert set(Counter(call.raw for call in server.received).values()) == {3}


async def search(folder: Path, server: WireServer, *settings: str) -> Result:
    own = ("search.assignments=3", "search.width=1", "search.operators=['few_shot']", "search.critique=4", *settings)
    async with open_run(configured(folder, server, "openai", *own), ENVIRON, folder / "run") as run:
        return await run.search()


@pytest.mark.parametrize("repeats", [1, 3])
async def test_a_search_its_report_and_evaluate_ask_the_same(tmp_path: Path, repeats: int) -> None:
    """What was paid for is found again, whoever asks."""
    settings = (f"search.repeats={repeats}", "cache.path=cache.sqlite")
    async with WireServer(lambda turns: right(turns) if "0" in turns[-1][1] else "parcel") as server:
        result = await search(tmp_path, server, *settings)
        calls = Counter(call.raw for call in server.received if of_the_task(call))
        assert set(calls.values()) == {repeats}
        paid = server.stats.calls
        configuration = configured(tmp_path, server, "openai", *settings)
        for split, value in (("validation", result.best.value), ("test", result.test and result.test.best)):
            best = tmp_path / "run" / "best_prompt.txt"
            found = await Scoring(configuration, ENVIRON, best, split).score()  # type: ignore[arg-type]
            assert found.value == value
        assert server.stats.calls == paid


async def test_a_search_that_goes_on_does_not_pay_again_for_repeats(tmp_path: Path) -> None:
    async with WireServer(lambda turns: right(turns) if "0" in turns[-1][1] else "parcel") as server:
        whole = await search(tmp_path / "whole", server, "search.repeats=2")
        calls = server.stats.calls
        least = 2 * (N + 2 * SIZES["test"])
        for cap in (least + 5, least + 40, None):
            settings = () if cap is None else (f"budget.calls={cap}",)
            result = await search(tmp_path / "capped", server, "search.repeats=2", *settings)
        assert server.stats.calls == 2 * calls
        assert len(list(read_calls(tmp_path / "capped" / "run" / "journal.sqlite"))) == calls
    assert (result.best, result.test) == (whole.best, whole.test)
