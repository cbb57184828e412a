"""The ledger: who called which model how often, for how many tokens and dollars, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import NoReturn

import anyio

from protocols.budget.budget_scope import NOTHING, Caps, Cost, Notice, Purse
from protocols.budget.prices import Price
from protocols.errors import BudgetExhausted, ModelError
from protocols.model import Request, Usage


@dataclass(slots=True)
class Account:
    """What one role spent on one model. `calls` counts every attempt, `failed` those that brought no reply; `saved`
    those that the reply cache made needless."""

    role: str = ""
    model: str = ""
    calls: int = 0
    failed: int = 0
    saved: int = 0
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0

    @property
    def asked(self) -> int:
        """Calls, and those that were saved: the same with a reply cache as without, but for retries."""
        return self.calls + self.saved


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that has ended: whose, at which model, and why it brought no reply (None: it brought one).
    `left_out`: examples that its request had no room for."""

    role: str
    model: str
    error: ModelError | None
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Saved:
    """Calls that the reply cache answered, and what they would have cost; `dollars` None: a price is unknown.
    `estimated`: of how many the tokens are an estimate."""

    calls: int = 0
    tokens: int = 0
    dollars: float | None = 0.0
    estimated: int = 0


@dataclass(frozen=True, slots=True)
class Books:
    """All that a ledger knows, as a plain record: what one ledger gives, another can take up."""

    accounts: tuple[Account, ...]
    saved: Saved
    seconds: float


