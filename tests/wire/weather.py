"""What a provider's day is like: how long answers take, what goes wrong how often, and how much it allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from tests.wire.formats import error_body

HALF = b'{"choices": [{"message": {"content": "ga'


@dataclass(frozen=True, slots=True)
class Fault:
    """What a call gets instead of an answer.

    `reply`: this status, headers and body. `drop`: the connection is cut before any byte. `truncate`: cut in the
    middle of the body. `stall`: nothing until `WireServer.released` is set, then the answer as usual.
    """

    kind: Literal["reply", "drop", "truncate", "stall"] = "reply"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = HALF

    @property
    def name(self) -> str:
        """What the books call it."""
        return self.kind if self.kind != "reply" else "garbage" if self.status == 200 else str(self.status)


@dataclass(frozen=True, slots=True)
class Weather:
    """`latency`: the median, in seconds, of a log-normal distribution of `sigma`; 0 for the same latency always.

    `faults`: shares of all calls, by name, see `named_fault`. `retry_after`: seconds, of the fault 429. `requests`
    and `tokens`: allowed to one key and model in any one minute.
    """

    latency: float = 0.0
    sigma: float = 0.0
    seed: int = 0
    faults: Mapping[str, float] = field(default_factory=dict)
    retry_after: float = 1.0
    requests: int | None = None
    tokens: int | None = None

    def latencies(self) -> Iterator[float]:
        """Seconds before each answer, in the order of arrival."""
        rng = Random(f"{self.seed}/latency")
        while True:
            yield self.latency * math.exp(self.sigma * rng.gauss(0.0, 1.0)) if self.sigma else self.latency

    def troubles(self) -> Iterator[Fault | None]:
        """What happens to each call, in the order of arrival; mostly nothing."""
        rng = Random(f"{self.seed}/faults")
        faults: list[Fault | None] = [named_fault(name, self.retry_after) for name in self.faults]
        shares = [*self.faults.values(), 1.0 - sum(self.faults.values())]
        while True:
            yield rng.choices([*faults, None], shares)[0] if faults else None


def named_fault(name: str, retry_after: float) -> Fault:
    """`429`, `500`, `529`, `drop`, `truncate`, `stall` or `garbage`.

    :raises ValueError: there is no such fault.
    """
    match name:
        case "429":
            body = error_body("rate_limit_error", "slow down")
            return Fault(status=429, headers={"retry-after": f"{retry_after:g}"}, body=body)
        case "500":
            return Fault(status=500, body=error_body("api_error", "something broke"))
        case "529":
            return Fault(status=529, body=error_body("overloaded_error", "overloaded"))
        case "drop" | "truncate" | "stall":
            return Fault(name)
        case "garbage":
            return Fault(body=b'{"choices": [{"message": {"content": "garb')
        case _:
            raise ValueError(f"no fault is called {name!r}; there are 429, 500, 529, drop, truncate, stall, garbage")
