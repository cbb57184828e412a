"""Reserves, counts and records the calls of batches, which have a price of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from anyio.lowlevel import checkpoint

from protocols.batches.sent_batch import SentBatch
from protocols.budget.budget_scope import NOTHING, Cost
from protocols.budget.ledger import Attempt, Ledger
from protocols.errors import BudgetExhausted, ModelError
from protocols.model import Reply, Request, Usage
from protocols.wrappers.metered import billed
from protocols.wrappers.recorded import Call

SHORT = 500
"""Calls that are counted between two turns of the event loop."""


class BatchJournal(Protocol):
    """Where batches are kept: a `Journal`. Both methods raise StorageFailed if they cannot write."""

    async def learned(self, name: str, content: bytes) -> None:
        """Store a note, replacing an earlier one of its name; durable on return."""

    async def fetched(self, calls: Sequence[Call], name: str, content: bytes) -> None:
        """Record calls and replace a note, both or neither; durable on return."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A call of a batch that has ended, with its reply or an error. `request` None: an earlier process sent it, and
    nobody waits for it now."""

    request: Request | None
    result: Reply | ModelError

    @property
    def usage(self) -> Usage:
        """What it cost."""
        if isinstance(self.result, Reply):
            return self.result.usage
        return billed(self.result, self.request) if self.request else self.result.usage or Usage()

    @property
    def error(self) -> ModelError | None:
        """Why it brought no reply."""
        return None if isinstance(self.result, Reply) else self.result


class Admitted(NamedTuple):
    """Requests by their keys: those whose cost is reserved, and those that must wait for others' reservations; and
    why a cap forbids the rest."""

    reserved: dict[str, Request]
    later: dict[str, Request]
    refused: dict[str, BudgetExhausted]


class Counting:
    """The calls of `role` in batches, under the name `model`, by which `ledger` knows their price. `clock` gives Unix
    seconds. Reservations are held by the keys of requests."""

    def __init__(
        self, ledger: Ledger, journal: BatchJournal, role: str, model: str, clock: Callable[[], float]
    ) -> None:
        self._ledger, self._journal, self._role, self._model, self.clock = ledger, journal, role, model, clock
        self._scopes, self._account = ledger.scopes_of(role), ledger.account(role, model)
        self._reserved: dict[str, Cost] = {}
        self._waiting = 0

    async def admit(self, requests: Mapping[str, Request]) -> Admitted:
        """Reserve the highest possible cost of the requests, as far as the caps have room for them together now; for
        at least one, unless all are refused."""
        admitted = Admitted({}, {}, {})
        for key, request in requests.items():
            most = self._ledger.most(self._model, request)
            try:
                if self._ledger.admits(self._scopes, most):
                    self._reserved[key], admitted.reserved[key] = most, request
                else:
                    admitted.later[key] = request
            except BudgetExhausted as error:
                admitted.refused[key] = error
        if admitted.reserved or not admitted.later:
            return admitted
        key, request = next(iter(admitted.later.items()))
        del admitted.later[key]
        most = self._ledger.most(self._model, request)
        try:
            await self._ledger.admit(self._account, self._scopes, most)
        except BudgetExhausted as error:
            admitted.refused[key] = error
        else:
            self._reserved[key], admitted.reserved[key] = most, request
        return admitted

    def insist(self, requests: Mapping[str, Request]) -> None:
        """Reserve the cost of those that hold none, whatever the caps are: an earlier process has sent them."""
        for key, request in requests.items():
            if key in self._reserved:
                continue
            self._reserved[key] = self._ledger.most(self._model, request)
            self._ledger.reserve(self._scopes, self._reserved[key])

    def release(self, requests: Mapping[str, Request]) -> None:
        """Release the reservations of those requests that were not counted."""
        for key in requests:
            if (most := self._reserved.pop(key, None)) is not None:
                self._ledger.withdraw(self._scopes, most)

    async def keep(self, sent: SentBatch) -> None:
        """Store what is known of a batch; durable on return."""
        await self._journal.learned(sent.note, sent.pack())

    async def count(self, sent: SentBatch, ended: Mapping[str, Ended]) -> None:
        """Record the ended calls of a batch and that they are recorded, then count them in the ledger."""
        now = self.clock()
        calls = [
            Call(
                now,
                each.request.assignment if each.request else None,
                self._role,
                self._model,
                each.usage,
                error=type(each.error).__name__ if each.error else None,
            )
            for each in ended.values()
        ]
        await self._journal.fetched(calls, sent.note, sent.pack())
        for place, (key, each) in enumerate(ended.items()):
            most = self._reserved.pop(key, None)
            if most is None:
                self._ledger.reserve(self._scopes, most := NOTHING)
            self._ledger.fetched(self._account, self._scopes, most, each.usage, each.error is not None)
            left_out = each.request.left_out if each.request else 0
            self._ledger.ended(Attempt(self._role, self._model, each.error, left_out))
            if place % SHORT == SHORT - 1:
                await checkpoint()

    def wait(self) -> None:
        """Stop the clock of the ledger, whose caps on minutes are not meant for the time that a batch takes."""
        self._waiting += 1
        self._ledger.pause()

    def go_on(self) -> None:
        """End one `wait`."""
        self._waiting -= 1
        if not self._waiting:
            self._ledger.go_on()
