"""Calls, tokens and dollars together."""

from __future__ import annotations

from dataclasses import dataclass

COUNTED = ("calls", "tokens", "dollars")
"""The caps that count what calls cost; the cap on minutes does not."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of calls with their tokens, input and output together, and their dollars."""

    calls: float = 0
    tokens: float = 0
    dollars: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.calls + other.calls, self.tokens + other.tokens, self.dollars + other.dollars)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.calls - other.calls, self.tokens - other.tokens, self.dollars - other.dollars)

    def of(self, cap: str) -> float:
        """The part that counts for a cap, one of `COUNTED`."""
        return self.calls if cap == "calls" else self.tokens if cap == "tokens" else self.dollars


ZERO = Amount()
