"""The reply cache of the head, as a search on another machine uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count

from anyio import CancelScope, Event, create_task_group

from memory.remote.caches import Ask, CacheFile, CacheHead, Put
from memory.remote.claims import Answer
from memory.storage.cache import Recent, as_stored
from protocols.concurrency.grouping import Grouping
from protocols.errors import StorageFailed
from protocols.model import Reply
from protocols.wrappers.cached import Flight


class _Question:
    """A question that is out. `waits`: the head has told it to wait."""

    __slots__ = ("answer", "came", "waits")

    def __init__(self) -> None:
        self.came, self.waits = Event(), False
        self.answer: Answer | Exception = "ask again"

    def tell(self, answer: Answer | Exception) -> None:
        """The answer has come; the first counts."""
        if not self.came.is_set():
            self.answer = answer
            self.came.set()


class RemoteReplies:
    """Replies of the head by key, the latest that this search has met in memory.

    Questions that arrive while others are under way share the next trip. One that has to wait for the call of another
    process holds up no trip: its answer comes with the news.
    """

    def __init__(self, head: CacheHead, cache: CacheFile, name: str) -> None:
        self._head, self._cache, self._name = head, cache, name
        self._recent = Recent[Reply]()
        self._numbers = count()
        self._questions: dict[int, _Question] = {}
        self._asks = Grouping[Ask | bytes, Answer](self._ask)
        self._puts = Grouping[Put, Reply | None](self._put)
        self._lost: Exception | None = None
        self.flights: dict[bytes, Flight] = {}
        """The requests of this search in flight, by key."""

    def recent(self, key: bytes) -> Reply | None:
        """The reply, if it is in memory."""
        return self._recent.get(key)

    async def find(self, key: bytes) -> Reply | None:
        """The reply, if it is stored, or once the process that has sent the request has it; None: this process is the
        one that may send it, until `keep` or `release`.

        :raises StorageFailed: the cache or the head cannot be used.
        """
        while (answer := await self._answer(key)) == "ask again":
            pass
        if not isinstance(answer, Reply):
            return None
        self._recent.hold(key, answer)
        return answer

    async def keep(self, key: bytes, scope: str, reply: Reply) -> Reply | None:
        """Store a reply, durable on return, though the caller is cancelled: a reply is never paid for and lost.
        Returns the stored reply if another process may have been first; else None.

        :raises StorageFailed: it could not be written.
        """
        mine = as_stored(reply)
        with CancelScope(shield=True):
            first = await self._puts.do(Put(key, scope, mine))
        if isinstance(first, Exception):
            raise first
        self._recent.hold(key, first or mine)
        return first

    async def release(self, key: bytes) -> None:
        """Let another process send the request; done on return, though the caller is cancelled. If the head cannot be
        reached, it forgets this process, and with it the claim."""
        with CancelScope(shield=True):
            await self._asks.do(key)

    async def listen(self) -> None:
        """Fetch the news until cancelled, or until the head is lost, which all who wait are told."""
        while True:
            questions = self._questions.items()
            waiting = tuple(number for number, question in questions if question.waits and not question.came.is_set())
            try:
                news = await self._head.news(self._cache, self._name, waiting)
            except Exception as error:
                self._lost = error
                for question in self._questions.values():
                    question.tell(error)
                return
            for number, answer in news:
                if asked := self._questions.get(number):
                    asked.tell(answer)

    async def _answer(self, key: bytes) -> Answer:
        number = next(self._numbers)
        question = self._questions[number] = _Question()
        try:
            outcome = await self._asks.do(Ask(number, key))
            if outcome == "wait":
                if self._lost:
                    raise self._lost
                await question.came.wait()
                outcome = question.answer
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        finally:
            del self._questions[number]

    async def _ask(self, jobs: list[Ask | bytes]) -> Sequence[Answer]:
        """One trip: questions, and the keys that are released. A key that is released in the same trip as it is asked
        for was asked for first: the flight of a request ends with its release."""
        asked = tuple(job for job in jobs if isinstance(job, Ask))
        released = tuple(job for job in jobs if not isinstance(job, Ask))
        answers = iter(await self._head.ask(self._cache, self._name, asked, released))
        found: list[Answer] = [next(answers) if isinstance(job, Ask) else "wait" for job in jobs]
        for job, answer in zip(jobs, found, strict=True):
            if isinstance(job, Ask) and answer == "wait" and (question := self._questions.get(job.question)):
                question.waits = True
        return found

    async def _put(self, jobs: list[Put]) -> Sequence[Reply | Exception | None]:
        return await self._head.put(self._cache, self._name, tuple(jobs))


@asynccontextmanager
async def open_remote_cache(head: CacheHead, cache: CacheFile, name: str) -> AsyncIterator[RemoteReplies]:
    """Use a reply cache of the head as the process `name`.

    :raises MemoryMismatch, StorageFailed: it cannot be used.
    """
    await head.ask(cache, name, (), ())
    replies, failed = RemoteReplies(head, cache, name), None
    try:
        async with create_task_group() as tasks:
            tasks.start_soon(replies.listen, name=f"news of {cache.path}")
            try:
                yield replies
            except Exception as error:
                failed = error  # the task group would wrap it
            tasks.cancel_scope.cancel()
    finally:
        with CancelScope(shield=True), suppress(StorageFailed):
            await head.leave(cache, name)
    if failed:
        raise failed
