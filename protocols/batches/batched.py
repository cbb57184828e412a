"""A model whose calls are gathered, and answered by batches at a lower price."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import anyio

from protocols.batches.desk import Desk, Line
from protocols.errors import Interrupted, ModelError
from protocols.model import ChatModel, Reply, Request
from protocols.wrappers.cached import request_key
from protocols.wrappers.window import spare

LINGER = 1.0
"""Seconds without a further call after which the calls so far are sent. One that comes later is sent in a batch of
its own, at the same time."""
ROUNDS = 2
"""How often a request is in a batch before it is asked by itself."""


@dataclass(eq=False, slots=True)
class Asked:
    """A request that waits. Once it is `over` it has a reply or an error; without either, it is asked by itself."""

    request: Request
    result: Reply | Exception | None = None
    over: anyio.Event = field(default_factory=anyio.Event)

    def end(self, result: Reply | Exception | None = None) -> None:
        """The first end counts."""
        if not self.over.is_set():
            self.result = result
            self.over.set()


class BatchedModel:
    """Gathers calls until none has come for `LINGER` seconds, and answers them by batches of `desk`, which also knows
    those of earlier processes. What a batch leaves unanswered is sent in a second one, then asked by itself of
    `live`, the same model with all of its wrappers. A request that waits already is not sent twice.

    The call that begins a group does the work for it: it returns once all of the group are answered. `scope`: as of a
    `CachedModel`; the keys of requests in a batch hold it.
    """

    def __init__(self, live: ChatModel, desk: Desk, scope: str) -> None:
        self.name = live.name
        self._live, self._desk, self._scope = live, desk, scope
        self._asked: dict[str, Asked] = {}
        self._group: dict[str, Asked] = {}

    async def complete(self, request: Request) -> Reply:
        """Answer one request.

        :raises ModelError: it failed for good, or its batch did.
        :raises BudgetExhausted: a cap forbids it at the price of a batch; nothing was sent.
        :raises Interrupted: a person stopped the waiting, or cancelled the batch.
        """
        sent = request
        for look in reversed(request.sending):
            sent = look(sent)
        key = request_key(self._scope, sent).hex()
        if asked := self._asked.get(key):
            await asked.over.wait()
        else:
            asked = self._asked[key] = self._group[key] = Asked(sent)
            try:
                await (self._answer_group() if len(self._group) == 1 else asked.over.wait())
            finally:
                del self._asked[key]
        if isinstance(asked.result, Exception):
            raise asked.result
        return asked.result or await self._live.complete(request)

    def spare(self, request: Request) -> float:
        """See `Windowed`."""
        return spare(self._live, request)

    async def _answer_group(self) -> None:
        """Wait for the rest of a group and answer it. If this call is cancelled, so are the others."""
        group, known = self._group, 0
        try:
            while known < len(group):
                known = len(group)
                await self._desk.timing.sleep(LINGER)
            self._group = {}
            self._desk.counting.wait()
            try:
                await self._answer(group)
            finally:
                self._desk.counting.go_on()
        finally:
            if self._group is group:
                self._group = {}
            for asked in group.values():
                asked.end(Interrupted("stopped: the same command fetches what is in a batch"))

    async def _answer(self, group: Mapping[str, Asked]) -> None:
        """Fetch what earlier processes have sent, and send the rest, all at the same time."""
        left = dict(group)
        async with anyio.create_task_group() as tasks:
            for tag, keys in self._desk.take_earlier(group).items():
                mine = {key: left.pop(key) for key in keys}
                tasks.start_soon(self._fetch, tag, mine, name="batch of an earlier process")
            tasks.start_soon(self._ask, left, 0, name="batches")

    async def _ask(self, asked: Mapping[str, Asked], rounds: int) -> None:
        """Send what the caps leave room for, in as many batches as it takes, then the rest. `rounds`: in how many
        batches the requests have been."""
        if asked and rounds >= ROUNDS:
            self._desk.tell(
                f"{self.name}: {len(asked):,} requests were in {rounds} batches without a reply; they are asked "
                "one by one now, at the usual price"
            )
            _end(asked.values())
            return
        left = dict(asked)
        while left:
            admitted = await self._desk.counting.admit({key: each.request for key, each in left.items()})
            for key, refusal in admitted.refused.items():
                left[key].end(refusal)
            parts, bad = await self._desk.parts(admitted.reserved)
            for key, error in bad.items():
                left[key].end(error)
            self._desk.counting.release({key: admitted.reserved[key] for key in bad})
            async with anyio.create_task_group() as tasks:
                for part in parts:
                    tasks.start_soon(self._send, part, left, rounds + 1, name="batch")
            left = {key: left[key] for key in admitted.later}

    async def _send(self, part: list[Line], asked: Mapping[str, Asked], rounds: int) -> None:
        mine = {line.key: asked[line.key] for line in part}
        try:
            tag = await self._desk.send(part, rounds)
        except Exception as error:
            self._desk.counting.release({line.key: line.request for line in part})
            _end(mine.values(), error)
        else:
            await self._fetch(tag, mine)

    async def _fetch(self, tag: str, asked: Mapping[str, Asked]) -> None:
        """Pass on what came of a batch, and send again what did not."""
        requests = {key: each.request for key, each in asked.items()}
        try:
            fetched = await self._desk.fetch(tag, requests)
        except Exception as error:
            _end(asked.values(), error)
            return
        finally:
            self._desk.counting.release(requests)
        again = dict[str, Asked]()
        for key, each in asked.items():
            result = fetched.results.get(key)
            if isinstance(result, Reply) or (isinstance(result, ModelError) and not result.retryable):
                each.end(result)
            elif fetched.cancelled:
                each.end(result or Interrupted(fetched.cancelled))
            else:
                again[key] = each
        await self._ask(again, fetched.rounds)


def _end(asked: Iterable[Asked], result: Exception | None = None) -> None:
    for each in asked:
        each.end(result)
