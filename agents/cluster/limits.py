"""The limits of accounts for a whole cluster: leases of one actor on its head, for all commands of one user."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import anyio
import ray
from ray.exceptions import RayError

from agents.cluster.starting import NAMESPACE
from agents.models.quotas import QuotaFiles, is_shared
from protocols.concurrency.threads import in_thread
from protocols.leases.lease import Lease, NoLease, Report, Source
from protocols.providers.catalogue import Account
from protocols.text import one_line

NAME = "Limits"
HEAD = {"node:__internal_head__": 0.001}
IDLE = 60.0
"""Seconds without a report after which the actor ends; the next report starts it anew, and files forget nothing."""


class LimitsRoom:
    """A named, detached actor around the files of the user who started it."""

    def __init__(self) -> None:
        self._files, self._closing = QuotaFiles(os.environ, lambda line: None), ExitStack()
        self._sources: dict[Account, Source | None] = {}
        self._turns = defaultdict[Account, anyio.Lock](anyio.Lock)
        self._quiet: anyio.CancelScope | None = None

    async def serve(self) -> None:
        """End this actor once nobody has reported for `IDLE` seconds. Members call it; the first call does it all."""
        if self._quiet is not None:
            return
        with anyio.move_on_after(IDLE) as self._quiet:
            await anyio.sleep_forever()
        self._closing.close()
        ray.actor.exit_actor()  # type: ignore[no-untyped-call]

    async def exchange(self, account: Account, member: str, report: Report) -> Lease | str:
        """See `Source.exchange`; a text says why there is no lease."""
        if self._quiet is not None:
            self._quiet.deadline = anyio.current_time() + IDLE
        if account not in self._sources:
            self._sources[account] = self._files.source(account, self._closing)
        if (source := self._sources[account]) is None:
            return "the head has no folder for a user's files: set XDG_CACHE_HOME there"
        try:
            async with self._turns[account]:  # a file has one connection
                return await source.exchange(member, report)
        except NoLease as error:
            return str(error)


class ClusterQuotas:
    """`agents.models.quotas.Quotas` over Ray."""

    def source(self, account: Account, closing: ExitStack) -> Source | None:
        """See `Quotas`."""
        return Leases(account) if is_shared(account) else None


@dataclass
class Leases:
    """The leases of one account."""

    account: Account
    _actor: Any = None

    async def exchange(self, member: str, report: Report) -> Lease:
        """See `Source`."""
        try:
            lease = await self._exchange(member, report)
        except RayError:
            self._actor = None  # it has ended, for nobody used it
            try:
                lease = await self._exchange(member, report)
            except RayError as error:
                raise NoLease(f"the cluster gives none: {one_line(str(error), 200)}") from None
        if isinstance(lease, str):
            raise NoLease(lease)
        return lease

    async def _exchange(self, member: str, report: Report) -> Lease | str:
        if self._actor is None:
            self._actor = await in_thread(limits_actor)
        answer: Lease | str = await self._actor.exchange.remote(self.account, member, report)
        return answer


def limits_actor() -> Any:
    """The actor, which is started if there is none."""
    options: dict[str, Any] = {"name": NAME, "namespace": NAMESPACE, "get_if_exists": True, "lifetime": "detached"}
    options |= {"num_cpus": 0, "resources": HEAD, "max_restarts": -1, "max_task_retries": 0}
    actor: Any = ray.remote(LimitsRoom).options(**options).remote()
    actor.serve.remote()
    return actor
