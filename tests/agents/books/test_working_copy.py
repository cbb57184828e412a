"""A search that works on a copy: whoever cuts it off, the head has the run, and another node goes on with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import anyio
import pytest
from anyio import to_thread

from agents.books.books import open_books
from agents.config.configuration import Configuration
from agents.directory.run_directory import (
    BEST_PROMPT,
    CACHE,
    JOURNAL,
    MEMORY,
    RESULT,
    read_document,
)
from agents.run.opening import Shared, open_run_in
from memory.journals.journal import LOST, read_calls, read_journal
from memory.storage.cache import open_cache
from memory.store import open_memory
from protocols.embedding import HashedNgrams
from protocols.messages import Message, Resumed
from protocols.providers.transport.http import open_transport
from tests.agents.books.node import CutOff, Wire, forgotten, opened
from tests.agents.run.searching import CONCURRENCY, configuration
from tests.agents.run.test_resume import folder_of, found
from tests.agents.run.test_search import check_journal
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
    """All that the journal has but that it was gone on with, and what depends on the clock or on what was cached."""
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
