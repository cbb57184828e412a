"""A search that works on a copy: whoever cuts it off, the head has the run, and another node goes on with it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import anyio
import orjson
import pytest
from anyio import to_thread

from agents.archive.ends import INTERRUPTED
from agents.books.books import Books, open_books
from agents.books.shipments import FILES, Appended, File, Shipment
from agents.books.working_copy import open_working_copy
from agents.config.configuration import Configuration, load
from agents.directory.intact import check_intact
from agents.directory.run_directory import (
    BEST_PROMPT,
    CACHE,
    CONFIGURATION,
    GIVEN,
    JOURNAL,
    LOCK,
    LOG,
    MEMORY,
    RECORD,
    REPORT,
    RESULT,
    find,
    read_configuration,
    read_document,
)
from agents.history.replay import replay
from agents.ring.controller import WIDTH
from agents.run.opening import Shared, open_run_in
from agents.run.steering import command
from agents.session import Session
from agents.views.page.feed import Feed
from agents.views.report import read_report
from memory.journals.reading import read_calls, read_journal
from memory.journals.schema import LOST
from memory.storage.cache import open_cache
from memory.storage.sqlite import is_claimed
from memory.store import open_memory
from protocols.embedding import HashedNgrams
from protocols.errors import ConfigError, Superseded
from protocols.messages import (
    Change,
    Command,
    Continue,
    Critique,
    Envelope,
    Inject,
    Message,
    Pause,
    Resumed,
    Stop,
)
from protocols.providers.transport.http import open_transport
from tests.agents.books.node import CutOff, Wire, forgotten, opened
from tests.agents.run.searching import CONCURRENCY, configuration
from tests.agents.run.test_resume import folder_of, found, not_looked_at
from tests.agents.run.test_search import check_journal
from tests.memory.journals.test_journal_copy import rows
from tests.small_task import write_task
from tests.wire_server import WireServer
from tests.world import answer

pytestmark = pytest.mark.anyio
CUTS = 10


@asynccontextmanager
async def shared_in(head: Path) -> AsyncIterator[Shared]:
    """Cache and memory are on the head."""
    await to_thread.run_sync(head.mkdir)
    async with (
        open_transport({}) as transport,
        open_cache(head / CACHE) as cache,
        open_memory(head / MEMORY, HashedNgrams()) as memory,
    ):
        yield Shared(transport, cache=cache, memory=memory)


async def on_one_machine(head: Path, settings: Configuration) -> Path:
    async with shared_in(head) as shared, open_run_in(shared, settings, {}, head / "run") as run:
        await run.search()
    return head / "run"


def said(directory: Path) -> list[Message]:
    """All that was said on the bus, but that the run was gone on with."""
    messages = (envelope.message for envelope in read_journal(directory / JOURNAL))
    return [m for m in messages if not isinstance(m, Resumed)]


async def until_cut(wire: Wire, place: Path, folder: Path, shared: Shared, settings: Configuration) -> bool:
    """Search until the wire is cut; whether the search has ended before."""
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                await wire.broken.wait()
                scope.cancel()

            tasks.start_soon(cancel)
            try:
                async with opened(wire, place, folder, shared, settings) as (run, _):
                    await run.search()
            except CutOff:
                return False
            tasks.cancel_scope.cancel()
            return True
    return False


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_run_cut_off_at_ten_points_and_opened_elsewhere_is_the_run_of_one_machine(
    tmp_path: Path, seed: int
) -> None:
    """It is cut at a shipment, before the head has it or before the node knows; nothing is left of a node."""
    folder, rng = folder_of(tmp_path), Random(seed)
    async with WireServer(answer) as server:
        settings = configuration(folder, server.openai_url, 1, 16)
        whole = await on_one_machine(tmp_path / "whole", settings)
        made = server.stats.calls
        points = sorted(rng.sample(range(1, made * 3 // 4), CUTS))  # a call takes about one write
        place = tmp_path / "head" / "run"
        async with shared_in(tmp_path / "head") as shared, open_books(tmp_path / "head") as books:
            for cut in range(CUTS + 1):
                gap = points[cut] - (points[cut - 1] if cut else 0) if cut < CUTS else 0
                wire = Wire(books, rng, left=gap)
                ended = await until_cut(wire, place, tmp_path / f"node-{cut}", shared, settings)
                assert ended == (cut == CUTS)
                await forgotten(tmp_path / f"node-{cut}")
        counted = server.stats.calls - made
    assert said(place) == said(whole)
    assert found(place) == found(whole)
    assert (place / BEST_PROMPT).read_bytes() == (whole / BEST_PROMPT).read_bytes()
    check_journal(place, 16)
    calls = list(read_calls(place / JOURNAL))
    assert counted <= len(calls) <= counted + CUTS * CONCURRENCY
    assert made <= counted <= made + CUTS * CONCURRENCY
    assert sum(call.error == LOST for call in calls) <= CUTS * CONCURRENCY
    result = read_document(place / RESULT)
    assert result is not None
    assert sum(result["calls"].values()) == len(calls)
    assert sum(isinstance(e.message, Resumed) for e in read_journal(place / JOURNAL)) >= CUTS // 2


@dataclass
class Cutter:
    """Cuts a wire when the `left`-th call has arrived at the server, and lets no such call be answered."""

    wire: Wire | None = None
    left: int = 0

    async def __call__(self) -> None:
        self.left -= 1
        if self.left == 0 and self.wire is not None:
            self.wire.cut()
            await anyio.sleep_forever()


@pytest.mark.timeout(300)
async def test_the_books_have_every_call_that_the_server_counted_and_no_other(tmp_path: Path) -> None:
    """One call at a time, cut while the server works on it: each cut costs one call."""
    folder, rng, cutter = folder_of(tmp_path), Random(3), Cutter()
    async with WireServer(answer, delay=cutter) as server:
        settings = configuration(folder, server.openai_url, 1, 6)
        settings = settings.model_copy(update={"search": settings.search.model_copy(update={"concurrency": 1})})
        whole = await on_one_machine(tmp_path / "whole", settings)
        made, place = server.stats.calls, tmp_path / "head" / "run"
        async with shared_in(tmp_path / "head") as shared, open_books(tmp_path / "head") as books:
            for cut in range(CUTS + 1):
                cutter.wire, cutter.left = Wire(books, rng), rng.randint(1, made // CUTS) if cut < CUTS else 0
                ended = await until_cut(cutter.wire, place, tmp_path / f"node-{cut}", shared, settings)
                assert ended == (cut == CUTS)
        counted = server.stats.calls - made
    calls = list(read_calls(place / JOURNAL))
    assert len(calls) == counted == made + CUTS
    assert sum(call.error == LOST for call in calls) == CUTS
    assert said(place) == said(whole)


@pytest.mark.timeout(300)
async def test_a_node_that_has_lost_its_run_ends_and_changes_nothing(tmp_path: Path) -> None:
    """It still reaches the head, and works on. Where it learns of it, no call is made any more."""
    folder, place = folder_of(tmp_path), tmp_path / "head" / "run"
    taken = anyio.Event()
    async with WireServer(answer) as server:
        settings = configuration(folder, server.openai_url, 4, 12)

        async def lose(shared: Shared, books: Books) -> None:
            async with opened(books, place, tmp_path / "first", shared, settings) as (run, _):
                run.bus.tap(once(Critique, taken))
                await run.search()

        async with shared_in(tmp_path / "head") as shared, open_books(tmp_path / "head") as books:
            async with anyio.create_task_group() as tasks:

                async def first() -> None:
                    with pytest.raises(Superseded, match="has taken over the run") as error:
                        await lose(shared, books)
                    assert len(str(error.value).splitlines()) == 1

                tasks.start_soon(first)
                await taken.wait()
                async with opened(books, place, tmp_path / "second", shared, settings) as (run, _):
                    await run.search()
            assert not is_claimed(place / LOCK)
    check_journal(place, 12)
    assert len(list(read_calls(place / JOURNAL))) == len(list(read_calls(tmp_path / "second" / JOURNAL)))
    assert (await replay(place, not_looked_at)).stopped_by == "assignments"


def once(kind: type[Message], seen: anyio.Event) -> Callable[[Envelope], Coroutine[Any, Any, None]]:
    async def observe(envelope: Envelope) -> None:
        if isinstance(envelope.message, kind):
            seen.set()

    return observe


def check_whole(place: Path, seen: Path) -> None:
    """Every file of a directory is whole, as a head would find it that begins anew: of a copy of it."""
    shutil.copytree(place, seen, ignore=shutil.ignore_patterns(LOCK, f"{LOCK}-*"))
    record = find(seen)
    assert (record is None) <= (not (seen / JOURNAL).exists())
    if record is not None:
        check_intact(seen, record.run)
        read_configuration(seen)
        assert list(read_journal(seen / JOURNAL)) is not None
    for path in seen.glob("*.json"):
        assert read_document(path)
    for line in (seen / LOG).read_bytes().splitlines() if (seen / LOG).exists() else ():
        orjson.loads(line)
    assert not (seen / RESULT).exists() or (seen / BEST_PROMPT).exists()
    shutil.rmtree(seen)


@pytest.mark.timeout(300)
async def test_between_any_two_shipments_every_file_on_the_head_is_whole_and_in_the_end_all_are_there(
    tmp_path: Path,
) -> None:
    place, session = tmp_path / "head" / "run", Session({})
    config = write_task(tmp_path / "task")
    shipped = list[Shipment]()

    async def look(shipments: Sequence[Shipment]) -> None:
        shipped.extend(shipments)
        await to_thread.run_sync(check_whole, place, tmp_path / "seen")

    async with shared_in(tmp_path / "head") as shared, open_books(tmp_path / "head") as books:
        (place / GIVEN).mkdir(parents=True)
        (place / GIVEN / "train.jsonl").write_bytes(b"{}\n")
        wire = Wire(books, after=look)
        async with opened(wire, place, tmp_path / "node", shared, load(config)) as (run, _):
            assert (tmp_path / "node" / GIVEN / "train.jsonl").read_bytes() == b"{}\n"
            result = await session.search(run)
        kept = {path.name: path.read_bytes() for path in (tmp_path / "node").glob("*.*") if path.name in FILES}
        assert {RESULT, LOG, REPORT, BEST_PROMPT, RECORD} <= kept.keys()
        assert {name: (place / name).read_bytes() for name in kept if name != CONFIGURATION} == {
            name: content for name, content in kept.items() if name != CONFIGURATION
        }
        assert rows(place / JOURNAL) == rows(tmp_path / "node" / JOURNAL)
        assert read_report(place).lineage == read_report(tmp_path / "node").lineage
        assert read_document(place / RESULT) == orjson.loads(orjson.dumps(result))
        whole = [shipment.name for shipment in shipped if isinstance(shipment, File)]
        assert whole.index(RECORD) > whole.index(CONFIGURATION)
        async with open_run_in(Shared(shared.transport), load(config, ("search.assignments=8",)), {}, place) as run:
            assert run.resumed


async def test_what_changes_without_a_word_of_the_journal_is_shipped(tmp_path: Path) -> None:
    place, shipped, config = tmp_path / "head" / "run", anyio.Event(), load(write_task(tmp_path / "task"))

    async def look(shipments: Sequence[Shipment]) -> None:
        if any(isinstance(shipment, Appended) and shipment.content == b"{}\n" for shipment in shipments):
            shipped.set()

    async with (
        shared_in(tmp_path / "head") as shared,
        open_books(tmp_path / "head") as books,
        opened(Wire(books, after=look), place, tmp_path / "node", shared, config),
    ):
        await to_thread.run_sync((tmp_path / "node" / LOG).write_bytes, b"{}\n")
        await shipped.wait()
        assert (place / LOG).read_bytes() == b"{}\n"


@pytest.mark.timeout(300)
async def test_a_person_at_the_head_looks_on_and_steers(tmp_path: Path) -> None:
    """The configuration on the head names the head's folders."""
    place, theirs = tmp_path / "head" / "run", tmp_path / "theirs"
    settings = load(write_task(tmp_path / "task"), ("search.assignments=5000",))
    await to_thread.run_sync(shutil.move, tmp_path / "task", theirs)
    (tmp_path / "task").symlink_to(theirs)
    log, changed = list[Message](), anyio.Condition()

    async def follow(envelope: Envelope) -> None:
        log.append(envelope.message)
        async with changed:
            changed.notify_all()

    async def until(kind: type[Message]) -> None:
        async with changed:
            while not any(isinstance(message, kind) for message in log):
                await changed.wait()

    async with shared_in(tmp_path / "head") as shared, open_books(tmp_path / "head") as books:
        places = {str(tmp_path / "task"): str(theirs)}
        async with (
            open_working_copy(books, str(place), tmp_path / "node", places) as copy,
            open_run_in(shared, settings, {}, copy.folder, copy) as run,
        ):
            run.bus.tap(follow)
            with pytest.raises(ConfigError, match="in use by another process"):
                async with open_run_in(Shared(shared.transport), settings, {}, place):
                    pass
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run.search)
                await until(Critique)
                (tmp_path / "task").unlink()
                assert read_configuration(place).origin == theirs
                feed = await to_thread.run_sync(Feed, place)
                async with anyio.create_task_group() as watching:
                    watching.start_soon(feed.follow)
                    async with aclosing(feed.changes()) as changes:
                        shown = await anext(changes)
                    watching.cancel_scope.cancel()
                assert shown["points"]
                prompt = str(place / "first_prompt.txt")
                for words in (["pause"], ["set", WIDTH, "5"], ["inject", prompt], ["resume"]):
                    await to_thread.run_sync(command, place, words)
                await until(Continue)
                assert run.controller.width == 5
                await to_thread.run_sync(command, place, ["stop"])
    kinds = [type(message) for message in log if isinstance(message, Command)]
    assert kinds == [Pause, Change, Inject, Continue, Stop]
    with pytest.raises(ConfigError, match="has finished"):
        command(place, ["pause"])
    result = read_document(place / RESULT)
    assert result is not None
    assert result["stopped_by"] == INTERRUPTED
    assert (await replay(place, not_looked_at)).stopped_by == INTERRUPTED


async def test_a_copy_needs_a_folder_of_its_own(tmp_path: Path) -> None:
    place, folder = tmp_path / "head" / "run", tmp_path / "node"
    folder.mkdir()
    (folder / RESULT).write_bytes(b"{}")
    async with open_books(tmp_path) as books:
        with pytest.raises(ConfigError, match="is not empty"):
            async with open_working_copy(books, str(place), folder):
                pass
        assert not is_claimed(place / LOCK)
    assert not (place / RESULT).exists()
