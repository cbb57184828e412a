"""A search whose reply cache and memory are on another machine decides as one whose files are here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from agents.config.configuration import Configuration
from agents.models.accounts import Accounts
from agents.run.opening import Shared, open_run_in
from memory.journals.reading import read_journal
from memory.opening import LocalStores, Stores
from memory.remote.caches import Caches
from memory.remote.memories import Memories
from memory.remote.stores import RemoteStores
from protocols.messages import Candidate
from protocols.providers.transport.http import open_transport
from tests.agents.run import searching
from tests.agents.run.test_resume import decisions as chosen
from tests.agents.run.test_resume import folder_of
from tests.agents.run.test_search import configure, decisions
from tests.memory.remote.wire import WiredCaches, WiredMemories
from tests.wire_server import WireServer
from tests.world import answer

pytestmark = pytest.mark.anyio


class Head:
    """Caches and memories, in the folder `there` and not where their paths say."""

    def __init__(self, there: Path) -> None:
        self.caches, self.memories, self._there = Caches(), Memories(), there
        there.mkdir()

    def stores(self, name: str) -> RemoteStores:
        wires = WiredCaches(self.caches), WiredMemories(self.memories)
        return RemoteStores(*wires, name, lambda path: self._there / f"{path.parent.name} {path.name}")


async def search(configuration: Configuration, directory: Path, stores: Stores) -> None:
    async with (
        open_transport({}) as transport,
        open_run_in(Shared(transport, Accounts(), stores=stores), configuration, {}, directory) as run,
    ):
        await run.search()


def recalled(directory: Path) -> Sequence[tuple[int, ...]]:
    messages = [envelope.message for envelope in read_journal(directory / "journal.sqlite")]
    return [message.recalled for message in messages if isinstance(message, Candidate)]


@pytest.mark.parametrize("memory", [{}, {"path": "shared.sqlite"}])
async def test_on_the_simulator_every_message_is_the_same(tmp_path: Path, memory: dict[str, object]) -> None:
    settings = {"width": 1, "assignments": 8, "seed": 3, "selector": "msgd_rl"}
    configuration = configure(tmp_path / "task", search=settings, memory=memory)
    found, head = [], Head(tmp_path / "head")
    places: dict[str, list[Stores]] = {"here": [LocalStores()] * 2, "there": [head.stores("1"), head.stores("2")]}
    for where, kinds in places.items():
        runs = [tmp_path / f"{where} {number}" for number in range(len(kinds))]
        for directory, stores in zip(runs, kinds, strict=True):
            await search(configuration, directory, stores)
            assert (directory / "memory.sqlite").exists() == (where == "here" and not memory)
        found.append([decisions(directory) for directory in runs])
        assert any(recalled(runs[-1]))
    assert found[0] == found[1]
    assert (head.caches._opened.values, head.memories._opened.values) == ([], [])


async def test_searches_on_two_machines_pay_for_one(tmp_path: Path) -> None:
    folder, head = folder_of(tmp_path), Head(tmp_path / "head")
    async with WireServer(answer) as server:
        configuration = searching.configuration(folder, server.openai_url, 1, 6)
        await search(configuration, tmp_path / "here", LocalStores())
        paid = server.stats.calls
        shared = configuration.model_copy(
            update={"cache": configuration.cache.model_copy(update={"path": Path("replies.sqlite")})}
        )
        async with anyio.create_task_group() as tasks:
            for name in "ab":
                tasks.start_soon(search, shared, tmp_path / name, head.stores(name))
        assert server.stats.calls == 2 * paid
    assert chosen(tmp_path / "a") == chosen(tmp_path / "here")
    assert len(chosen(tmp_path / "b")) == len(chosen(tmp_path / "a"))
    assert (tmp_path / "head" / "task replies.sqlite").exists()
    assert not (folder / "replies.sqlite").exists()
