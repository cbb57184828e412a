from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.journals.in_flight import Begun
from memory.journals.journal import open_journal
from memory.journals.journal_tail import follow
from memory.journals.message_codec import BULKY, FIELDS, Reader, Writer
from memory.journals.reading import read_calls, read_durable, read_journal, read_notes
from memory.journals.schema import LOST, SCHEMA
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Account, Books, Ledger, Reserve, Saved
from protocols.errors import BudgetExhausted, CallTimeout, MemoryMismatch, ServerFailed, StorageFailed
from protocols.messages import (
    Assignment,
    Candidate,
    Continue,
    Credit,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    Message,
    OfModel,
    Outcome,
    Partner,
    Pause,
    Resumed,
    Swap,
    Tried,
)
from protocols.model import ChatMessage, ChatModel, Reply, Request, Usage
from protocols.pacing.limiter import Limiter
from protocols.pacing.limits import Limits
from protocols.prompt import Prompt, Section
from protocols.providers.responses.figures import about
from protocols.wrappers.limited import LimitedModel
from protocols.wrappers.metered import MeteredModel
from protocols.wrappers.recorded import Call, RecordedModel
from tests.memory.helpers import Kept, directory
from tests.memory.strategies import envelopes, messages, texts

pytestmark = pytest.mark.anyio


def written(message: Message, writer: Writer) -> tuple[str, dict[int, str]]:
    """A message as the journal holds it, and its new parts."""
    payload, new = writer.encode(message)
    writer.kept(new)
    return payload, dict(new.values())


@given(message=messages)
def test_every_message_comes_back_identical(message: Message) -> None:
    payload, store = written(message, Writer(0))
    back = Reader(store.__getitem__).decode(type(message).__name__, payload)
    assert back == message
    assert repr(back) == repr(message)  # 1 and 1.0 and True are equal, a list and a tuple inside one may not be


@settings(deadline=None, max_examples=40)
@given(sent=st.lists(envelopes, max_size=12, unique_by=lambda envelope: envelope.id))
async def test_the_journal_reads_back_what_was_appended_in_order(sent: list[Envelope]) -> None:
    with directory() as path:
        async with open_journal(path / "journal.db") as journal, anyio.create_task_group() as group:
            for envelope in sent:
                group.start_soon(journal.append, envelope)
        assert list(read_journal(path / "journal.db")) == sent


@given(text=texts)
def test_text_is_stored_as_it_is(text: str) -> None:
    printable = "".join(c for c in text if c >= " " and c not in '"\\')
    assert printable in written(Failure(1, "call", printable), Writer(0))[0]


async def test_a_running_journal_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "% ? #.db"
    async with open_journal(path) as journal:
        for number in range(3):
            await journal.append(Envelope(number, None, "a", "b", 0.0, Failure(number, "call", "")))
            assert [envelope.id for envelope in read_journal(path)] == list(range(number + 1))
        await journal.append(Envelope(3, 2, "a", "b", 0.0, Failure(3, "call", "")))
    assert [envelope.cause for envelope in read_journal(path)] == [None, None, None, 2]


@pytest.mark.parametrize("gain", [float("nan"), float("inf")])
def test_a_number_that_json_cannot_say_is_refused(gain: float) -> None:
    evaluation = Evaluation(1, Prompt((Section("a", "task"),)), (), True, gain, 0.0, 0, 0)
    for message in (evaluation, Critique(1, evaluation, {})):
        with pytest.raises(ValueError, match="not finite"):
            Writer(0).encode(message)


EVENT = st.tuples(st.sampled_from(["message", "call", "pause", "continue"]), st.integers(0, 9_000))
PROCESSES = st.lists(st.lists(EVENT, max_size=6), min_size=1, max_size=4)
SAID: dict[str, Message] = {"pause": Pause(), "continue": Continue(), "message": Failure(1, "call", "")}
CLOCK = st.sampled_from((0.0, 1.0, -1e9, 1e9, 3e8, -7.0))
"""By how many seconds the system's clock is set now and then: by years, back or forward."""


