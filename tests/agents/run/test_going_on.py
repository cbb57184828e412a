"""Which runs go on, by which configuration, and what of an earlier end is void then."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from agents.config.configuration import Configuration, load
from agents.directory.run_directory import CONFIGURATION, JOURNAL, RESULT, read_document
from agents.history.progress import progress_of
from agents.history.replay import replay
from agents.operators.operator import Context
from agents.results.finished import finished
from agents.results.result import Result
from agents.run.opening import open_run
from agents.views.report import read_report
from memory.journals.reading import read_calls, read_durable, read_journal
from memory.store import open_memory
from memory.upkeep import export, stats
from protocols.embedding import HashedNgrams
from protocols.errors import ConfigError, InapplicableError, MemoryMismatch, RunFailed, StorageFailed
from protocols.files import prompt_file
from protocols.messages import Assignment, Critique, Envelope, Evaluation, Failure, Finished
from protocols.prompt import Prompt
from protocols.task import Task
from tests.agents.history.test_looking_back import ignore
from tests.agents.run.test_search import check_journal
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
SCHEMA_1, SCHEMA_4 = (Path(__file__).parents[2] / "fixtures" / name for name in ("schema-1", "schema-4"))


def configured(tmp_path: Path, *settings: str) -> Configuration:
    folder = tmp_path / "task"
    config = folder / "small.toml"
    return load(config if config.exists() else write_task(folder), settings)


async def search(tmp_path: Path, *settings: str) -> Result:
    async with open_run(configured(tmp_path, *settings), {}, tmp_path / "run") as run:
        return await run.search()


def decided(tmp_path: Path) -> list[Assignment]:
    envelopes = read_journal(tmp_path / "run" / JOURNAL, (Assignment,))
    return [envelope.message for envelope in envelopes if isinstance(envelope.message, Assignment)]


async def test_a_run_directory_has_one_process_at_a_time(tmp_path: Path) -> None:
    async with open_run(configured(tmp_path), {}, tmp_path / "run"):
        with pytest.raises(ConfigError, match="in use by another process"):
            async with open_run(configured(tmp_path), {}, tmp_path / "run"):
                pass
    assert (await search(tmp_path)).stopped_by == "assignments"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("search.seed=1", "search.seed is 0 there and 1 here"),
        ("search.width=4", "search.width is 3 there and 4 here"),
        ("search.selector=ucb", 'search.selector is "msgd_rl" there and "ucb" here'),
        ("search.operators=['few_shot']", "search.operators"),
        ("search.alpha=0.1", "search.alpha is 0.3 there and 0.1 here"),
        ("search.repeats=2", "search.repeats is 1 there and 2 here"),
        ("task.reply_tokens=9", "task.reply_tokens is null there and 9 here"),
        ("memory.read=false", "memory.read is true there and false here"),
        ("task.name=other", "task.name"),
        ("task.train=elsewhere.jsonl", "the train examples differ"),
        ("prompt.file=elsewhere.txt", "the first prompt differs"),
        ("providers.embedded.base_url=http://elsewhere", 'providers."embedded".base_url is null there'),
    ],
)
async def test_a_configuration_of_another_meaning_is_refused(tmp_path: Path, setting: str, says: str) -> None:
    configured(tmp_path)
    lines = (tmp_path / "task" / "train.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "task" / "elsewhere.jsonl").write_bytes(b"".join(lines[::-1]))
    prompt = (tmp_path / "task" / "prompt.txt").read_text(encoding="utf-8")
    (tmp_path / "task" / "elsewhere.txt").write_text(prompt.replace("Which", "What"), encoding="utf-8")
    async with open_run(configured(tmp_path), {}, tmp_path / "run"):
        pass
    before = {path: path.read_bytes() for path in (tmp_path / "run").glob("*.json")}
    for ask in (search, ended):
        with pytest.raises(ConfigError) as caught:
            await ask(tmp_path, setting)
        assert says in str(caught.value)
    assert {path: path.read_bytes() for path in (tmp_path / "run").glob("*.json")} == before


async def ended(tmp_path: Path, *settings: str) -> tuple[Path, Any] | None:
    return finished(configured(tmp_path, *settings), tmp_path / "run")


async def test_what_may_change_and_where_things_lie_is_not_its_meaning(tmp_path: Path) -> None:
    await search(tmp_path, "search.assignments=2")
    moved = tmp_path / "moved"
    shutil.move(tmp_path / "task", moved)
    (tmp_path / "task").mkdir()
    shutil.copytree(moved, tmp_path / "task", dirs_exist_ok=True)
    shutil.move(tmp_path / "task" / "train.jsonl", tmp_path / "task" / "other.jsonl")
    settings = ["task.train=other.jsonl", "search.concurrency=2", "budget.tokens=1000000", "search.assignments=4"]
    result = await search(tmp_path, *settings)
    assert (result.assignments, result.stopped_by) == (4, "assignments")
    kept = read_document(tmp_path / "run" / CONFIGURATION)
    assert kept is not None
    assert kept["budget"]["tokens"] == 1_000_000


async def test_a_finished_run_is_finished_until_it_is_given_more(tmp_path: Path) -> None:
    assert await ended(tmp_path) is None
    result = await search(tmp_path)
    there = await ended(tmp_path)
    assert there is not None
    assert there == (tmp_path / "run", read_document(tmp_path / "run" / RESULT))
    assert await ended(tmp_path, "budget.calls=1000") is not None
    assert await ended(tmp_path, "search.assignments=5") is not None
    assert await ended(tmp_path, "search.assignments=9") is None
    before = decided(tmp_path)
    more = await search(tmp_path, "search.assignments=9")
    assert (result.assignments, more.assignments) == (6, 9)
    assert decided(tmp_path)[:6] == before
    check_journal(tmp_path / "run", 9)
    assert (await replay(tmp_path / "run", ignore)).stopped_by == "assignments"
    assert sum(more.calls.values()) == len(list(read_calls(tmp_path / "run" / JOURNAL)))
    assert more.seconds >= read_durable(tmp_path / "run" / JOURNAL).seconds > 0


async def test_a_run_that_is_told_less_than_it_did_is_refused_as_a_difference(tmp_path: Path) -> None:
    await search(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "run").glob("*.json")}
    with pytest.raises(ConfigError, match=r"search\.assignments = 3, .* made 6"):
        await search(tmp_path, "search.assignments=3")
    assert {path: path.read_bytes() for path in (tmp_path / "run").glob("*.json")} == before


async def test_a_run_that_a_cap_ended_goes_on_when_the_cap_is_raised(tmp_path: Path) -> None:
    """What the cap ended is taken up again, and learnt from as if it had never been refused."""
    result = await search(tmp_path, "search.width=1", "budget.calls=90")
    assert (result.stopped_by, "budget" in result.failures) == ("budget: calls", True)
    assert sum(result.calls.values()) <= 90
    assert await ended(tmp_path, "search.width=1", "budget.calls=90") is not None
    again = await search(tmp_path, "search.width=1", "budget.calls=90")
    assert again.stopped_by == "budget: calls"
    assert sum(again.calls.values()) <= 90
    assert (await replay(tmp_path / "run", ignore)).stopped_by == "budget: calls"
    assert await ended(tmp_path, "search.width=1", "budget.calls=1000") is None
    result = await search(tmp_path, "search.width=1", "budget.calls=1000")
    assert (result.stopped_by, result.assignments) == ("assignments", 6)
    assert "budget" not in result.failures
    assert [a.assignment for a in decided(tmp_path)] == [1, 2, 3, 4, 5, 6]
    progress = progress_of(tmp_path / "run")
    assert (progress.ended, progress.counts["budget"], len(progress.open)) == (6, 0, 0)
    replayed = await replay(tmp_path / "run", ignore)
    assert (replayed.stopped_by, replayed.assignments) == ("assignments", 6)


@pytest.mark.parametrize(
    ("aim", "higher"), [("budget.target=0", "search.seed=0"), ("budget.patience=1", "budget.patience=99")]
)
async def test_a_run_that_an_aim_ended_goes_on_when_that_is_raised(tmp_path: Path, aim: str, higher: str) -> None:
    kind = aim.removeprefix("budget.").partition("=")[0]
    result = await search(tmp_path, aim)
    assert result.stopped_by.startswith(f"{kind}: ")
    assert result.assignments < 6
    assert await ended(tmp_path, aim) is not None
    assert await ended(tmp_path, aim, "search.assignments=9") is not None
    assert (await replay(tmp_path / "run", ignore)).stopped_by == result.stopped_by
    before = decided(tmp_path)
    assert await ended(tmp_path, higher) is None
    result = await search(tmp_path, higher)
    assert (result.stopped_by, result.assignments) == ("assignments", 6)
    assert decided(tmp_path)[: len(before)] == before
    assert (await replay(tmp_path / "run", ignore)).assignments == 6


async def test_a_run_whose_operators_may_call_no_more_goes_on_when_one_of_them_may(tmp_path: Path) -> None:
    operators = ['search.operators=["self_reflection"]', "budget.operators.self_reflection.calls=1"]
    result = await search(tmp_path, *operators)
    assert result.stopped_by == "the operators' own budgets"
    assert result.assignments < 6
    assert (await replay(tmp_path / "run", ignore)).stopped_by == result.stopped_by
    for more in ("budget.calls=1000", "search.assignments=9"):
        assert await ended(tmp_path, *operators, more) is not None
    before, raised = decided(tmp_path), [*operators, "budget.operators.self_reflection.calls=100"]
    assert await ended(tmp_path, *raised) is None
    result = await search(tmp_path, *raised)
    assert (result.stopped_by, result.assignments) == ("assignments", 6)
    assert decided(tmp_path)[: len(before)] == before
    assert (await replay(tmp_path / "run", ignore)).stopped_by == "assignments"
    assert (await search(tmp_path, *raised, "search.assignments=9")).assignments == 9
    assert (await replay(tmp_path / "run", ignore)).assignments == 9


async def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    async with open_run(configured(tmp_path), {}, tmp_path / "run") as run:

        async def stop(envelope: object) -> None:
            if run.controller.issued == 3:
                run.bus._taps.remove(stop)
                await run.team.stop("interrupted")

        run.bus.tap(stop)
        result = await run.search()
    assert result.stopped_by == "interrupted"
    assert await ended(tmp_path) is None
    critiques = [e.message for e in read_journal(tmp_path / "run" / JOURNAL) if isinstance(e.message, Critique)]
    async with open_run(configured(tmp_path), {}, tmp_path / "run") as run:
        assert run.evaluator.unanswered.asked == sum(critique.evaluation.asked for critique in critiques) > 0
        result = await run.search()
    assert (result.stopped_by, result.assignments) == ("assignments", 6)
    check_journal(tmp_path / "run", 6)
    assert (await replay(tmp_path / "run", ignore)).stopped_by == "assignments"


async def test_what_was_asked_for_an_evaluation_that_no_critic_has_read_counts(tmp_path: Path) -> None:
    async with open_run(configured(tmp_path), {}, tmp_path / "run") as run:

        async def kill(envelope: Envelope) -> None:
            if isinstance(envelope.message, Evaluation):
                scope.cancel()

        run.bus.tap(kill)
        with anyio.CancelScope() as scope:
            await run.search()
        asked = run.evaluator.unanswered.asked
    async with open_run(configured(tmp_path), {}, tmp_path / "run") as run:
        assert run.evaluator.unanswered.asked == asked > 0


class Fragile:
    """An operator of a user's with a bug in it, in the assignments of `broken`."""

    name = "fragile"
    broken: frozenset[int] = frozenset()

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        return ["definitions"]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        if assignment.assignment in Fragile.broken:
            raise ZeroDivisionError(f"in {assignment.assignment}")
        if assignment.assignment % 4 == 0:
            raise InapplicableError("not today")
        text = assignment.prompt["definitions"].text
        return assignment.prompt.edit("definitions", f"{text} {assignment.assignment}", context.task.fields)


