"""A journal on another machine has what the run's own has, and takes nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.journals import journal
from memory.journals.in_flight import Begun, left_behind
from memory.journals.journal import begun_file, open_journal
from memory.journals.journal_copy import JournalCopy, image_of, open_copy
from memory.journals.reading import read_calls, read_notes
from memory.journals.schema import INSERT_CALL, INSERT_NOTE, LOST, WRITES
from memory.storage.database import Batch
from protocols.errors import StorageFailed
from protocols.messages import Envelope, Failure
from protocols.model import ChatMessage, Reply, Request, Usage
from protocols.wrappers.recorded import Call, RecordedModel
from tests.memory.helpers import directory
from tests.world import shuffled

TABLES = ("journal", "part", "call", "note", "exchange")
CALL = Begun(7, 1.0, None, "task", "m", 3)


class Copying:
    """A replica in this process, which answers when it likes."""

    def __init__(self, copy: JournalCopy, seed: int = 0) -> None:
        self.copy, self.calls = copy, list[Begun]()
        self._wait = shuffled(Random(seed), 3)

    async def committed(self, batches: Sequence[Batch]) -> None:
        await self._wait()
        self.copy.write(batches)

    async def begun(self, call: Begun) -> None:
        await self._wait()
        self.copy.begin(call)
        self.calls.append(call)


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        return {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES}


@given(
    steps=st.lists(st.tuples(st.sampled_from(["append", "call", "learn", "fail"]), st.booleans()), max_size=12),
    seed=st.integers(0, 999),
)
@settings(max_examples=25, deadline=None)
def test_the_copy_has_every_row_in_its_place_whoever_is_cancelled(steps: list[tuple[str, bool]], seed: int) -> None:
    """A step that fails breaks a constraint of the journal, beside others in its group."""

    async def main() -> None:
        with directory() as here, directory() as there, open_copy(there / "j") as copy:
            async with open_journal(here / "j", replica=Copying(copy, seed)) as kept:

                async def step(number: int, kind: str, left: bool) -> None:
                    with anyio.CancelScope() as scope:
                        if left:
                            scope.cancel()
                        match kind:
                            case "append":
                                said = Failure(number, "call", f"reason {number}")
                                await kept.append(Envelope(number, None, "a", "b", 1.0, said))
                            case "call":
                                at = kept.begin(1.0, number, "task", "m", 3)
                                await kept.called(Call(2.0, number, "task", "m", Usage(3, 1)), at)
                            case "learn":
                                await kept.learned("note", b"%d" % number)
                            case _:
                                with pytest.raises(sqlite3.IntegrityError):
                                    await kept.keep({"note": b"0", "other": None})  # type: ignore[dict-item]

                async with anyio.create_task_group() as tasks:
                    for number, (kind, left) in enumerate(steps, start=1):
                        tasks.start_soon(step, number, kind, left)
            assert rows(here / "j") == rows(there / "j")
            (there / "image").write_bytes(image_of(there / "j"))
            assert rows(there / "image") == rows(there / "j")

    anyio.run(main)


@pytest.mark.anyio
async def test_a_call_is_on_record_on_both_machines_before_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    sent: list[list[Begun]] = []
    with open_copy(tmp_path / "j") as copy:
        replica = Copying(copy)

        class Looks:
            name = "m"

            async def complete(self, request: Request) -> Reply:
                sent.append(left_behind(begun_file(tmp_path / "j")))
                return Reply("ok", Usage(3, 1))

        async with open_journal(tmp_path / "here" / "j", replica=replica) as kept:
            model = RecordedModel(Looks(), kept, "task", lambda: 1.0)
            await model.complete(Request((ChatMessage("user", "x"),)))
            assert sent == [replica.calls]
            kept.begin(2.0, 5, "task", "m", 4)  # not confirmed: never sent, and no call
            await kept._confirm(kept.begin(2.0, 6, "task", "m", 4))
    with open_copy(tmp_path / "j"):
        pass
    assert [(call.assignment, call.error) for call in read_calls(tmp_path / "j")] == [(None, None), (6, LOST)]


def test_every_statement_that_writes_to_a_journal_is_known_to_its_copy() -> None:
    found = {value for value in vars(journal).values() if isinstance(value, str) and value.startswith("INSERT")}
    assert found == WRITES


REFUSED: dict[str, Batch] = {
    "another table": ("DELETE FROM journal", [()]),
    "two in one": (f"{INSERT_NOTE}; DROP TABLE note", [("a", b"")]),
    "a file": ("ATTACH 'other.db' AS other", [()]),
    "in other words": (INSERT_NOTE.lower(), [("a", b"")]),
    "too few": (INSERT_CALL, [(1,)]),
    "no value": (INSERT_NOTE, [("a", object())]),  # type: ignore[list-item]
    "no row": (INSERT_NOTE, [7]),  # type: ignore[list-item]
    "too large": (INSERT_NOTE, [(2**70, b"")]),
    "twice": (INSERT_NOTE, [("kept", b"")]),
}


@pytest.mark.parametrize("batch", REFUSED.values(), ids=REFUSED)
def test_what_is_no_write_of_a_journal_is_refused_in_one_line(tmp_path: Path, batch: Batch) -> None:
    with open_copy(tmp_path / "j") as copy:
        copy.write([(INSERT_NOTE, [("kept", b"1")])])
        with pytest.raises(StorageFailed, match="refuses") as refused:
            copy.write([(INSERT_NOTE, [("beside", b"2")]), batch])
        assert len(str(refused.value).splitlines()) == 1
        assert read_notes(tmp_path / "j") == {"kept": b"1"}
        copy.write([(INSERT_NOTE, [("later", b"3")])])
    assert not (tmp_path / "other.db").exists()


HOSTILE: list[dict[str, object]] = [{}, {"number": "1) OR (1"}, {"time": "now"}, {"role": 7}, {"input": 0.5}]


@pytest.mark.parametrize("wrong", HOSTILE, ids=["twice", "number", "time", "role", "input"])
def test_what_is_no_call_is_refused_in_one_line(tmp_path: Path, wrong: dict[str, object]) -> None:
    with open_copy(tmp_path / "j") as copy:
        copy.begin(CALL)
        with pytest.raises(StorageFailed, match="no new call"):
            copy.begin(CALL._replace(**wrong))  # type: ignore[arg-type]
    with open_copy(tmp_path / "j"):
        pass
    assert [call.error for call in read_calls(tmp_path / "j")] == [LOST]
