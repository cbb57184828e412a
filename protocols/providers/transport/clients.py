"""The SDK clients of a process: each is closed as soon as no search uses it any more."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import anyio

GOODBYE = 5.0
"""Seconds that a client has to close its connections."""


class Client(Protocol):
    """What both SDKs call so."""

    async def close(self) -> None:
        """Close its connections."""


class Clients:
    """Counts who uses which client. The function that a configuration names may make a new one at every call, or give
    the same to all searches: one that it has given twice is the user's own, and is closed at the very end."""

    def __init__(self) -> None:
        self._users: Counter[int] = Counter()
        self._open: dict[int, Client] = {}
        self._given_twice: set[int] = set()

    def take(self, client: Client) -> None:
        """Somebody uses it."""
        if id(client) in self._open:
            self._given_twice.add(id(client))
        self._open[id(client)] = client
        self._users[id(client)] += 1

    async def give_back(self, client: Client) -> None:
        """Somebody uses it no longer."""
        self._users[id(client)] -= 1
        if not self._users[id(client)] and id(client) not in self._given_twice:
            await self._close(id(client))

    async def aclose(self) -> None:
        """Close all that are left."""
        for number in list(self._open):
            await self._close(number)

    async def _close(self, number: int) -> None:
        """Whatever its search came to stands: a client that cannot be closed costs connections and nothing else."""
        client = self._open.pop(number)
        self._users.pop(number, None)
        with anyio.move_on_after(GOODBYE, shield=True):
            try:
                await client.close()
            except Exception:  # of the user's own code
                return
