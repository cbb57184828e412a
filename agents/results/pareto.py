"""The cost of 1,000 answers, and the Pareto front of candidates by score, tokens, dollars and seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agents.archive.archive import Member
from agents.results.comparison import Held
from memory.journals.reading import read_calls
from protocols.budget.prices import Price
from protocols.model import Usage
from protocols.wrappers.recorded import Call

THOUSAND = 1000
Split = Literal["test", "validation"]


@dataclass(frozen=True, slots=True)
class Taken:
    """The cost of 1,000 answers of a prompt, extrapolated from `n` examples of `split`: metered tokens of input and
    of output, and dollars (None: the price is not known)."""

    input: int
    output: int
    dollars: float | None
    split: Split
    n: int


@dataclass(frozen=True, slots=True)
class Answers:
    """The cost of 1,000 answers of the first prompt (`first`) and of the winner (`best`), on the same split."""

    first: Taken
    best: Taken


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate of the Pareto front. `value`: on validation; `tokens`: estimated length of the prompt as it is
    sent, without the input; `input`, `output` and `dollars`: of 1,000 answers, see `Taken`; `seconds`: mean latency
    of its calls (None: the cache answered all of them). `result`: it is the run's result."""

    candidate: int
    value: float
    tokens: int
    input: int
    output: int
    dollars: float | None
    seconds: float | None
    result: bool


def taken(usage: Usage, n: int, price: Price | None, split: Split) -> Taken | None:
    """The cost of 1,000 answers, from the `usage` of `n` answers; None if nothing was metered."""
    if not n or not usage.total:
        return None
    dollars = None if price is None else price.of(usage) * THOUSAND / n
    return Taken(round(usage.input * THOUSAND / n), round(usage.output * THOUSAND / n), dollars, split, n)


def taken_by(member: Member, price: Price | None) -> Taken | None:
    """The cost of 1,000 answers of a member, from its validation examples."""
    return taken(member.usage, sum(score is not None for score in member.scores), price, "validation")


def answers_of(first: Member, winner: Member, test: Held | None, price: Price | None) -> Answers | None:
    """The cost of answers of both prompts: on the test split if it was read, else on validation."""
    before, best = (taken_by(member, price) for member in (first, winner))
    if test is not None and test.n:
        before, best = (taken(usage, test.n, price, "test") for usage in test.usage)
    return Answers(before, best) if before and best else None


def front(members: Sequence[Member], winner: Member, price: Price | None, journal: Path) -> list[Row]:
    """The candidates that nobody beats in everything; the journal, which may be long, is read."""
    return pareto(members, winner.candidate, price, latencies(read_calls(journal)))


def pareto(members: Sequence[Member], winner: int, price: Price | None, seconds: Mapping[int, float]) -> list[Row]:
    """The members that no other dominates in the measures known of both, and the winner, sorted by tokens."""
    rows = [_row(member, winner, price, seconds.get(member.candidate)) for member in members]
    kept = [row for row in rows if row.result or not any(_beats(other, row) for other in rows)]
    return sorted(kept, key=lambda row: (row.tokens, -row.value, row.candidate))


def latencies(calls: Iterator[Call]) -> dict[int, float]:
    """The mean latency in seconds of the task model's successful calls, by candidate."""
    sums: dict[int, tuple[float, int]] = {}
    for call in calls:
        if call.role == "task" and call.error is None and call.assignment is not None:
            seconds, count = sums.get(call.assignment, (0.0, 0))
            sums[call.assignment] = seconds + call.seconds, count + 1
    return {candidate: seconds / count for candidate, (seconds, count) in sums.items()}


def _row(member: Member, winner: int, price: Price | None, seconds: float | None) -> Row:
    found = taken_by(member, price)
    return Row(
        candidate=member.candidate,
        value=member.value,
        tokens=member.tokens,
        input=found.input if found else 0,
        output=found.output if found else 0,
        dollars=found.dollars if found else None,
        seconds=seconds,
        result=member.candidate == winner,
    )


def _beats(a: Row, b: Row) -> bool:
    """Whether `a` dominates `b`: no worse in any measure known of both, and better in one, or equal and older."""
    costs = [(a.tokens, b.tokens), (a.dollars, b.dollars), (a.seconds, b.seconds), (-a.value, -b.value)]
    known = [(x, y) for x, y in costs if x is not None and y is not None]
    if a is b or any(x > y for x, y in known):
        return False
    return any(x < y for x, y in known) or a.candidate < b.candidate
