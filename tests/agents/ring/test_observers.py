"""Observers: they see everything in its order, and a slow one loses nothing and stops nobody for good."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.ring import observers as audience
from protocols.messages import Envelope
from tests.world import Ring, shuffled

pytestmark = pytest.mark.anyio


@dataclass
class Slow:
    """Takes a random while over each message."""

    rng: Random
    seen: list[Envelope] = field(default_factory=list)

    async def observe(self, envelope: Envelope) -> None:
        await shuffled(self.rng, 12)()
        self.seen.append(envelope)


class Stuck:
    """Never comes to an end with the first message."""

    async def observe(self, envelope: Envelope) -> None:
        await anyio.sleep_forever()


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32), st.integers(0, 2))
def test_slow_observers_see_all_that_happened_in_its_order(seed: int, waiting: int) -> None:
    """Whatever the room for what waits: none at all, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audience, "WAITING", waiting)
        observers = {f"observer/{n}": Slow(Random(seed + n)) for n in range(2)}
        ring = Ring(seed=seed, observers=observers)
        assert anyio.run(ring.run) == "assignments"
    assert all(observer.seen == ring.log for observer in observers.values())


async def test_one_that_hangs_holds_the_ring_back_and_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience, "WAITING", 1)
    ring = Ring(observers={"observer/1": Stuck()})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ring.run)
        with anyio.fail_after(10):
            while len(ring.log) < 3:  # a thread may be at work
                await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        assert len(ring.log) == 3  # one that it is at, one that waits, and one whose sender waits
        tasks.cancel_scope.cancel()


async def test_one_that_hangs_is_not_waited_for_when_the_search_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience, "LAST_SECONDS", 0.0)
    assert await Ring(observers={"observer/1": Stuck()}).run() == "assignments"
