"""Work in groups: what arrives while a group is worked on makes up the next, so that many share one trip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from anyio import CancelScope, Event, Lock

J = TypeVar("J")
R = TypeVar("R")


@dataclass(slots=True)
class _Group(Generic[J, R]):
    jobs: list[J] = field(default_factory=list)
    outcomes: Sequence[R | Exception] = ()
    done: Event = field(default_factory=Event)


class Grouping(Generic[J, R]):
    """Does jobs in the order of their arrival, a group at a time (group commit).

    `work` gets the jobs of a group, at least one, and returns the outcome of each, in order. An outcome that is an
    exception is the answer to its own job alone; what `work` itself raises is the answer to all jobs of the group.
    The first job to arrive leads its group, so there is no worker task to own or to stop, and the queue is bounded by
    the number of callers, since each waits until its own job is done.
    """

    def __init__(self, work: Callable[[list[J]], Awaitable[Sequence[R | Exception]]]) -> None:
        self._work = work
        self._gathering = _Group[J, R]()
        self._turn = Lock()

    async def do(self, job: J) -> R | Exception:
        """The outcome of a job. A caller that is cancelled meanwhile leaves its job behind: it is still done."""
        group = self._gathering
        place = len(group.jobs)
        group.jobs.append(job)
        if place == 0:
            await self._lead(group)
        else:
            await group.done.wait()
        return group.outcomes[place]

    async def idle(self) -> None:
        """Wait until every group so far is done; the lock is fair, so this turn comes last."""
        async with self._turn:
            pass

    async def _lead(self, group: _Group[J, R]) -> None:
        """Do the jobs of a group, shielded: the other callers need it even if the leader is cancelled."""
        with CancelScope(shield=True):
            try:
                async with self._turn:
                    self._gathering = _Group()
                    group.outcomes = await self._work(group.jobs)
            except Exception as error:
                group.outcomes = [error] * len(group.jobs)
            finally:
                group.done.set()
