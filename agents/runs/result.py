"""What a run found: the held-out comparison, and everything that `result.json` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agents.ring.archive import Member
from agents.ring.evaluator import value_of
from protocols.errors import ModelError
from protocols.messages import Outcome
from protocols.task import Array, Metric, tally
from protocols.wrappers.ledger import Ledger

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Value:
    """The corpus metric, in [0, 1], over `n` answered examples."""

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


def validated(member: Member) -> Value:
    """The validation value of an archive's member."""
    return Value(member.value, sum(score is not None for score in member.scores))


def held_out(
    metric: Metric,
    seed: Sequence[Outcome | ModelError],
    best: Sequence[Outcome | ModelError],
    rng: np.random.Generator,
) -> Held:
    """Compare two prompts on the examples that both answered, in the order of the split."""
    pairs = [(s, b) for s, b in zip(seed, best, strict=True) if isinstance(s, Outcome) and isinstance(b, Outcome)]
    before, after = [s for s, _ in pairs], [b for _, b in pairs]
    low, high = interval(metric, before, after, rng)
    value, other = value_of(metric, after), value_of(metric, before)
    return Held(
        seed=other,
        best=value,
        difference=value - other,
        interval=(low, high),
        n=len(pairs),
        errors=sum(isinstance(outcome, ModelError) for outcome in (*seed, *best)),
    )


def interval(
    metric: Metric, before: Sequence[Outcome], after: Sequence[Outcome], rng: np.random.Generator
) -> tuple[float, float]:
    """95 % of the difference of the corpus metric: paired percentile bootstrap over examples (Efron & Tibshirani
    1993, chapter 13; Berg-Kirkpatrick et al. 2012 for corpus metrics). (0, 0) without examples."""
    n = len(before)
    if not n:
        return 0.0, 0.0
    weights = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(np.float64)
    values = [metric.corpus({name: weights @ column for name, column in columns(o).items()}) for o in (after, before)]
    low, high = np.quantile(values[0] - values[1], [0.025, 0.975])
    return float(low), float(high)


def columns(outcomes: Sequence[Outcome]) -> dict[str, Array]:
    """Each count of the corpus metric by example, shape (len(outcomes),)."""
    rows = [tally([(outcome.score, outcome.counts)]) for outcome in outcomes]
    names = sorted({name for row in rows for name in row})
    return {name: np.array([row.get(name, 0.0) for row in rows]) for name in names}


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
