"""Whoever looks at a run, or steers it, while it begins: that is nothing to the run."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from agents.config.configuration import load
from agents.directory.run_directory import COMMANDS, LOCK, claim, read_configuration
from agents.run.opening import open_run
from agents.run.steering import command
from agents.views.page.document import report_document
from agents.views.page.feed import Feed
from agents.views.report import read_report
from memory.storage.sqlite import claimed, is_claimed
from protocols.errors import PromptFlowError
from protocols.files import prompt_file
from tests.small_task import PROMPT, write_task

pytestmark = pytest.mark.anyio


@contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection]:
    """In the middle of a look at whether somebody has the file."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        yield connection


def test_who_looks_whether_somebody_has_a_file_does_not_have_it(tmp_path: Path) -> None:
    path, had, over = tmp_path / LOCK, list[bool](), threading.Event()

    def take() -> None:
        with claimed(path) as mine:
            had.append(mine)
        over.set()

    with looking(path) as connection:
        taker = threading.Thread(target=take)
        taker.start()
        over.wait(0.1)  # it is over by now only if it has given up
        connection.execute("COMMIT")
        taker.join()
    assert had == [True]


def test_of_two_who_want_a_file_one_has_it(tmp_path: Path) -> None:
    path = tmp_path / LOCK
    with claimed(path) as mine, claimed(path) as theirs:
        assert (mine, theirs, is_claimed(path)) == (True, False, True)
    assert not is_claimed(path)


LOOKS: dict[str, Callable[[Path], object]] = {
    "ctl": lambda directory: command(directory, ["resume"]),
    "ctl inject": lambda directory: command(directory, ["inject", str(directory / "first_prompt.txt")]),
    "show": read_report,
    "report": report_document,
    "watch": Feed,
    "lock": lambda directory: is_claimed(directory / LOCK),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
async def test_a_search_begins_whoever_looks_on(tmp_path: Path, look: Callable[[Path], object]) -> None:
    """Over and over, at whatever is there of the run directory by then."""
    configuration = load(write_task(tmp_path / "task"), ("search.assignments=1",))
    over = threading.Event()
    directories = [tmp_path / f"run-{number}" for number in range(12)]
    now = [directories[0]]

    def looks() -> None:
        while not over.is_set():
            with suppress(PromptFlowError):
                look(now[0])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(to_thread.run_sync, looks)
        try:
            for directory in directories:
                now[0] = directory
                async with open_run(configuration, {}, directory) as run:
                    assert not run.resumed
                async with open_run(configuration, {}, directory):
                    pass
        finally:
            over.set()


def test_what_is_said_before_a_run_has_a_journal_is_kept_for_it(tmp_path: Path) -> None:
    configuration = load(write_task(tmp_path / "task"))
    with claim(tmp_path / "run", configuration, prompt_file.loads(PROMPT), {}):
        assert read_configuration(tmp_path / "run").task.name == "small"
        assert command(tmp_path / "run", ["pause"]).startswith("paused")
        assert command(tmp_path / "run", ["inject", str(tmp_path / "run" / "first_prompt.txt")])
    assert (tmp_path / "run" / COMMANDS).read_bytes().count(b"[") == 2


async def test_commands_that_are_there_before_a_run_do_not_make_the_directory_another_ones(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / COMMANDS).write_bytes(b'["stop"]\n')
    configuration = load(write_task(tmp_path / "task"), ("search.assignments=1",))
    async with open_run(configuration, {}, tmp_path / "run") as run:
        assert (await run.search()).stopped_by == "assignments"
