"""What decided is what is reported, and what a raised cap undoes: a run that a cap has ended goes on, once that is
raised, exactly where it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.archive.ends import INTERRUPTED
from agents.config.configuration import Configuration
from agents.directory.run_directory import JOURNAL, RESULT, read_document
from agents.history.progress import progress_of
from agents.history.replay import replay
from agents.results.finished import finished, raised, remedy
from agents.results.result import Result
from agents.run.opening import open_run
from agents.run.search import Run
from memory.journals.reading import read_calls, read_journal
from protocols.errors import BudgetExhausted, RunFailed, cap_setting
from protocols.messages import Assignment, Candidate, Change, Critique, Envelope, Evaluation, Failure
from tests.agents.history.test_looking_back import ignore
from tests.agents.run.test_search import configure
from tests.wire_server import Fault, WireServer
from tests.world import answer

pytestmark = pytest.mark.anyio
SEARCH: dict[str, Any] = {
    "seed": 1,  # all six edits differ, and are raced
    "width": 1,
    "assignments": 6,
    "operators": ["self_reflection", "few_shot"],
    "critique": 12,
    "credit_share": 0.5,
    "concurrency": 1,
    "max_unanswered": 0.5,
}
PRICE = {"input": 1.0, "output": 1.0}


def configured(folder: Path, url: str, budget: dict[str, Any], **search: Any) -> Configuration:
    tables: dict[str, Any] = {
        "models": {"default": "openai/some-model"},
        "providers": {"openai": {"base_url": url, "price": PRICE, "reply_tokens": 64}},
        "search": SEARCH | search,
        "budget": budget,
    }
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        return configure(folder, **tables)
    configuration = configure(folder.with_name(f"again-{len(list(folder.parent.iterdir()))}"), **tables)
    return configuration.model_copy(update={"origin": folder})


def found(result: Result) -> dict[str, Any]:
    """A result but for what it took."""
    took = ("calls", "saved", "tokens", "roles", "seconds", "dollars", "estimated")
    document: dict[str, Any] = orjson.loads(orjson.dumps(asdict(result)))
    return {key: value for key, value in document.items() if key not in took}


async def searched(
    configuration: Configuration, place: Path, tap: Callable[[Any, Envelope], Any] | None = None
) -> Result:
    async with open_run(configuration, {}, place) as run:
        if tap is not None:

            async def observe(envelope: Envelope) -> None:
                await tap(run, envelope)

            run.bus.tap(observe)
        return await run.search()


async def whole(tmp_path: Path) -> Result:
    """A run that no cap has cut."""
    async with WireServer(answer) as server:
        return await searched(configured(tmp_path / "task", server.openai_url, {}), tmp_path / "whole")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """The same, made once, and its directory."""
    place = tmp_path_factory.mktemp("alone")
    return anyio.run(whole, place), place / "whole"


def for_the_search(directory: Path) -> int:
    """The calls that were made for it, those of a held-out report left out: another winner has another report."""
    return sum(call.assignment is not None for call in read_calls(directory / JOURNAL))


def capping(cap: str, limit: float) -> dict[str, Any]:
    """The table `[budget]`."""
    budget: dict[str, Any] = {cap.split(".")[-1]: limit}
    for table in cap.split(".")[-2::-1]:
        budget = {table: budget}
    return budget


CAPS: dict[str, Callable[[Result], float]] = {
    "calls": lambda whole: sum(whole.calls.values()),
    "tokens": lambda whole: sum(whole.tokens.values()),
    "dollars": lambda whole: whole.dollars or 0.0,
    "roles.task.calls": lambda whole: whole.calls["task"],
    "roles.proposer.calls": lambda whole: whole.calls["proposer/self_reflection"],
}
"""What ends a search, and how much of it a whole one takes."""
SHARES = (0.45, 0.6, 0.7, 0.8, 0.9, 0.97)
"""It bites at the first prompt's minibatch, in the middle, in the last assignments, in their credit."""


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("cap", CAPS)
async def test_a_raised_cap_undoes_what_it_decided_and_pays_for_nothing_twice(
    tmp_path: Path, alone: tuple[Result, Path], cap: str, share: float
) -> None:
    (other, uncut), place = alone, tmp_path / "run"
    limit = share * CAPS[cap](other)
    limit = limit if cap == "dollars" else int(limit)
    async with WireServer(answer) as server:

        def capped(limit: float | None, **search: Any) -> Configuration:
            budget = {} if limit is None else capping(cap, limit)
            return configured(tmp_path / "task", server.openai_url, budget, **search)

        result = await searched(capped(limit), place)
        *_, scope, kind = ["", *cap.split(".")]
        assert result.stopped_by == f"budget: {BudgetExhausted(kind, limit, scope).name}"
        ended = finished(capped(limit), place)
        assert ended is not None, "unchanged, it is at its end"
        assert f"raise budget.{cap}" in remedy(ended[1])
        assert finished(capped(limit, assignments=50), place) is not None, "more assignments are no more budget"
        assert finished(capped(limit / 2 if cap == "dollars" else limit - 1), place) is not None
        assert (await replay(place, ignore)).stopped_by == result.stopped_by
        assert finished(capped(None), place) is None
        result = await searched(capped(None), place)
    assert found(result) == found(other)
    assert for_the_search(place) == for_the_search(uncut)
    assert (await replay(place, ignore)).stopped_by == "assignments"
    progress = progress_of(place)
    assert (progress.ended, len(progress.open), progress.counts["budget"]) == (6, 0, 0)
    assert (progress.best and progress.best.assignment) == result.candidate