@settings(max_examples=60)
@given(processes=PROCESSES, clock=st.data())
async def test_the_time_worked_is_that_of_a_clock_that_nobody_sets(
    processes: list[list[tuple[str, int]]], clock: st.DataObject
) -> None:
    """Over all processes, without pauses and what was between, up to the last record before each was killed."""
    wall = number = monotonic = 0.0
    with directory() as folder:
        path, worked = folder / "journal.db", 0.0
        for events in processes:
            monotonic += 1e5  # between the processes
            ledger = Ledger(Caps(), {}, lambda: monotonic)  # noqa: B023
            async with open_journal(path, worked=partial(getattr, ledger, "seconds")) as journal:
                durable = read_durable(path)
                assert durable.seconds == pytest.approx(worked)
                ledger.take_up(Books((), Saved(), durable.seconds))
                still = False
                for kind, passed in events:
                    monotonic += passed
                    wall += passed + clock.draw(CLOCK)
                    number += 1
                    worked += 0 if still else passed
                    if kind == "call":
                        await journal.called(Call(wall, 1, "task", "m"))
                        continue
                    if kind != "message":
                        still = kind == "pause"
                        (ledger.pause if still else ledger.go_on)()
                    message = SAID[kind]
                    await journal.append(Envelope(int(number), None, "a", "b", wall, message))
        with follow(path) as journal_now:
            assert journal_now.news().seconds == read_durable(path).seconds == pytest.approx(worked)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE journal SET type = 'Gossip'",
        "UPDATE journal SET payload = substr(payload, 1, 9)",
        "UPDATE journal SET payload = '[]'",
        "UPDATE journal SET payload = '{}'",
        "UPDATE journal SET type = 'Candidate', payload = '{\"prompt\": 9}'",
        "UPDATE journal SET payload = '{\"prompt\": null}'",
    ],
)
async def test_a_damaged_message_is_one_clear_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "journal.db"
    async with open_journal(path) as journal:
        await journal.append(Envelope(7, None, "a", "b", 0.0, Failure(1, "call", "")))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(damage)
    with pytest.raises(StorageFailed, match="message 7") as caught:
        list(read_journal(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_no_journal_there(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="cannot be opened"):
        list(read_journal(tmp_path / "journal.db"))
    (tmp_path / "empty.db").touch()
    with pytest.raises(MemoryMismatch, match="not a journal"):
        list(read_journal(tmp_path / "empty.db"))
    assert not (tmp_path / "journal.db").exists()


PROMPT = Prompt((Section("rule", "task", "Say what it is."), Section("input", "task", "{text}")))


def test_what_messages_have_in_common_is_written_once() -> None:
    writer, evaluation = Writer(0), Evaluation(1, PROMPT, (1.0, None, 0.5), True, 0.1, 0.05, 2, 1)
    _, new = written(evaluation, writer)
    assert len(new) == len(PROMPT.sections) + 3  # the prompt, the scores, and that there are no outcomes
    _, again = written(Critique(1, evaluation, {}), writer)
    assert len(again) == 1  # the evaluation itself
    assert written(Critique(1, evaluation, {"rule": "more"}), writer)[1] == {}


async def test_what_was_not_stored_is_not_relied_on(tmp_path: Path) -> None:
    """A message that is refused takes its parts with it; a later one brings them again."""
    path = tmp_path / "journal.db"
    one, other = (Candidate(n, PROMPT.edit("rule", f"rule {n}", ())) for n in (1, 2))
    async with open_journal(path) as journal:
        await journal.append(Envelope(1, None, "a", "b", 0.0, one))
        with pytest.raises(sqlite3.IntegrityError):
            await journal.append(Envelope(1, None, "a", "b", 0.0, other))
        await journal.append(Envelope(2, None, "a", "b", 0.0, other))
    assert [envelope.message for envelope in read_journal(path)] == [one, other]
    async with open_journal(path) as journal:  # it knows no part of before, and numbers its own anew
        await journal.append(Envelope(3, None, "a", "b", 0.0, one))
    assert [envelope.message for envelope in read_journal(path)] == [one, other, one]


@given(sent=st.lists(envelopes, max_size=12, unique_by=lambda envelope: envelope.id))
async def test_a_journal_is_read_in_part_and_in_brief(sent: list[Envelope]) -> None:
    with directory() as path:
        async with open_journal(path / "journal.db") as journal:
            for envelope in sent:
                await journal.append(envelope)
        file = path / "journal.db"
        kinds = (Critique, Failure)
        assert list(read_journal(file, kinds)) == [e for e in sent if isinstance(e.message, kinds)]
        for number in {getattr(e.message, "assignment", None) for e in sent} - {None}:
            some = list(read_journal(file, assignment=number))
            assert some == [e for e in sent if getattr(e.message, "assignment", None) == number]
        for brief, whole in zip(read_journal(file, brief=True), sent, strict=True):
            emptied = {name: () for name in BULKY if hasattr(whole.message, name)}
            message = replace(whole.message, **emptied)  # type: ignore[arg-type]
            if isinstance(message, Critique):
                evaluation = replace(message.evaluation, outcomes=())
                message = replace(message, evaluation=evaluation)
            assert brief == replace(whole, message=message)


async def test_calls_and_what_a_run_begins_with_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    calls = [
        Call(5.0, 1, "task", "m", Usage(10, 2, 4, 3), 0.5),
        Call(6.0, 1, "task", "m", error="ServerFailed"),
        Call(7.5, None, "critic", "m", Usage(1, 1)),
    ]
    told: list[Call] = []
    async with open_journal(path) as journal:
        journal.tap(told.append)
        for call in calls:
            await journal.called(call)
        await journal.keep({"past": b"\x00", "more": "é".encode()})
        with pytest.raises(sqlite3.IntegrityError):
            await journal.keep({"new": b"", "past": b"again"})
        await journal.append(Envelope(1, None, "a", "b", 4.0, Failure(3, "call", "")))
        # Nobody counts what is worked, as in a journal of an earlier release: the times say it.
        assert read_durable(path).seconds == 3.5
        await journal.append(Envelope(2, None, "a", "b", 100.0, Resumed(3.5)))
        await journal.append(Envelope(3, None, "a", "b", 101.0, Failure(2, "call", "")))
        for number, time, message in ((4, 102.0, Pause()), (5, 103.0, Pause()), (6, 112.0, Continue())):
            await journal.append(Envelope(number, None, "a", "b", time, message))
        assert read_durable(path).seconds == 3.5 + 2
        await journal.append(Envelope(7, None, "a", "b", 113.0, Pause()))
        await journal.append(Envelope(8, None, "a", "b", 120.0, Failure(1, "call", "")))
        assert read_durable(path).seconds == 3.5 + 3, "a pause that nobody ended lasts"
    assert list(read_calls(path)) == told == calls
    assert list(read_calls(path, 1)) == calls[:2]
    assert read_notes(path) == {"past": b"\x00", "more": "é".encode()}
    durable = read_durable(path)
    assert (durable.last, durable.resumed, durable.assignments, durable.seconds) == (8, 2, 3, 6.5)
    assert durable.accounts == (
        Account("task", "m", 2, 1, usage=Usage(10, 2, 4, 3), seconds=0.5),
        Account("critic", "m", 1, usage=Usage(1, 1)),
    )


class Flaky:
    name = "m"

    def __init__(self, *ends: Exception | None) -> None:
        self._ends = list(ends)

    async def complete(self, request: Request) -> Reply:
        end = self._ends.pop(0)
        if end is not None:
            raise end
        return Reply("ok", Usage(3, 1), latency=0.25)


ASKED = Request((ChatMessage("user", "x" * 40),), assignment=7)
INPUT = Usage(about(ASKED), estimated=1)


@pytest.mark.parametrize(
    ("error", "usage"), [(ServerFailed("no", model="m"), Usage()), (CallTimeout("no", model="m"), INPUT)]
)
async def test_an_attempt_is_on_record_before_it_is_sent_and_before_its_caller_knows(
    error: Exception, usage: Usage
) -> None:
    kept = Kept()

    class Looks(Flaky):
        async def complete(self, request: Request) -> Reply:
            assert list(kept.begun.values()) == [Begun(0, 9.0, 7, "task", "m", INPUT.input)]
            return await super().complete(request)

    model = RecordedModel(Looks(None, error), kept, "task", lambda: 9.0)
    assert (await model.complete(ASKED)).text == "ok"
    assert kept.ended == [Call(9.0, 7, "task", "m", Usage(3, 1), 0.25)]
    with pytest.raises(type(error)):
        await model.complete(ASKED)
    assert [(call.error, call.usage) for call in kept.ended] == [(None, Usage(3, 1)), (type(error).__name__, usage)]
    assert not kept.begun


class Waits:
    name = "m"

    async def complete(self, request: Request) -> Reply:
        await anyio.sleep_forever()
        raise AssertionError


async def test_a_cancelled_attempt_is_on_record() -> None:
    kept = Kept()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(RecordedModel(Waits(), kept, "task", lambda: 0.0).complete, ASKED)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert [(call.error is not None, call.usage) for call in kept.ended] == [(True, INPUT)]


async def test_an_attempt_that_may_not_be_sent_any_more_is_no_call(tmp_path: Path) -> None:
    """The minutes passed while it waited for its turn."""
    path, now, limiter = tmp_path / "journal.db", 0.0, Limiter(Limits(1))
    ledger = Ledger(Caps(minutes=1), {}, lambda: now)
    refused: list[BudgetExhausted] = []

    async def call(model: ChatModel) -> None:
        try:
            await model.complete(ASKED)
        except BudgetExhausted as error:
            refused.append(error)

    async with open_journal(path) as journal:
        queued = LimitedModel(RecordedModel(Flaky(None), journal, "task", lambda: 0.0), limiter, urgent=False)
        ticket = limiter.enter_now(ASKED, urgent=False)
        assert ticket
        with ledger.holding(Reserve(1, 1)):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call, MeteredModel(queued, ledger, "task", queued=True))
                await anyio.wait_all_tasks_blocked()
                now = 60.0
                limiter.leave(ticket, None)
    assert [error.cap for error in refused] == ["minutes"]
    async with open_journal(path):
        assert not list(read_calls(path))
    assert ledger.calls == 0


async def test_what_a_process_began_and_did_not_end_are_calls(tmp_path: Path) -> None:
    """As a copy taken while they are in flight shows: they count, with the output that the role has on average."""
    path, copy = tmp_path / "journal.db", tmp_path / "copy.db"
    async with open_journal(path) as journal:
        for usage in (Usage(10, 4), Usage(10, 8)):
            await journal.called(Call(5.0, 1, "task", "m", usage))
        number = journal.begin(4.0, 1, "task", "m", 10)
        await journal.called(Call(6.0, 1, "task", "m", Usage(10, 0)), number)
        for role in ("task", "critic"):
            journal.begin(5.5, 2, role, "m", 12)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        shutil.copy(f"{path}-begun", f"{copy}-begun")
    assert len(list(read_calls(copy))) == 3
    for _ in range(2):
        async with open_journal(copy):
            assert list(read_calls(copy))[3:] == [
                Call(6.0, 2, "task", "m", Usage(12, 4, estimated=1), error=LOST),
                Call(6.0, 2, "critic", "m", Usage(12, 0, estimated=1), error=LOST),
            ]
    durable = read_durable(copy)
    assert [(account.calls, account.failed, account.usage.estimated) for account in durable.accounts] == [
        (4, 1, 1),
        (1, 1, 1),
    ]
    with follow(copy) as journal_read:
        assert tuple(journal_read.news().spent) == durable.accounts


async def test_a_journal_of_the_version_before_is_brought_to_this_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with open_journal(path) as journal:
        await journal.called(Call(5.0, 1, "task", "m", Usage(10, 4), 0.5))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "ALTER TABLE call DROP COLUMN estimated; ALTER TABLE call DROP COLUMN number;"
            "ALTER TABLE call DROP COLUMN worked; ALTER TABLE journal DROP COLUMN worked; DROP TABLE exchange;"
            "PRAGMA user_version = 6"
        )
    assert list(read_calls(path)) == [Call(5.0, 1, "task", "m", Usage(10, 4), 0.5)]
    async with open_journal(path) as journal:
        journal.begin(5.0, 1, "task", "m", 10)


