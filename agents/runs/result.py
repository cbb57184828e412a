"""What a run found: the held-out comparison, and everything that `result.json` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agents.ring.archive import Member
from agents.ring.race import compare, mean
from protocols.errors import ModelError
from protocols.messages import Outcome, Scores
from protocols.wrappers.ledger import Ledger

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Value:
    """A mean score in [0, 1] over `n` answered examples."""

    value: float
    n: int


@dataclass(frozen=True, slots=True)
class Held:
    """First prompt and winner on the same test examples. `interval`: 95 %, of the difference, by paired bootstrap.

    `n` examples were answered by both; `errors` calls failed for good.
    """

    seed: float
    best: float
    difference: float
    interval: tuple[float, float]
    n: int
    errors: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What one role called: attempts, those that failed, and tokens."""

    calls: int
    failed: int
    input: int
    output: int


@dataclass(frozen=True, slots=True)
class Result:
    """`result.json`: the validation values of the first prompt (`seed`) and of the winner (`best`), and the rest.

    `cached` calls were answered from the reply cache; `dollars` None: a price is unknown. `test_missing` says why
    `test`, the held-out comparison, is None.
    """

    task: str
    random_seed: int
    seed: Value
    best: Value
    candidate: int
    test: Held | None
    test_missing: str | None
    roles: Mapping[str, Spent]
    calls: Mapping[str, int]
    tokens: Mapping[str, int]
    cached: int
    dollars: float | None
    seconds: float
    assignments: int
    stopped_by: str


def value_of(member: Member) -> Value:
    """The validation value of an archive's member."""
    return Value(mean(member.scores), sum(score is not None for score in member.scores))


def scores_of(outcomes: Sequence[Outcome | ModelError]) -> Scores:
    """The scores, None where a call failed."""
    return tuple(outcome.score if isinstance(outcome, Outcome) else None for outcome in outcomes)


def held_out(seed: Scores, best: Scores, rng: np.random.Generator) -> Held:
    """Compare on the examples that both answered."""
    pairs = [(s, b) for s, b in zip(seed, best, strict=True) if s is not None and b is not None]
    paired = compare(best, seed)
    differences = np.array([b - s for s, b in pairs] or [0.0])
    draws = rng.integers(0, len(differences), (RESAMPLES, len(differences)), dtype=np.int32)
    low, high = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
    errors = sum(score is None for score in (*seed, *best))
    return Held(
        seed=mean(tuple(s for s, _ in pairs)),
        best=mean(tuple(b for _, b in pairs)),
        difference=paired.gain,
        interval=(float(low), float(high)),
        n=paired.n,
        errors=errors,
    )


def spent(ledger: Ledger) -> dict[str, Spent]:
    """By role, over all its models."""
    roles: dict[str, Spent] = {}
    for (role, _), account in sorted(ledger.accounts.items()):
        before = roles.get(role, Spent(0, 0, 0, 0))
        roles[role] = Spent(
            calls=before.calls + account.calls,
            failed=before.failed + account.failed,
            input=before.input + account.usage.input,
            output=before.output + account.usage.output,
        )
    return roles
