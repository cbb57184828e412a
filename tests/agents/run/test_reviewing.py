"""Edits that wait for a person: none joins the archive unaccepted, whatever else happens, and a replay or another
process decides the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.archive.aims import Aims
from agents.archive.ends import INTERRUPTED
from agents.config.configuration import Configuration
from agents.directory.run_directory import JOURNAL
from agents.history.fold import Fold, fold
from agents.history.progress import Progress
from agents.history.replay import replay
from agents.history.trace import trace
from agents.ring.controller import SearchSettings
from agents.ring.team import PERSON, Tell
from agents.run.opening import open_run
from agents.run.reviewing import waiting
from agents.run.search import Run
from agents.run.steering import Steering, command
from agents.study.grid import load_grid
from agents.views.live.waiting import for_person
from agents.views.page.run_summary import RunSummary
from memory.journals.journal import open_journal
from memory.journals.reading import read_journal
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Ledger
from protocols.errors import ConfigError
from protocols.messages import (
    FIRST,
    SHRINK,
    Accept,
    Assignment,
    Critique,
    Envelope,
    Evaluation,
    Message,
    Reject,
    Resumed,
    Stop,
)
from tests.agents.history.test_looking_back import ignore
from tests.agents.run.test_search import configure
from tests.memory.helpers import directory as temporary
from tests.small_task import write_task
from tests.wire_server import WireServer
from tests.world import FIRST_PROMPT, Oracle, Ring, answer, shuffled

pytestmark = pytest.mark.anyio
WHY = "It names a customer."


def ring(seed: int, assignments: int, last: int = 0) -> Ring:
    aims = Aims(patience=6 if seed % 3 else None)
    asked = SearchSettings(
        1 + seed % 3, assignments, prefer=("best", "short")[seed % 2], shrink=seed % 5, aims=aims, review=True
    )
    return Ring(Oracle(delay=shuffled(Random(seed), 3)), asked, seed=seed, last=last)


@dataclass
class Reviewer:
    """Decides about all that waits, now and then; what waited in an earlier process is `before`. It stops the search
    instead once it has decided `most` times."""

    search: Ring
    rng: Random
    before: Sequence[int] = ()
    most: int = 10**6
    bell: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self.progress, self.new = Progress(), list(self.before)
        self.search.bus.tap(self.observe)

    async def observe(self, envelope: Envelope) -> None:
        ending = self.progress.follow(envelope)
        if ending is not None and ending.kind == "waiting":
            self.new.append(ending.assignment)
            self.bell.set()

    async def person(self, tell: Tell) -> None:
        while True:
            while self.new:
                for _ in range(self.rng.randrange(40)):
                    await anyio.lowlevel.checkpoint()
                if not self.most:
                    await tell(Stop(INTERRUPTED))
                    return
                self.most -= 1
                number = self.new.pop(self.rng.randrange(len(self.new)))
                await tell(Accept(number) if self.rng.random() < 0.5 else Reject(number, WHY))
                await tell(Accept(number))  # the second word about it changes nothing
            self.bell = anyio.Event()
            await self.bell.wait()


def check(log: Sequence[Envelope], search: Ring) -> None:
    """Nobody is in who was not accepted, and what was rejected is told to those who come after."""
    decided: dict[int, Accept | Reject] = {}
    asked: dict[int, Assignment] = {}
    under_way: set[int] = set()
    rejected: dict[int, Reject] = {}  # by envelope
    for envelope in log:
        match envelope.message:
            case Accept(number) | Reject(number) as said if number not in decided:
                decided[number] = said
                under_way.discard(number)
                if isinstance(said, Reject):
                    rejected[envelope.id] = said
            case Assignment(assignment=number) as assignment:
                asked[number] = assignment
                under_way.add(number)
                assert len(under_way) <= search.settings.width
                told = [r for at, r in rejected.items() if envelope.cause is not None and at <= envelope.cause]
                if any(asked[r.assignment].section == assignment.section for r in told):
                    assert WHY in assignment.gradient or assignment.operator == SHRINK
                assert assignment.review == (assignment.operator != SHRINK)
                parent = asked.get(assignment.parent)
                assert parent is None or parent.operator == SHRINK or isinstance(decided[parent.assignment], Accept)
            case Critique(assignment=number) as critique:
                if not (critique.evaluation.survived and number in asked and asked[number].review):
                    under_way.discard(number)
            case _:
                pass
    for member in search.controller.archive.members:
        number = member.candidate
        assert number == FIRST or asked[number].operator == SHRINK or isinstance(decided.get(number), Accept)


async def check_folds(log: Sequence[Envelope], search: Ring) -> None:
    """A Controller that is told the same decides the same, and views know as much."""
    again = ring(search.seed, search.settings.assignments)
    again.bus.close()
    folded, progress, summary = Fold(again.controller, log), Progress(search.settings.prefer), RunSummary("best")
    for envelope in log:
        await folded.take(envelope)
        progress.follow(envelope)
        summary.follow(envelope, 0)
    assert not folded.said
    found = [[member.candidate for member in r.controller.archive.members] for r in (again, search)]
    assert found[0] == found[1]
    best = search.controller.archive.best()
    assert progress.best is not None
    assert (progress.best.assignment, progress.prompt) == (best.candidate, best.prompt)
    assert [*progress.waiting] == [*search.controller.waiting] == [*again.controller.waiting]
    assert progress.counts["declined"] == sum(ends["declined"] for ends in search.controller.history.endings.values())
    numbers = [point["assignment"] for point in summary.points]
    assert len({*numbers}) == len(numbers)


@given(seed=st.integers(0, 999), assignments=st.integers(0, 14), most=st.integers(0, 6) | st.just(10**6))
@settings(max_examples=40, deadline=None)
def test_nothing_joins_the_archive_unaccepted_and_a_replay_decides_the_same(
    seed: int, assignments: int, most: int
) -> None:
    async def main() -> None:
        search = ring(seed, assignments)
        reviewer = Reviewer(search, Random(seed), most=most)
        stopped_by = await search.run(reviewer.person)
        assert stopped_by == INTERRUPTED or not search.controller.waiting
        check(search.log, search)
        await check_folds(search.log, search)

    anyio.run(main)


@given(seed=st.integers(0, 999), share=st.floats(0, 1), most=st.integers(0, 6) | st.just(10**6))
@settings(max_examples=40, deadline=None)
def test_what_waited_still_waits_in_the_next_process(seed: int, share: float, most: int) -> None:
    """The journal ends at any envelope, or where a person has stopped the search."""

    async def main() -> None:
        search = ring(seed, 10)
        await search.run(Reviewer(search, Random(seed), most=most).person)
        before = search.log[: max(1, int(share * len(search.log)))]
        last = before[-1].id
        with temporary() as path:
            async with open_journal(path / "journal") as journal:
                for envelope in before:
                    await journal.append(envelope)
            later = ring(seed, 10, last)
            resumed = Resumed(0.0, patience=later.settings.aims.patience)
            opening = await fold(path / "journal", later.controller, FIRST_PROMPT, last + 1, [], resumed)
        progress = Progress()
        for envelope in before:
            progress.follow(envelope)
        assert [*progress.waiting] == [*later.controller.waiting]
        reviewer = Reviewer(later, Random(seed), before=[*later.controller.waiting])
        reviewer.progress = progress
        await later.bus.note(resumed, sender="team")
        await later.team.run(opening, reviewer.person)
        log = [*before, *later.log]
        assert not later.controller.waiting
        check(log, later)
        await check_folds(log, later)

    anyio.run(main)


async def test_no_time_passes_while_only_a_person_is_waited_for(tmp_path: Path) -> None:
    now = 0.0
    configuration = configure(tmp_path / "task", search={"review": True})
    ledger = Ledger(Caps(), {}, lambda: now)
    steering = Steering(configuration, ledger)
    assigned = Assignment(1, "o", "rule", FIRST, FIRST_PROMPT, "", (), (1.0,), review=True)
    won = Critique(1, Evaluation(1, FIRST_PROMPT, (1.0,), True, 0.1, 0.1, 1, 0), {})
    messages: Sequence[Message] = (
        assigned,
        won,
        replace(assigned, assignment=2),
        replace(won, assignment=2),
        Accept(1),
        Reject(2, WHY),
    )
    counted = []
    for number, message in enumerate(messages, 1):
        await steering.observe(Envelope(number, None, "a", "b", now, message))
        now += 10.0
        counted.append(ledger.seconds)
    assert counted == [10.0, 10.0, 20.0, 20.0, 20.0, 30.0]


def reviewed(folder: Path, url: str, **search: object) -> Configuration:
    asked = {"review": True, "width": 1, "assignments": 6, "operators": ["self_reflection"], **search}
    return configure(folder, models={"default": "openai/x"}, providers={"openai": {"base_url": url}}, search=asked)


class Judge:
    """Follows a run of this process, and waits for what waits."""

    def __init__(self, run: Run) -> None:
        self._progress, self._bell = Progress(), anyio.Event()
        run.bus.tap(self._observe)

    async def _observe(self, envelope: Envelope) -> None:
        self._progress.follow(envelope)
        self._bell.set()
        self._bell = anyio.Event()

    async def idle(self, after: int = FIRST) -> list[int]:
        """The candidates that wait, once nothing else is under way, and the candidate `after` does not wait."""
        while not self._progress.idle or after in self._progress.waiting:
            await self._bell.wait()
        return [*self._progress.waiting]


async def test_a_rejected_edit_is_not_in_the_result_and_its_reason_is_in_the_next_request(tmp_path: Path) -> None:
    directory = tmp_path / "run"

    async def say(*words: str) -> str:
        return await to_thread.run_sync(command, directory, words)

    heard: list[str] = []

    def hear(turns: list[tuple[str, str]]) -> str:
        heard.append("\n".join(text for _, text in turns))
        return answer(turns)

    async with WireServer(hear) as server:
        configuration = reviewed(tmp_path / "task", server.openai_url)
        async with open_run(configuration, {}, directory) as run, anyio.create_task_group() as tasks:
            judge = Judge(run)
            tasks.start_soon(run.search)
            [number] = await judge.idle()
            [row] = await to_thread.run_sync(waiting, directory)
            assert row.ending.assignment == number
            assert [change.section for change in row.changes] == ["rule"]
            for words, why in (
                (["accept", "99"], f"candidate 99 does not wait for a person; those that wait are {number}"),
                (["reject", str(number)], "say why in one argument"),
                (["accept", "x"], "'x' is no number of a candidate"),
            ):
                with pytest.raises(ConfigError, match=why):
                    await say(*words)
            before = len(heard)
            assert "is rejected" in await say("reject", str(number), WHY)
            [following] = await judge.idle(after=number)
            asked = [text for text in heard[before:] if "between <new> and </new>" in text]
            assert WHY in asked[0]
            assert "accepted" in await say("accept", str(following))
            await judge.idle(after=following)
            await say("stop")
        assert run.result is not None
        assert (run.result.stopped_by, run.result.candidate) == (INTERRUPTED, following)
        assert run.result.operators["self_reflection"]["declined"] == 1
    assert (await replay(directory, ignore)).candidate == following
    assert [link.ending.kind for link in trace(directory)] == ["first", "survived"]
    said = [e.message for e in read_journal(directory / JOURNAL) if e.sender == PERSON]
    assert said[:2] == [Reject(number, WHY), Accept(following)]
    assert len(waiting(directory)) == 1  # the last, which a resumed run still waits for


def test_the_searches_of_a_sweep_wait_for_nobody(tmp_path: Path) -> None:
    write_task(tmp_path)
    (tmp_path / "grid.toml").write_text('[sweep]\ntasks = ["small.toml"]\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"search\.review: the searches of a sweep wait for nobody"):
        load_grid(tmp_path / "grid.toml", ["search.review=true"])


def test_who_is_waited_for_is_said_in_one_line(tmp_path: Path) -> None:
    assert for_person((), tmp_path) == ""
    assert for_person((3,), tmp_path).startswith("Waiting for a person to decide about candidate 3: `ctl ")
    assert "candidates 3, 7: " in for_person((3, 7), tmp_path)
