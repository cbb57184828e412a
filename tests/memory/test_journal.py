from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.journal import decode, encode, open_journal, read_journal
from protocols.errors import MemoryMismatch, StorageFailed
from protocols.messages import Critique, Envelope, Evaluation, Failure, Message
from protocols.prompt import Prompt, Section
from tests.memory.helpers import directory
from tests.memory.strategies import envelopes, messages, texts

pytestmark = pytest.mark.anyio


@given(message=messages)
def test_every_message_comes_back_identical(message: Message) -> None:
    back = decode(type(message).__name__, encode(message))
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
    assert printable in encode(Failure(1, "call", printable))


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
            encode(message)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE journal SET type = 'Gossip'",
        "UPDATE journal SET payload = substr(payload, 1, 9)",
        "UPDATE journal SET payload = '[]'",
        "UPDATE journal SET payload = '{}'",
        "UPDATE journal SET type = 'Candidate', payload = '{\"prompt\": {\"sections\": []}}'",
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
