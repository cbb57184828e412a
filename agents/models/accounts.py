"""What all searches of a process share: one limiter for each account, and what is known of each of its models."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from protocols.pacing.breaker import Breaker
from protocols.pacing.clock import loop_time
from protocols.pacing.limiter import Limiter, Limits
from protocols.pacing.waiting import Calls
from protocols.providers.catalogue import Account
from protocols.wrappers.temperature import Temperature
from protocols.wrappers.warming import Prefixes
from protocols.wrappers.window import Window


@dataclass(frozen=True, slots=True)
class Waits:
    """What the calls of a process wait for at a moment; times in seconds from then.

    `in_flight` calls, the `oldest` of which was sent so long ago, and that have ended `within` so long (None: nobody
    knows); `queued` to be sent; `naps` before a next try, the first `next_try` away; `held`: accounts that are held
    back, by address, and for how long; `loading`: models that are being loaded; `others` wait for their budget, or
    for one that is ahead with the same prefix. `replies` so far, the last `answered` ago; `failures` of tries since,
    and what the last of them met.
    """

    in_flight: int
    oldest: float
    within: float | None
    queued: int
    naps: int
    next_try: float
    held: tuple[tuple[str, float], ...]
    loading: tuple[str, ...]
    others: int
    replies: int
    answered: float | None
    failures: int
    last: str


class Accounts:
    """Opened as they are asked for. An account is a provider, a base URL and a key."""

    def __init__(self) -> None:
        self._limiters: dict[Account, Limiter] = {}
        self._breakers: dict[tuple[Account, str, str], Breaker] = {}
        self._prefixes: dict[tuple[Account, str], Prefixes] = {}
        self.calls = Calls()
        self._windows: dict[tuple[Account, str], Window] = {}
        self._temperatures: dict[tuple[Account, str, str], Temperature] = {}

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

    def window(self, account: Account, model: str) -> Window:
        """What a request to the model may have, for all roles alike."""
        return self._windows.setdefault((account, model), Window())

    def temperature(self, account: Account, model: str, asked: str = "") -> Temperature:
        """Whether the model takes one beside what is `asked` of it, the key of its `Parameters`: some take it only
        where they do not think."""
        return self._temperatures.setdefault((account, model, asked), Temperature())

    def prefixes(self, account: Account, model: str) -> Prefixes:
        """What the provider's cache holds."""
        return self._prefixes.setdefault((account, model), Prefixes())

    def waits(self) -> Waits:
        """What calls wait for now."""
        calls, now = self.calls, loop_time()
        flights = [ticket for limiter in self._limiters.values() for ticket in limiter.flights]
        queued = sum(limiter.queued for limiter in self._limiters.values())
        ends = [ticket.ends - now for ticket in flights if ticket.ends is not None]
        return Waits(
            in_flight=len(flights),
            oldest=max((now - ticket.sent for ticket in flights), default=0.0),
            within=max(0.0, *ends) if ends and len(ends) == len(flights) else None,
            queued=queued,
            naps=len(calls.naps),
            next_try=max(0.0, min((nap.until - now for nap in calls.naps), default=0.0)),
            held=tuple(
                (account.address or account.provider, limiter.held)
                for account, limiter in self._limiters.items()
                if limiter.held and (limiter.queued or limiter.flights)
            ),
            loading=tuple(sorted({*calls.loading})),
            others=max(0, calls.begun - len(flights) - queued - len(calls.naps)),
            replies=calls.replies,
            answered=None if calls.answered is None else now - calls.answered,
            failures=calls.failures,
            last=str(calls.last) if calls.failures else "",
        )