class Ledger:
    """Counts every attempt of every role, and refuses what a cap forbids before it is sent.

    An attempt holds back the most that it may cost, and a place among the calls, from the moment that it is admitted.
    It counts as a call once it is sent; one that is not sent, because it was cancelled before, has cost nothing. Once
    it has ended it has cost what the provider says, or, where it does not say, what was estimated (`Usage`). So no
    cap is ever exceeded by more than an estimate is wrong, as long as a provider keeps to `max_tokens`.

    `caps` are the run's; `scopes` has those of roles and of operators, by `critic`, `proposer`, `proposer/few_shot`.
    `clock` gives seconds. While `holding` calls back for later, as many tokens and dollars are held back as so many
    calls have cost so far on average. The caps on minutes hold only meanwhile: what was held back may be spent.
    """

    def __init__(
        self,
        caps: Caps,
        prices: Mapping[str, Price],
        clock: Callable[[], float],
        scopes: Mapping[str, Caps] | None = None,
    ) -> None:
        self.caps, self.prices = caps, prices
        self.accounts: dict[tuple[str, str], Account] = {}
        self.in_flight = 0
        self.saved = Saved()
        self._run = Purse("", caps)
        self._scopes = {name: Purse(name, capped) for name, capped in (scopes or {}).items()}
        self._look_at_caps()
        self._clock, self._start = clock, clock()
        self._paused: float | None = None
        self._held = 0
        self._waiting: anyio.Event | None = None
        self._taps: list[Callable[[Attempt], None]] = []
        self._watchers: list[Callable[[Notice], None]] = []

    def tap(self, observer: Callable[[Attempt], None]) -> None:
        """Tell `observer` of every attempt once it is in the books."""
        self._taps.append(observer)

    def watch(self, observer: Callable[[Notice], None]) -> None:
        """Tell `observer` when a share of a cap is used that is worth a line."""
        self._watchers.append(observer)

    def account(self, role: str, model: str) -> Account:
        """The account of `role` with `model`, opened if need be."""
        return self.accounts.setdefault((role, model), Account(role, model))

    def purses(self, role: str) -> tuple[Purse, ...]:
        """Whose caps hold for a role: its own, its kind's, the run's."""
        named = (self._scopes.get(name) for name in dict.fromkeys((role, role.partition("/")[0])))
        return (*(purse for purse in named if purse), self._run)

    @property
    def calls(self) -> int:
        """Attempts of all roles."""
        return self._run.calls

    @property
    def tokens(self) -> int:
        """Input and output tokens of all roles."""
        return self._run.spent.tokens

    @property
    def estimated(self) -> int:
        """Attempts of which the tokens are, at least in part, an estimate."""
        return sum(account.usage.estimated for account in self.accounts.values())

    @property
    def seconds(self) -> float:
        """Since the ledger was opened, but for pauses, and those of the books that it took up."""
        return (self._clock() if self._paused is None else self._paused) - self._start

    @property
    def dollars(self) -> float | None:
        """What all replies cost; None when a model that was used has no known price."""
        if any(account.calls and account.model not in self.prices for account in self.accounts.values()):
            return None
        return self._run.spent.dollars

    def pause(self) -> None:
        """Count no more seconds until `go_on`."""
        self._paused = self._clock() if self._paused is None else self._paused

    def go_on(self) -> None:
        """The pause is over, if there was one."""
        if self._paused is not None:
            self._start += self._clock() - self._paused
            self._paused = None

    def cap(self, scope: str, cap: str, limit: float | None) -> None:
        """Another cap from now on (None: none), of the run ("") or of a scope that the ledger was opened with; what
        was admitted before stays admitted unless the cap is used up by then.

        :raises KeyError: there is no such scope.
        """
        purse = self._scopes[scope] if scope else self._run
        purse.cap(cap, limit)
        if purse is self._run:
            self.caps = Caps(**{**asdict(self.caps), cap: limit})
        self._look_at_caps()
        self._wake()

    def _look_at_caps(self) -> None:
        purses = (self._run, *self._scopes.values())
        self._capped = any(purse.limits for purse in purses)
        self._counts_tokens = any(purse.counts_tokens for purse in purses)

    @contextmanager
    def holding(self, calls: int) -> Iterator[None]:
        """Keep `calls` back from the caps while the block runs: the held-out report is paid for from them."""
        self._held += calls
        try:
            yield
        finally:
            self._held -= calls

    def set_aside(self, calls: int) -> None:
        """Keep so many calls of the task's role for later, see `Purse.aside`; 0: what was kept may be spent now."""
        for purse in {self._run, *self.purses("task")}:
            purse.aside = calls
        self._wake()

    def most(self, model: str, request: Request) -> Cost:
        """The most that one attempt may cost; nothing where nobody asks, which saves measuring the messages."""
        if not self._counts_tokens:
            return NOTHING
        tokens_in, price = request.most_input, self.prices.get(model)
        dollars = price.most(tokens_in, request.max_tokens) if price else 0.0
        return Cost(tokens_in + request.max_tokens, dollars)

    async def admit(self, account: Account, purses: tuple[Purse, ...], most: Cost) -> None:
        """Set aside what an attempt may cost; waits while only others that are admitted stand in its way.

        :raises BudgetExhausted: it may not be sent.
        """
        while self._capped and self._must_wait(purses, most):
            self._waiting = self._waiting or anyio.Event()
            await self._waiting.wait()
        for purse in purses:
            purse.reserve(most)

    def send(self, account: Account, purses: tuple[Purse, ...], most: Cost) -> None:
        """Count an admitted attempt, which costs at most `most`: all its other waiting is over, and it is sent.

        :raises BudgetExhausted: it may not be sent any more: the minutes have passed, or a cap was lowered.
        """
        for purse in purses if self._capped else ():
            if refused := purse.refusal(self._kept(purse), self._passed()) or purse.overspent(most):
                self._refuse(purse, refused)
        account.calls += 1
        self.in_flight += 1
        for purse in purses:
            purse.send()
        self._watch(purses)
        if self._waiting is not None and any("calls" in purse.limits for purse in purses):
            self._wake()  # what waits for the last of the calls knows now that it was the last

    def withdraw(self, purses: tuple[Purse, ...], most: Cost) -> None:
        """An admitted attempt will not be sent."""
        for purse in purses:
            purse.withdraw(most)
        self._wake()

    def settle(self, account: Account, purses: tuple[Purse, ...], most: Cost, usage: Usage, failed: bool) -> None:
        """An attempt that was sent has ended, `failed`: without a reply. What was held back for it is free but for
        what it cost."""
        self.in_flight -= 1
        account.failed += failed
        account.usage += usage
        cost = self._cost(account.model, usage)
        for purse in purses:
            purse.settle(most, cost)
        self._watch(purses)
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.set()
            self._waiting = None

    def ended(self, attempt: Attempt) -> None:
        """Tell the observers."""
        for observe in self._taps:
            observe(attempt)

    def save(self, role: str, model: str, usage: Usage) -> None:
        """Count a call that the reply cache answered."""
        self.account(role, model).saved += 1
        before, price = self.saved.dollars, self.prices.get(model)
        dollars = before + price.of(usage) if before is not None and price else None
        saved = self.saved
        estimated = saved.estimated + usage.estimated
        self.saved = Saved(saved.calls + 1, saved.tokens + usage.total, dollars, estimated)

    def books(self) -> Books:
        """All of it up to now. Attempts in flight are calls already, and have no usage yet."""
        return Books(tuple(replace(account) for account in self.accounts.values()), self.saved, self.seconds)

    def take_up(self, books: Books) -> None:
        """Add another ledger's books to these, as if its attempts had been made here."""
        self._start -= books.seconds
        self.saved = books.saved
        for past in books.accounts:
            account = self.account(past.role, past.model)
            account.calls += past.calls
            account.failed += past.failed
            account.saved += past.saved
            account.usage += past.usage
            account.seconds += past.seconds
            for purse in self.purses(past.role):
                purse.take_up(past.calls, self._cost(past.model, past.usage))

    def _cost(self, model: str, usage: Usage) -> Cost:
        price = self.prices.get(model)
        return Cost(usage.total, price.of(usage) if price else 0.0)

    def _must_wait(self, purses: tuple[Purse, ...], most: Cost) -> bool:
        """:raises BudgetExhausted: even if all that is in flight came back for nothing, there would be no room."""
        waits = False
        for purse in purses:
            cap, final = purse.obstacle(most, self._kept(purse), self._passed())
            if final:
                self._refuse(purse, cap)
            waits = waits or bool(cap)
        return waits

    def _kept(self, purse: Purse) -> int:
        """Calls that are kept back: the report's, which are of the task's role."""
        return self._held if purse.name in ("", "task") else 0

    def _passed(self) -> float:
        """Seconds since the start, 0 while the caps on minutes do not hold."""
        return self.seconds if self._held else 0.0

    def _refuse(self, purse: Purse, cap: str) -> NoReturn:
        """:raises BudgetExhausted: always."""
        raise BudgetExhausted(cap, purse.limits[cap], purse.name)

    def _watch(self, purses: tuple[Purse, ...]) -> None:
        for purse in purses if self._capped else ():
            for notice in purse.news(self.seconds):
                for observe in self._watchers:
                    observe(notice)
