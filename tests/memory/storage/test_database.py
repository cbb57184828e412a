from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.storage import sqlite
from memory.storage.database import Database, open_database
from memory.storage.sqlite import PATIENCE, Schema, reading, storage_failed
from protocols.errors import MemoryMismatch, PromptFlowError, StorageFailed
from tests.memory.helpers import directory

pytestmark = pytest.mark.anyio
SCHEMA = Schema("test file", 3, ("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",))
INSERT = "INSERT INTO note (text) VALUES (?) RETURNING id"
COUNT = "SELECT count(*) FROM note"


def one_line(error: PromptFlowError, path: Path) -> bool:
    return str(error).startswith(f"{path}: ") and len(str(error).splitlines()) == 1


async def test_writers_get_their_own_rows_in_the_order_of_their_calls(tmp_path: Path) -> None:
    async with open_database(tmp_path / "a.db", SCHEMA) as database:
        got: dict[str, int] = {}

        async def write(writer: int) -> None:
            for place in range(5):
                text = f"{writer} {place}"
                [(got[text],)] = await database.write(INSERT, (text,))
                assert await database.read("SELECT text FROM note WHERE id = ?", (got[text],)) == [(text,)]

        async with anyio.create_task_group() as group:
            for writer in range(50):
                group.start_soon(write, writer)
        assert got == dict(await database.read("SELECT text, id FROM note"))
        for writer in range(50):
            numbers = [got[f"{writer} {place}"] for place in range(5)]
            assert numbers == sorted(numbers)


@settings(deadline=None, max_examples=30)
@given(texts=st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=12))
async def test_a_statement_at_fault_fails_alone(texts: list[str | None]) -> None:
    """Whatever shares its group; NULL and a second of the same text break constraints."""
    failed: list[int] = []
    with directory() as path:
        async with open_database(path / "a.db", SCHEMA) as database, anyio.create_task_group() as group:

            async def write(place: int) -> None:
                try:
                    await database.write(INSERT, (texts[place],))
                except sqlite3.IntegrityError:
                    failed.append(place)

            for place in range(len(texts)):
                group.start_soon(write, place)
        with closing(sqlite3.connect(path / "a.db")) as connection:
            stored = [text for (text,) in connection.execute("SELECT text FROM note ORDER BY id")]
    assert stored == [text for text in dict.fromkeys(texts) if text is not None]
    assert len(stored) + len(failed) == len(texts)


@settings(deadline=None, max_examples=30)
@given(texts=st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=12))
async def test_rows_of_one_batch_go_in_in_order_and_the_first_of_a_text_stays(texts: list[str | None]) -> None:
    """NULL breaks a constraint and fails alone; a second of the same text is passed over, and somebody is told."""
    went_in: dict[int, bool] = {}
    with directory() as path:
        async with open_database(path / "a.db", SCHEMA) as database, anyio.create_task_group() as group:

            async def insert(place: int) -> None:
                with suppress(sqlite3.IntegrityError):
                    sql = "INSERT INTO note (text) VALUES (?) ON CONFLICT (text) DO NOTHING"
                    went_in[place] = await database.insert(sql, (texts[place],))

            for place in range(len(texts)):
                group.start_soon(insert, place)
        with closing(sqlite3.connect(path / "a.db")) as connection:
            stored = [text for (text,) in connection.execute("SELECT text FROM note ORDER BY id")]
    distinct = list(dict.fromkeys(text for text in texts if text is not None))
    assert stored == distinct
    assert set(went_in) == {place for place, text in enumerate(texts) if text is not None}
    for place, sure in went_in.items():
        assert not (sure and texts[place] in texts[:place])


@settings(deadline=None, max_examples=40)
@given(writers=st.integers(1, 12), cancelled=st.sets(st.integers(0, 5)), pause=st.integers(0, 8))
async def test_cancelled_writers_leave_what_they_wrote_and_hold_nobody_up(
    writers: int, cancelled: set[int], pause: int
) -> None:
    scopes = [anyio.CancelScope() for _ in range(writers)]
    finished: set[int] = set()
    with directory() as path:
        async with open_database(path / "a.db", SCHEMA) as database, anyio.create_task_group() as group:

            async def write(place: int) -> None:
                with scopes[place]:
                    await database.write(INSERT, (str(place),))
                    finished.add(place)

            for place in range(writers):
                group.start_soon(write, place)
            for _ in range(pause):
                await checkpoint()
            for place in cancelled & set(range(writers)):
                scopes[place].cancel()
        with reading(path / "a.db", SCHEMA) as connection:
            stored = {int(text) for (text,) in connection.execute("SELECT text FROM note")}
    assert set(range(writers)) - cancelled <= finished <= stored
    assert pause == 0 or stored == set(range(writers))  # handed in, so written


