"""What a run found: everything that `result.json` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.archive.archive import Member
from agents.archive.endings import endings
from agents.headroom.found import Headroom
from agents.results.comparison import Held
from agents.results.leaks import Leak
from agents.results.pareto import Answers
from agents.ring.evaluator import value_of
from protocols.budget.ledger import Ledger, Saved
from protocols.task import Metric


@dataclass(frozen=True, slots=True)
class Value:
    """The corpus metric, in [0, 1], over `n` answered examples. Of their replies, some were `refused` or `truncated`,
    out of some no answer could be read (`unreadable`; one of them is `quoted`), and some had no text (`textless`, by
    what came instead)."""

    value: float
    n: int
    refused: int = 0
    truncated: int = 0
    unreadable: int = 0
    textless: Mapping[str, int] = field(default_factory=dict)
    quoted: str = ""


@dataclass(frozen=True, slots=True)
class Trained:
    """First prompt (`seed`) and winner (`best`) on the training examples that their critics read, drawn for each."""

    seed: Value
    best: Value


@dataclass(frozen=True, slots=True)
class Length:
    """About how many tokens the first prompt (`seed`) and the winner (`best`) have as they are sent, without the
    input, but with what else is filled for each."""

    seed: int
    best: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What one role called: attempts, those that failed, and tokens, which for `estimated` of the attempts are an
    estimate, at least in part."""

    calls: int
    failed: int
    input: int
    output: int
    estimated: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """`result.json`: the validation values of the first prompt (`seed`) and of the winner (`best`), and the rest.
    `models`: of each role. `length` None: an earlier release did not write it. `answers`: what 1,000 answers of each
    take, by the test split if both were run on it, else by validation; None where nothing was metered.

    `test_missing`: what cut `test`, the held-out comparison, short, a cap or a person; nothing came of that if it is
    None.
    `leaks`: what of validation and test examples stands in the winner. `unanswered`: validation and training examples
    without an answer, by the error that the last call for them met, or earlier, if that was in a process before the
    last. `too_long`: ids of validation and training examples that do not fit into the task's model's window, whatever
    the prompt, and were left out. `dollars` None: a price is unknown. `estimated`: of so many calls `tokens` and
    `dollars` are an estimate.
    `saved`: what the reply cache answered to the last process, at what it would have cost. `failures`: assignments
    that ended without an evaluation, by kind. `operators`: how the assignments of each ended. `uncriticised`:
    survivors that should have a critique and have none, by why. `doubted`: how often the critic doubted the expected
    answer of a training example, by its id, the most doubted first. `unremembered`: experiences that the memory
    lacks, because they could not be embedded; it is told them again whenever the run goes on. `headroom`: what was
    asked before the search, None where that was not cheap or not wanted.
    """

    task: str
    models: Mapping[str, str]
    random_seed: int
    seed: Value
    best: Value
    candidate: int
    length: Length | None
    answers: Answers | None
    train: Trained
    test: Held | None
    test_missing: str | None
    leaks: tuple[Leak, ...]
    unanswered: Mapping[str, int]
    too_long: tuple[str, ...]
    roles: Mapping[str, Spent]
    calls: Mapping[str, int]
    tokens: Mapping[str, int]
    estimated: int
    saved: Saved
    dollars: float | None
    seconds: float
    assignments: int
    failures: Mapping[str, int]
    operators: Mapping[str, Mapping[str, int]]
    uncriticised: Mapping[str, int]
    doubted: Mapping[str, int]
    unremembered: int
    stopped_by: str
    headroom: Headroom | None = None


def validated(member: Member) -> Value:
    """The validation value of an archive's member."""
    n = sum(score is not None for score in member.scores)
    unread = member.unreadable, member.textless, member.quoted
    return Value(member.value, n, member.refused, member.truncated, *unread)


def trained(metric: Metric, first: Member, winner: Member) -> Trained:
    """What the two are worth on the examples that their critics read; 0 on none."""
    seed, best = (
        Value(value=value_of(metric, member.outcomes), n=len(member.outcomes), **endings(member.outcomes))
        for member in (first, winner)
    )
    return Trained(seed, best)


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
            estimated=before.estimated + account.usage.estimated,
        )
    return roles