@pytest.mark.parametrize("scope", ["credit", "critic"])
async def test_a_cap_that_ends_nothing_is_no_reason(tmp_path: Path, scope: str) -> None:
    async with WireServer(answer) as server:
        budget = {"roles": {scope: {"calls": 1}}}
        result = await searched(configured(tmp_path / "task", server.openai_url, budget), tmp_path / "run")
    assert (result.stopped_by, result.assignments, result.calls[scope]) == ("assignments", 6, 1)


async def test_a_cap_that_bites_while_the_last_assignments_are_in_flight_is_what_ended_it(tmp_path: Path) -> None:
    """All were issued at once, so that there was none left to issue when it bit."""
    async with WireServer(answer) as server:
        url, place = server.openai_url, tmp_path / "run"
        wide: dict[str, Any] = {"width": 6, "assignments": 6, "concurrency": 2}
        result = await searched(configured(tmp_path / "task", url, {"calls": 70}, **wide), place)
        assert (result.assignments, result.stopped_by) == (6, "budget: calls")
        assert finished(configured(tmp_path / "task", url, {"calls": 70}, **wide), place) is not None
        more = configured(tmp_path / "task", url, {"calls": 700}, **wide)
        assert finished(more, place) is None
        result = await searched(more, place)
    assert (result.assignments, result.stopped_by, result.failures) == (6, "assignments", {})
    assert (await replay(place, ignore)).stopped_by == "assignments"


async def test_the_first_reason_wins(tmp_path: Path) -> None:
    """The cap of the task ends it; what is refused to another later is no reason."""
    async with WireServer(answer) as server:
        budget = {"calls": 400, "roles": {"task": {"calls": 70}, "critic": {"calls": 1}}}
        configuration = configured(tmp_path / "task", server.openai_url, budget, width=4)
        result = await searched(configuration, tmp_path / "run")
    assert result.stopped_by == "budget: calls of task"


@pytest.mark.parametrize(
    ("width", "after", "budget", "reason"),
    [
        (1, 1, {}, "interrupted"),
        (1, 6, {}, "assignments"),  # it came too late to stop anything
        (6, 6, {}, "assignments"),
        (1, 1, {"calls": 80}, "interrupted"),
        (6, 6, {"calls": 70}, "budget: calls"),
    ],
)
async def test_a_stop_is_the_reason_where_it_stopped_something(
    tmp_path: Path, width: int, after: int, budget: dict[str, Any], reason: str
) -> None:
    async def stop(run: Any, envelope: Envelope) -> None:
        if isinstance(envelope.message, Assignment) and envelope.message.assignment == after:
            await run.team.stop("interrupted")

    async with WireServer(answer) as server:
        configuration = configured(tmp_path / "task", server.openai_url, budget, width=width, concurrency=2)
        result = await searched(configuration, tmp_path / "run", stop)
        assert result.stopped_by == reason
        assert (finished(configuration, tmp_path / "run") is None) == (reason == "interrupted")
        more = configured(tmp_path / "task", server.openai_url, {}, width=width, concurrency=2)
        result = await searched(more, tmp_path / "run")
    assert (result.stopped_by, result.assignments) == ("assignments", 6)


