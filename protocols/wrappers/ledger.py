"""The ledger: who called which model how often, for how many tokens and dollars, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from protocols.errors import BudgetExhausted, ModelError
from protocols.model import ChatModel, Reply, Request, Usage


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits of one run; None: no limit. Tokens count input and output together."""

    calls: int | None = None
    tokens: int | None = None
    dollars: float | None = None
    minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens: fresh input, output, and input that the provider had cached."""

    input: float
    output: float
    cached: float | None = None

    def of(self, usage: Usage) -> float:
        """Dollars for one reply."""
        cached = self.input if self.cached is None else self.cached
        fresh = usage.input - usage.cached
        return (fresh * self.input + usage.cached * cached + usage.output * self.output) / 1e6


@dataclass(slots=True)
class Account:
    """What one role spent on one model. `calls` counts every attempt, `failed` those that brought no reply."""

    calls: int = 0
    failed: int = 0
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that has ended: whose, at which model, and why it brought no reply (None: it brought one)."""

    role: str
    model: str
    error: ModelError | None


class Ledger:
    """Counts every attempt of every role, and refuses what a cap forbids before it is sent.

    Calls are capped exactly: an attempt counts from the moment that it is admitted. Tokens and dollars are known
    when a reply has come, so those caps stop admission once they are reached. `clock` gives seconds.

    While `holding` calls back for later, as many tokens and dollars are held back as so many calls have cost so far
    on average. The cap on minutes holds only meanwhile: what was held back is there to be spent. `exhausted` names
    the cap that refused a call last, None while none has. `cached` counts the calls that the reply cache saved.
    """

    def __init__(self, caps: Caps, prices: Mapping[str, Price], clock: Callable[[], float]) -> None:
        self.caps, self.prices = caps, prices
        self.accounts: dict[tuple[str, str], Account] = {}
        self.in_flight = 0
        self.cached = 0
        self.exhausted: str | None = None
        self._clock, self._start = clock, clock()
        self._held = 0
        self._taps: list[Callable[[Attempt], None]] = []

    def tap(self, observer: Callable[[Attempt], None]) -> None:
        """Tell `observer` of every attempt once it is in the books."""
        self._taps.append(observer)

    def account(self, role: str, model: str) -> Account:
        """The account of `role` with `model`, opened if need be."""
        return self.accounts.setdefault((role, model), Account())

    @property
    def calls(self) -> int:
        """Attempts of all roles."""
        return sum(account.calls for account in self.accounts.values())

    @property
    def tokens(self) -> int:
        """Input and output tokens of all roles."""
        return sum(account.usage.input + account.usage.output for account in self.accounts.values())

    @property
    def seconds(self) -> float:
        """Since the ledger was opened."""
        return self._clock() - self._start

    @property
    def dollars(self) -> float | None:
        """What all replies cost; None when a model that was used has no known price."""
        total = 0.0
        for (_, model), account in self.accounts.items():
            price = self.prices.get(model)
            if price is not None:
                total += price.of(account.usage)
            elif account.calls:
                return None
        return total

    @contextmanager
    def holding(self, calls: int) -> Iterator[None]:
        """Keep `calls` back from the caps while the block runs: the held-out report is paid for from them."""
        self._held += calls
        try:
            yield
        finally:
            self._held -= calls

    def admit(self, account: Account) -> None:
        """Count an attempt that is about to be sent.

        :raises BudgetExhausted: it may not be.
        """
        caps, calls = self.caps, self.calls
        share = 1.0 + self._held / calls if calls else 1.0
        if caps.calls is not None and calls + self._held >= caps.calls:
            self._refuse("calls", caps.calls)
        if caps.tokens is not None and self.tokens * share >= caps.tokens:
            self._refuse("tokens", caps.tokens)
        if caps.dollars is not None and (self.dollars or 0.0) * share >= caps.dollars:
            self._refuse("dollars", caps.dollars)
        if caps.minutes is not None and self._held and self.seconds >= caps.minutes * 60:
            self._refuse("minutes", caps.minutes)
        account.calls += 1

    def ended(self, attempt: Attempt) -> None:
        """Tell the observers."""
        for observe in self._taps:
            observe(attempt)

    def saved(self) -> None:
        """Count a call that the reply cache answered."""
        self.cached += 1

    def _refuse(self, cap: str, limit: float) -> NoReturn:
        self.exhausted = cap
        raise BudgetExhausted(cap, limit)


class MeteredModel:
    """Enters every attempt of one role at one model in the ledger."""

    def __init__(self, inner: ChatModel, ledger: Ledger, role: str) -> None:
        self._inner, self._ledger, self._role = inner, ledger, role
        self._account = ledger.account(role, inner.name)

    @property
    def name(self) -> str:
        """The name of the model inside."""
        return self._inner.name

    async def complete(self, request: Request) -> Reply:
        """:raises BudgetExhausted: a cap forbids the call; nothing was sent."""
        self._ledger.admit(self._account)
        self._ledger.in_flight += 1
        try:
            reply = await self._inner.complete(request)
        except BaseException as error:  # an attempt that was cancelled brought no reply either
            self._account.failed += 1
            if isinstance(error, ModelError):
                self._ledger.ended(Attempt(self._role, self.name, error))
            raise
        finally:
            self._ledger.in_flight -= 1
        self._account.usage += reply.usage
        self._account.seconds += reply.latency
        self._ledger.ended(Attempt(self._role, self.name, None))
        return reply
