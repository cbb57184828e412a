"""The server's own books: what arrived, what was answered, how much of it at once and in any one minute."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

MINUTE = 60.0
COUNTS = (
    *("calls", "answered", "refused", "abandoned", "input_tokens", "output_tokens"),
    *("in_flight", "most_in_flight", "call_seconds"),
)


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of one limit, and in how many seconds all of it will be."""

    limit: int
    left: int
    full_in: float


class Window:
    """The sum of what was entered in the last minute, and the most that it has ever been."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, int]] = deque()
        self.sum = 0
        self.most = 0

    def add(self, now: float, amount: int) -> None:
        self.forget(now)
        self._entries.append((now, amount))
        self.sum += amount
        self.most = max(self.most, self.sum)

    def forget(self, now: float) -> None:
        """Leave out what is a minute old."""
        while self._entries and self._entries[0][0] <= now - MINUTE:
            self.sum -= self._entries.popleft()[1]

    def room(self, limit: int, now: float) -> Room:
        self.forget(now)
        full_in = self._entries[-1][0] + MINUTE - now if self._entries else 0.0
        return Room(limit, max(0, limit - self.sum), full_in)

    def wait(self, limit: int, amount: int, now: float) -> float:
        """Seconds until `amount` more stays within `limit`; 0 if it does now, a minute if it never will."""
        self.forget(now)
        over = self.sum + amount - limit
        for moment, freed in self._entries:
            if over <= 0:
                break
            over -= freed
            if over <= 0:
                return moment + MINUTE - now
        return 0.0 if over <= 0 else MINUTE


@dataclass(slots=True)
class Stats:
    """One account of the books, or all of them together.

    `calls` arrived; `answered` were, and cost the tokens; `refused` were over a limit; `abandoned` were given up by
    the client; `faults` by name. `call_seconds`: the sum over all calls of how long they were in flight. Input tokens
    enter the minute when a call is let in, output tokens when it is answered.
    """

    calls: int = 0
    answered: int = 0
    refused: int = 0
    abandoned: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    call_seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    minute_calls: Window = field(default_factory=Window)
    minute_tokens: Window = field(default_factory=Window)
    _since: float = 0.0

    def change(self, now: float, by: int) -> None:
        """`by` calls more are in flight from now on."""
        self.call_seconds += self.in_flight * (now - self._since)
        self._since = now
        self.in_flight += by
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def document(self, now: float) -> dict[str, object]:
        """The account as JSON."""
        self.change(now, 0)
        return {name: getattr(self, name) for name in COUNTS} | {
            "faults": dict(self.faults),
            "most_calls_in_a_minute": self.minute_calls.most,
            "most_tokens_in_a_minute": self.minute_tokens.most,
        }


class Entry:
    """One call in the books, from its arrival to its end."""

    def __init__(self, accounts: tuple[Stats, ...], clock: Callable[[], float], tokens_in: int) -> None:
        self._accounts, self._clock, self._tokens_in = accounts, clock, tokens_in
        self._open = True
        for account in accounts:
            account.calls += 1
            account.change(clock(), 1)

    def let_in(self) -> None:
        """It is within the limits."""
        for account in self._accounts:
            account.minute_calls.add(self._clock(), 1)
            account.minute_tokens.add(self._clock(), self._tokens_in)

    def answered(self, tokens_out: int) -> None:
        if self._close():
            for account in self._accounts:
                account.answered += 1
                account.input_tokens += self._tokens_in
                account.output_tokens += tokens_out
                account.minute_tokens.add(self._clock(), tokens_out)

    def refused(self) -> None:
        if self._close():
            for account in self._accounts:
                account.refused += 1

    def failed(self, kind: str) -> None:
        if self._close():
            for account in self._accounts:
                account.faults[kind] += 1

    def abandoned(self) -> None:
        if self._close():
            for account in self._accounts:
                account.abandoned += 1

    def _close(self) -> bool:
        """Whether this is its first end."""
        if not self._open:
            return False
        self._open = False
        for account in self._accounts:
            account.change(self._clock(), -1)
        return True


class Books:
    """`total`, and an account for each key and model. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.total = Stats()
        self.accounts: dict[tuple[str, str], Stats] = {}

    def arrived(self, key: str, model: str, tokens_in: int) -> tuple[Entry, Stats]:
        """A call has arrived: its entry, and the account that limits hold for."""
        account = self.accounts.setdefault((key, model), Stats())
        return Entry((self.total, account), self._clock, tokens_in), account

    def document(self) -> dict[str, object]:
        """All of it as JSON; of a key, the end."""
        now = self._clock()
        accounts = [
            {"key": key[-4:], "model": model, **stats.document(now)} for (key, model), stats in self.accounts.items()
        ]
        return {**self.total.document(now), "accounts": accounts}
