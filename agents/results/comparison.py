"""Scores of prompts on one split: of a single prompt, and of two on the same examples, all of them or those of before
and those that came later apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import TypeVar

from agents.archive.archive import Archive
from agents.archive.endings import endings
from agents.archive.race import NORMAL, compare
from agents.prompting.forward import Forward, Question, Result
from agents.results.breakdown import Breakdown, breakdown
from agents.ring.evaluator import value_of
from protocols.errors import BudgetExhausted, Interrupted
from protocols.messages import Outcome, Scores, mean
from protocols.metrics.bootstrap import Interval, Judged, interval
from protocols.metrics.weighted import OverModels
from protocols.model import Usage
from protocols.task import Example, KindName, Metric, Task, corpus_value

Answer = Result | BudgetExhausted | Interrupted
"""The result of one question, or the reason why it was not asked: a cap, or a person who stopped the run."""
T = TypeVar("T")
SIDE = NORMAL.inv_cdf(0.975)
"""Standard errors from the middle of a 95 % interval to its ends."""
SHOWN, LONGEST = 40, 1_000
"""Most gained and most lost examples that a report shows with their answers, and most characters of their texts."""


@dataclass(frozen=True, slots=True)
class Score:
    """One prompt on one split. `value`: the corpus metric in [0, 1] over the `n` examples that were answered.

    `interval`: 95 %, by bootstrap over examples. `errors`: examples without an answer, because their calls failed
    for good or were never made, by `reasons`; no other field counts them. The other fields count answered examples:
    `refused`, `truncated`, `unreadable` (one of these replies is `quoted`), and `textless` without a text, by what
    came instead. `breakdown`: the value by label and by metric.
    """

    value: float
    interval: Interval
    n: int
    errors: int
    reasons: Mapping[str, int]
    refused: int
    truncated: int
    unreadable: int
    textless: Mapping[str, int]
    quoted: str
    breakdown: Breakdown = field(default_factory=Breakdown, kw_only=True)


@dataclass(frozen=True, slots=True)
class Changed:
    """A test example on which the scores of two prompts differ: its inputs, the reply of each prompt, and the scores.
    Texts are cut at `LONGEST`."""

    example: str
    inputs: Mapping[str, str]
    target: str
    replies: tuple[str, str]
    scores: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Change:
    """Two prompts on the `n` examples that both answered: the value of the first, that of the other, and the
    difference with its 95 % `interval`."""

    first: float
    best: float
    difference: float
    interval: Interval
    n: int


@dataclass(frozen=True, slots=True)
class OnModel:
    """Two prompts on one of several models: the metric over its own replies, and their usage with each prompt."""

    change: Change
    usage: tuple[Usage, Usage]


@dataclass(frozen=True, slots=True)
class Held:
    """The first prompt (`first`) and the winner (`best`) on the `n` test examples that both answered, with the ids of
    those on which the winner's score is higher (`gained`) or lower (`lost`). `interval`: 95 %, of the difference, by
    paired bootstrap. `errors`: of both together. `first_score` and `best_score`: of each on all examples
    that it answered itself.
    `changed`: the first `SHOWN` gained and the first `SHOWN` lost examples. `usage`: of the replies to the `n`
    examples, of the first prompt and of the winner. `models`: of each of several that answer the task.
    """

    first: float
    best: float
    difference: float
    interval: Interval
    n: int
    errors: int
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    first_score: Score
    best_score: Score
    changed: tuple[Changed, ...]
    usage: tuple[Usage, Usage] = (Usage(), Usage())
    models: Mapping[str, OnModel] = field(default_factory=dict)


async def answers(forward: Forward, questions: Sequence[Question]) -> list[Answer]:
    """One answer per question, in order. Once a cap refuses a call, or a person stops the run, no more questions are
    asked; the answers so far are kept, since they are paid for.

    :raises BudgetExhausted, Interrupted: there was no outcome before.
    :raises Exception: otherwise as `Forward.until`.
    """
    came: dict[int, Answer] = {}

    def keep(index: int, result: Result) -> bool:
        came[index] = result
        return False

    try:
        await forward.until(questions, keep)
    except (BudgetExhausted, Interrupted) as error:
        if not any(isinstance(result, Outcome) for result in came.values()):
            raise
        return [came.get(index, error) for index in range(len(questions))]
    return [came[index] for index in range(len(questions))]


def refusal(answers: Sequence[Answer]) -> str | None:
    """The reason why some of the questions were not asked, in words; None if all were asked."""
    return next((str(answer) for answer in answers if isinstance(answer, BudgetExhausted | Interrupted)), None)


def score_of(kind: KindName, metric: Metric, results: Sequence[Answer]) -> Score:
    """The score of one prompt's results; value 0 and interval (0, 0) if no example was answered."""
    outcomes = [result for result in results if isinstance(result, Outcome)]
    reasons = Counter(type(result).__name__ for result in results if not isinstance(result, Outcome))
    return Score(
        value=value_of(metric, outcomes),
        interval=interval(metric, outcomes),
        n=len(outcomes),
        errors=reasons.total(),
        reasons=dict(sorted(reasons.items())),
        breakdown=breakdown(kind, metric, outcomes),
        **endings(outcomes),
    )


