"""One reply cache for many processes: each request is out once at a time, and nobody is left waiting."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.remote.caches import BEAT, CacheFile, Caches
from memory.remote.remote_cache import RemoteReplies, open_remote_cache
from memory.storage.cache import open_cache
from protocols.errors import MemoryMismatch, ModelError, ServerFailed, StorageFailed
from protocols.model import Allowance, ChatMessage, Reply, Request, ToolCall, Usage
from protocols.wrappers.cached import CachedModel, request_key
from tests.memory.helpers import directory
from tests.memory.remote.wire import WiredCaches

pytestmark = pytest.mark.anyio
NODES, KEYS = 3, 2


def ask(text: str) -> Request:
    return Request((ChatMessage("user", text),))


class Desk:
    """The provider: calls end when, and as, the test says; one request is never out twice."""

    name = "test/model"

    def __init__(self) -> None:
        self.open: list[tuple[anyio.Event, list[bool]]] = []
        self.out: Counter[Request] = Counter()
        self.paid: Counter[Request] = Counter()

    async def complete(self, request: Request) -> Reply:
        self.out[request] += 1
        assert self.out[request] == 1
        event, verdict = call = (anyio.Event(), [True])
        self.open.append(call)
        try:
            await event.wait()
        finally:
            self.open.remove(call)
            self.out[request] -= 1
        if not verdict[0]:
            raise ServerFailed("no", model=self.name, status=500)
        self.paid[request] += 1
        return Reply(f"{request.messages[0].text} {self.paid[request]}", Usage(3, 1))

    def end(self, place: int, succeed: bool) -> None:
        if self.open:
            event, verdict = self.open[place % len(self.open)]
            verdict[0] = succeed
            event.set()


class Caller:
    """A call of a process: `end` is its reply or failure, None while it has none."""

    def __init__(self, text: str) -> None:
        self.text, self.scope = text, anyio.CancelScope()
        self.end: str | ModelError | None = None
        self.over = False

    async def call(self, model: CachedModel) -> None:
        try:
            with self.scope:
                try:
                    self.end = (await model.complete(ask(self.text))).text
                except ModelError as error:
                    self.end = error
                except StorageFailed:
                    assert self.scope.cancel_called
        finally:
            self.over = True


class Node:
    """A process with a cache of the head; one that dies does not say good-bye."""

    def __init__(self, head: Caches, desk: Desk, cache: CacheFile, name: str) -> None:
        self.name, self.wire, self._desk, self._cache = name, WiredCaches(head), desk, cache
        self.callers: list[Caller] = []
        self._process, self.opened = anyio.CancelScope(), anyio.Event()
        self._asked, self._asking = anyio.create_memory_object_stream[Caller](100)

    async def run(self) -> None:
        try:
            with self._process:
                await self._serve()
        except StorageFailed:
            assert self.wire.cut

    async def _serve(self) -> None:
        async with (
            self._asking,
            open_remote_cache(self.wire, self._cache, self.name) as replies,
            anyio.create_task_group() as calls,
        ):
            model = CachedModel(self._desk, replies, "s")
            self.opened.set()
            async for caller in self._asking:
                calls.start_soon(caller.call, model)

    def ask(self, text: str) -> None:
        self.callers.append(Caller(text))
        self._asked.send_nowait(self.callers[-1])

    def cancel(self, place: int) -> None:
        if self.callers:
            self.callers[place % len(self.callers)].scope.cancel()

    def end(self) -> None:
        self._asked.close()

    def die(self) -> None:
        self.wire.cut = True
        self._asked.close()
        for caller in self.callers:
            caller.scope.cancel()
        self._process.cancel()


class Cluster:
    """A head and its nodes, one of which may be replaced by a new one."""

    def __init__(self, path: Path, tasks: TaskGroup) -> None:
        self.now, self.desk = 0.0, Desk()
        self.head = Caches(lambda: self.now)
        self._file, self._tasks, self._names = CacheFile(str(path), 2**30, True), tasks, 0
        self.nodes = [self.start() for _ in range(NODES)]
        self.gone: list[Node] = []

    def start(self) -> Node:
        self._names += 1
        node = Node(self.head, self.desk, self._file, f"node {self._names}")
        self._tasks.start_soon(node.run)
        return node

    async def replace(self, place: int, told: bool) -> None:
        node = self.nodes[place % NODES]
        node.die()
        self.gone.append(node)
        if told:
            await self.head.forget(node.name)
        self.nodes[place % NODES] = self.start()

    async def step(self, action: str, number: int) -> None:
        """Do one thing to a node; or to the provider, if it is about the end of a call."""
        place, key = divmod(number, KEYS)
        match action:
            case "ask":
                self.nodes[place].ask(str(key))
            case "cancel":
                self.nodes[place].cancel(key)
            case "succeed" | "fail":
                self.desk.end(number, action == "succeed")
            case "beat":
                self.nodes[place].wire.beat()
            case "repeat":
                self.nodes[place].wire.repeats += 1
            case _:
                await self.replace(place, told=action == "die")

    async def settle(self) -> None:
        """Let everything go as far as it can."""
        quiet = 0
        for node in self.nodes:
            await node.opened.wait()
        while quiet < 3:
            await anyio.wait_all_tasks_blocked()
            before = [node.wire.trips for node in self.nodes]
            for shared in self.head._opened.values:
                await shared._cache._database.idle()
            await anyio.wait_all_tasks_blocked()
            quiet = quiet + 1 if before == [node.wire.trips for node in self.nodes] else 0

    async def finish(self) -> None:
        """Answer all calls, and let time pass, in which the living show that they live."""
        for _ in range(40):
            await self.settle()
            if all(caller.over for node in self.nodes for caller in node.callers):
                break
            if self.desk.open:
                self.desk.end(0, True)
            else:
                self.now += BEAT
                for node in self.nodes:
                    node.wire.beat()
        assert all(caller.over for node in self.nodes for caller in node.callers)
        for node in self.nodes:
            node.end()
        await self.settle()


actions = st.sampled_from(("ask", "ask", "ask", "cancel", "succeed", "fail", "beat", "repeat", "die", "vanish"))
settles = st.sampled_from((True, True, False))


@settings(deadline=None, max_examples=40)
@given(
    steps=st.lists(
        st.tuples(actions, st.integers(0, NODES * KEYS - 1), st.sampled_from((True, True, False))), max_size=25
    )
)
async def test_one_request_is_out_once_whatever_happens_to_whom(steps: list[tuple[str, int, bool]]) -> None:
    """Nobody is left waiting, all have the same reply, and what is paid twice was under way when its process died."""
    with directory() as path, anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            cluster = Cluster(path / "cache.db", tasks)
            for action, number, settles in steps:
                await cluster.step(action, number)
                if settles:
                    await cluster.settle()
            await cluster.finish()
        ends: dict[str, set[str]] = {}
        for caller in (caller for node in cluster.nodes for caller in node.callers):
            assert caller.end is not None or caller.scope.cancel_called
            if isinstance(caller.end, str):
                ends.setdefault(caller.text, set()).add(caller.end)
        assert all(len(texts) == 1 for texts in ends.values())
        assert sum(cluster.desk.paid.values()) <= len(cluster.desk.paid) + len(cluster.gone)
        assert cluster.head._opened.values == [] or any(node.wire.cut for node in cluster.gone)
        await cluster.head.aclose()
        async with open_cache(path / "cache.db") as cache:
            for text, (end,) in ends.items():
                found = await cache.find(request_key("s", ask(text)))
                assert found is not None
                assert found.text == end


CALLING = Reply(
    "", Usage(5, 2, 1, 0, 1), "stop", 0.5, "dated", False, Allowance(9, 9), None, (ToolCall("f", "{}", "1"),)
)


async def test_a_question_that_waits_for_another_process_holds_up_no_other(tmp_path: Path) -> None:
    head, cache, got = Caches(), CacheFile(str(tmp_path / "cache.db"), 2**30, False), list[Reply | None]()
    async with (
        open_remote_cache(WiredCaches(head), cache, "one") as one,
        open_remote_cache(wire := WiredCaches(head), cache, "two") as two,
        anyio.create_task_group() as tasks,
    ):

        async def find(key: bytes) -> None:
            got.append(await two.find(key))

        assert await one.find(b"held") is None
        await one.keep(b"known", "s", CALLING)
        for key in (b"held", b"new", b"known"):
            tasks.start_soon(find, key)
        while len(got) < 2:
            await checkpoint()
        assert {type(reply) for reply in got} == {Reply, type(None)}
        assert wire.trips <= 3
        await one.keep(b"held", "s", CALLING)
    found = {repr(reply) for reply in got if reply}
    assert len(found) == 1
    async with open_cache(tmp_path / "cache.db") as local:
        assert found == {repr(await local.find(b"held"))} == {repr(await local.find(b"known"))}
    assert head._opened.values == []


async def test_a_reply_on_its_way_though_its_caller_is_cancelled_is_not_paid_for_again(tmp_path: Path) -> None:
    head, cache, asked, found = Caches(), CacheFile(str(tmp_path / "cache.db"), 2**30, True), list[str](), list[str]()

    class Answers:
        name = "test/model"

        async def complete(self, request: Request) -> Reply:
            asked.append(request.messages[0].text)
            return CALLING

    async def call(replies: RemoteReplies, scope: anyio.CancelScope) -> None:
        with scope:
            found.append((await CachedModel(Answers(), replies, "s").complete(ask("x"))).model)

    async with (
        open_remote_cache(wire := WiredCaches(head), cache, "one") as one,
        open_remote_cache(WiredCaches(head), cache, "two") as two,
        anyio.create_task_group() as tasks,
    ):
        wire.open = anyio.Event()
        tasks.start_soon(call, one, first := anyio.CancelScope())
        while not asked:
            await checkpoint()
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        tasks.start_soon(call, two, anyio.CancelScope())
        await anyio.wait_all_tasks_blocked()
        wire.open.set()
    assert asked == ["x"]
    assert "dated" in found


async def test_of_many_who_ask_at_once_for_what_the_file_holds_all_get_it(tmp_path: Path) -> None:
    head, cache, got = Caches(), CacheFile(str(tmp_path / "cache.db"), 2**30, True), list[Reply | None]()
    async with open_cache(tmp_path / "cache.db") as local:
        await local.keep(b"known", "s", CALLING)

    async def find(name: str) -> None:
        async with open_remote_cache(WiredCaches(head), cache, name) as replies:
            got.append(await replies.find(b"known"))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(9):
                tasks.start_soon(find, str(number))
    assert [reply and reply.model for reply in got] == ["dated"] * 9


async def test_the_head_lost_is_told_to_those_who_wait_and_is_one_error(tmp_path: Path) -> None:
    head, cache = Caches(), CacheFile(str(tmp_path / "cache.db"), 2**30, True)
    wire = WiredCaches(head)

    async def lose() -> None:
        await anyio.wait_all_tasks_blocked()
        wire.cut = True
        wire.beat()

    async def wait() -> None:
        async with open_remote_cache(WiredCaches(head), cache, "one") as one:
            await one.find(b"held")
            async with open_remote_cache(wire, cache, "two") as two:
                tasks.start_soon(lose)
                await two.find(b"held")

    async with anyio.create_task_group() as tasks:
        with pytest.raises(StorageFailed, match="the head is gone"):
            await wait()
    await head.aclose()


async def test_a_process_that_was_given_up_may_store_what_it_paid_for_and_ask_nothing(tmp_path: Path) -> None:
    head, cache = Caches(), CacheFile(str(tmp_path / "cache.db"), 2**30, True)
    async with open_remote_cache(WiredCaches(head), cache, "one") as one:
        assert await one.find(b"held") is None
        await head.forget("one")
        assert await one.keep(b"held", "s", CALLING) is None
        with pytest.raises(StorageFailed, match=f"{cache.path}: one was given up") as caught:
            await one.find(b"other")
        assert len(str(caught.value).splitlines()) == 1
    async with open_remote_cache(WiredCaches(head), cache, "two") as two:
        assert await two.find(b"held") is not None
    assert head._opened.values == []


async def test_a_file_that_is_no_cache_is_one_clear_line(tmp_path: Path) -> None:
    (path := tmp_path / "cache.db").write_bytes(b"")
    with pytest.raises(MemoryMismatch, match="not a reply cache") as caught:
        async with open_remote_cache(WiredCaches(Caches()), CacheFile(str(path), 2**30, True), "one"):
            pass
    assert caught.value.file == str(path)