async def test_leaving_keeps_all_that_was_handed_in_and_raises_what_the_block_raised(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with open_database(tmp_path / "a.db", SCHEMA) as database, anyio.create_task_group() as group:
            for place in range(20):
                group.start_soon(database.write, INSERT, (str(place),))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    with reading(tmp_path / "a.db", SCHEMA) as connection:
        assert connection.execute(COUNT).fetchone() == (20,)
    with pytest.raises(LookupError):
        async with open_database(tmp_path / "a.db", SCHEMA):
            raise LookupError


async def test_all_of_a_group_are_told_what_kept_it_from_its_work(tmp_path: Path) -> None:
    told: list[type[Exception]] = []

    async def write(database: Database) -> None:
        try:
            await database.write(INSERT, ("late",))
        except sqlite3.ProgrammingError as error:
            told.append(type(error))

    async with open_database(tmp_path / "a.db", SCHEMA) as database:
        pass
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(write, database)
    assert told == [sqlite3.ProgrammingError] * 5, "the file is closed"


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    script = f"""
import anyio, pathlib
from memory.storage.database import open_database
from tests.memory.storage.test_database import INSERT, SCHEMA
async def write(database, writer):
    for place in range(100_000):
        await database.write(INSERT, (f"{{writer}} {{place}}",))
        print(writer, place, flush=True)
async def main():
    async with open_database(pathlib.Path({str(tmp_path / "a.db")!r}), SCHEMA) as database:
        async with anyio.create_task_group() as group:
            for writer in range(8):
                group.start_soon(write, database, writer)
anyio.run(main)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        acknowledged = [process.stdout.readline().strip() for _ in range(300)]
        process.send_signal(signal.SIGKILL)
    with reading(tmp_path / "a.db", SCHEMA) as connection:
        stored = {text for (text,) in connection.execute("SELECT text FROM note")}
    assert set(acknowledged) <= stored


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (Schema("test file", 2, SCHEMA.statements), "version 2, and this release reads version 3"),
        (Schema("other file", 3, SCHEMA.statements), "not a test file"),
        (None, "not a test file"),
    ],
)
async def test_another_file_is_refused_and_left_as_it_was(tmp_path: Path, there: Schema | None, says: str) -> None:
    path = tmp_path / "a.db"
    if there:
        async with open_database(path, there):
            pass
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE somebody_elses (x)")
    before = path.read_bytes()
    with pytest.raises(MemoryMismatch, match=says) as caught:
        async with open_database(path, SCHEMA):
            pass
    assert one_line(caught.value, path)
    assert os.listdir(tmp_path) == [path.name]
    with pytest.raises(MemoryMismatch, match=says), reading(path, SCHEMA):
        pass
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["absent/a.db", "directory"])
async def test_a_path_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(StorageFailed) as caught:
        async with open_database(tmp_path / name, SCHEMA):
            pass
    assert one_line(caught.value, tmp_path / name)
    with pytest.raises(StorageFailed), reading(tmp_path / name, SCHEMA):
        pass


@pytest.mark.parametrize("start", [0, 4096])
async def test_a_damaged_file_is_one_clear_line(tmp_path: Path, start: int) -> None:
    path = tmp_path / "a.db"
    async with open_database(path, SCHEMA) as database:
        for place in range(200):
            await database.write(INSERT, (f"{place} {'x' * 400}",))
    content = bytearray(path.read_bytes())
    content[start : start + 16384] = b"\xa5" * 16384
    path.write_bytes(content)
    with pytest.raises(StorageFailed, match="damaged") as caught:
        async with open_database(path, SCHEMA) as database:
            await database.read("SELECT * FROM note")
    assert one_line(caught.value, path)


@pytest.mark.parametrize(
    ("breaks", "mends", "says"),
    [
        ("PRAGMA max_page_count = 10", "PRAGMA max_page_count = 100000", "the disk is full"),
        ("PRAGMA query_only = 1", None, "cannot be written"),
    ],
)
async def test_a_failed_write_is_one_clear_line_for_everybody(
    tmp_path: Path, breaks: str, mends: str | None, says: str
) -> None:
    path, failures, written = tmp_path / "a.db", list[StorageFailed](), list[str]()
    async with open_database(path, SCHEMA) as database:
        await database.write(breaks)

        async def write(place: int) -> None:
            text = f"{place} {'x' * 3000}"
            try:
                await database.write(INSERT, (text,))
                written.append(text)
            except StorageFailed as error:
                failures.append(error)

        async with anyio.create_task_group() as group:
            for place in range(40):
                group.start_soon(write, place)
        assert failures
        assert all(one_line(error, path) and says in str(error) for error in failures)
        if mends:
            await database.write(mends)
            await write(99)
        assert [text for (text,) in await database.read("SELECT text FROM note ORDER BY id")] == written
        assert bool(written) == bool(mends)


def test_a_file_that_another_process_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as holder, closing(sqlite3.connect(path, timeout=0)) as other:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as caught:
            other.execute("BEGIN EXCLUSIVE")
    assert f"held by another process for {PATIENCE:g} s" in str(storage_failed(caught.value, path))


def test_a_file_is_whole_without_its_log_when_it_is_put_into_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite writes a log back when the last connection is closed, and says nothing if that fails, as on a full disk:
    here another connection, which is still open, keeps it from doing so."""
    others: list[sqlite3.Connection] = []

    class Unwritten(sqlite3.Connection):
        def close(self) -> None:
            (_, _, file) = self.execute("PRAGMA database_list").fetchone()
            others.append(sqlite3.connect(file))
            others[-1].execute(COUNT.replace("note", "sqlite_schema")).fetchone()
            super().close()

    def unwritten(database: str, **other: bool) -> sqlite3.Connection:
        return sqlite3.connect(database, isolation_level=None, factory=Unwritten)

    path = tmp_path / "a.db"
    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "_connect", unwritten)
        sqlite._create(path, SCHEMA)
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]
    for other in others:
        other.close()
    with reading(path, SCHEMA) as connection:
        assert connection.execute(COUNT).fetchone() == (0,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