async def test_minutes_that_are_raised_undo_what_they_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(10**6))
    monkeypatch.setattr("agents.models.budget.time.monotonic", lambda: 0.1 * next(ticks))
    alone = await whole(tmp_path)
    limit = 0.6 * alone.seconds / 60
    async with WireServer(answer) as server:
        url, place = server.openai_url, tmp_path / "run"
        result = await searched(configured(tmp_path / "task", url, {"minutes": limit}), place)
        assert result.stopped_by == "budget: minutes"
        assert result.test is not None, "what was held back may be spent"
        again = finished(configured(tmp_path / "task", url, {"minutes": limit}), place)
        assert again is not None
        assert "raise budget.minutes" in remedy(again[1])
        assert finished(configured(tmp_path / "task", url, {"minutes": limit, "calls": 10_000}), place) is not None
        result = await searched(configured(tmp_path / "task", url, {"minutes": 500}), place)
    assert found(result) == found(alone)


@pytest.mark.parametrize("jump", [3e8, -3e8])
async def test_a_clock_that_is_set_costs_no_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """By ten years with every message, in both processes of a run that is stopped in the middle."""
    jumps = count()
    monkeypatch.setattr("agents.run.search.time.time", lambda: 1.7e9 + jump * next(jumps))

    async def stop(run: Any, envelope: Envelope) -> None:
        if isinstance(envelope.message, Assignment) and envelope.message.assignment == 3:
            await run.team.stop("interrupted")

    async with WireServer(answer) as server:
        configuration = configured(tmp_path / "task", server.openai_url, {"minutes": 60})
        first = await searched(configuration, tmp_path / "run", stop)
        result = await searched(configuration, tmp_path / "run")
    assert (first.stopped_by, result.stopped_by, result.assignments) == ("interrupted", "assignments", 6)
    assert 0 < first.seconds < result.seconds < 3600


async def test_a_cap_at_the_first_evaluation_says_what_to_raise_and_is_undone(
    tmp_path: Path, alone: tuple[Result, Path]
) -> None:
    """A cap that has room for all calls, but not for so many second tries."""
    async with WireServer(answer) as server:
        url, place = server.openai_url, tmp_path / "run"
        server.faults.extend([Fault("drop")] * 40)
        capped = {"roles": {"task": {"calls": 40}}}
        for _ in range(2):  # the waits before second tries pass side by side
            with pytest.raises(RunFailed, match=r"first prompt .* raise budget\.roles\.task\.calls"):
                await searched(configured(tmp_path / "task", url, capped, concurrency=40), place)
        server.faults.clear()
        asked = server.stats.calls
        result = await searched(configured(tmp_path / "task", url, {}), place)
        assert server.stats.calls - asked > 0
    assert result.stopped_by == "assignments"
    assert found(result) == found(alone[0])


async def test_what_a_person_stops_of_the_last_assignments_is_taken_up_again(
    tmp_path: Path, alone: tuple[Result, Path]
) -> None:
    """Calls that wait for their turn are given up, though all assignments were made: there is more to do."""

    async def stop(run: Run, envelope: Envelope) -> None:
        if isinstance(envelope.message, Candidate) and envelope.message.assignment == 6:
            await run.stop(INTERRUPTED)

    async with WireServer(answer) as server:
        configuration = configured(tmp_path / "task", server.openai_url, {})
        first = await searched(configuration, tmp_path / "run", stop)
        assert (first.stopped_by, first.assignments) == (INTERRUPTED, 6)
        assert first.failures["stopped"] > 0
        assert finished(configuration, tmp_path / "run") is None
        result = await searched(configuration, tmp_path / "run")
    assert found(result) == found(alone[0])


async def test_what_is_left_unanswered_of_an_evaluation_that_was_cut_short_counts_once(tmp_path: Path) -> None:
    async with WireServer(answer) as server:
        url, place = server.openai_url, tmp_path / "run"
        refusal = Fault(status=400, body=b'{"error": {"message": "no", "type": "invalid_request_error"}}')
        server.faults.append(refusal)
        await searched(configured(tmp_path / "task", url, {"calls": 40}), place)
        server.faults.append(refusal)  # of the same example: the cache has the others
        result = await searched(configured(tmp_path / "task", url, {}), place)
    assert sum(result.unanswered.values()) == 1


