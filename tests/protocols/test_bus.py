"""The bus: bounded, typed, observed, and never silent about a message that nobody can take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.bus import NOBODY, Bus, Mailbox
from protocols.errors import BusError
from protocols.messages import Envelope, Failure, Finished, Stop

pytestmark = pytest.mark.anyio


@pytest.fixture
def bus() -> Iterator[Bus]:
    bus = Bus(lambda: 7.0)
    yield bus
    bus.close()


async def take_all(mailbox: Mailbox, into: list[Envelope]) -> None:
    while True:
        async with mailbox.take() as envelope:
            into.append(envelope)


async def test_a_full_mailbox_makes_the_sender_wait(bus: Bus) -> None:
    mailbox = bus.register("a", (Stop,), capacity=2)
    sent: list[str] = []

    async def send() -> None:
        for reason in "abcd":
            await bus.send(Stop(reason), sender="test")
            sent.append(reason)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        assert sent == ["a", "b"]
        async with mailbox.take() as envelope:
            assert envelope.message == Stop("a")
            await anyio.wait_all_tasks_blocked()
        assert sent == ["a", "b", "c"]
        async with mailbox.take():
            pass
        await anyio.wait_all_tasks_blocked()
        assert sent == ["a", "b", "c", "d"]
    assert (mailbox.traffic.sent, mailbox.traffic.taken, mailbox.traffic.done) == (4, 2, 2)


async def test_routes_by_type_and_by_address(bus: Bus) -> None:
    stops, both = bus.register("stops", (Stop,), 5), bus.register("both", (Failure, Finished, Stop), 5)
    assert (await bus.send(Finished("x"), sender="t")).to == both.address
    assert (await bus.send(Stop("x"), sender="t", to="stops")).to == stops.address
    assert (await bus.send(Stop("x"), sender="t", to="both")).to == both.address
    with pytest.raises(BusError, match="needs an address: stops, both"):
        await bus.send(Stop("x"), sender="t")
    assert [t.sent for t in bus.traffic.values()] == [1, 2]


@pytest.mark.parametrize(
    ("to", "problem"), [(None, "t sent a Finished: nobody"), ("a", "at a: nobody"), ("b", "b, which does not exist")]
)
async def test_what_nobody_can_take_is_an_error_and_is_not_recorded(bus: Bus, to: str | None, problem: str) -> None:
    seen: list[Envelope] = []
    bus.register("a", (Stop,), 5)
    bus.tap(recorder(seen))
    with pytest.raises(BusError, match=problem):
        await bus.send(Finished("x"), sender="t", to=to)
    assert seen == []


async def test_two_agents_of_one_address_are_refused(bus: Bus) -> None:
    bus.register("a", (Stop,), 1)
    with pytest.raises(BusError, match="address a"):
        bus.register("a", (Finished,), 1)


def recorder(into: list[Envelope]) -> Callable[[Envelope], Awaitable[None]]:
    async def record(envelope: Envelope) -> None:
        await anyio.lowlevel.checkpoint()
        into.append(envelope)

    return record


async def test_taps_see_every_envelope_in_order_before_it_is_delivered(bus: Bus) -> None:
    mailbox = bus.register("a", (Stop, Finished), 1)
    first: list[Envelope] = []
    second: list[Envelope] = []
    delivered: list[Envelope] = []

    async def check(envelope: Envelope) -> None:
        assert first[-1] is envelope
        assert envelope not in delivered
        await anyio.lowlevel.checkpoint()
        second.append(envelope)

    bus.tap(recorder(first))
    bus.tap(check)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_all, mailbox, delivered)
        for number in range(20):
            await bus.send(Stop(str(number)), sender="t", cause=number or None)
        await bus.note(Finished("said to nobody"), sender="t")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert first == second == [*delivered, first[-1]]
    assert [e.message for e in delivered] == [Stop(str(n)) for n in range(20)]
    assert [e.cause for e in delivered] == [None, *range(1, 20)]
    assert {(e.sender, e.to, e.time) for e in delivered} == {("t", "a", 7.0)}
    assert first[-1].to == NOBODY


async def test_what_a_tap_raises_the_sender_gets_and_nothing_is_delivered(bus: Bus) -> None:
    mailbox = bus.register("a", (Stop,), 1)

    async def broken(envelope: Envelope) -> None:
        raise OSError("disk full")

    bus.tap(broken)
    with pytest.raises(OSError, match="disk full"):
        await bus.send(Stop("x"), sender="t")
    assert mailbox.traffic.sent == 0


@given(senders=st.integers(1, 6), each=st.integers(1, 6), capacity=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ids_are_unique_and_rise_and_no_message_is_lost(backend: str, senders: int, each: int, capacity: int) -> None:
    bus, seen, delivered = Bus(lambda: 0.0), list[Envelope](), list[Envelope]()
    mailbox = bus.register("a", (Stop,), capacity)

    async def watch(envelope: Envelope) -> None:
        seen.append(envelope)
        traffic = mailbox.traffic
        assert traffic.sent >= traffic.taken >= traffic.done
        await anyio.lowlevel.checkpoint()

    bus.tap(watch)

    async def send(name: str) -> None:
        for number in range(each):
            await bus.send(Stop(f"{name}{number}"), sender=name)

    async def main() -> None:
        async with anyio.create_task_group() as taking:
            taking.start_soon(take_all, mailbox, delivered)
            async with anyio.create_task_group() as tasks:
                for sender in range(senders):
                    tasks.start_soon(send, f"s{sender}/")
            await anyio.wait_all_tasks_blocked()
            taking.cancel_scope.cancel()
        bus.close()

    anyio.run(main, backend=backend)
    assert [e.id for e in seen] == list(range(1, senders * each + 1))
    assert sorted(e.id for e in delivered) == [e.id for e in seen]
    assert (mailbox.traffic.sent, mailbox.traffic.taken, mailbox.traffic.done) == (len(seen),) * 3


async def test_taken_and_done_are_paired_when_the_handler_raises_or_is_cancelled(bus: Bus) -> None:
    mailbox = bus.register("a", (Stop,), 2)
    await bus.send(Stop("x"), sender="t")
    await bus.send(Stop("y"), sender="t")
    with pytest.raises(ZeroDivisionError):
        async with mailbox.take():
            raise ZeroDivisionError
    with anyio.CancelScope() as scope:
        async with mailbox.take():
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert (mailbox.traffic.taken, mailbox.traffic.done) == (2, 2)


async def test_every_tap_sees_what_one_has_seen_though_the_sender_is_cancelled(bus: Bus) -> None:
    seen: list[Envelope] = []
    mailbox = bus.register("a", (Stop,), 1)
    with anyio.CancelScope() as scope:

        async def cancelling(envelope: Envelope) -> None:
            scope.cancel()

        bus.tap(cancelling)
        bus.tap(recorder(seen))
        await bus.send(Stop("x"), sender="t")
    assert [e.message for e in seen] == [Stop("x")]
    assert mailbox.traffic.taken == 0


async def test_after_close_a_message_is_an_error_also_for_who_waits(bus: Bus) -> None:
    bus.register("a", (Stop,), 1)
    await bus.send(Stop("fills it"), sender="t")

    async def send() -> None:
        with pytest.raises(BusError, match="a, which has stopped"):
            await bus.send(Stop("x"), sender="t")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        bus.close()
    await send()
    assert bus.traffic["a"].sent == 1
