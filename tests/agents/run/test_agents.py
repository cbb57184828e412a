"""Agents of a user's own in the places of the ring's, nobody in the critic's, and observers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from agents.check.doctor import diagnose
from agents.config.configuration import load
from agents.directory.run_directory import JOURNAL
from agents.history.replay import replay
from agents.results.result import Result
from agents.run.opening import open_run
from memory.journals.reading import read_calls, read_journal
from protocols.errors import BusError, ConfigError
from protocols.messages import Assignment, Envelope, Evaluation, Failure, Fault, Finished
from protocols.wrappers.recorded import Call
from tests.agents.run.own_agents import MODULE
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
SEARCH: Mapping[str, object] = {
    "assignments": 5,
    "width": 2,
    "critique": 12,
    "shrink": 0,
    "operators": ["few_shot", "self_reflection"],
}


async def search(folder: Path, *settings: str, out: str = "run") -> Result:
    """A search, or one that goes on."""
    path = write_task(folder / "task", tables={"search": SEARCH})
    async with open_run(load(path, settings), {}, folder / out) as run:
        return await run.search()


def own(place: str, name: str) -> str:
    return f"agents.{place}={MODULE}:{name}"


def journal(folder: Path, out: str = "run") -> list[Envelope]:
    return list(read_journal(folder / out / JOURNAL))


def told(folder: Path, out: str = "run") -> list[Envelope]:
    """The journal without the times."""
    return [replace(envelope, time=0.0) for envelope in journal(folder, out)]


async def ignore(event: Envelope | Call) -> None:
    pass


@pytest.mark.parametrize("place", ["critic", "evaluator", "proposers.few_shot"])
async def test_an_agent_that_does_as_the_usual_one_makes_the_same_search(tmp_path: Path, place: str) -> None:
    usual = await search(tmp_path, "search.width=1", out="usual")
    with_own = await search(tmp_path, "search.width=1", own(place, "AsUsual"))
    assert told(tmp_path) == told(tmp_path, "usual")
    assert (with_own.calls, with_own.best, with_own.test) == (usual.calls, usual.best, usual.test)
    assert (await replay(tmp_path / "run", ignore)).stopped_by == "assignments"


async def test_what_a_critic_of_ones_own_says_is_what_the_operators_hear(tmp_path: Path) -> None:
    result = await search(tmp_path, own("critic", "Shouts"))
    assignments = [e.message for e in journal(tmp_path) if isinstance(e.message, Assignment)]
    assert len(assignments) == 5
    assert {assignment.gradient for assignment in assignments} == {"Louder!"}
    assert result.calls["critic"] == 0


async def test_without_a_critic_nobody_is_asked_for_gradients_or_credit(tmp_path: Path) -> None:
    result = await search(tmp_path, "agents.critic=none", "models.critic=openai/unreachable")
    assert not {"critic", "credit"} & {call.role for call in read_calls(tmp_path / "run" / JOURNAL)}
    assert "critic" not in result.models
    for envelope in journal(tmp_path):
        if isinstance(envelope.message, Assignment):
            assert envelope.message.gradient == ""
            assert envelope.message.outcomes


@pytest.mark.parametrize("place", ["critic", "evaluator", "proposers.few_shot"])
async def test_an_answer_of_the_wrong_type_fails_the_run_and_not_the_bus(tmp_path: Path, place: str) -> None:
    with pytest.raises(BusError, match=r"answered a \w+ with a \w+, and not with a \w+"):
        await search(tmp_path, own(place, "Echo"), "search.operators=['few_shot']")


async def test_what_an_agent_drops_is_a_failure_of_its_assignment(tmp_path: Path) -> None:
    result = await search(tmp_path, own("evaluator", "Mute"))
    assert result.failures["dropped"] == result.assignments - result.failures.get("inapplicable", 0) > 0


async def test_a_run_goes_on_with_the_agents_that_it_began_with_alone(tmp_path: Path) -> None:
    watched = own("observers", "Watcher").replace("=", "=['") + "']"
    await search(tmp_path, own("critic", "Shouts"))
    for settings in ((), ("agents.critic=none",), (own("critic", "AsUsual"),)):
        with pytest.raises(ConfigError, match=r"agents\.critic is"):
            await search(tmp_path, *settings)
    await search(tmp_path, own("critic", "Shouts"), watched)


def observers(*names: str) -> str:
    return f"agents.observers={[f'{MODULE}:{name}' for name in names]}"


async def test_observers_see_the_journal_and_change_nothing(tmp_path: Path) -> None:
    """Those of a run that goes on see what comes from then on."""
    await search(tmp_path, "search.width=1", out="unseen")
    await search(tmp_path, "search.width=1", observers("Watcher"))
    assert told(tmp_path) == told(tmp_path, "unseen")
    await search(tmp_path, "search.width=1", "search.assignments=7", observers("Watcher"))
    seen = (tmp_path / "run" / "seen.txt").read_text(encoding="utf-8").split()
    assert seen == [str(envelope.id) for envelope in journal(tmp_path)]


async def test_an_observer_that_raises_fails_the_run_which_then_goes_on(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="at 0"):
        await search(tmp_path, observers("Squeamish", "Watcher"))
    assert not [e for e in journal(tmp_path) if isinstance(e.message, Finished | Fault)]
    assert (await search(tmp_path)).assignments == 5


async def test_an_observers_exceptions_may_be_tolerated_and_are_on_record(tmp_path: Path) -> None:
    result = await search(tmp_path, observers("Squeamish", "Squeamish"), "search.on_agent_error=skip")
    assert (result.assignments, result.stopped_by) == (5, "assignments")
    there = journal(tmp_path)
    evaluations = [envelope.id for envelope in there if isinstance(envelope.message, Evaluation)]
    faults = [envelope for envelope in there if isinstance(envelope.message, Fault)]
    for number in (1, 2):
        assert [e.cause for e in faults if e.sender == f"observer/{number}"] == evaluations
    assert all(e.message.reason.startswith("ZeroDivisionError: at") for e in faults if isinstance(e.message, Fault))
    assert not [e for e in there if isinstance(e.message, Failure) and e.message.kind == "raised"]
    assert (await replay(tmp_path / "run", ignore)).stopped_by == "assignments"
    with pytest.raises(ZeroDivisionError):
        await search(
            tmp_path, observers("Squeamish"), "search.on_agent_error=skip", "search.agent_errors=1", out="other"
        )


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("agents.critic=Shouts", "agents.critic: 'Shouts' is not module:Class"),
        ("agents.evaluator=none", "agents.evaluator: 'none' is not module:Class"),
        ("agents.critic=nowhere:A", "agents.critic 'nowhere:A' cannot be imported: No module named 'nowhere'"),
        (own("critic", "Watcher"), f"agents.critic: '{MODULE}:Watcher' has no method handle (docs/agents.md)"),
        (observers("Shouts"), f"agents.observers: '{MODULE}:Shouts' has no method observe (docs/agents.md)"),
        (own("proposers.merge", "AsUsual"), "agents.proposers.merge: no such operator in search.operators"),
        ("agents.critics=none", "unknown key agents.critics; did you mean agents.critic?"),
    ],
)
async def test_what_cannot_take_a_place_is_refused_before_anything_is_written(
    tmp_path: Path, setting: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        await search(tmp_path, setting)
    assert expected in str(caught.value)
    assert not (tmp_path / "run").exists()
    found = await diagnose(tmp_path / "task" / "small.toml", [setting], {}, offline=True)
    assert any(expected in finding.text for finding in found.findings if finding.status == "failed")