async def test_a_critique_that_a_cap_has_cut_short_is_made_good(tmp_path: Path) -> None:
    """At the first prompt's minibatch: nothing is assigned that would have to do without its critique."""
    async with WireServer(answer) as server:
        url, place = server.openai_url, tmp_path / "run"
        result = await searched(configured(tmp_path / "task", url, {"calls": 40}), place)
        told = [e.message for e in read_journal(place / JOURNAL, (Evaluation, Critique, Assignment, Failure))]
        assert [type(message).__name__ for message in told] == ["Evaluation", "Critique"]
        assert [m.cut_by for m in told if isinstance(m, Critique)] == ["calls"]
        assert (result.stopped_by, result.assignments, result.failures) == ("budget: calls", 0, {})
        await searched(configured(tmp_path / "task", url, {}), place)
    critiques = [e.message for e in read_journal(place / JOURNAL, (Critique,), 0)]
    assert [m.cut_by for m in critiques if isinstance(m, Critique)] == ["calls", ""]
    assert [bool(m.gradients) for m in critiques if isinstance(m, Critique)] == [False, True]


async def test_an_operator_whose_cap_is_raised_while_the_search_works_is_offered_again(tmp_path: Path) -> None:
    refused = anyio.Event()

    async def observe(run: Any, envelope: Envelope) -> None:
        if isinstance(envelope.message, Failure) and envelope.message.kind == "allowance":
            refused.set()

    runs: list[Run] = []

    async def raise_it() -> None:
        """With the next answer of the server."""
        if refused.is_set() and runs:
            change = Change("budget.operators.self_reflection.calls", 100.0, 1.0)
            await runs.pop().bus.send(change, sender="person")

    async with WireServer(answer, delay=raise_it) as server:
        budget = {"operators": {"self_reflection": {"calls": 1}}}
        search = {"operators": ["self_reflection", "self_consistency"], "assignments": 30, "selector": "round_robin"}
        configuration = configured(tmp_path / "task", server.openai_url, budget, **search)
        async with open_run(configuration, {}, tmp_path / "run") as run:
            runs.append(run)
            run.bus.tap(partial(observe, run))
            result = await run.search()
    told = [e.message for e in read_journal(tmp_path / "run" / JOURNAL, (Assignment, Failure, Change))]
    [place] = [place for place, message in enumerate(told) if isinstance(message, Change)]
    later = [message.operator for message in told[place:] if isinstance(message, Assignment)]
    assert "self_reflection" in later
    assert result.stopped_by == "assignments"
    assert (await replay(tmp_path / "run", ignore)).assignments == 30


async def test_a_result_of_an_earlier_release_that_a_cap_has_cut_goes_on(tmp_path: Path) -> None:
    """It said `assignments` where a cap had refused the last of them."""
    async with WireServer(answer) as server:
        url, place = server.openai_url, tmp_path / "run"
        wide: dict[str, Any] = {"width": 6, "concurrency": 2}
        await searched(configured(tmp_path / "task", url, {"calls": 70}, **wide), place)
        document = read_document(place / RESULT)
        assert document is not None
        (place / RESULT).write_bytes(orjson.dumps({**document, "stopped_by": "assignments"}))
        assert finished(configured(tmp_path / "task", url, {"calls": 70}, **wide), place) is not None
        assert finished(configured(tmp_path / "task", url, {"calls": 700}, **wide), place) is None


CAP = st.none() | st.integers(1, 9)
ROLES = st.dictionaries(st.sampled_from(["task", "critic"]), st.fixed_dictionaries({"calls": CAP}))
TABLES = st.fixed_dictionaries({"calls": CAP, "minutes": CAP, "roles": ROLES})


@given(before=TABLES, now=TABLES)
def test_what_is_raised_is_what_allows_more(before: dict[str, Any], now: dict[str, Any]) -> None:
    def flat(table: dict[str, Any]) -> dict[str, float]:
        roles = {f"budget.roles.{role}.{cap}": v for role, caps in table["roles"].items() for cap, v in caps.items()}
        caps = {f"budget.{cap}": value for cap, value in table.items() if cap != "roles"} | roles
        return {name: value for name, value in caps.items() if value is not None}

    more = {name for name, cap in flat(before).items() if flat(now).get(name, float("inf")) > cap}
    new = flat(now).keys() - flat(before).keys()  # another cap may have been set while the search worked
    assert raised(before, now) == more | new


@pytest.mark.parametrize(
    ("scope", "setting"),
    [
        ("", "budget.calls"),
        ("critic", "budget.roles.critic.calls"),
        ("proposer", "budget.roles.proposer.calls"),
        ("proposer/few_shot", "budget.operators.few_shot.calls"),
    ],
)
def test_a_refusal_names_the_setting(scope: str, setting: str) -> None:
    error = BudgetExhausted("calls", 5, scope)
    assert str(error).endswith(f"is used up; raise {setting}")
    assert cap_setting(error.name) == setting
