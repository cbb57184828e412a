"""A look for headroom: what is asked, how often, and what comes of it; by `doctor`, and at the start of a search."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from agents.check.doctor import diagnose
from agents.config.configuration import Configuration, load
from agents.config.loading import load_first_prompt, load_task
from agents.directory.run_directory import RESULT
from agents.forecast import headroom as measuring
from agents.forecast.headroom import draws, may_be_cheap, measure
from agents.headroom.found import Headroom, unpack_headroom
from agents.headroom.probe import DRAWS, Probe, chance, in_words
from agents.models.accounts import Accounts
from agents.prompting.retrieval_slots import open_slots
from agents.results.finished import read_result
from agents.run.opening import open_run
from agents.views.diagnosis import show_diagnosis
from protocols.errors import BudgetExhausted
from protocols.prompt import Prompt
from tests.small_task import LABELS, PROMPT, SIZES, WORDS, write_task
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
N = SIZES["validation"]
ENVIRON = {"OPENAI_API_KEY": "k"}
Answer = Callable[[list[tuple[str, str]]], str]


def right(turns: list[tuple[str, str]]) -> str:
    """The gold label."""
    said = turns[-1][1].rpartition("Text:")[2]
    return next(label for label in LABELS if WORDS[label] in said)


def wrong(turns: list[tuple[str, str]]) -> str:
    """Another label."""
    return LABELS[(LABELS.index(right(turns)) + 1) % len(LABELS)]


def after_turns(turns: list[tuple[str, str]]) -> str:
    """Right where it has been shown how as turns of the chat; else chat."""
    return right(turns) if any(who == "assistant" for who, _ in turns) else "Sure! What a nice day."


def configured(folder: Path, server: WireServer, *settings: str, prompt: str = PROMPT) -> Configuration:
    own = ("models.default=openai/m", f"providers.openai.base_url={server.openai_url}")
    return load(write_task(folder, prompt=prompt), [*own, *settings])


async def look(configuration: Configuration) -> tuple[Headroom, list[str]]:
    told: list[str] = []
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    return await measure(configuration, ENVIRON, task, first, told.append, Accounts()), told


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (right, "little room", "right on 12 of 12"),
        (wrong, "none", "errs on the same examples"),
        (after_turns, "wrong form", "as turns of the chat mend that"),
    ],
)
async def test_what_a_model_does_is_said_in_a_sentence(tmp_path: Path, answer: Answer, kind: str, said: str) -> None:
    async with WireServer(answer) as server:
        found, told = await look(configured(tmp_path, server))
        calls = server.stats.calls
    assert (found.verdict, said in found.sentence) == (kind, True), found.sentence
    assert found.figures.first.n == N
    assert [shown.form for shown in found.figures.shown] == [
        f"8 {way}"
        for way in (
            "nearest examples as turns of the chat",
            "examples as turns of the chat",
            "examples as text in the system message",
            "examples as text before the input",
        )
    ]
    assert f"{N} validation examples, {calls:,} calls" in told[0]
    assert calls == N * (2 + DRAWS + 4)
    assert unpack_headroom(orjson.dumps(found)) == found


async def test_the_replies_are_the_searchs_and_are_asked_for_once(tmp_path: Path) -> None:
    async with WireServer(after_turns) as server:
        configuration = configured(tmp_path, server, f"cache.path={tmp_path / 'cache'}", "search.assignments=0")
        found, _ = await look(configuration)
        before = server.stats.calls
        again, _ = await look(configuration)
        assert (again, server.stats.calls) == (found, before)
        async with open_run(configuration, ENVIRON, tmp_path / "run") as run:
            result = await run.search()
        # Of validation nothing is asked again: what is new are the critic's examples and the test split.
        assert server.stats.calls - before == sum(result.calls.values())
        assert result.calls["task"] == configuration.minibatch(N) + SIZES["test"]
    assert result.headroom is None, "a search of no edits pays for no look"


async def test_caps_hold_and_a_temperature_of_0_is_asked_for_no_draws(tmp_path: Path) -> None:
    async with WireServer(wrong) as server:
        configuration = configured(tmp_path, server, "models.parameters.task.temperature=0")
        assert draws(configuration) == 0
        found, _ = await look(configuration)
        assert found.sentence.startswith("No form of worked examples helps: ")
        assert server.stats.calls == N * 6
        with pytest.raises(BudgetExhausted):
            await look(configured(tmp_path, server, "budget.calls=20"))
        assert server.stats.calls == N * 6 + 20


def long(folder: Path, server: WireServer, *settings: str) -> Configuration:
    """A search that a look at ten examples is a twentieth of, as far as is expected; it ends at once."""
    few = ("agents.critic=none", 'search.operators=["few_shot"]', "budget.patience=1", "search.width=1")
    return configured(folder, server, "search.assignments=2000", *few, *settings)


async def test_a_search_asks_first_if_that_is_a_twentieth_of_it_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there are earlier runs, which are read off the event loop."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "small-1").mkdir(parents=True)
    told: list[str] = []
    async with WireServer(wrong) as server:
        async with open_run(long(tmp_path, server), ENVIRON, tmp_path / "run") as run:
            run.say = told.append
            result = await run.search()
        assert result.headroom is not None
        assert result.headroom.verdict == "none"
        assert told[-1] == f"headroom: {result.headroom.sentence}"
        assert "search.headroom = false" in told[0]
        assert f"{N * (2 + DRAWS + 4)} calls" in told[0]
        before = server.stats.calls
        more = long(tmp_path, server, "budget.patience=2")
        async with open_run(more, ENVIRON, tmp_path / "run") as run:
            again = await run.search()
        assert again.headroom == result.headroom
        assert server.stats.calls - before < N * 9
        assert (read_result(tmp_path / "run" / RESULT) or {})["headroom"]["verdict"] == "none"


@pytest.mark.parametrize("setting", ["search.headroom=false", "search.assignments=9", "budget.calls=1000"])
async def test_it_asks_nothing_where_nobody_wants_it_or_it_is_dear(tmp_path: Path, setting: str) -> None:
    async with WireServer(right) as server:
        configuration = long(tmp_path, server, "budget.target=1", setting)
        async with open_run(configuration, ENVIRON, tmp_path / "run") as run:
            result = await run.search()
    assert result.headroom is None
    # The first prompt's own evaluation says as much as it can, for nothing.
    assert result.calls["task"] == N + SIZES["test"] + configuration.minibatch(N)


async def test_a_cap_that_ends_the_look_lets_the_search_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "SHARE", 0.1)
    told: list[str] = []
    async with WireServer(wrong) as server:
        configuration = long(tmp_path, server, "budget.calls=60")
        async with open_run(configuration, ENVIRON, tmp_path / "run") as run:
            run.say = told.append
            result = await run.search()
    assert (result.headroom, result.first.n) == (None, N)
    assert sum(result.calls.values()) <= 60
    assert told[-1].startswith("headroom: left off: the budget of 60 calls")


async def test_doctor_says_it_and_has_a_word_for_programs(tmp_path: Path) -> None:
    said: list[str] = []
    async with WireServer(after_turns) as server:
        configured(tmp_path, server)
        settings = ["models.default=openai/m", f"providers.openai.base_url={server.openai_url}"]
        diagnosis = await diagnose(tmp_path / "small.toml", settings, ENVIRON, False, headroom=said.append)
        assert diagnosis.headroom is not None
        assert diagnosis.headroom.verdict == "wrong form"
        screen = StringIO()
        show_diagnosis(Console(file=screen, width=300), diagnosis)
    text = screen.getvalue()
    assert text.index(diagnosis.headroom.sentence[:60]) < text.index("8 nearest examples as turns of the chat: 1.00")
    assert "A search is expected to take" in text


def probe(folder: Path, prompt: str = PROMPT) -> tuple[Probe, Prompt]:
    configuration = load(write_task(folder, prompt=prompt))
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    return Probe(open_slots(task, ()), first), first


def test_validation_is_asked_and_never_test_and_a_prompt_without_a_place_for_examples_gets_one(
    tmp_path: Path,
) -> None:
    asks, first = probe(tmp_path, "=== task (task) ===\nWhich? invoice, parcel, 退款\n=== input (task) ===\n{text}\n")
    plan = asks.plan()
    assert {example.id.partition("-")[0] for example in plan.examples} == {"validation"}
    assert [section.name for section in plan.prompt] == ["task", "examples", "input"]
    assert plan.first == first
    assert len(plan.ways) == 4
    assert plan.of(5).replies == 5 * plan.each
    shown = PROMPT.replace("(examples) ===", "(examples, turns) ===\n{examples:8}")
    there, _ = probe(tmp_path / "shown", shown)
    assert "8 nearest examples as turns of the chat" not in {in_words(way) for way in there.plan().ways}
    assert chance(load_task(load(tmp_path / "small.toml"))) == pytest.approx(1 / 3)


def test_a_search_without_calls_is_never_long_enough_to_measure(tmp_path: Path) -> None:
    configuration = load(write_task(tmp_path, tables={"search": {"assignments": 1000}}))
    task = load_task(configuration)
    assert may_be_cheap(configuration, task)
    assert not may_be_cheap(configuration, task, 0.0)
