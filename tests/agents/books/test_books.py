"""The books of the head: nothing is written but by whom they are open to, into the directory that it opened."""

from __future__ import annotations

import os
import pickle
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.books.books import Books, open_books
from agents.books.shipments import FILES, Appended, File, Opened, Rows, Shipment
from agents.directory.run_directory import (
    COMMANDS,
    CONFIGURATION,
    FIRST_PROMPT,
    INCARNATION,
    JOURNAL,
    LOCK,
    LOG,
    RECORD,
    RESULT,
)
from memory.journals.in_flight import Begun
from memory.journals.journal import row_of
from memory.journals.reading import read_calls, read_notes
from memory.journals.schema import INSERT_CALL, INSERT_NOTE, LOST
from memory.storage.sqlite import is_claimed
from protocols.errors import ConfigError, InputError, PromptFlowError, StorageFailed, Superseded
from protocols.model import Usage
from protocols.wrappers.recorded import Call
from tests.memory.helpers import directory as temporary

pytestmark = pytest.mark.anyio
RUN = b'{"run": "x", "begun": 0, "meaning": {}, "version": 2}'
BEGINNING: Sequence[Shipment] = (File(CONFIGURATION, b"{}"), File(FIRST_PROMPT, b"x"), File(RECORD, RUN))
NOTE = Rows(((INSERT_NOTE, (("a", b"1"),)),))


def begun(number: int) -> Begun:
    return Begun(number, float(number), None, "task", "m", 3)


def ended(number: int) -> Rows:
    return Rows(((INSERT_CALL, (tuple(row_of(Call(2.0, None, "task", "m", Usage(3, 1)), number)),)),))


