from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.journal import SCHEMA, Call, open_journal, read_calls, read_durable, read_journal, read_notes
from memory.parts import BULKY, FIELDS, Reader, Writer
from memory.recorded import RecordedModel
from protocols.errors import MemoryMismatch, ServerFailed, StorageFailed
from protocols.messages import (
    Candidate,
    Continue,
    Credit,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    Message,
    Outcome,
    Pause,
    Resumed,
)
from protocols.model import Reply, Request, Usage
from protocols.prompt import Prompt, Section
from protocols.wrappers.ledger import Account
from protocols.wrappers.on_behalf import OnBehalf
from tests.memory.helpers import directory
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
                evaluation = replace(message.evaluation, scores=(), outcomes=())
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


@pytest.mark.parametrize("error", [ServerFailed("no", model="m"), ZeroDivisionError()])
async def test_an_attempt_is_on_record_before_its_caller_knows(error: Exception) -> None:
    kept: list[Call] = []

    async def record(call: Call) -> None:
        await anyio.lowlevel.checkpoint()
        kept.append(call)

    model = OnBehalf(RecordedModel(Flaky(None, error), record, "task", lambda: 9.0), 7)
    assert (await model.complete(Request(()))).text == "ok"
    assert kept == [Call(9.0, 7, "task", "m", Usage(3, 1), 0.25)]
    with pytest.raises(type(error)):
        await model.complete(Request(()))
    assert [call.error for call in kept] == [None, type(error).__name__]


async def test_a_cancelled_attempt_is_on_record() -> None:
    kept: list[Call] = []

    class Waits:
        name = "m"

        async def complete(self, request: Request) -> Reply:
            scope.cancel()
            await anyio.sleep_forever()
            raise AssertionError

    async def record(call: Call) -> None:
        await anyio.lowlevel.checkpoint()
        kept.append(call)

    with anyio.CancelScope() as scope:
        await RecordedModel(Waits(), record, "task", lambda: 0.0).complete(Request(()))
    assert [call.error is not None for call in kept] == [True]


def test_a_change_of_the_messages_is_a_new_version() -> None:
    """Else an old journal would be read as if it said something else. After a change: raise the version in
    memory/journal.py, and put the new pair here."""
    kinds = (*FIELDS, Evaluation, Outcome, Section, Prompt, Credit)
    shapes = sorted({kind.__name__: [field.name for field in fields(kind)] for kind in kinds}.items())
    digest = hashlib.blake2b(repr(shapes).encode(), digest_size=6).hexdigest()
    assert (SCHEMA.version, digest) == (7, "7daa7e73097e")
