"""The limits of one account."""

from __future__ import annotations

from dataclasses import dataclass

MOST = 64
"""Default limit of the calls in flight."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one account; None: unknown. `concurrency`: calls in flight. `requests`, `tokens`: per minute."""

    concurrency: int | None = None
    requests: int | None = None
    tokens: int | None = None

    def __or__(self, other: Limits) -> Limits:
        """The stricter of both limits, each by itself."""

        def least(one: int | None, two: int | None) -> int | None:
            return min((value for value in (one, two) if value is not None), default=None)

        return Limits(
            least(self.concurrency, other.concurrency),
            least(self.requests, other.requests),
            least(self.tokens, other.tokens),
        )
