"""The SDK clients of a process: each is closed as soon as no search uses it."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import anyio

GOODBYE = 5.0
"""Seconds allowed for a client to close its connections."""


class Client(Protocol):
    """The common interface of both SDKs' clients."""

    async def close(self) -> None:
        """Close the client's connections."""


class Clients:
    """Counts the users of each client. The function that a configuration names may return a new client at every call,
    or the same one to all searches: a client returned twice is the user's own, and is closed at the very end."""

    def __init__(self) -> None:
        self._users: Counter[int] = Counter()
        self._open: dict[int, Client] = {}
        self._given_twice: set[int] = set()

    def take(self, client: Client) -> None:
        """Count one more user of a client."""
        if id(client) in self._open:
            self._given_twice.add(id(client))
        self._open[id(client)] = client
        self._users[id(client)] += 1

    async def give_back(self, client: Client) -> None:
        """Count one user less, and close a client without users."""
        self._users[id(client)] -= 1
        if not self._users[id(client)] and id(client) not in self._given_twice:
            await self._close(id(client))

    async def aclose(self) -> None:
        """Close all remaining clients."""
        for number in list(self._open):
            await self._close(number)

    async def _close(self, number: int) -> None:
        """Close a client. Failures are ignored: they cost connections, but do not affect the search's result."""
        client = self._open.pop(number)
        self._users.pop(number, None)
        with anyio.move_on_after(GOODBYE, shield=True):
            try:
                await client.close()
            except Exception:  # the user's code may raise anything
                return
