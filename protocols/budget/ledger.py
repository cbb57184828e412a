"""The ledger: counts each role's calls, tokens and dollars by model, and enforces the caps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import NoReturn

from protocols.budget.budget_scope import NOTHING, BudgetScope, Caps, Cost, Notice
from protocols.budget.prices import Price
from protocols.budget.shared_budget import Share
from protocols.concurrency.wakeup import Wakeup
from protocols.errors import BudgetExhausted, ModelError
from protocols.model import Request, Usage


@dataclass(slots=True)
class Account:
    """The spending of one role on one model. `calls`: all attempts. `failed`: attempts without a reply. `saved`:
    calls that the reply cache answered."""

    role: str = ""
    model: str = ""
    calls: int = 0
    failed: int = 0
    saved: int = 0
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0

    @property
    def asked(self) -> int:
        """Calls plus saved calls: equal with and without a reply cache, except for retries."""
        return self.calls + self.saved


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that has ended. `error`: why it brought no reply; None: it brought one. `left_out`: number of
    examples that did not fit into its request."""

    role: str
    model: str
    error: ModelError | None
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Saved:
    """Calls that the reply cache answered, and their cost without it; `dollars` None: a price is unknown.
    `estimated`: number of the calls whose tokens are an estimate."""

    calls: int = 0
    tokens: int = 0
    dollars: float | None = 0.0
    estimated: int = 0


@dataclass(frozen=True, slots=True)
class Books:
    """The full contents of a ledger as a plain record, which another ledger can take up."""

    accounts: tuple[Account, ...]
    saved: Saved
    seconds: float


@dataclass(frozen=True, slots=True)
class Reserve:
    """Calls kept for later, or needed: `calls` in all, of which the roles `task` and `judge` make so many. They are
    kept under the caps of the run and of those who make them."""

    calls: int = 0
    task: int = 0
    judge: int = 0

    def __add__(self, other: Reserve) -> Reserve:
        return Reserve(self.calls + other.calls, self.task + other.task, self.judge + other.judge)

    def of(self, scope: str) -> int:
        """The calls that are kept under the cap of a scope."""
        return {"": self.calls, "task": self.task, "judge": self.judge}.get(scope, 0)


