"""The switch that makes generations of a search, to compare with."""

from __future__ import annotations

from random import Random

import pytest

from agents.ring.controller import SearchSettings
from protocols.messages import FIRST, Assignment, Critique, Failure
from tests.world import Oracle, Ring, shuffled

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("barrier", [True, False])
async def test_with_a_barrier_nothing_begins_before_all_has_ended(barrier: bool) -> None:
    ring = Ring(Oracle(delay=shuffled(Random(1))), SearchSettings(width=3, assignments=24, barrier=barrier))
    await ring.run()
    open_now: set[int] = set()
    early, ended_one = 0, False
    for envelope in ring.log:
        match envelope.message:
            case Assignment(assignment=number):
                early += ended_one and bool(open_now)
                ended_one = False
                open_now.add(number)
            case Critique(assignment=number) | Failure(assignment=number) if number != FIRST:
                open_now.remove(number)
                ended_one = True
            case _:
                pass
    assert set(ring.endings().values()) == {1}
    assert (early == 0) is barrier
