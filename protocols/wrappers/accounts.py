"""What all searches of a process share: one limiter for each account, and what is known of each of its models."""

from __future__ import annotations

from contextlib import AsyncExitStack

from protocols.providers.catalogue import Account
from protocols.wrappers.breaker import Breaker
from protocols.wrappers.limiter import Limiter, Limits
from protocols.wrappers.warming import Prefixes


class Accounts:
    """Opened as they are asked for. An account is a provider, a base URL and a key."""

    def __init__(self) -> None:
        self._limiters: dict[Account, Limiter] = {}
        self._breakers: dict[tuple[Account, str, str], Breaker] = {}
        self._prefixes: dict[tuple[Account, str], Prefixes] = {}

    def limiter(self, account: Account, limits: Limits, closing: AsyncExitStack | None = None) -> Limiter:
        """The account's. Of all limits that are asked for it keeps to the strictest, and to these until `closing` is
        closed: that of the search that asks. None: for good."""
        limiter = self._limiters.get(account)
        if limiter is None:
            limiter = self._limiters[account] = Limiter(limits)
        else:
            limiter.restrict(limits)
        if closing is not None:
            closing.callback(limiter.give_back, limits)
        return limiter

    def breaker(self, account: Account, model: str, role: str) -> Breaker:
        """Of one role: what another sends to the same model may be refused for a reason of its own."""
        return self._breakers.setdefault((account, model, role), Breaker())

    def prefixes(self, account: Account, model: str) -> Prefixes:
        """What the provider's cache holds."""
        return self._prefixes.setdefault((account, model), Prefixes())
