from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.storage.cache import CHECKED, EVICT, SCHEMA, ReplyCache, open_cache
from memory.storage.database import Database, open_database
from protocols.errors import ModelError, ServerFailed
from protocols.model import ChatMessage, Reply, Request, ToolCall, Usage
from protocols.wrappers.cached import CachedModel, request_key
from tests.memory.helpers import directory
from tests.memory.strategies import texts

pytestmark = pytest.mark.anyio


def ask(text: str) -> Request:
    return Request((ChatMessage("user", text),))


class Counting:
    """Answers with `answer` and counts how often it was asked what, and how many of one request are out at once."""

    name = "test/model"

    def __init__(self, answer: Callable[[Request], Awaitable[Reply]]) -> None:
        self.answer = answer
        self.calls: Counter[Request] = Counter()
        self.out: Counter[Request] = Counter()

    async def complete(self, request: Request) -> Reply:
        self.calls[request] += 1
        self.out[request] += 1
        assert self.out[request] == 1
        try:
            return await self.answer(request)
        finally:
            self.out[request] -= 1


async def echo(request: Request) -> Reply:
    return Reply(request.messages[0].text, Usage(7, 3, 2), "length", 0.25, "dated-model")


short = st.sampled_from(("", "a", "b", "ab", '"', "[", ",", "\0", "類"))
turns = st.lists(st.builds(ChatMessage, st.sampled_from(("system", "user")), short), min_size=1, max_size=3).map(
    tuple
)
temperatures = st.sampled_from((None, 0, 0.0, -0.0, 0.1, 1, 1.0))
requests = st.builds(Request, turns, temperatures, st.integers(1, 2), st.integers(0, 1))


@settings(max_examples=400)
@given(one=st.tuples(short, requests), other=st.tuples(short, requests), data=st.data())
def test_keys_are_equal_for_equal_requests_and_no_others(
    one: tuple[str, Request], other: tuple[str, Request], data: st.DataObject
) -> None:
    scope, request = other
    changed = data.draw(
        st.sampled_from(
            (
                other,
                (one[0], request),
                (scope, replace(one[1], temperature=request.temperature)),
                (scope, replace(request, messages=one[1].messages)),
                (scope, replace(request, sample=1 - request.sample)),
                (scope, replace(request, messages=request.messages + one[1].messages)),
            )
        )
    )
    for a, b in ((one, other), (other, changed)):
        assert (request_key(*a) == request_key(*b)) == (a == b)


@settings(deadline=None, max_examples=30)
@given(text=texts, usage=st.builds(Usage, *[st.integers(0, 2**40)] * 4), finish=st.sampled_from(("stop", "refusal")))
async def test_a_hit_is_the_reply_free_and_outlives_the_process(text: str, usage: Usage, finish: str) -> None:
    paid = Reply(text, usage, "stop" if finish == "stop" else "refusal", 0.25, "dated-model")

    async def answer(_: Request) -> Reply:
        return paid

    model = Counting(answer)
    with directory() as path:
        async with open_cache(path / "cache.db") as cache:
            assert await CachedModel(model, cache, "s").complete(ask(text)) == paid
            with closing(sqlite3.connect(path / "cache.db")) as connection:  # durable before it was returned
                assert connection.execute("SELECT text FROM reply").fetchall() == [(text,)]
            near = await CachedModel(model, cache, "s").complete(ask(text))
        async with open_cache(path / "cache.db", alone=True) as cache:  # knows what there was before
            far = await CachedModel(model, cache, "s").complete(ask(text))
            assert model.calls.total() == 1
            assert await CachedModel(model, cache, "t").complete(ask(text)) == paid
    assert near == far == replace(paid, latency=0.0, from_cache=True)
    assert model.calls.total() == 2


