"""What was measured: one JSON line for each data set, seed and program, which is not measured again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.endpoint import Account

Key = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Row:
    """`scores`: in [0, 1], of each test example, in the order of the split; `test` is their mean. `unread`: replies
    that no answer could be read from. `prompt`, `reply`: tokens of a request and of a reply to the test examples, on
    average. `seconds`: of the program alone. `settings`: what rows must share to be compared. `note`: what there is
    to say beside it. `error`: why there is no result, whose scores are then none; "" if there is one.
    """

    data: str
    seed: int
    program: str
    version: str
    settings: Mapping[str, object]
    test: float
    scores: Sequence[float]
    unread: int
    task: Account
    writer: Account
    prompt: float
    reply: float
    seconds: float
    note: Mapping[str, object]
    error: str = ""

    @property
    def key(self) -> Key:
        """What there is one row of."""
        return self.data, self.seed, self.program


def parse(told: Mapping[str, Any]) -> Row:
    """From the JSON of a row.

    :raises ValueError, KeyError, TypeError: it is none.
    """
    accounts = {role: Account(**told[role]) for role in ("task", "writer")}
    return Row(**{**told, **accounts})
