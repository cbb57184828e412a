"""The result of a run: the content of `result.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agents.archive.archive import Member
from agents.archive.endings import endings
from agents.headroom.found import Headroom
from agents.results.breakdown import Comparisons
from agents.results.by_prompt import PromptCosts
from agents.results.comparison import Change, Held, OldAndNew
from agents.results.leaks import Leak
from agents.results.pareto import Answers, Paid, answers_of
from agents.ring.evaluator import value_of
from protocols.budget.ledger import Ledger, Saved
from protocols.budget.prices import in_batch
from protocols.markup import listing
from protocols.task import Metric

ANSWERING = ("task", "credit")
"""The roles whose calls are answers of the task."""


@dataclass(frozen=True, slots=True)
class Value:
    """The corpus metric, in [0, 1], over `n` answered examples. The other fields count replies: `refused`,
    `truncated`, `unreadable` without an answer that could be read (one of them is `quoted`), and `textless` without a
    text, by what came instead."""

    value: float
    n: int
    refused: int = 0
    truncated: int = 0
    unreadable: int = 0
    textless: Mapping[str, int] = field(default_factory=dict)
    quoted: str = ""


@dataclass(frozen=True, slots=True)
class Trained:
    """The first prompt (`first`) and the winner (`best`) on the training examples that the critic read of each; they
    were drawn separately."""

    first: Value
    best: Value


@dataclass(frozen=True, slots=True)
class Length:
    """The estimated tokens of the first prompt (`first`) and the winner (`best`) as they are sent: without the input,
    with examples and passages that are filled in."""

    first: int
    best: int


@dataclass(frozen=True, slots=True)
class Spent:
    """The calls of one role: attempts, failed attempts, and tokens, which are at least partly an estimate for
    `estimated` of the attempts."""

    calls: int
    failed: int
    input: int
    output: int
    estimated: int = 0


@dataclass(frozen=True, slots=True)
class SpentOn:
    """What answers of one of several models took: attempts, tokens, and dollars, None if its price is not known."""

    calls: int
    tokens: int
    dollars: float | None


@dataclass(frozen=True, slots=True)
class ModelResult:
    """What a search brought one of several models that answer the task: the validation values of the first prompt
    (`first`) and of the winner (`best`), the comparison on the test split (None: it was not read), the cost of 1,000
    of its own answers with each, and what the run `spent` on it."""

    first: float
    best: float
    test: Change | None
    answers: Answers | None
    spent: SpentOn


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A candidate with a higher `value` on validation than the result, and more `tokens`."""

    candidate: int
    value: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Result:
    """The content of `result.json`. `first` and `best`: the validation values of the first prompt and of the winner.
    `models`: by role. `length` None: an earlier release did not write it. `answers`: the cost of 1,000 answers of
    each prompt, from the test split if both were run on it, else from validation; None if nothing was metered.

    `test`: the held-out comparison; `test_missing`: the cap or the person that cut it short, None if it is complete
    (`test` is None if it has no example).
    `leaks`: text of validation and test examples in the winner. `unanswered`: numbers of validation and training
    examples without an answer, by the error of their last call in the last process, or in an earlier one. `too_long`:
    ids of validation and training examples that were left out since they do not fit into the task model's context
    window with any prompt. `dollars` None: a price is unknown. `estimated`: the number of calls for which `tokens`
    and `dollars` are estimated.
    `saved`: what the reply cache saved the last process. `failures`: assignments that ended without an evaluation, by
    kind. `operators`: how the assignments of each operator ended. `uncriticised`: survivors that lack the critique
    that they should have, by reason. `doubted`: how often the critic doubted the expected answer of a training
    example, by id, the most doubted first. `unremembered`: experiences that are not in the memory because embedding
    failed; they are stored when the run resumes. `headroom`: as measured before the search, None if it was not cheap
    or not wanted. `prompts`: of a program with several prompts, the length and the cost of each, by name.
    `old_and_new`: None unless some examples came later than the others (`task.more`). `comparisons`: what a judge of
    preferences was asked by the last process, None if nothing. `by_model`: of each of several models that answer; {}
    of one. `models` then has all of them in one text under `task`, and each alone. `passed_over`: the candidate of
    the highest value, if the result is shorter and was preferred to it; else None.
    """

    task: str
    models: Mapping[str, str]
    random_seed: int
    first: Value
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
    prompts: Mapping[str, PromptCosts] = field(default_factory=dict)
    old_and_new: OldAndNew | None = None
    comparisons: Comparisons | None = None
    by_model: Mapping[str, ModelResult] = field(default_factory=dict)
    passed_over: PassedOver | None = None

    def _repr_html_(self) -> str:
        """Scores, length and cost, for a notebook."""
        rows = [("validation", f"{self.first.value:.3f}", f"{self.best.value:.3f}", "")]
        if self.test is not None:
            low, high = self.test.interval
            interval = f"{self.test.difference:+.3f} [{low:+.3f}, {high:+.3f}]"
            rows.append(("test", f"{self.test.first:.3f}", f"{self.test.best:.3f}", interval))
        if self.length is not None:
            rows.append(("tokens", f"{self.length.first:,}", f"{self.length.best:,}", ""))
        cost = "unknown" if self.dollars is None else f"${self.dollars:,.4f}"
        spent = f"{sum(self.calls.values()):,} calls, {sum(self.tokens.values()):,} tokens, {cost}"
        for name, model in self.by_model.items():
            first, best = (model.test.first, model.test.best) if model.test else (model.first, model.best)
            rows.append((name, f"{first:.3f}", f"{best:.3f}", f"{best - first:+.3f}"))
        return listing((self.task, "first prompt", "best prompt", "difference"), rows) + listing(
            (), [("spent", spent)]
        )


def validated(member: Member) -> Value:
    """The validation value of an archive's member."""
    n = sum(score is not None for score in member.scores)
    unread = member.unreadable, member.textless, member.quoted
    return Value(member.value, n, member.refused, member.truncated, *unread)


def trained(metric: Metric, first: Member, winner: Member) -> Trained:
    """The values of both on the training examples that the critic read of each; 0 if there are none."""
    before, best = (
        Value(value=value_of(metric, member.outcomes), n=len(member.outcomes), **endings(member.outcomes))
        for member in (first, winner)
    )
    return Trained(before, best)


def spent(ledger: Ledger) -> dict[str, Spent]:
    """The calls by role, summed over its models."""
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


def by_model(first: Member, winner: Member, test: Held | None, paid: Paid, ledger: Ledger) -> dict[str, ModelResult]:
    """The result on each of several models; {} of one."""
    tested = {} if test is None else test.models
    return {
        name: ModelResult(
            first.models[name].value,
            winner.models[name].value,
            tested[name].change if tested else None,
            answers_of(first, winner, test, paid, name),
            spent,
        )
        for name, spent in spent_on(ledger, first.models).items()
    }


def spent_on(ledger: Ledger, models: Iterable[str]) -> dict[str, SpentOn]:
    """What the answers of each of these models took, for the task and for section credit, also in batches."""
    return {name: _spent_on(ledger, (name, in_batch(name))) for name in models}


def _spent_on(ledger: Ledger, names: Sequence[str]) -> SpentOn:
    of = [account for (role, model), account in ledger.accounts.items() if role in ANSWERING and model in names]
    priced = all(account.model in ledger.prices for account in of)
    dollars = sum(ledger.prices[account.model].of(account.usage) for account in of) if priced else None
    return SpentOn(sum(a.calls for a in of), sum(a.usage.total for a in of), dollars)