async def test_a_reply_that_came_is_kept_though_its_caller_is_cancelled(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:

        async def answer(request: Request) -> Reply:
            scope.cancel()
            return await echo(request)

        async with open_cache(tmp_path / "cache.db") as cache:
            await CachedModel(Counting(answer), cache, "s").complete(ask("x"))
            await checkpoint()
    assert scope.cancelled_caught
    async with open_cache(tmp_path / "cache.db") as cache:
        assert (await CachedModel(Counting(echo), cache, "s").complete(ask("x"))).from_cache


async def test_what_leaves_the_bounded_front_stays_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memory.storage.cache.RECENT", 2)
    async with open_database(tmp_path / "cache.db", SCHEMA) as opened:
        cache, model = ReplyCache(opened, keys=set()), Counting(echo)
        cached = CachedModel(model, cache, "s")
        for _ in range(3):
            for text in "abcde":
                assert (await cached.complete(ask(text))).text == text
        assert sum(cache.recent(request_key("s", ask(text))) is not None for text in "abcde") == 2
    assert model.calls.total() == 5


async def test_two_caches_on_one_file_go_on_with_one_answer(tmp_path: Path) -> None:
    """As two processes that ask the same at once; each pays, and reports what it paid."""
    both, asked = anyio.Event(), set[str]()
    replies = [Reply(text, Usage(len(text), 1), latency=1.0) for text in ("first", "another")]
    got: list[Reply] = []
    async with open_cache(tmp_path / "cache.db") as one, open_cache(tmp_path / "cache.db") as two:

        async def complete(cache: ReplyCache, reply: Reply) -> None:
            async def answer(_: Request) -> Reply:
                asked.add(reply.text)
                if len(asked) == len(replies):
                    both.set()
                await both.wait()
                return reply

            got.append(await CachedModel(Counting(answer), cache, "s").complete(ask("x")))

        async with anyio.create_task_group() as group:
            for cache, reply in zip((one, two), replies, strict=True):
                group.start_soon(complete, cache, reply)
    assert len({reply.text for reply in got}) == 1
    assert {reply.usage for reply in got} == {reply.usage for reply in replies}
    assert not any(reply.from_cache for reply in got)


async def test_the_file_stays_near_its_bound_and_keeps_what_is_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memory.storage.cache.RECENT", 1)
    bound, size, count = 2**20, 2048, 1024
    path = tmp_path / "cache.db"
    model = Counting(echo)
    texts = [f"{number} ".ljust(size, "x") for number in range(count)]
    async with open_database(path, SCHEMA) as opened:
        cached = CachedModel(model, ReplyCache(opened, most_bytes=bound), "s")
        for text in texts:
            await cached.complete(ask(text))
        for text in texts[-100:]:
            assert (await cached.complete(ask(text))).from_cache
        assert model.calls.total() == count
        await cached.complete(ask(texts[0]))
        assert model.calls[ask(texts[0])] == 2
    assert path.stat().st_size < bound + 2 * CHECKED * size


def instructions(connection: sqlite3.Connection, sql: str, parameters: tuple[int, ...]) -> int:
    """How many of SQLite's virtual machine a statement takes."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    connection.set_progress_handler(tick, 1)
    connection.execute(sql, parameters)
    return count


async def test_looking_at_the_size_takes_no_longer_the_more_there_is(tmp_path: Path) -> None:
    path, taken = tmp_path / "cache.db", list[int]()
    async with open_database(path, SCHEMA) as opened:
        cache = ReplyCache(opened)
        for start, end in ((0, 500), (500, 5000)):
            async with anyio.create_task_group() as tasks:
                for number in range(start, end):
                    tasks.start_soon(cache.keep, request_key("s", ask(str(number))), "s", Reply("x"))
            with closing(sqlite3.connect(path)) as connection:
                taken.append(instructions(connection, EVICT, (2**40,)))
    assert taken[0] > 0
    assert taken[1] == pytest.approx(taken[0], abs=20)


class Desk:
    """A model whose calls end when, and as, the test says."""

    def __init__(self) -> None:
        self.model = Counting(self.answer)
        self.open: list[tuple[anyio.Event, list[bool]]] = []
        self.succeeded: Counter[Request] = Counter()

    async def answer(self, request: Request) -> Reply:
        event, verdict = call = (anyio.Event(), [True])
        self.open.append(call)
        try:
            await event.wait()
        finally:
            self.open.remove(call)
        if not verdict[0]:
            raise ServerFailed("no", model="test/model", status=500)
        self.succeeded[request] += 1
        return Reply(request.messages[0].text)

    def end(self, place: int, succeed: bool) -> None:
        if self.open:
            event, verdict = self.open[place % len(self.open)]
            verdict[0] = succeed
            event.set()


class Callers:
    """Callers of one cached model, each of whom ends with a reply, a failure of its own, or not at all."""

    def __init__(self, cached: CachedModel, group: TaskGroup) -> None:
        self._cached, self._group = cached, group
        self.all: list[tuple[str, anyio.CancelScope]] = []
        self.ends: dict[int, str | ModelError] = {}

    def ask(self, text: str) -> None:
        self._group.start_soon(self._call, len(self.all), text, scope := anyio.CancelScope())
        self.all.append((text, scope))

    def cancel(self, place: int) -> None:
        if self.all:
            self.all[place % len(self.all)][1].cancel()

    async def _call(self, number: int, text: str, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                self.ends[number] = (await self._cached.complete(ask(text))).text
            except ModelError as error:
                self.ends[number] = error


async def settle(database: Database) -> None:
    """Let everything go as far as it can without the model."""
    for _ in range(4):  # a reply is looked for, kept, and acted on
        await database.idle()
        for _ in range(8):
            await checkpoint()


actions = st.sampled_from(("ask", "ask", "cancel", "succeed", "fail", "settle"))


@settings(deadline=None, max_examples=60)
@given(steps=st.lists(st.tuples(actions, st.integers(0, 9)), max_size=25))
async def test_one_request_is_out_once_whatever_happens(steps: list[tuple[str, int]]) -> None:
    """And nobody is left waiting, and nothing that was answered is asked again."""
    desk = Desk()
    with directory() as path:
        async with open_database(path / "cache.db", SCHEMA) as database, anyio.create_task_group() as group:
            cache = ReplyCache(database)
            callers = Callers(CachedModel(desk.model, cache, "s"), group)
            for action, number in steps:
                match action:
                    case "ask":
                        callers.ask(str(number % 3))
                    case "cancel":
                        callers.cancel(number)
                    case "settle":
                        await settle(database)
                    case _:
                        desk.end(number, action == "succeed")
            await settle(database)
            while cache.flights:
                desk.end(0, True)
                await settle(database)
    for number, (text, scope) in enumerate(callers.all):
        end = callers.ends.get(number)
        assert end == text or isinstance(end, ModelError) or (end is None and scope.cancel_called)
    assert all(count == 1 for count in desk.succeeded.values())
    ended = desk.succeeded.total() + sum(isinstance(end, ModelError) for end in callers.ends.values())
    cancelled = sum(scope.cancel_called for _, scope in callers.all)
    assert ended <= desk.model.calls.total() <= ended + cancelled


@pytest.mark.parametrize(
    ("version", "lacks"),
    [(2, ", estimated INTEGER NOT NULL DEFAULT 0, instead TEXT, calls TEXT"), (3, ", calls TEXT")],
)
async def test_a_cache_of_a_version_before_is_read_and_knows_what_came_in_place_of_a_text(
    tmp_path: Path, version: int, lacks: str
) -> None:
    path, key = tmp_path / "cache.db", request_key("s", ask("a"))
    old = SCHEMA.statements[0].replace(lacks, "")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(old)
        more = ", 0, NULL" * (version - 2)
        connection.execute(
            f"INSERT INTO reply VALUES (1, ?, 's', 0.0, 'said', 'stop', 'm', 1, 2, 0, 0{more})",
            (key,),
        )
        connection.execute(f"PRAGMA application_id = {SCHEMA.mark}")
        connection.execute(f"PRAGMA user_version = {version}")
    async with open_cache(path) as cache:
        found = await cache.find(key)
        assert found is not None
        assert (found.text, found.usage, found.instead) == ("said", Usage(1, 2), None)
        silent = request_key("s", ask("b"))
        await cache.keep(silent, "s", Reply("", instead="tool calls"))
        calling, calls = request_key("s", ask("c")), (ToolCall("f", "{bad", "1"), ToolCall("g"))
        await cache.keep(calling, "s", Reply("", calls=calls))
    async with open_cache(path) as cache:
        again, called = await cache.find(silent), await cache.find(calling)
    assert again is not None
    assert called is not None
    assert (again.instead, again.calls, called.calls) == ("tool calls", (), calls)
