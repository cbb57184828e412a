"""The cost of 1,000 answers, and the Pareto front of candidates by score, tokens, dollars and seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
Paid = Callable[[Usage, Mapping[str, Usage]], float | None]
"""The dollars of a usage, given that of each of several models too; None: a price is not known."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The cost of 1,000 answers of a prompt, extrapolated from `n` examples of `split`: metered tokens of input and
    of output, and dollars (None: the price is not known). Of several models, what 1,000 answers of each take together
    (but see `agents.results.result.ModelResult`)."""

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


def paid(prices: Mapping[str, Price], model: str) -> Paid:
    """The dollars of the usage of `model`, or of each of several models."""

    def dollars(usage: Usage, models: Mapping[str, Usage]) -> float | None:
        each = models or {model: usage}
        return sum(prices[name].of(used) for name, used in each.items()) if each.keys() <= prices.keys() else None

    return dollars


def taken(
    usage: Usage, models: Mapping[str, Usage], n: int, paid: Paid, split: Split, model: str = ""
) -> Taken | None:
    """The cost of 1,000 answers, from the usage of `n` answers, and of that by each of several `models`; None if
    nothing was metered. `model`: of its own answers alone."""
    if model:
        usage = models[model]
        models = {model: usage}
    if not n or not usage.total:
        return None
    dollars = paid(usage, models)
    cost = None if dollars is None else dollars * THOUSAND / n
    return Taken(round(usage.input * THOUSAND / n), round(usage.output * THOUSAND / n), cost, split, n)


def taken_by(member: Member, paid: Paid, model: str = "") -> Taken | None:
    """The cost of 1,000 answers of a member, from its validation examples."""
    n, models = sum(score is not None for score in member.scores), member.models
    return taken(member.usage, {name: of.usage for name, of in models.items()}, n, paid, "validation", model)


def answers_of(first: Member, winner: Member, test: Held | None, paid: Paid, model: str = "") -> Answers | None:
    """The cost of answers of both prompts: on the test split if it was read, else on validation. `model`: of one of
    several alone."""
    before, best = (taken_by(member, paid, model) for member in (first, winner))
    if test is not None and test.n:
        models = [{name: on.usage[side] for name, on in test.models.items()} for side in range(len(test.usage))]
        sides = zip(test.usage, models, strict=True)
        before, best = (taken(usage, of, test.n, paid, "test", model) for usage, of in sides)
    return Answers(before, best) if before and best else None


def front(members: Sequence[Member], winner: Member, paid: Paid, journal: Path) -> list[Row]:
    """The candidates that nobody beats in everything; the journal, which may be long, is read."""
    return pareto(members, winner.candidate, paid, latencies(read_calls(journal)))


def pareto(members: Sequence[Member], winner: int, paid: Paid, seconds: Mapping[int, float]) -> list[Row]:
    """The members that no other dominates in the measures known of both, and the winner, sorted by tokens."""
    rows = [_row(member, winner, paid, seconds.get(member.candidate)) for member in members]
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


def _row(member: Member, winner: int, paid: Paid, seconds: float | None) -> Row:
    found = taken_by(member, paid)
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
