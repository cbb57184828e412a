"""What is remembered is used: by the Proposer, by the Controller's selector, and only where the switches say so."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import orjson
import pytest

from agents.archive.choices import Choices
from agents.config.configuration import load
from agents.history.recycling import DAY, pack, recall_past, recycle, unpack
from agents.operators.operator import WHOLE, Context, part
from agents.operators.writing import show_recalled
from agents.prompting.retrieval_slots import open_slots
from agents.ring.agent import _respond
from agents.ring.controller import Controller, SearchSettings
from agents.ring.proposer import RECALLED, Proposer
from agents.run.opening import open_run
from agents.selectors.baselines import Uniform
from agents.selectors.msgd_rl import MSGDRL, PastEpisode
from memory.experience import Experience
from memory.store import Memory, open_memory
from memory.upkeep import export, stats
from protocols.bus import Bus
from protocols.embedding import HashedNgrams
from protocols.errors import EditRejected
from protocols.kinds.labelled import classification
from protocols.messages import FIRST, Assignment, Candidate, Critique, Envelope, Evaluation, Failure
from protocols.metrics.match import Accuracy
from protocols.model import Reply, Request
from protocols.prompt import Prompt, Section
from protocols.task import Example, Task
from tests.small_task import write_task
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
NOW = 2e9
LABELS = ("no", "yes")
SPLIT = tuple(Example(str(n), {"text": f"text {n}"}, LABELS[n % 2]) for n in range(4))
KIND = classification(dict.fromkeys(("train", "validation", "test"), SPLIT))
TASK = Task("t", SPLIT, SPLIT, SPLIT, Accuracy(KIND), ("text",), KIND)
PROMPT = Prompt((Section("rule", "task", "old"), Section("input", "task", "Text: {text}", frozen=True)))
ASSIGNMENT = Assignment(1, "writes", "rule", FIRST, PROMPT, "be brief", (), (0.0, 1.0))
PAST = Experience("t", "rule", "task", "writes", "old", "new", "be brief", 0.04, 60, 3, "survived", NOW)


@dataclass
class Silent:
    name: str = "silent"

    async def complete(self, request: Request) -> Reply:
        raise AssertionError("nobody is asked")


@dataclass
class Writes:
    """An operator that writes one text."""

    text: str = "new"
    name: str = "writes"
    contexts: list[Context] = field(default_factory=list)

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        return [section.name for section in prompt]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        self.contexts.append(context)
        return assignment.prompt.edit(assignment.section, self.text, context.task.fields)


def proposer(operator: Writes, memory: Memory | None) -> Proposer:
    return Proposer(operator, Silent(), open_slots(TASK, ()), memory, 1, 0.0, lambda: NOW)


@pytest.mark.parametrize(
    ("endings", "refused"),
    [
        (("lost",), True),
        (("rejected", "lost"), True),
        (("survived",), False),
        (("lost", "survived"), False),
        ((), False),
    ],
)
async def test_what_has_failed_is_not_tried_again(tmp_path: Path, endings: Sequence[str], refused: bool) -> None:
    async with open_memory(tmp_path / "m.db", HashedNgrams()) as memory:
        for ending in endings:
            await memory.remember(replace(PAST, outcome=ending))  # type: ignore[arg-type]
        for other in ({"task": "u"}, {"section": "r"}, {"before": "older"}, {"after": "newer"}):
            await memory.remember(replace(PAST, outcome="lost", **other))  # type: ignore[arg-type]
        if refused:
            with pytest.raises(EditRejected, match="tried before: lost 1×") as caught:
                await proposer(Writes(), memory).handle(ASSIGNMENT)
            assert caught.value.text == "new"
        else:
            [candidate] = await proposer(Writes(), memory).handle(ASSIGNMENT)
            assert isinstance(candidate, Candidate)
        assert await proposer(Writes(), None).handle(ASSIGNMENT)


@pytest.mark.parametrize(
    ("kept_with", "asked_with", "refused"),
    [
        ("openai/a", "openai/a", True),
        ("openai/a", "openai/b", False),
        ("openai/a", "", True),  # who names no model asks for all
        ("", "openai/a", False),  # of an earlier release, which did not keep it
        ("", "", True),
    ],
)
async def test_what_has_failed_with_another_model_may_be_tried_with_this(
    tmp_path: Path, kept_with: str, asked_with: str, refused: bool
) -> None:
    async with open_memory(tmp_path / "m.db", HashedNgrams()) as memory:
        await memory.measured_with(kept_with).remember(replace(PAST, outcome="lost"))
        [kept] = await memory.recall("anything", 1)
        assert kept.experience.model == kept_with
        if refused:
            with pytest.raises(EditRejected, match="tried before: lost 1×"):
                await proposer(Writes(), memory.measured_with(asked_with)).handle(ASSIGNMENT)
        else:
            assert await proposer(Writes(), memory.measured_with(asked_with)).handle(ASSIGNMENT)


async def test_a_search_remembers_which_model_answered_its_task(tmp_path: Path) -> None:
    """And a later one, with another model, tries again what was tried with the first."""
    path = tmp_path / "shared.db"
    async with WireServer(answer) as server:
        settings = [f"memory.path={path}", f"providers.openai.base_url={server.openai_url}", "search.assignments=2"]
        config = write_task(tmp_path / "task")
        for name in ("a", "b"):
            task = [f"models.task=openai/{name}", f"models.default=openai/{name}", *settings]
            async with open_run(load(config, task), {}, tmp_path / name) as run:
                await run.search()
    kept = [orjson.loads(line) for line in export(path) if line is not None]
    assert [row["model"] for row in kept] == ["openai/a"] * 2 + ["openai/b"] * 2


async def test_a_proposer_is_shown_what_worked_and_what_did_not(tmp_path: Path) -> None:
    """One record claims much for an edit that four say costs: it is not shown as what worked."""
    async with open_memory(tmp_path / "m.db", HashedNgrams()) as memory:
        for n, reward in enumerate((0.05, 0.03, 0.02, 0.01, -0.01, -0.02, -0.03)):
            await memory.remember(replace(PAST, after=f"edit {n}", reward=reward))
        for _ in range(4):
            await memory.remember(replace(PAST, after="a lie", reward=-0.06))
        await memory.remember(replace(PAST, after="a lie", reward=1.0, evidence=10**6))
        await memory.remember(replace(PAST, after="broken", reward=-0.5, evidence=0, outcome="rejected"))
        await memory.remember(replace(PAST, after="of another kind", reward=0.5, kind="format"))
        operator = Writes("something else")
        [candidate] = await proposer(operator, memory).handle(ASSIGNMENT)
    shown = operator.contexts[0].recalled
    assert isinstance(candidate, Candidate)
    assert candidate.recalled == tuple(edit.recalled.experience.id for edit in shown)
    texts = [edit.recalled.experience.after for edit in shown]
    assert texts[:2] == ["edit 0", "edit 1"]
    assert texts[-1] == "edit 6"
    assert shown[texts.index("a lie")].value < 0 < shown[0].value < 0.05
    text = show_recalled(shown, {"edit 1"})
    assert [f"edit {n}" in text for n in range(7)] == [True, False, True, False, False, True, True]
    for measured, after in (("+0.050", "edit 0"), ("+0.020", "edit 2"), ("-0.030", "edit 6")):
        assert f"({measured} on 60 examples, kept) wrote:\n{after}" in text, "as it was measured"


async def test_whole_prompts_are_no_past_edits_of_a_section(tmp_path: Path) -> None:
    """merge and define_sort leave them, as texts of the kind of a task section; both are shown what is alike."""
    whole = part(PROMPT, WHOLE)
    assert whole.kind == PAST.kind
    merged = replace(PAST, section=whole.name, before=whole.text, after="=== rule (task) ===\nother", reward=0.3)
    async with open_memory(tmp_path / "m.db", HashedNgrams()) as memory:
        for n in range(RECALLED):
            await memory.remember(replace(merged, after=f"{merged.after} {n}"))
        await memory.remember(PAST)
        for section, alike in (("rule", {"rule"}), (WHOLE, {whole.name})):
            operator = Writes()
            with suppress(KeyError):  # no section that it could write is named so
                await proposer(operator, memory).handle(replace(ASSIGNMENT, section=section))
            [found] = operator.contexts
            assert {edit.recalled.experience.section for edit in found.recalled} == alike


async def test_failures_are_remembered_with_the_text_that_was_rejected(tmp_path: Path) -> None:
    operator = Writes("no {text} allowed")
    async with open_memory(tmp_path / "m.db", HashedNgrams()) as memory:
        settings = SearchSettings(width=1, assignments=9, failure_reward=-0.5)
        choices = Choices({"writes": operator}, TASK, HashedNgrams())

        async def remember(assignment: int, experience: Experience) -> None:
            await memory.remember(experience, ("run", assignment))

        it = Controller(TASK, choices, Uniform(Random(0)), settings, remember, Random(0), lambda: NOW)
        it.begin(PROMPT)
        evaluation = Evaluation(FIRST, PROMPT, (0.0,) * 4, True, 0.0, 0.1, 0, 0)
        [assignment] = await it.handle(Critique(FIRST, evaluation, {"rule": "be brief"}))
        assert isinstance(assignment, Assignment)
        envelope = Envelope(1, None, "controller", "proposer/writes", 0.0, assignment)
        [failure] = await _respond(proposer(operator, memory), envelope, Bus(lambda: 0.0), lambda error: False)
        assert isinstance(failure, Failure)
        assert (failure.kind, failure.text) == ("rejected", operator.text)
        await it.handle(failure)
        for number, kind in enumerate(("unreadable", "inapplicable", "call", "dropped"), start=2):
            await it.handle(Failure(number, kind, "why"))  # type: ignore[arg-type]
        remembered = [item.experience for item in await memory.recall("x", 99)]
        assert {e.outcome for e in remembered} == {"rejected", "unreadable", "inapplicable"}
        assert {(e.evidence, e.reward, e.before, e.gradient) for e in remembered} == {(0, -0.5, "old", "be brief")}
        assert await memory.tried("t", "rule", "old", operator.text) == {"rejected": 1}


def answer(turns: list[tuple[str, str]]) -> str:
    """A label, or a new text."""
    return "parcel"


class Recycles(Uniform):
    """A selector that keeps what it is handed."""

    def __init__(self) -> None:
        super().__init__(Random(0))
        self.taken: list[PastEpisode] = []

    def recycle(self, episodes: Sequence[PastEpisode]) -> None:
        self.taken += episodes


async def test_a_selector_begins_with_the_past_if_it_takes_it(tmp_path: Path) -> None:
    operators, embedder = {"writes": Writes()}, HashedNgrams()
    async with open_memory(tmp_path / "m.db", embedder) as memory:
        selector = Recycles()
        assert await recall_past(selector, memory, TASK, PROMPT, operators, NOW) == []
        recycle(selector, [])
        await memory.remember(replace(PAST, time=NOW - 3 * DAY))
        await memory.remember(replace(PAST, task="u", reward=-0.2, outcome="lost", time=NOW + 9 * DAY))
        await memory.remember(replace(PAST, operator="unknown"))
        past = await recall_past(selector, memory, TASK, PROMPT, operators, NOW)
        recycle(selector, past)
        ours, other = selector.taken
        assert (ours.operator, ours.kind, ours.reward) == ("writes", "task", 0.04)
        assert (ours.age, ours.same_task) == (3, True)
        assert (other.age, other.same_task) == (0, False)
        await memory.measured_with("openai/a").remember(replace(PAST, reward=0.09))
        theirs = await recall_past(selector, memory.measured_with("openai/b"), TASK, PROMPT, operators, NOW)
        assert {row.reward: row.same_task for row in theirs} == {0.04: True, -0.2: False, 0.09: False}
        assert await recall_past(Uniform(Random(0)), memory, TASK, PROMPT, operators, NOW) == []
        recycle(MSGDRL(Random(0)), past)
        assert unpack(pack(past)) == past
        assert unpack(pack([])) == []
        assert unpack({}) is None


@pytest.mark.parametrize(("read", "write"), [(True, True), (True, False), (False, True), (False, False)])
async def test_the_switches_of_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: bool, write: bool
) -> None:
    """What language models have taught before is no memory: a selector begins with it in any case."""
    given: list[int] = []
    monkeypatch.setattr(MSGDRL, "recycle", lambda self, episodes: given.append(len(episodes)))
    config, path = write_task(tmp_path / "task"), tmp_path / "shared.db"
    base = ["search.selector=msgd_rl", f"memory.path={path}"]

    async def search(name: str, *settings: str) -> set[int]:
        async with open_run(load(config, [*base, *settings]), {}, tmp_path / name) as run:
            recalled: set[int] = set()

            async def watch(envelope: Envelope) -> None:
                if isinstance(envelope.message, Candidate):
                    recalled.update(envelope.message.recalled)

            run.bus.tap(watch)
            await run.search()
        return recalled

    await search("first", "memory.read=false")
    [without] = given
    kept = list(export(path))
    assert len(kept) == stats(path).count == 6
    recalled = await search("second", f"memory.read={read}".lower(), f"memory.write={write}".lower())
    assert (given[1] > without) == bool(recalled) == read
    assert len(list(export(path))) == len(kept) + (6 if write else 0)