def everything(directory: Path) -> dict[str, bytes]:
    """Every file in a folder but those of SQLite, which it changes when it likes."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.startswith((JOURNAL, LOCK))
    }


async def test_shipments_are_applied_once_in_order_and_are_there_on_return(tmp_path: Path) -> None:
    place = tmp_path / "run"
    async with open_books(tmp_path) as books:
        opened = await books.open(str(place))
        assert (opened.incarnation, opened.files, opened.heard) == (1, (), 0)
        first: list[Shipment] = [*BEGINNING, Appended(LOG, 0, b"one\n"), NOTE, begun(1), begun(2)]
        for _ in range(2):
            await books.write(str(place), 1, 1, first)
        await books.write(str(place), 1, 2, [ended(2), File("given/a.jsonl", b"x"), Appended(LOG, 4, b"two\n")])
        await books.write(str(place), 1, 3, [File(RESULT, b"{}"), File(RESULT, None), File(RESULT, None)])
        assert everything(place) == {
            CONFIGURATION: b"{}",
            FIRST_PROMPT: b"x",
            RECORD: RUN,
            LOG: b"one\ntwo\n",
            "given/a.jsonl": b"x",
            INCARNATION: b"1\n",
            COMMANDS: b"",
        }
        assert read_notes(place / JOURNAL) == {"a": b"1"}
        assert [call.error for call in read_calls(place / JOURNAL)] == [None]
        with pytest.raises(StorageFailed, match="refuses shipment 5, since 4 is the next"):
            await books.write(str(place), 1, 5, [])
        assert is_claimed(place / LOCK)
        await books.close(str(place), 1)
        assert not is_claimed(place / LOCK)


HOSTILE = [
    *(f"{climb}{name}" for climb in ("../", "/", "given/../../", "..\\", "x/") for name in ("run.json", "evil")),
    *("", ".", "..", "given", "given/", "given//a", "given/.a", "given/a/b", "given/\0", "given/..", "C:run.json"),
    *(JOURNAL, f"{JOURNAL}-wal", LOCK, COMMANDS, INCARNATION, "best_prompts/" + "a" * 300, "unknown.txt"),
]


@given(name=st.sampled_from(HOSTILE) | st.text(max_size=20).filter(lambda name: name not in FILES))
@settings(max_examples=40, deadline=None)
def test_nothing_is_written_outside_of_what_a_run_directory_has(name: str) -> None:
    async def main() -> None:
        with temporary() as folder:
            place = folder / "books" / "run"
            async with open_books(place.parent) as books:
                await books.open(str(place))
                before = everything(folder)
                hostile: list[Shipment] = [File(name, b"x"), File(name, None), Appended(name, 0, b"x")]
                for number, shipment in enumerate(hostile):
                    with pytest.raises(StorageFailed, match="refuses") as refused:
                        await books.write(str(place), 1 + number, 1, [shipment])
                    assert len(str(refused.value).splitlines()) == 1
                    assert everything(folder) == before
                    with pytest.raises(StorageFailed, match="refuses what follows"):
                        await books.write(str(place), 1 + number, 1, [File(CONFIGURATION, b"{}")])
                    await books.open(str(place))
                    before = everything(folder)

    anyio.run(main)


async def test_a_directory_is_opened_in_its_folder_alone_and_not_where_others_work(tmp_path: Path) -> None:
    (tmp_path / "in" / "theirs").mkdir(parents=True)
    (tmp_path / "in" / "theirs" / "thesis.tex").touch()
    (tmp_path / "in" / "out").symlink_to(tmp_path)
    async with open_books(tmp_path / "in") as books, open_books(tmp_path / "in") as others:
        for place in ("in/../run", "run", "in/out/run"):
            with pytest.raises(ConfigError, match="not the absolute path of a directory in"):
                await books.open(str(tmp_path / place))
        with pytest.raises(ConfigError, match="not the absolute path"):
            await books.open("in/run")
        with pytest.raises(ConfigError, match="thesis"):
            await books.open(str(tmp_path / "in" / "theirs"))
        assert os.listdir(tmp_path / "in" / "theirs") == ["thesis.tex"]
        place = str(tmp_path / "in" / "run")
        await books.open(place)
        for _ in range(2):
            with pytest.raises(ConfigError, match="in use by another process"):
                await others.open(place)
        await books.close(place, 1)
        assert (await others.open(place)).incarnation == 2


async def refused(work: Callable[[], object]) -> None:
    with pytest.raises(Superseded, match="has taken over the run, or it was closed") as error:
        await work()  # type: ignore[misc]
    assert len(str(error.value).splitlines()) == 1


async def test_whoever_has_lost_a_run_changes_nothing(tmp_path: Path) -> None:
    """Another opening, in this process of the head or after it has begun anew, or a close."""
    place = str(tmp_path / "run")
    late: list[Shipment] = [
        File(RESULT, b"old"),
        begun(9),
        Rows(((INSERT_NOTE, (("late", b""),)),)),
        Appended(LOG, 0, b""),
    ]

    async def check(books: Books, incarnation: int) -> None:
        before = everything(tmp_path)
        await refused(lambda: books.write(place, incarnation, 2, late))
        await refused(lambda: books.write(place, incarnation, 1, late))
        await refused(lambda: books.commands(place, incarnation, 0))
        await books.close(place, incarnation)
        assert everything(tmp_path) == before

    async with open_books(tmp_path) as books:
        await books.open(place)
        await books.write(place, 1, 1, [*BEGINNING, begun(1), begun(2), ended(1)])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(refused, lambda: books.commands(place, 1, 0))  # waits, and learns of it
            await anyio.wait_all_tasks_blocked()
            again = await books.open(place)
        assert [file.name for file in again.files] == [CONFIGURATION, FIRST_PROMPT, RECORD, JOURNAL]
        await check(books, 1)
        assert is_claimed(tmp_path / "run" / LOCK)
        await books.write(place, 2, 1, [NOTE, begun(3)])
    async with open_books(tmp_path) as books:
        await check(books, 2)
        assert (await books.open(place)).incarnation == 3
        await check(books, 2)
        await books.close(place, 3)
        await check(books, 3)
    assert [call.error for call in read_calls(tmp_path / "run" / JOURNAL)] == [None, LOST, LOST]
    assert read_notes(tmp_path / "run" / JOURNAL) == {"a": b"1"}


async def test_many_directories_share_two_threads_and_leave_nothing_open(tmp_path: Path) -> None:
    opened_files = "/proc/self/fd"
    if not os.path.exists(opened_files):  # noqa: ASYNC240
        pytest.skip("the operating system does not tell which files are open")
    before, places = len(os.listdir(opened_files)), [str(tmp_path / f"run-{number}") for number in range(40)]

    async def work(books: Books, place: str) -> None:
        opened = await books.open(place)
        for number in range(1, 4):
            late: list[Shipment] = [begun(number), ended(number)]
            await books.write(place, opened.incarnation, number, [*(BEGINNING if number == 1 else ()), *late])

    async with open_books(tmp_path) as books:
        async with anyio.create_task_group() as tasks:
            for place in places:
                tasks.start_soon(work, books, place)
        most = len(os.listdir(opened_files)) - before
        assert most <= 8 * len(places) + 16
        for place in places:
            await books.close(place, 1)
            assert len(list(read_calls(Path(place) / JOURNAL))) == 3
    assert len(os.listdir(opened_files)) <= before + 16


async def test_commands_are_heard_once_and_not_those_of_before(tmp_path: Path) -> None:
    place, said = tmp_path / "run", tmp_path / "run" / COMMANDS
    place.mkdir()
    said.write_bytes(b'["stop"]\n')
    async with open_books(tmp_path) as books:
        opened = await books.open(str(place))
        got: list[bytes] = []
        after = opened.heard

        async def hear(incarnation: int) -> None:
            nonlocal after
            heard = await books.commands(str(place), incarnation, after)
            got.append(heard.lines)
            after = heard.after

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hear, 1)
            await anyio.wait_all_tasks_blocked()
            await anyio.to_thread.run_sync(add, said, b'["pause"]\n["half')
        await anyio.to_thread.run_sync(add, said, b'"]\n')
        assert got == [b'["pause"]\n']
        opened = await books.open(str(place))  # the second command has not been heard yet
        after = opened.heard
        await hear(2)
        assert got[1:] in ([b'["pause"]\n["half"]\n'], [b'["half"]\n'])
        with anyio.move_on_after(0.05):
            await hear(2)
        await books.close(str(place), 2)
        assert len(got) == 2
        assert (await books.open(str(place))).heard == said.stat().st_size


def add(path: Path, lines: bytes) -> None:
    with path.open("ab") as file:
        file.write(lines)


def test_errors_reach_another_process_as_they_are() -> None:
    for error in (Superseded("gone", file="/run"), ConfigError("no", file="a.toml", line=3)):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("damage", [RECORD, INCARNATION, JOURNAL])
async def test_a_damaged_directory_is_one_clear_line_and_is_let_go(tmp_path: Path, damage: str) -> None:
    place = tmp_path / "run"
    place.mkdir()
    (place / damage).write_bytes(b"{" * 5000)
    if damage == JOURNAL:
        for file in BEGINNING:
            assert isinstance(file, File)
            (place / file.name).write_bytes(file.content or b"")
    async with open_books(tmp_path) as books:
        with pytest.raises(PromptFlowError) as error:
            await books.open(str(place))
        assert isinstance(error.value, StorageFailed | InputError)
        assert len(str(error.value).splitlines()) == 1
        assert not is_claimed(place / LOCK)


@asynccontextmanager
async def at_work(place: Path) -> AsyncIterator[tuple[Books, Opened]]:
    async with open_books(place.parent) as books:
        yield books, await books.open(str(place))


@given(
    kinds=st.lists(st.sampled_from(["note", "call", "end", "log", "file"]), min_size=1, max_size=12),
    cuts=st.sets(st.integers(0, 12)),
)
@settings(max_examples=25, deadline=None)
def test_after_any_shipment_the_head_has_all_of_it_and_nothing_else(kinds: list[str], cuts: set[int]) -> None:
    """The head ends after some of them, without a goodbye to its node, and another one goes on."""

    async def main() -> None:
        with temporary() as folder:
            place = folder / "run"
            log, notes, files, calls, flying = b"", dict[str, bytes](), dict[str, bytes](), 0, set[int]()
            at: AbstractAsyncContextManager[tuple[Books, Opened]] | None = None
            incarnation = number = 0
            for step, kind in enumerate(kinds):
                if step == 0 or step in cuts:
                    if at is not None:
                        await at.__aexit__(None, None, None)
                    at = at_work(place)
                    books, opened = await at.__aenter__()
                    incarnation, number = opened.incarnation, 0
                    calls, flying = calls + len(flying), set()
                    there = {file.name: file.content for file in opened.files if file.name != JOURNAL}
                    assert there == files | ({LOG: log} if log else {})
                    if step == 0:
                        await books.write(str(place), incarnation, number := 1, BEGINNING)
                        files |= {file.name: file.content for file in BEGINNING}  # type: ignore[union-attr,misc]
                number += 1
                match kind:
                    case "note":
                        notes[f"n{step}"] = b"%d" % step
                        shipment: Shipment = Rows(((INSERT_NOTE, ((f"n{step}", b"%d" % step),)),))
                    case "call":
                        flying.add(step)
                        shipment = begun(step)
                    case "end":
                        calls += 1
                        shipment = ended(flying.pop() if flying else step)
                    case "log":
                        shipment = Appended(LOG, len(log), b"line %d\n" % step)
                        log += b"line %d\n" % step
                    case _:
                        files[f"given/{step}"] = b"%d" % step
                        shipment = File(f"given/{step}", b"%d" % step)
                await books.write(str(place), incarnation, number, [shipment])
            assert at is not None
            await at.__aexit__(None, None, None)
            async with at_work(place) as (_, opened):
                assert len(opened.files) == len(files) + bool(log) + 1
            assert read_notes(place / JOURNAL) == notes
            assert len(list(read_calls(place / JOURNAL))) == calls + len(flying)

    anyio.run(main)