def held_out(kind: KindName, metric: Metric, first: Sequence[Answer], best: Sequence[Answer]) -> Held:
    """Compare two prompts on the examples that both answered; both in the order of the split."""
    pairs = [(s, b) for s, b in zip(first, best, strict=True) if isinstance(s, Outcome) and isinstance(b, Outcome)]
    before, after = [s for s, _ in pairs], [b for _, b in pairs]
    first_score, best_score = score_of(kind, metric, first), score_of(kind, metric, best)
    old, new = value_of(metric, before), value_of(metric, after)
    gained = [(s, b) for s, b in pairs if b.score > s.score]
    lost = [(s, b) for s, b in pairs if b.score < s.score]
    return Held(
        first=old,
        best=new,
        difference=new - old,
        interval=interval(metric, after, before),
        n=len(pairs),
        errors=first_score.errors + best_score.errors,
        gained=tuple(s.example for s, _ in gained),
        lost=tuple(s.example for s, _ in lost),
        first_score=first_score,
        best_score=best_score,
        changed=tuple(_changed(s, b) for s, b in [*gained[:SHOWN], *lost[:SHOWN]]),
        usage=(used(before), used(after)),
        models=_on_models(metric, before, after),
    )


def _on_models(metric: Metric, before: Sequence[Outcome], after: Sequence[Outcome]) -> dict[str, OnModel]:
    if not isinstance(metric, OverModels) or not before:
        return {}
    found = {}
    for name in metric.models:
        change = _changed_by(metric.metric, metric.marks(name, before), metric.marks(name, after))
        found[name] = OnModel(change, (used_by(before)[name], used_by(after)[name]))
    return found


def used(outcomes: Sequence[Outcome]) -> Usage:
    """The usage of all replies together."""
    return sum((outcome.usage for outcome in outcomes), Usage())


def used_by(outcomes: Sequence[Outcome]) -> dict[str, Usage]:
    """The usage of each of several models; {} of one."""
    names = outcomes[0].models if outcomes else ()
    return {name: sum((outcome.models[name].usage for outcome in outcomes), Usage()) for name in names}


def _changed(before: Outcome, after: Outcome) -> Changed:
    return Changed(
        example=before.example,
        inputs={name: text[:LONGEST] for name, text in before.inputs.items()},
        target=before.target[:LONGEST],
        replies=(before.reply[:LONGEST], after.reply[:LONGEST]),
        scores=(before.score, after.score),
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """The examples of before (`old`), and those that came later (`new`); None where there are none."""

    old: Change | None = None
    new: Change | None = None


@dataclass(frozen=True, slots=True)
class OldAndNew:
    """`validation`: the mean scores; `test`: the metric. `refused`: the candidate that would be the result if it were
    not worse than the first prompt on the old validation examples, where it has the scores `refused_old`; None if
    there is none."""

    validation: Parts
    test: Parts
    refused: int | None = None
    refused_old: Change | None = None


def change(metric: Metric, first: Sequence[Answer], best: Sequence[Answer]) -> Change | None:
    """Two prompts on the same examples, by the task's metric, with the interval of a paired bootstrap; None if both
    answered none."""
    pairs = [(f, b) for f, b in zip(first, best, strict=True) if isinstance(f, Outcome) and isinstance(b, Outcome)]
    if not pairs:
        return None
    return _changed_by(metric, [f for f, _ in pairs], [b for _, b in pairs])


def _changed_by(metric: Metric, before: Sequence[Judged], after: Sequence[Judged]) -> Change:
    old, new = (corpus_value(metric, ((one.score, one.counts) for one in side)) for side in (before, after))
    return Change(old, new, new - old, interval(metric, after, before), len(before))


def test_parts(task: Task, first: Sequence[Answer], best: Sequence[Answer]) -> Parts:
    """Both parts of the test split, whose answers these are, in its order."""
    return _parts(task, task.test, first, best, lambda before, after: change(task.metric, before, after))


def old_and_new(task: Task, archive: Archive, first: Scores, test: Parts) -> OldAndNew | None:
    """The result of an archive beside the first prompt, which has these validation scores; None if no examples came
    later."""
    if not task.new:
        return None
    winner, unguarded = archive.best(), archive.unguarded()
    validation = _parts(task, task.validation, first, winner.scores, _of_scores)
    if unguarded.candidate == winner.candidate:
        return OldAndNew(validation, test)
    refused = _parts(task, task.validation, first, unguarded.scores, _of_scores).old
    return OldAndNew(validation, test, unguarded.candidate, refused)


def _parts(
    task: Task,
    examples: Sequence[Example],
    first: Sequence[T],
    best: Sequence[T],
    compared: Callable[[Sequence[T], Sequence[T]], Change | None],
) -> Parts:
    new = [example.id in task.new for example in examples]
    old = [not each for each in new]
    return Parts(*(compared([*compress(first, part)], [*compress(best, part)]) for part in (old, new)))


def _of_scores(first: Sequence[float | None], best: Sequence[float | None]) -> Change | None:
    paired = compare(tuple(best), tuple(first))
    if not paired.n:
        return None
    known = [(f, b) for f, b in zip(first, best, strict=True) if f is not None and b is not None]
    before, after = mean(tuple(f for f, _ in known)), mean(tuple(b for _, b in known))
    aside = SIDE * paired.error
    return Change(before, after, paired.gain, (paired.gain - aside, paired.gain + aside), paired.n)
