"""What the searches of one process share, and give back when they end: watches, clients, limits and files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import openai
import pytest
import watchfiles.main
from anyio import to_thread

from agents.archive.ends import INTERRUPTED
from agents.directory.run_directory import COMMANDS, RESULT, read_document
from agents.run.search import Run
from agents.run.steering import command
from agents.study.engine import InThisProcess
from agents.study.grid import Cell, load_grid
from agents.study.sweep import Row, Sweep
from protocols.messages import Critique, Envelope
from tests.agents.study.test_sweep import around, finish, unattended, write_grid
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
HERE = __name__
OPENED = Path("/proc/self/fd")
KEY = {"OPENAI_API_KEY": "sk-test-0123456789"}
Attend = Callable[[Cell, Run], AbstractAsyncContextManager[None]]


def files() -> list[str]:
    """What this process has open, where the operating system tells."""
    if not OPENED.exists():
        pytest.skip("the operating system does not tell which files are open")
    return [os.readlink(path) for path in OPENED.iterdir() if path.is_symlink()]


async def sweep(path: Path, attend: Attend, *settings: str) -> list[Row]:
    work = Sweep(load_grid(path, settings), KEY, InThisProcess(KEY, around(attend)), lambda row: None)
    await work.run()
    return work.rows


def after_first_critique(run: Run, do: Callable[[], object]) -> None:
    """Call `do` once the first prompt is evaluated: by then the search hears of commands."""
    seen: list[Envelope] = []

    async def observe(envelope: Envelope) -> None:
        if isinstance(envelope.message, Critique) and not seen:
            seen.append(envelope)
            do()

    run.bus.tap(observe)


async def test_all_searches_at_once_take_one_watch_of_the_operating_system(tmp_path: Path) -> None:
    path, watches, begun = write_grid(tmp_path, "searches = 8\nseeds = [0, 1, 2, 3]"), [0], [0]

    @asynccontextmanager
    async def attend(cell: Cell, run: Run) -> AsyncIterator[None]:
        def count() -> None:
            begun[0] += 1
            watches.append(sum("inotify" in name for name in files()))

        after_first_critique(run, count)
        yield

    before = sum("inotify" in name for name in files())
    rows = await sweep(path, attend)
    assert len([row for row in rows if row.result]) == begun[0] == 8
    assert max(watches) <= before + 1


@pytest.mark.parametrize("watched", [True, False])
async def test_every_search_hears_its_commands_whoever_ends_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: bool
) -> None:
    """Also where the operating system gives no watch."""
    path, said = write_grid(tmp_path, "searches = 3\nseeds = [0, 1, 2]", settings=""), list[str]()
    told, ended, under_way = list[str](), anyio.Event(), list[Path]()
    all_begun = anyio.Event()
    if not watched:

        def refused(*arguments: object) -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(watchfiles.main, "RustNotify", refused)
        monkeypatch.setattr("agents.directory.watching.UNASKED", 0.02)

    @asynccontextmanager
    async def attend(cell: Cell, run: Run) -> AsyncIterator[None]:
        under_way.append(run.directory)
        if len(under_way) == 3:
            all_begun.set()
        yield

    def end(row: Row) -> None:
        told.append(row.cell)
        ended.set()

    async def steer() -> None:
        await all_begun.wait()
        for directory in list(under_way):
            nonlocal ended
            ended = anyio.Event()
            await to_thread.run_sync(command, directory, ["stop"])
            while directory.name not in interrupted():
                await anyio.lowlevel.checkpoint()

    def interrupted() -> set[str]:
        return {place.name for place in under_way if (place / "result.json").exists()}

    work = Sweep(load_grid(path, ("search.assignments=5000",)), {}, InThisProcess({}, around(attend)), end)
    work.say = said.append
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(steer)
        await work.run()
    assert len(interrupted()) == 3
    assert told == []  # all were stopped by a person, and count as not run
    assert len(said) == (0 if watched else 1)


async def test_a_commands_file_that_was_taken_away_is_made_again(tmp_path: Path) -> None:
    path = write_grid(tmp_path, "seeds = [0]", settings="")

    @asynccontextmanager
    async def attend(cell: Cell, run: Run) -> AsyncIterator[None]:
        async def steer() -> None:
            file = run.directory / COMMANDS
            while not file.exists():
                await anyio.lowlevel.checkpoint()
            file.unlink()
            while not file.exists():
                await anyio.lowlevel.checkpoint()
            await to_thread.run_sync(command, run.directory, ["stop"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(steer)
            yield
            tasks.cancel_scope.cancel()

    await sweep(path, attend, "search.assignments=100000")
    result = read_document(tmp_path / "out" / "small.default.0" / RESULT)
    assert result is not None
    assert result["stopped_by"] == INTERRUPTED


def answer(request: httpx2.Request) -> httpx2.Response:
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    return httpx2.Response(200, json={"model": "m", "choices": [{"message": {"content": "parcel"}}], "usage": usage})


class Books:
    """Clients that were made, and the most that were open at once."""

    def __init__(self) -> None:
        self.made: list[openai.AsyncOpenAI] = []
        self.most_open = 0

    def open(self) -> list[openai.AsyncOpenAI]:
        return [client for client in self.made if not client.is_closed()]

    def enter(self, kind: type[openai.AsyncOpenAI] = openai.AsyncOpenAI) -> openai.AsyncOpenAI:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
        client = kind(api_key="sk-test-0123456789", base_url="http://model.invalid/v1", http_client=http)
        self.made.append(client)
        self.most_open = max(self.most_open, len(self.open()))
        return client


class Uncloseable(openai.AsyncOpenAI):
    async def close(self) -> None:
        await super().close()
        raise RuntimeError("something of mine is broken")


CLIENTS = Books()


def new_client() -> openai.AsyncOpenAI:
    return CLIENTS.enter()


def the_same_client() -> openai.AsyncOpenAI:
    return CLIENTS.made[0] if CLIENTS.made else CLIENTS.enter()


def client_that_cannot_be_closed() -> openai.AsyncOpenAI:
    return CLIENTS.enter(Uncloseable)


def closed_client() -> openai.AsyncOpenAI:
    client = CLIENTS.enter()
    client.is_closed = lambda: True  # type: ignore[method-assign]
    return client


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Books:
    books = Books()
    monkeypatch.setattr(f"{HERE}.CLIENTS", books)
    return books


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("function", ["new_client", "the_same_client", "client_that_cannot_be_closed"])
async def test_a_client_is_closed_with_its_search(
    tmp_path: Path, clients: Books, at_once: int, function: str
) -> None:
    path = write_grid(tmp_path, f"searches = {at_once}\nseeds = {list(range(6))}", settings="")
    left: list[int] = []
    work = Sweep(
        load_grid(path, ("models.default=openai/m", f"providers.openai.client={HERE}:{function}")),
        {},
        InThisProcess({}, unattended),
        lambda row: left.append(len(clients.open())),
    )
    await work.run()
    assert all(row.result for row in work.rows)
    assert len(work.rows) == 6
    assert not clients.open()
    assert clients.most_open <= at_once + 1
    assert max(left) <= at_once


@pytest.mark.usefixtures("clients")
async def test_a_client_that_is_closed_already_is_refused_in_one_line(tmp_path: Path) -> None:
    path = write_grid(tmp_path, "seeds = [0]", settings="")
    with pytest.raises(Exception, match="returns one that is closed; let it make a new one at every call"):
        await finish(path, "models.default=openai/m", f"providers.openai.client={HERE}:closed_client")


@pytest.mark.parametrize("widths", [[1, 6], [6, 1], [2, 8, 1, 4]])
async def test_calls_in_flight_are_those_of_the_searches_that_work(tmp_path: Path, widths: list[int]) -> None:
    """One account, one search after the other, and each with another concurrency."""
    in_flight, most = [0], dict[str, int]()
    now = [""]

    async def hold() -> None:
        in_flight[0] += 1
        most[now[0]] = max(most.get(now[0], 0), in_flight[0])
        try:
            await anyio.sleep(0.01)  # the latency of this server: calls can only be together if each takes a while
        finally:
            in_flight[0] -= 1

    @asynccontextmanager
    async def attend(cell: Cell, run: Run) -> AsyncIterator[None]:
        now[0] = cell.setting
        yield

    async with WireServer(lambda turns: "parcel", delay=hold) as server:
        settings = "".join(
            f'[settings.w{place}.models]\ndefault = "openai/m{place}"\n'
            f"[settings.w{place}.providers.openai]\nconcurrency = {width}\n"
            f'base_url = "{server.openai_url}"\n'
            for place, width in enumerate(widths)
        )
        path = write_grid(tmp_path, "searches = 1\nseeds = [0]", settings)
        rows = await sweep(path, attend, "search.assignments=0")
    assert all(row.result for row in rows)
    assert [most[f"w{place}"] for place in range(len(widths))] == widths


FEW = """
import resource, sys, anyio
from pathlib import Path
from tests.agents.study.test_sweep import unattended
from agents.study.grid import load_grid
from agents.study.engine import InThisProcess
from agents.study.sweep import Sweep
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[3])))
said = []
grid = load_grid(Path(sys.argv[1]), ("search.assignments=0",))
work = Sweep(grid, {}, InThisProcess({}, unattended), lambda row: None)
work.say = said.append
anyio.run(work.run)
print(len(work.rows), sum(row.result is not None for row in work.rows), said)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize(("soft", "hard", "says"), [(256, 256, "8 searches at once and not 24"), (256, 2048, "[]")])
def test_no_more_searches_work_at_once_than_files_may_be_open(
    tmp_path: Path, soft: int, hard: int, says: str
) -> None:
    path = write_grid(tmp_path, f"searches = 24\nseeds = {list(range(24))}", settings="")
    arguments = [sys.executable, "-c", FEW, str(path), str(soft), str(hard)]
    ran = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ran.stdout.startswith("24 24 "), ran.stderr
    assert says in ran.stdout
