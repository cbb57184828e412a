"""Runs searches in a process of its own, on some node: an actor with one search at a time."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import anyio
import ray

from agents.books.working_copy import WorkingCopy, open_working_copy
from agents.cluster.carrying import Answer, Given, Hello, Job, News
from agents.cluster.limits import ClusterQuotas
from agents.cluster.rooms import Rooms
from agents.cluster.sealing import Lock
from agents.directory.run_directory import JOURNAL
from agents.history.progress import Progress
from agents.ring.team import only
from agents.run.opening import open_run_in
from agents.run.search import Run
from agents.session import Session, check_tools
from agents.study.engine import Outcome, open_shared, outcome
from agents.study.grid import Cell
from agents.study.spent import spent_by
from agents.study.sweep import Row
from agents.views.live.terminal import unheard
from memory.remote.stores import RemoteStores
from protocols.budget.budget_scope import Cost
from protocols.budget.purse import Purse
from protocols.budget.shared_budget import SharedBudget
from protocols.budget.wallet import Wallet
from protocols.concurrency.threads import in_thread
from protocols.errors import Interrupted, PromptFlowError
from protocols.providers.transport.http import open_transport


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a search finds where it runs. `folder`: the working directory, None where Ray has made one of the shipped
    files; `path`: the folders that Python imports from; `variables`: those that the searches need."""

    folder: str | None
    path: Sequence[str]
    variables: Sequence[str]


class Searcher:
    """An async actor: every method is a task of its own on the actor's loop. Each may be called again, by Ray after
    a restart and by the command after an answer was lost."""

    def __init__(self, surroundings: Surroundings) -> None:
        if surroundings.folder is not None:
            os.chdir(surroundings.folder)
        sys.path += [folder for folder in (*surroundings.path, os.getcwd()) if folder not in sys.path]
        lacking = tuple(name for name in surroundings.variables if name not in os.environ)
        self._rooms: Rooms | None = None
        self._lock, self._said = Lock(), Said()
        self._session = Session(os.environ, quotas=ClusterQuotas())
        self._session.show(self._said)
        node = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        self._hello = Hello(uuid4().hex, node, self._lock.public, lacking)
        self._given = anyio.Event()
        self._run: Run | None = None
        self._stopped: str | None = None

    async def news(self, incarnation: str, count: int) -> News:
        """What was said since the `count`-th line of this incarnation; of another, everything. Waits for it."""
        if incarnation == self._hello.incarnation:
            await self._said.beyond(count)
        else:
            count = 0
        lines = tuple(self._said.lines[count:])
        return News(self._hello, count + len(lines), lines)

    async def give(self, incarnation: str, given: Given) -> None:
        """What this incarnation needs; it is given once."""
        if incarnation == self._hello.incarnation and not self._given.is_set():
            self._session.environ = {**os.environ, **self._lock.opened(given.sealed)}
            self._stopped, self._rooms = given.stopped, given.rooms
            self._given.set()

    async def search(self, job: Job) -> Answer:
        """Run or resume a search; an error of ours is a value."""
        await self._given.wait()
        try:
            found = await self._session.waited_for(partial(self._searched, job))
        except (PromptFlowError, ExceptionGroup) as error:
            failed = only(error) if isinstance(error, ExceptionGroup) else error
            if isinstance(failed, PromptFlowError):
                return failed
            raise failed from None
        finally:
            self._run = None
        assert found is not None, "nothing stops it but its own end"
        return found

    async def stop(self, reason: str) -> None:
        """Stop this search once its calls in flight have ended, and every later one at once."""
        self._stopped = reason
        if self._run is not None:
            await self._run.stop(reason)

    async def _searched(self, job: Job) -> Outcome:
        assert self._rooms is not None, "they come with the variables"
        rooms, environ, configuration = self._rooms, self._session.environ, job.cell.configuration
        check_tools([configuration])
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pf-", dir=session_folder())))
            there = partial(on_the_machine_of_the_command, {folder: Path(job.directory), Path.cwd(): Path(job.home)})
            stores = RemoteStores(rooms.caches, rooms.memories, self._hello.incarnation, there)
            copied = open_working_copy(rooms.books, job.directory, folder, {os.getcwd(): job.home})
            copy = await stack.enter_async_context(copied)
            budget = await stack.enter_async_context(budget_of(job, copy, rooms.purse, environ))
            transport = await stack.enter_async_context(open_transport(environ))
            sharing = open_shared(transport, job.grid, self._session.accounts, budget, stores)
            shared = await stack.enter_async_context(sharing)
            run = await stack.enter_async_context(open_run_in(shared, configuration, environ, folder, copy))
            if self._stopped is not None:
                raise Interrupted("stopped before it began")
            self._run = run
            return outcome(await self._session.search(run, cell=job.cell.name))


@asynccontextmanager
async def budget_of(
    job: Job, copy: WorkingCopy, purse: Purse | None, environ: Mapping[str, str]
) -> AsyncIterator[SharedBudget | None]:
    """The part of a search in the caps of its sweep, with what it has spent so far; None without caps."""
    if purse is None:
        yield None
        return
    budget = SharedBudget(job.grid.kind, job.grid.budget, time.monotonic)
    budget.worked(max(0.0, time.time() - job.since))
    if (copy.folder / JOURNAL).exists():
        spent = await in_thread(spent_by, copy.folder, job.cell.configuration, environ)
        budget.take_up(int(spent.calls), Cost(int(spent.tokens), spent.dollars))
    wallet, failed = Wallet(job.cell.name, budget, purse, copy.incarnation), None
    async with anyio.create_task_group() as tasks:
        await tasks.start(wallet.serve, name="wallet")
        try:
            yield budget
        except Exception as error:  # the group would wrap it
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed


def session_folder() -> str | None:
    """A folder that ends with this Ray, so that a killed search leaves nothing behind; None: the usual one."""
    node = getattr(ray._private.worker, "_global_node", None)
    return None if node is None else os.fspath(node.get_session_dir_path())


class Said:
    """Keeps what a search says, as its view, for a command that asks."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, bool]] = []
        self.hear: Callable[[], None] = unheard
        self.spent: Callable[[], str] = str
        self._more = anyio.Event()

    async def beyond(self, count: int) -> None:
        """Wait until there are more than `count` lines."""
        while len(self.lines) <= count:
            await self._more.wait()

    @contextmanager
    def attend(self, cell: Cell, run: Run, so_far: Progress) -> Iterator[None]:
        yield

    def ended(self, row: Row) -> None:
        """The command hears of it by the answer."""

    def say(self, text: str) -> None:
        self.hear()
        self._say(text, waits=False)

    def wait(self, text: str) -> None:
        self._say(text, waits=True)

    def _say(self, text: str, waits: bool) -> None:
        self.lines.append((text, waits))
        self._more.set()
        self._more = anyio.Event()


def on_the_machine_of_the_command(places: Mapping[Path, Path], path: Path) -> Path:
    """The path there of a path here, by the first of these folders that it is in."""
    path = Path(os.path.abspath(path))
    for here, there in places.items():
        if path.is_relative_to(here):
            return there / path.relative_to(here)
    return path


def needed(environ: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """The named variables, those that are set."""
    return {name: environ[name] for name in names if name in environ}
