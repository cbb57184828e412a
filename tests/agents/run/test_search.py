"""A whole search through the front of the room: embedded and deterministic, or against a server that counts along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.config.configuration import Configuration, build
from agents.config.tables.search import BudgetTable
from agents.results.finished import finished
from agents.results.result import Result
from agents.run.opening import open_run
from agents.views.report import missing_test
from memory.journals.reading import read_calls, read_journal
from protocols.errors import AlwaysRefused
from protocols.files import prompt_file
from protocols.messages import SHRINK, Assignment, Candidate, Critique, Envelope, Failure, Finished
from protocols.model import Usage
from protocols.pacing.breaker import ROUNDS
from protocols.prompt import Prompt, Section
from protocols.task import Example
from tests.small_task import SIMULATED
from tests.wire_server import Fault, WireServer
from tests.world import FIRST_PROMPT, TASK, answer, value

pytestmark = pytest.mark.anyio
TICKETS = Path(__file__).parents[3] / "examples" / "tickets"


def write_task(folder: Path, splits: Mapping[str, Sequence[Example]]) -> dict[str, str]:
    folder.mkdir()
    for name, examples in splits.items():
        lines = [orjson.dumps({"id": e.id, "input": e.inputs, "target": e.target}) + b"\n" for e in examples]
        (folder / f"{name}.jsonl").write_bytes(b"".join(lines))
    return {"name": "small"} | {name: f"{name}.jsonl" for name in splits}


AS_IT_COMES: Mapping[str, object] = {"prefer": "best", "shrink": 0}
"""The result is what the search found best, and nothing is cut from it."""


def configure(folder: Path, **tables: Any) -> Configuration:
    task = write_task(folder, {"train": TASK.train, "validation": TASK.validation, "test": TASK.test})
    prompt_file.save(FIRST_PROMPT, folder / "prompt.txt")
    tables["search"] = AS_IT_COMES | tables.get("search", {})
    return build({"models": SIMULATED, "task": task, "prompt": {"file": "prompt.txt"}, **tables}, folder)


async def search(configuration: Configuration, directory: Path, environ: Mapping[str, str]) -> Result:
    async with open_run(configuration, environ, directory) as run:
        return await run.search()


def decisions(directory: Path) -> list[Envelope]:
    return [replace(envelope, time=0.0) for envelope in read_journal(directory / "journal.sqlite")]


async def test_the_same_seed_finds_the_same_prompt_on_the_simulator(tmp_path: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    for split in ("train", "validation", "test"):
        lines = (TICKETS / f"{split}.jsonl").read_bytes().splitlines(keepends=True)
        (folder / f"{split}.jsonl").write_bytes(b"".join(lines if split == "train" else lines[:24]))
    task = {"name": "few tickets"} | {name: f"{name}.jsonl" for name in ("train", "validation", "test")}
    tables: dict[str, object] = {"task": task, "prompt": {"file": str(TICKETS / "prompt.txt")}}
    tables["models"] = SIMULATED
    tables["search"] = {**AS_IT_COMES, "width": 1, "assignments": 12, "seed": 3, "critique": 8}
    first, second = tmp_path / "first", tmp_path / "second"
    results = [await search(build(tables, folder), directory, {}) for directory in (first, second)]
    assert replace(results[0], seconds=0) == replace(results[1], seconds=0)
    assert (first / "best_prompt.txt").read_bytes() == (second / "best_prompt.txt").read_bytes()
    assert decisions(first) == decisions(second)
    assert results[0].dollars == 0
    check_journal(first, 12)


@pytest.mark.parametrize("corpus", [None, "corpus.txt"])
async def test_rag_is_offered_where_there_is_a_corpus(tmp_path: Path, corpus: str | None) -> None:
    configuration = configure(tmp_path / "task", search={"assignments": 8, "operators": ["rag", "define_sort"]})
    (tmp_path / "task" / "corpus.txt").write_text("birch bark is white", encoding="utf-8")
    prompt = Prompt((*FIRST_PROMPT, Section("facts", "knowledge"), Section("rest", "format", "one word")))
    prompt_file.save(prompt, tmp_path / "task" / "prompt.txt")
    task = configuration.task.model_copy(update={"corpus": corpus and Path(corpus)})
    await search(configuration.model_copy(update={"task": task}), tmp_path / "run", {})
    made = {
        e.message.operator
        for e in read_journal(tmp_path / "run" / "journal.sqlite")
        if isinstance(e.message, Assignment)
    }
    assert "define_sort" in made
    assert ("rag" in made) == (corpus is not None)


def check_journal(directory: Path, assignments: int) -> None:
    """Also on disk: every assignment ended once, and every cause was written before its effect."""
    messages = list(read_journal(directory / "journal.sqlite"))
    made = [e.message for e in messages if isinstance(e.message, Assignment)]
    begun = [assignment.assignment for assignment in made]
    ended = [e.message.assignment for e in messages if isinstance(e.message, Critique | Failure)]
    assert begun == list(range(1, len(made) + 1))
    assert sum(assignment.operator != SHRINK for assignment in made) == assignments
    assert sorted(ended) == [0, *begun]
    ids = [e.id for e in messages]
    assert ids == sorted(set(ids))
    assert all(e.cause is None or e.cause in ids[:place] for place, e in enumerate(messages))
    assert any(isinstance(e.message, Candidate) for e in messages)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_search_over_the_wire_improves_and_the_books_agree(tmp_path: Path, provider: str) -> None:
    refusal = Fault(status=400, body=b'{"error": {"message": "no", "type": "invalid_request_error"}}')
    async with WireServer(answer) as server:
        configuration = configure(
            tmp_path / "task",
            models={"default": f"{provider}/some-model"},
            providers={provider: {"base_url": server.openai_url if provider == "openai" else server.url}},
            search={"width": 4, "assignments": 40, "operators": ["self_reflection"], "max_unanswered": 0.2},
            budget={"calls": 2000},
        )
        server.faults.extend([refusal] * 2)
        async with open_run(configuration, {}, tmp_path / "run") as run:
            result = await run.search()
            ledger = run.ledger
        stats = server.stats
    accounts = ledger.accounts.values()
    assert ledger.calls == stats.calls == sum(result.calls.values())
    assert stats.calls - stats.answered == sum(account.failed for account in accounts) == 2
    assert sum(account.usage.input for account in accounts) == stats.input_tokens
    assert sum(account.usage.output for account in accounts) == stats.output_tokens
    assert {role for role, account in result.roles.items() if account.calls} == {
        "task", "credit", "critic", "proposer/self_reflection",
    }  # fmt: skip
    assert result.stopped_by == "assignments"
    assert result.dollars is None
    best = prompt_file.load(tmp_path / "run" / "best_prompt.txt")
    assert result.best.value == value(best) > result.first.value
    assert result.test is not None
    assert (result.test.first, result.test.best) == (value(FIRST_PROMPT), value(best))
    assert orjson.loads((tmp_path / "run" / "result.json").read_bytes())["test"]["difference"] > 0
    check_journal(tmp_path / "run", 40)


async def test_a_cap_on_calls_is_kept_and_the_report_is_still_made(tmp_path: Path) -> None:
    async with WireServer(answer) as server:
        configuration = configure(
            tmp_path / "task",
            models={"default": "openai/some-model"},
            providers={"openai": {"base_url": server.openai_url}},
            search={"width": 3, "assignments": 1000, "operators": ["self_reflection"]},
            budget={"calls": 200},
        )
        result = await search(configuration, tmp_path / "run", {})
        calls = server.stats.calls
    assert result.stopped_by == "budget: calls"
    assert result.test is not None
    assert result.test.n == len(TASK.test)
    assert calls == sum(result.calls.values()) <= 200


@pytest.mark.parametrize("refused", [1, 3])
async def test_a_report_that_a_cap_cuts_short_stands_on_the_pairs_that_came(tmp_path: Path, refused: int) -> None:
    """Its first calls are tried again, which the cap has no room for: the last questions are left unanswered. Once
    the cap is raised, they alone are asked."""
    cap, place = 200, tmp_path / "run"
    async with WireServer(answer) as server:
        tables: dict[str, Any] = {
            "models": {"default": "openai/some-model"},
            "providers": {"openai": {"base_url": server.openai_url}},
            "search": {"width": 3, "assignments": 1000, "operators": ["self_reflection"], "concurrency": 1},
        }
        configuration = configure(tmp_path / "task", **tables, budget={"calls": cap})
        async with open_run(configuration, {}, place) as run:

            async def trouble(envelope: Envelope) -> None:
                if isinstance(envelope.message, Finished):
                    server.faults.extend([FAULTS[0]] * refused)

            run.bus.tap(trouble)
            result = await run.search()
        assert (server.stats.calls, result.candidate > 0) == (cap, True)
        assert result.test is not None
        assert result.test.n == len(TASK.test) - (refused + 1) // 2
        assert result.test.errors == refused
        assert result.test.best_score.reasons == {"BudgetExhausted": (refused + 1) // 2}
        assert result.test_missing == f"the budget of {cap} calls is used up; raise budget.calls"
        [line] = missing_test(asdict(result))
        assert line.endswith(f"{result.test_missing}; the comparison stands on {result.test.n} examples")
        assert finished(configuration, place) is not None
        more = configuration.model_copy(update={"budget": BudgetTable(calls=cap + refused)})
        assert finished(more, place) is None
        result = await search(more, place, {})
        assert server.stats.calls == cap + refused
    assert result.test is not None
    assert (result.test.n, result.test_missing) == (len(TASK.test), None)


async def test_a_second_search_on_the_same_cache_calls_nobody_and_finds_the_same(tmp_path: Path) -> None:
    async with WireServer(answer) as server:
        openai = {"base_url": server.openai_url, "price": {"input": 1, "output": 2}}
        configuration = configure(
            tmp_path / "task",
            models={"default": "openai/x"},
            providers={"openai": openai},
            search={"width": 1, "assignments": 8, "operators": ["self_reflection", "few_shot"]},
            cache={"path": "shared.sqlite"},
        )
        first = await search(configuration, tmp_path / "first", {})
        asked = server.stats.calls
        second = await search(configuration, tmp_path / "second", {})
        assert server.stats.calls == asked == sum(first.calls.values())
    assert sum(second.calls.values()) == 0
    assert second.dollars == 0
    assert second.saved.calls == first.saved.calls + asked
    assert second.saved.tokens == first.saved.tokens + sum(first.tokens.values())
    assert second.saved.dollars == pytest.approx((first.saved.dollars or 0) + (first.dollars or 0))
    written = [(tmp_path / run / "best_prompt.txt").read_bytes() for run in ("first", "second")]
    assert written[0] == written[1]


FAULTS = (
    Fault(status=429, headers={"retry-after-ms": "20"}, body=b"{}"),
    Fault(status=500, body=b"oh"),
    Fault("drop"),
    Fault("truncate"),
    Fault("stall"),
    Fault(),  # garbage JSON
)


async def test_faults_cost_time_and_what_may_have_been_billed(tmp_path: Path) -> None:
    """Every fifth call meets one, of each kind in turn: all examples are answered, and both sides count the same, but
    for the input of what broke midway, which a provider may have billed."""
    calls = count()

    async def trouble() -> None:
        number = next(calls)
        if number % 5 == 0:
            server.faults.append(FAULTS[number // 5 % len(FAULTS)])

    def configured(server: WireServer, name: str) -> Configuration:
        search = {"width": 1, "assignments": 0, "max_unanswered": 0}
        openai = {"base_url": server.openai_url, "timeout": 0.5}
        return configure(tmp_path / name, models={"default": "openai/x"}, providers={"openai": openai}, search=search)

    async with WireServer(answer) as server:
        expected = await search(configured(server, "fair"), tmp_path / "fair-run", {})
    async with WireServer(answer, delay=trouble) as server:
        result = await search(configured(server, "bad"), tmp_path / "bad-run", {})
        stats = replace(server.stats)  # a copy: calls that stall are answered when the server goes
    assert (result.first, result.best, result.test) == (expected.first, expected.best, expected.test)
    assert sum(result.calls.values()) == stats.calls > sum(expected.calls.values())
    assert sum(spent.failed for spent in result.roles.values()) == stats.calls - stats.answered
    made = list(read_calls(tmp_path / "bad-run" / "journal.sqlite"))
    answered = sum((call.usage for call in made if call.error is None), Usage())
    assert answered == Usage(stats.input_tokens, stats.output_tokens)
    assert answered.total == sum(expected.tokens.values())
    kinds = {call.error for call in made if call.usage.estimated}
    assert kinds == {"BadReply", "CallTimeout", "ConnectionFailed"}
    assert result.estimated == sum(call.usage.estimated for call in made)
    assert sum(result.tokens.values()) == sum(call.usage.total for call in made)


async def test_a_model_that_refuses_everything_stops_the_search_with_its_words(tmp_path: Path) -> None:
    refusal = Fault(status=400, body=b'{"error": {"message": "max_tokens is not supported"}}')
    async with WireServer(answer) as server, WireServer(answer) as refusing:
        configuration = configure(
            tmp_path / "task",
            models={"default": "openai/x", "proposer": "anthropic/y"},
            providers={"openai": {"base_url": server.openai_url}, "anthropic": {"base_url": refusing.url}},
            search={"width": 2, "assignments": 500, "operators": ["self_reflection"]},
        )
        refusing.faults.extend([refusal] * 500)
        with pytest.raises(AlwaysRefused, match="every request is refused: max_tokens is not supported"):
            await search(configuration, tmp_path / "run", {})
        assert refusing.stats.calls <= 2 * ROUNDS
    assert (tmp_path / "run" / "best_prompt.txt").exists()