FRAGILE = ("search.operators=['tests.agents.run.test_going_on:Fragile']", "search.assignments=10", "search.width=1")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The class that the catalogue finds by its name is this one, whatever pytest calls this module."""
    monkeypatch.setitem(sys.modules, "tests.agents.run.test_going_on", sys.modules[__name__])
    return monkeypatch


async def test_a_run_that_an_agents_bug_ended_goes_on_when_it_is_mended(
    tmp_path: Path, broken: pytest.MonkeyPatch
) -> None:
    broken.setattr(Fragile, "broken", frozenset({5}))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await search(tmp_path, *FRAGILE)
    failures = [e.message for e in read_journal(tmp_path / "run" / JOURNAL, (Failure,), 5)]
    assert [f.reason for f in failures if isinstance(f, Failure)] == ["proposer/fragile: ZeroDivisionError: in 5"] * 2
    broken.setattr(Fragile, "broken", frozenset())
    result = await search(tmp_path, *FRAGILE)
    assert (result.assignments, result.failures) == (10, {"inapplicable": 2})
    assert (await replay(tmp_path / "run", ignore)).stopped_by == "assignments"


async def test_agent_errors_are_skipped_and_counted_where_that_is_asked_for(
    tmp_path: Path, broken: pytest.MonkeyPatch
) -> None:
    broken.setattr(Fragile, "broken", frozenset({2, 3, 5, 6}))
    skip = (*FRAGILE, "search.on_agent_error=skip", "search.agent_errors=3")
    result = await search(tmp_path, *skip)
    assert (result.assignments, result.failures) == (10, {"inapplicable": 2, "raised": 4})
    check_journal(tmp_path / "run", 10)
    assert (await replay(tmp_path / "run", ignore)).stopped_by == "assignments"


@pytest.mark.parametrize("errors", [1, 2, 3])
async def test_so_many_agent_errors_in_a_row_end_the_run(
    tmp_path: Path, broken: pytest.MonkeyPatch, errors: int
) -> None:
    broken.setattr(Fragile, "broken", frozenset({3, 5, 6, 7, 9}))
    with pytest.raises(ZeroDivisionError, match=f"in {[3, 6, 7][errors - 1]}"):
        await search(tmp_path, *FRAGILE, "search.on_agent_error=skip", f"search.agent_errors={errors}")
    ends = [e.message for e in read_journal(tmp_path / "run" / JOURNAL, (Critique, Failure, Finished))]
    assert not any(isinstance(message, Finished) for message in ends)


async def test_a_first_prompt_that_could_not_be_evaluated_is_evaluated_again(tmp_path: Path) -> None:
    async with open_run(configured(tmp_path), {}, tmp_path / "run") as run:
        await run.bus.send(Failure(0, "call", "the provider's day"), sender="evaluator")
        with pytest.raises(RunFailed, match="the provider's day"):
            await run.search()
    assert (await search(tmp_path)).stopped_by == "assignments"


# Run directories of earlier releases


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A run directory as version 1 left it."""
    return Path(shutil.copytree(SCHEMA_1, tmp_path / "run"))


