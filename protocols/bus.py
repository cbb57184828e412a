"""The bus: typed messages between mailboxes of one process.

Every mailbox is bounded, and a full one makes the sender wait. Taps see every envelope before it is delivered, one
tap after the other, so a journal attached as a tap is always ahead of the agents. A mailbox receives envelopes in the
order in which the taps saw them, so a journal also shows the order in which an agent received its messages.
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
"""The recipient of messages that are only recorded."""


@dataclass(slots=True)
class Traffic:
    """Counts of a mailbox's messages: sent to it, taken out, done. waiting = sent - taken; busy = taken - done."""

    sent: int = 0
    taken: int = 0
    done: int = 0


class Mailbox:
    """The bounded queue of messages to one agent."""

    def __init__(self, address: str, accepts: tuple[type[Message], ...], capacity: int) -> None:
        self.address, self.accepts = address, accepts
        self.traffic = Traffic()
        self.turn = anyio.Lock(fast_acquire=True)  # held from the recording of an envelope to its delivery
        self._send, self._receive = anyio.create_memory_object_stream[Envelope](capacity)

    async def put(self, envelope: Envelope) -> None:
        """Deliver an envelope; waits while the mailbox is full.

        :raises BusError: the mailbox is closed.
        """
        self.traffic.sent += 1  # before the wait: the receiver may run before a sender that waited
        try:
            await self._send.send(envelope)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            self.traffic.sent -= 1
            kind = type(envelope.message).__name__
            raise BusError(f"{envelope.sender} sent a {kind} to {self.address}, which has stopped") from None

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Envelope]:
        """The next envelope, counted as done when the block ends, even by an exception."""
        envelope = await self._receive.receive()
        self.traffic.taken += 1
        try:
            yield envelope
        finally:
            self.traffic.done += 1

    def close(self) -> None:
        """Accept no more messages."""
        self._receive.close()
        self._send.close()


class Bus:
    """Routes messages by type and address. `clock` gives Unix seconds; `last`: the id of the last recorded envelope,
    if this bus continues the journal of an earlier one."""

    def __init__(self, clock: Callable[[], float], last: int = 0) -> None:
        self._clock = clock
        self._mailboxes: dict[str, Mailbox] = {}
        self._taps: list[Tap] = []
        self._last = last
        self._shields: set[anyio.CancelScope] = set()
        self._ends = math.inf

    @property
    def traffic(self) -> Mapping[str, Traffic]:
        """The message counts of every mailbox, by address."""
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
        """Show every envelope to `observer`; its exceptions reach the sender."""
        self._taps.append(observer)

    async def send(
        self, message: Message, *, sender: str, to: str | None = None, cause: int | None = None
    ) -> Envelope:
        """Deliver to the address `to`, or to the only mailbox that accepts this type.

        :raises BusError: the address does not exist or does not accept this type, or several mailboxes accept it.
        """
        mailbox = self._route(message, sender, to)
        async with mailbox.turn:
            envelope = await self._record(message, sender, mailbox.address, cause)
            await mailbox.put(envelope)
        return envelope

    async def note(self, message: Message, *, sender: str, cause: int | None = None) -> Envelope:
        """Show a message to the taps without delivering it, addressed to `NOBODY`, so that it is recorded."""
        return await self._record(message, sender, NOBODY, cause)

    async def deliver(self, envelope: Envelope) -> None:
        """Deliver an envelope that an earlier bus has already shown to the taps.

        :raises BusError: see `send`.
        """
        await self._route(envelope.message, envelope.sender, envelope.to).put(envelope)

    async def _record(self, message: Message, sender: str, to: str, cause: int | None) -> Envelope:
        """Show an envelope to every tap, even if the sender is cancelled meanwhile, so that all taps agree. After
        `last_call` its deadline ends this."""
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
        """Give the taps this many seconds for current and later envelopes, so that a tap that never returns cannot
        block the shutdown. Another call restarts the time."""
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
