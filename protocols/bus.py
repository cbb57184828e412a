"""The bus: typed messages between mailboxes of one process.

Every mailbox is bounded and a full one makes the sender wait. Taps see every envelope before it is delivered, one
after the other, so that a journal that is a tap is always ahead of the agents. A mailbox is filled in the order in
which the taps saw what is in it, so that a journal also tells in which order an agent was told.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from protocols.errors import BusError
from protocols.messages import Envelope, Message

Tap = Callable[[Envelope], Awaitable[None]]

NOBODY = "nobody"
"""The recipient of what is only put on record."""


@dataclass(slots=True)
class Traffic:
    """Counts of one mailbox: `sent` to it, `taken` out, `done` with. waiting = sent - taken; busy = taken - done."""

    sent: int = 0
    taken: int = 0
    done: int = 0


class Mailbox:
    """Where one agent takes its messages from."""

    def __init__(self, address: str, accepts: tuple[type[Message], ...], capacity: int) -> None:
        self.address, self.accepts = address, accepts
        self.traffic = Traffic()
        self.turn = anyio.Lock(fast_acquire=True)  # held from the recording of an envelope to its delivery
        self._send, self._receive = anyio.create_memory_object_stream[Envelope](capacity)

    async def put(self, envelope: Envelope) -> None:
        """Deliver; waits while the mailbox is full.

        :raises BusError: nobody takes from this mailbox any more.
        """
        self.traffic.sent += 1  # before the wait: the taker may run before a sender that waited
        try:
            await self._send.send(envelope)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            self.traffic.sent -= 1
            kind = type(envelope.message).__name__
            raise BusError(f"{envelope.sender} sent a {kind} to {self.address}, which has stopped") from None

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Envelope]:
        """The next envelope; done with it, come what may, when the block ends."""
        envelope = await self._receive.receive()
        self.traffic.taken += 1
        try:
            yield envelope
        finally:
            self.traffic.done += 1

    def close(self) -> None:
        """Take nothing more."""
        self._receive.close()
        self._send.close()


class Bus:
    """Routes by type and address. `clock` gives Unix seconds; `last`: the id of the last envelope of an earlier bus
    whose record this one goes on with."""

    def __init__(self, clock: Callable[[], float], last: int = 0) -> None:
        self._clock = clock
        self._mailboxes: dict[str, Mailbox] = {}
        self._taps: list[Tap] = []
        self._last = last
        self._shields: set[anyio.CancelScope] = set()
        self._ends = math.inf

    @property
    def traffic(self) -> Mapping[str, Traffic]:
        """The counts of every mailbox, by address."""
        return {address: mailbox.traffic for address, mailbox in self._mailboxes.items()}

    def register(self, address: str, accepts: tuple[type[Message], ...], capacity: int) -> Mailbox:
        """A new mailbox of `capacity` >= 1 envelopes for messages of the types `accepts`.

        :raises BusError: the address is taken.
        """
        if address in self._mailboxes:
            raise BusError(f"two agents have the address {address}")
        self._mailboxes[address] = mailbox = Mailbox(address, accepts, capacity)
        return mailbox

    def tap(self, observer: Tap) -> None:
        """Show every envelope to `observer`; what it raises, the sender gets."""
        self._taps.append(observer)

    async def send(
        self, message: Message, *, sender: str, to: str | None = None, cause: int | None = None
    ) -> Envelope:
        """Deliver to the address `to`, or to the one mailbox that accepts this type.

        :raises BusError: no such address, it does not accept this type, or several could.
        """
        mailbox = self._route(message, sender, to)
        async with mailbox.turn:
            envelope = await self._record(message, sender, mailbox.address, cause)
            await mailbox.put(envelope)
        return envelope

    async def note(self, message: Message, *, sender: str, cause: int | None = None) -> Envelope:
        """Show a message to the taps without delivering it, addressed to `NOBODY`: for what is to be on record."""
        return await self._record(message, sender, NOBODY, cause)

    async def deliver(self, envelope: Envelope) -> None:
        """Deliver what an earlier bus has shown to the taps already.

        :raises BusError: as `send`.
        """
        await self._route(envelope.message, envelope.sender, envelope.to).put(envelope)

    async def _record(self, message: Message, sender: str, to: str, cause: int | None) -> Envelope:
        """Once one tap has seen it all do, even if the sender is cancelled meanwhile: no two tell different
        stories. After `last_call` there is an end to that."""
        self._last += 1
        envelope = Envelope(self._last, cause, sender, to, self._clock(), message)
        with anyio.CancelScope(shield=True, deadline=self._ends) as shield:
            self._shields.add(shield)
            try:
                for observe in self._taps:
                    await observe(envelope)
            finally:
                self._shields.discard(shield)
        return envelope

    def last_call(self, seconds: float) -> None:
        """Let taps see what they are shown now, and what comes, for so many seconds: one that never comes back holds
        nobody longer. Said again, they begin anew."""
        self._ends = anyio.current_time() + seconds
        for shield in self._shields:
            shield.deadline = self._ends

    def close(self) -> None:
        """Close every mailbox."""
        for mailbox in self._mailboxes.values():
            mailbox.close()

    def _route(self, message: Message, sender: str, to: str | None) -> Mailbox:
        kind = type(message)
        if to is not None and to not in self._mailboxes:
            raise BusError(f"{sender} sent a {kind.__name__} to {to}, which does not exist")
        takers = [
            mailbox
            for mailbox in self._mailboxes.values()
            if kind in mailbox.accepts and (to is None or mailbox.address == to)
        ]
        if len(takers) == 1:
            return takers[0]
        where = f" at {to}" if to is not None else ""
        problem = (
            "nobody accepts it"
            if not takers
            else "it needs an address: " + ", ".join(mailbox.address for mailbox in takers)
        )
        raise BusError(f"{sender} sent a {kind.__name__}{where}: {problem}")