async def test_a_run_of_version_1_is_refused_by_name(tmp_path: Path, old: Path) -> None:
    for ask in (search, ended):
        with pytest.raises(MemoryMismatch, match=r"no run\.json: .* version 1 had none, .* version 2"):
            await ask(tmp_path)
    with pytest.raises(MemoryMismatch, match=r"no run\.json: .* version 1 had none, .* version 2"):
        read_report(old)
    assert prompt_file.load(old / "best_prompt.txt")
    assert not (old / "lock").exists()


async def test_a_memory_of_version_2_is_migrated_with_all_that_is_in_it(old: Path) -> None:
    lines = list(export(old / "memory.sqlite"))
    assert len(lines) == stats(old / "memory.sqlite").count == 2
    async with open_memory(old / "memory.sqlite", HashedNgrams()) as memory:
        [first, second] = [item.experience for item in await memory.recall("x", 9)]
        assert {first.operator, second.operator} == {"few_shot"}
        assert await memory.remember(first, ("r", 1)) == await memory.remember(first, ("r", 1)) == 3
        assert await memory.remembered("r") == {1}
    assert list(export(old / "memory.sqlite"))[:2] == lines


def test_a_journal_of_version_4_is_read_with_all_that_is_in_it(tmp_path: Path) -> None:
    """A search of eight assignments at width 2, as an earlier release wrote it: no partner has an ancestor."""
    path = Path(shutil.copy(SCHEMA_4 / "journal.sqlite", tmp_path / "journal.sqlite"))
    told = list(read_journal(path))
    assert [envelope.id for envelope in told] == sorted(envelope.id for envelope in told)
    partners = [p for e in told if isinstance(e.message, Assignment) for p in e.message.partners]
    assert partners
    assert {partner.ancestor for partner in partners} == {None}
    assert {e.message.filled for e in told if isinstance(e.message, Evaluation)} == {0}


async def test_a_damaged_record_is_one_clear_line(tmp_path: Path) -> None:
    await search(tmp_path)
    (tmp_path / "run" / "run.json").write_bytes(b'{"run": ')
    with pytest.raises(StorageFailed, match="not the record of a run"):
        await search(tmp_path)
    (tmp_path / "run" / "run.json").write_bytes(b'{"version": 9}')
    with pytest.raises(MemoryMismatch, match="a run of version 9"):
        await search(tmp_path)
