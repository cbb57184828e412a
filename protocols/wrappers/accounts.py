"""What all searches of a process share: one limiter for each account, and what is known of each of its models."""

from __future__ import annotations

from protocols.providers.catalogue import Account
from protocols.wrappers.breaker import Breaker
from protocols.wrappers.limiter import Limiter, Limits
from protocols.wrappers.warming import Prefixes
from protocols.wrappers.window import Window


class Accounts:
    """Opened as they are asked for. An account is a provider, a base URL and a key."""

    def __init__(self) -> None:
        self._limiters: dict[Account, Limiter] = {}
        self._breakers: dict[tuple[Account, str, str], Breaker] = {}
        self._prefixes: dict[tuple[Account, str], Prefixes] = {}
        self._windows: dict[tuple[Account, str], Window] = {}

    def limiter(self, account: Account, limits: Limits) -> Limiter:
        """The account's; of all the limits that are asked for, it keeps to the strictest."""
        limiter = self._limiters.get(account)
        if limiter is None:
            limiter = self._limiters[account] = Limiter(limits)
        else:
            limiter.restrict(limits)
        return limiter

    def breaker(self, account: Account, model: str, role: str) -> Breaker:
        """Of one role: what another sends to the same model may be refused for a reason of its own."""
        return self._breakers.setdefault((account, model, role), Breaker())

    def window(self, account: Account, model: str) -> Window:
        """What a request to the model may have, for all roles alike."""
        return self._windows.setdefault((account, model), Window())

    def prefixes(self, account: Account, model: str) -> Prefixes:
        """What the provider's cache holds."""
        return self._prefixes.setdefault((account, model), Prefixes())