def test_a_change_of_the_messages_is_a_new_version() -> None:
    """Else an old journal would be read as if it said something else. After a change: raise the version in
    memory/journals/schema.py, and put the new pair here."""
    kinds = (*FIELDS, Evaluation, Outcome, OfModel, Section, Prompt, Credit, Tried, Swap)
    shapes = sorted({kind.__name__: [field.name for field in fields(kind)] for kind in kinds}.items())
    digest = hashlib.blake2b(repr(shapes).encode(), digest_size=6).hexdigest()
    assert (SCHEMA.version, digest) == (18, "543dc31257d6")


async def test_a_section_that_an_earlier_release_wrote_has_the_form_of_its_text(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    prompt = Prompt((Section("rule", "task", "付款 {text}"),))
    sent = Envelope(1, None, "controller", "evaluator", 1.0, Candidate(0, prompt))
    async with open_journal(path) as journal:
        await journal.append(sent)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE part SET content = json_remove(content, '$.form') WHERE content LIKE '{%'")
        connection.executescript("DROP TABLE exchange; PRAGMA user_version = 7")
        assert not connection.execute("SELECT count(*) FROM part WHERE content LIKE '%form%'").fetchone()[0]
    assert list(read_journal(path)) == [sent]
    async with open_journal(path):
        assert list(read_journal(path)) == [sent]


async def test_what_an_earlier_release_did_not_tell_is_empty(tmp_path: Path) -> None:
    path, prompt = tmp_path / "journal.db", Prompt((Section("rule", "task", "付款 {text}"),))
    evaluation = Evaluation(1, prompt, (1.0,), True, 0.5, 0.1, 1, 0)
    told: list[Message] = [
        Assignment(1, "x", "rule", 0, prompt, "", (), (1.0,), {}, (Partner(2, prompt, (0.5,), {}),)),
        Candidate(1, prompt),
        evaluation,
        Critique(1, evaluation, {"rule": "say more"}),
    ]
    sent = [Envelope(n, None, "a", "b", 1.0, message) for n, message in enumerate(told)]
    async with open_journal(path) as journal:
        for envelope in sent:
            await journal.append(envelope)
    new = ", ".join(
        f"'$.{name}'" for name in ("diagnosis", "tried", "trained", "drafts", "known", "drafted", "doubtful")
    )
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE journal SET payload = json_remove(payload, {new})")
        connection.execute(f"UPDATE part SET content = json_remove(content, {new}) WHERE content LIKE '{{%'")
        connection.executescript("DROP TABLE exchange; PRAGMA user_version = 8")
        for name in ("tried", "trained", "drafts"):
            assert not connection.execute(f"SELECT * FROM journal WHERE payload LIKE '%{name}%'").fetchall()
    async with open_journal(path):
        assert list(read_journal(path)) == sent
