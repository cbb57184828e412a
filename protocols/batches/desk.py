"""Sends batches and fetches their results, whatever happens in between, and also those of earlier processes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar
from uuid import uuid4

import anyio

from protocols.batches.counting import Counting, Ended
from protocols.batches.sent_batch import SentBatch
from protocols.concurrency.threads import in_thread
from protocols.errors import BadRequest, Interrupted, ModelError, ModelNotFound
from protocols.model import Reply, Request
from protocols.pacing.waiting import Patience
from protocols.providers.batches.service import BatchService, Sent, Standing
from protocols.providers.responses.decoding import JsonObject
from protocols.wrappers.retry import Timing

T = TypeVar("T")
POLL = 60.0
"""Seconds between two looks at a batch, as in Anthropic's examples; OpenAI names no interval."""
TRIES = 6
"""How often a batch is sent, or looked for, before it is given up; it is looked for again by the next process."""
PAUSE = 5.0
"""Seconds between these."""
AGAIN = "the same command (of a search, with its --out) fetches it"
ROOM = 10_000
"""Bytes of a batch that its frame takes at most."""


class Line(NamedTuple):
    """A request as it stands in a batch."""

    key: str
    request: Request
    line: bytes


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of a batch's requests, by their keys; the others were never run. `rounds`: how often they have been
    in batches. `cancelled`: the reason, if a person cancelled the batch."""

    results: Mapping[str, Reply | ModelError] = field(default_factory=dict)
    rounds: int = 0
    cancelled: str = ""


class Desk:
    """The batches of one model. `scope`: whose they are, in what is kept of them. `earlier`: those of earlier
    processes, the latest first; whatever comes of a request in them is not sent again."""

    def __init__(
        self,
        service: BatchService,
        counting: Counting,
        scope: str,
        earlier: Iterable[SentBatch],
        patience: Patience,
        timing: Timing | None = None,
    ) -> None:
        self._service, self.counting, self._scope, self._patience = service, counting, scope, patience
        self.timing, self.tell = timing or Timing(), patience.calls.tell
        self._sent = {sent.tag: sent for sent in earlier}
        self._earlier: dict[str, str] = {}
        for sent in self._sent.values():
            for key in sent.keys:
                self._earlier.setdefault(key, sent.tag)
        self._locks: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    def take_earlier(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """Those of the requests that an earlier process has sent, by the tags of its batches; each is given once."""
        found = defaultdict[str, list[str]](list)
        for key in keys:
            if tag := self._earlier.pop(key, ""):
                found[tag].append(key)
        return found

    async def parts(self, requests: Mapping[str, Request]) -> tuple[list[list[Line]], dict[str, ModelError]]:
        """The requests in batches of at most the size that the provider takes, and those that cannot be written."""
        return await in_thread(self._parts, requests)

    def _parts(self, requests: Mapping[str, Request]) -> tuple[list[list[Line]], dict[str, ModelError]]:
        parts, bad, size, limits = list[list[Line]](), dict[str, ModelError](), 0, self._service.limits
        for key, request in requests.items():
            try:
                line = self._service.line(key, request)
            except BadRequest as error:
                bad[key] = error
                continue
            size += len(line) + 1
            if not parts or len(parts[-1]) >= limits.requests or size > limits.bytes - ROOM:
                parts.append([])
                size = len(line) + 1
            parts[-1].append(Line(key, request, line))
        return parts, bad

    async def send(self, part: Sequence[Line], rounds: int) -> str:
        """Send a batch, and return its tag. What it is called is durable before it is sent. If it is not known
        whether the provider has it, it is looked for there before it is sent again.

        :raises ModelError: the provider refuses it, or cannot be reached.
        :raises Interrupted: a person stopped it meanwhile.
        """
        self._patience.check()
        now = self.counting.clock()
        sent = SentBatch(uuid4().hex, now, self._scope, rounds, tuple(line.key for line in part))
        await self._keep(sent)
        lines, requests = [line.line for line in part], [line.request for line in part]
        standing, unsure = None, False
        for left in reversed(range(TRIES)):
            try:
                standing = await self._found(sent) if unsure else None
                standing = standing or await self._service.submit(sent.tag, lines, requests)
            except ModelError as error:
                if not error.retryable:
                    await self._keep(replace(sent, void=not unsure))
                    raise refused(error) from None
                if not left:
                    raise
                unsure = True
                await self._rest(PAUSE, sent)
            else:
                break
        assert standing is not None, "else an error was raised"
        with anyio.CancelScope(shield=True):
            await self._keep(sent := replace(sent, id=standing.id))
        self.tell(
            f"{self._service.name}: sent batch {sent.id} with {len(part):,} requests, to be answered within a day. "
            f"Ctrl-C does not cancel it, and loses nothing: {AGAIN}."
        )
        return sent.tag

    async def fetch(self, tag: str, requests: Mapping[str, Request]) -> Fetched:
        """Wait for the end of a batch, count its calls, and return what came of the `requests`. What was counted
        before, by whatever process, comes as from the reply cache; of that, only replies.

        :raises ModelError: the provider refuses to tell.
        :raises Interrupted: a person stopped the waiting.
        """
        async with self._locks[tag]:
            while True:
                sent = await self._reached(self._sent[tag])
                if sent is None:
                    return Fetched(rounds=self._sent[tag].round - 1)
                if not sent.counted:
                    self.counting.insist(requests)
                try:
                    standing = await self._end(sent)
                    came = await self._results(sent, standing)
                except ModelNotFound as error:
                    self.tell(f"{self._service.name}: batch {sent.id} is gone: {error.reason}")
                    return Fetched(rounds=0 if sent.counted else sent.round)
                if not came or not came.keys().isdisjoint(sent.keys):
                    return await self._read(sent, standing, came, requests)
                await self._keep(replace(sent, id="", others=(*sent.others, sent.id)))  # it was somebody else's

    async def _read(
        self, sent: SentBatch, standing: Standing, came: Mapping[str, JsonObject], requests: Mapping[str, Request]
    ) -> Fetched:
        ended = await in_thread(lambda: dict(self._ended(sent, came, requests)))
        results = {key: ended[key].result for key in requests if key in ended}
        if sent.counted:
            old = {key: replace(old, from_cache=True) for key, old in results.items() if isinstance(old, Reply)}
            return Fetched(old)
        counted = replace(sent, counted=True)
        await self.counting.count(counted, ended)
        self._sent[sent.tag] = counted
        self._say_end(sent, standing, ended)
        cancelled = standing.cancelled and len(ended) < len(sent.keys)
        reason = f"batch {sent.id} was cancelled: its replies are kept, and the same command asks for the others anew"
        return Fetched(results, sent.round, reason if cancelled else "")

    def _ended(
        self, sent: SentBatch, came: Mapping[str, JsonObject], requests: Mapping[str, Request]
    ) -> Iterator[tuple[str, Ended]]:
        for key in sent.keys:
            if key in came:
                request = requests.get(key)
                try:
                    reply = self._service.read(came[key], request)
                except ModelError as error:
                    yield key, Ended(request, error)
                else:
                    if reply is not None:
                        yield key, Ended(request, reply)

    def _say_end(self, sent: SentBatch, standing: Standing, ended: Mapping[str, Ended]) -> None:
        failed = [each.error for each in ended.values() if each.error]
        answered, left = len(ended) - len(failed), len(sent.keys) - len(ended)
        counts = [f"{answered:,} answered"]
        counts += [f"{len(failed):,} failed, the first with: {failed[0].reason}"] if failed else []
        counts += [f"{left:,} not run"] if left else []
        why = f" ({standing.reason})" if standing.reason else ""
        self.tell(f"{self._service.name}: batch {sent.id} has ended, {standing.state}{why}: {'; '.join(counts)}.")

    async def _reached(self, sent: SentBatch) -> SentBatch | None:
        """The batch with the provider's id; None if it is not there."""
        if sent.id:
            return sent
        found = await self._patiently(sent, lambda: self._found(sent))
        await self._keep(sent := replace(sent, id=found.id) if found else replace(sent, void=True))
        return sent if found else None

    async def _found(self, sent: SentBatch) -> Standing | None:
        """The batch at the provider, if it is there."""
        known = {*sent.others, *(other.id for other in self._sent.values())}
        candidates = await self._service.find(Sent(sent.tag, sent.at, len(sent.keys)))
        return next((standing for standing in candidates if standing.id not in known), None)

    async def _end(self, sent: SentBatch) -> Standing:
        """Look at the batch until it has ended."""
        batches = self._patience.calls.batches
        try:
            while True:
                standing = await self._patiently(sent, lambda: self._service.look(sent.id))
                batches[sent.tag] = self._words(sent, standing)
                if standing.ended:
                    return standing
                await self._rest(POLL, sent)
        finally:
            batches.pop(sent.tag, None)

    async def _results(self, sent: SentBatch, standing: Standing) -> Mapping[str, JsonObject]:
        return await self._patiently(sent, lambda: self._service.results(standing))

    async def _patiently(self, sent: SentBatch, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` returns; while the provider cannot be reached, it is called again and again.

        :raises ModelError: the provider refuses.
        """
        while True:
            try:
                return await ask()
            except ModelError as error:
                if not error.retryable:
                    raise
                words = f"{self._which(sent)}, which cannot be asked for: {error.reason}"
                self._patience.calls.batches[sent.tag] = words
            await self._rest(POLL, sent)

    async def _rest(self, seconds: float, sent: SentBatch) -> None:
        """:raises Interrupted: a person does not want to wait; says what becomes of the batch."""
        try:
            await self._patience.rest(seconds, self.timing.sleep)
        except Interrupted as error:
            how = self._service.cancelling.format(id=sent.id or "ID")
            raise Interrupted(f"{error}; {self._which(sent)} goes on: {AGAIN}; {how}") from None

    def _which(self, sent: SentBatch) -> str:
        since = time.strftime("%d %b %H:%M", time.localtime(sent.at))
        return f"batch {sent.id or sent.tag} of {len(sent.keys):,} requests to {self._service.name}, sent {since}"

    def _words(self, sent: SentBatch, standing: Standing) -> str:
        return f"{self._which(sent)} ({standing.state}, {standing.done:,} done)"

    async def _keep(self, sent: SentBatch) -> None:
        await self.counting.keep(sent)
        self._sent[sent.tag] = sent


def refused(error: ModelError) -> ModelError:
    """The error for a batch that a provider does not take; one for a server that has no batches says so."""
    if not isinstance(error, ModelNotFound):
        return error
    reason = f"{error.reason}: this server takes no batches; leave out --batch (run.batch)"
    return ModelNotFound(reason, model=error.model, status=error.status, request_id=error.request_id)