class Ledger:
    """Counts every attempt of every role, and refuses attempts that a cap forbids before they are sent.

    An admitted attempt reserves its highest possible cost and one call. It counts as a call once it is sent; an
    attempt cancelled before that costs nothing. Once it has ended, its cost is the provider's count or, without one,
    an estimate (`Usage`). So no cap is exceeded by more than the error of estimates, as long as the provider respects
    `max_tokens`.

    `caps`: of the run. `scopes`: caps of roles and operators, by `critic`, `proposer`, `proposer/few_shot`. `clock`
    gives seconds. While calls are kept back (`holding`), their average cost so far is kept back in tokens and
    dollars. Caps on minutes apply only meanwhile, so that the calls kept back can still be made.

    `share`: the part that the ledger has in a budget of several ledgers; its caps hold as well.
    """

    def __init__(
        self,
        caps: Caps,
        prices: Mapping[str, Price],
        clock: Callable[[], float],
        scopes: Mapping[str, Caps] | None = None,
        share: Share | None = None,
    ) -> None:
        self.caps, self.prices = caps, prices
        self.accounts: dict[tuple[str, str], Account] = {}
        self.in_flight = 0
        self.saved = Saved()
        self._run = BudgetScope("", caps)
        self._scopes = {name: BudgetScope(name, capped) for name, capped in (scopes or {}).items()}
        self.share = share
        self._look_at_caps()
        self._clock, self._start = clock, clock()
        self._paused: float | None = None
        self._held = Reserve()
        self._lent = False
        self._wakeup = share.budget.wakeup if share else Wakeup()
        self._taps: list[Callable[[Attempt], None]] = []
        self._watchers: list[Callable[[Notice], None]] = []

    def tap(self, observer: Callable[[Attempt], None]) -> None:
        """Call `observer` with every attempt once it is counted."""
        self._taps.append(observer)

    def watch(self, observer: Callable[[Notice], None]) -> None:
        """Call `observer` with a notice when one of `SHARES` of a cap is used."""
        self._watchers.append(observer)
        if self.share is not None:
            self.share.watchers.append(observer)

    def account(self, role: str, model: str) -> Account:
        """The account of `role` with `model`, created if needed."""
        return self.accounts.setdefault((role, model), Account(role, model))

    def scopes_of(self, role: str) -> tuple[BudgetScope, ...]:
        """The scopes whose caps apply to a role: its own, its kind's, the run's and that of several runs."""
        named = (self._scopes.get(name) for name in dict.fromkeys((role, role.partition("/")[0])))
        shared = (self.share.of(role),) if self.share else ()
        return (*(scope for scope in named if scope), self._run, *shared)

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
        """Number of attempts whose tokens are, at least in part, an estimate."""
        return sum(account.usage.estimated for account in self.accounts.values())

    @property
    def seconds(self) -> float:
        """Seconds since the ledger was opened, without pauses, plus those of the books that it took up."""
        return (self._clock() if self._paused is None else self._paused) - self._start

    @property
    def dollars(self) -> float | None:
        """The cost of all replies; None if the price of a used model is unknown."""
        if any(account.calls and account.model not in self.prices for account in self.accounts.values()):
            return None
        return self._run.spent.dollars

    def pause(self) -> None:
        """Stop counting seconds until `go_on`."""
        self._paused = self._clock() if self._paused is None else self._paused

    def go_on(self) -> None:
        """End the pause, if there is one."""
        if self._paused is not None:
            self._start += self._clock() - self._paused
            self._paused = None

    def cap(self, scope: str, cap: str, limit: float | None) -> None:
        """Set a cap of the run ("") or of a scope that the ledger was opened with; None removes it. Attempts admitted
        before stay admitted unless the cap is used up when they are sent.

        :raises KeyError: the scope does not exist.
        """
        capped = self._scopes[scope] if scope else self._run
        capped.cap(cap, limit)
        if capped is self._run:
            self.caps = Caps(**{**asdict(self.caps), cap: limit})
        self._look_at_caps()
        self._wakeup.wake()

    def _look_at_caps(self) -> None:
        scopes = (*self.scopes_of(""), *self._scopes.values())
        self._capped = any(scope.limits for scope in scopes)
        self._counts_tokens = any(scope.counts_tokens for scope in scopes)

    @contextmanager
    def holding(self, kept: Reserve) -> Iterator[None]:
        """Keep calls back from the caps while the block runs; they pay for the held-out report."""
        self._held = kept
        if self.share is not None:
            self.share.hold(kept.calls)
        try:
            yield
        finally:
            self._held = Reserve()
            if self.share is not None:
                self.share.report()

    @contextmanager
    def lending(self) -> Iterator[None]:
        """Let calls use what is kept back while the block runs: without it there would be nothing to report on. Not
        that of a budget of several ledgers."""
        self._lent = True
        try:
            yield
        finally:
            self._lent = False

    def set_aside(self, kept: Reserve) -> None:
        """Keep these calls for later, see `BudgetScope.aside`; `Reserve()` releases them."""
        for scope in {self._run, *self._scopes.values()}:
            scope.set_aside(kept.of(scope.name))
        if self.share is not None:
            self.share.set_aside(kept.calls)
        self._wakeup.wake()

    def affords(self, need: Reserve) -> bool:
        """Whether the caps leave room for so many more calls, see `BudgetScope.affords`."""
        scopes = [(self._run, need.calls), *((scope, need.of(name)) for name, scope in self._scopes.items())]
        scopes += [(self.share, need.calls)] if self.share else []
        return all(scope.affords(calls, self._kept(scope)) for scope, calls in scopes if calls)

    def most(self, model: str, request: Request) -> Cost:
        """The highest possible cost of an attempt; `NOTHING` without a cap on it, to save measuring the messages."""
        if not self._counts_tokens:
            return NOTHING
        tokens_in, price = request.most_input, self.prices.get(model)
        dollars = price.most(tokens_in, request.max_tokens) if price else 0.0
        return Cost(tokens_in + request.max_tokens, dollars)

    async def admit(self, account: Account, scopes: tuple[BudgetScope, ...], most: Cost) -> None:
        """Reserve the highest possible cost of an attempt; waits while only other admitted attempts block it.

        :raises BudgetExhausted: a cap forbids the attempt.
        """
        while not self.admits(scopes, most):
            await self._wakeup.wait()

    def admits(self, scopes: tuple[BudgetScope, ...], most: Cost) -> bool:
        """Reserve the highest possible cost of an attempt, unless other admitted attempts block it now; returns
        whether it is reserved.

        :raises BudgetExhausted: a cap forbids the attempt.
        """
        if self._capped and self._must_wait(scopes, most):
            return False
        self.reserve(scopes, most)
        return True

    def reserve(self, scopes: tuple[BudgetScope, ...], most: Cost) -> None:
        """Reserve the cost of an attempt that cannot be refused any more: an earlier process has sent it."""
        for scope in scopes:
            scope.reserve(most)

    def send(self, account: Account, scopes: tuple[BudgetScope, ...], most: Cost) -> None:
        """Count an admitted attempt of at most `most` as sent; its other waiting is over.

        :raises BudgetExhausted: it may no longer be sent: the minutes have passed, or a cap was lowered.
        """
        for scope in scopes if self._capped else ():
            if refused := scope.refusal(self._kept(scope), self._passed()) or scope.overspent(most):
                self._refuse(scope, refused)
        account.calls += 1
        self.in_flight += 1
        for scope in scopes:
            scope.send()
        self._watch(scopes)
        if self._wakeup.awaited and any("calls" in scope.limits for scope in scopes):
            self._wakeup.wake()  # attempts waiting for the last call must now be refused

    def fetched(
        self, account: Account, scopes: tuple[BudgetScope, ...], most: Cost, usage: Usage, failed: bool
    ) -> None:
        """Count an admitted attempt whose end is known when it is first heard of again: one in a batch."""
        account.calls += 1
        self.in_flight += 1
        for scope in scopes:
            scope.send()
        self.settle(account, scopes, most, usage, failed)

    def withdraw(self, scopes: tuple[BudgetScope, ...], most: Cost) -> None:
        """Release the reservation of an admitted attempt that will not be sent."""
        for scope in scopes:
            scope.withdraw(most)
        self._wakeup.wake()

    def settle(
        self, account: Account, scopes: tuple[BudgetScope, ...], most: Cost, usage: Usage, failed: bool
    ) -> None:
        """Count the end of a sent attempt, and replace its reservation by its cost. `failed`: it brought no reply."""
        self.in_flight -= 1
        account.failed += failed
        account.usage += usage
        cost = cost_of(usage, self.prices.get(account.model))
        for scope in scopes:
            scope.settle(most, cost)
        self._watch(scopes)
        self._wakeup.wake()

    def ended(self, attempt: Attempt) -> None:
        """Call the observers with an attempt that has ended."""
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
        """The contents up to now. Attempts in flight count as calls, but have no usage yet."""
        return Books(tuple(replace(account) for account in self.accounts.values()), self.saved, self.seconds)

    def take_up(self, books: Books) -> None:
        """Add another ledger's books to this one, as if its attempts had been made here. A budget of several ledgers
        has them already."""
        self._start -= books.seconds
        self.saved = books.saved
        for past in books.accounts:
            account = self.account(past.role, past.model)
            account.calls += past.calls
            account.failed += past.failed
            account.saved += past.saved
            account.usage += past.usage
            account.seconds += past.seconds
            for scope in self.scopes_of(past.role):
                scope.take_up(past.calls, cost_of(past.usage, self.prices.get(past.model)))

    def _must_wait(self, scopes: tuple[BudgetScope, ...], most: Cost) -> bool:
        """:raises BudgetExhausted: there would be no room even if all calls in flight cost nothing."""
        waits = False
        for scope in scopes:
            cap, final = scope.obstacle(most, self._kept(scope), self._passed())
            if final:
                self._refuse(scope, cap)
            waits = waits or bool(cap)
        return waits

    def _kept(self, scope: BudgetScope) -> int:
        """Number of calls kept back under a scope for the report."""
        return 0 if self._lent else self._held.of(scope.name)

    def _passed(self) -> float:
        """Seconds since the start; 0 while caps on minutes do not apply."""
        return self.seconds if self._held.calls else 0.0

    def _refuse(self, scope: BudgetScope, cap: str) -> NoReturn:
        """:raises BudgetExhausted: always."""
        scope.refuse(cap)
        kept = self._kept(scope) if cap == "calls" else 0
        raise BudgetExhausted(cap, scope.limit_of(cap), scope.name, kept)

    def _watch(self, scopes: tuple[BudgetScope, ...]) -> None:
        for scope in scopes if self._capped else ():
            for notice in scope.news(self.seconds):
                for observe in self._watchers:
                    observe(notice)


def cost_of(usage: Usage, price: Price | None) -> Cost:
    """The cost of a usage; no dollars if the price is not known."""
    return Cost(usage.total, price.of(usage) if price else 0.0)
