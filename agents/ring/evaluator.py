"""The Evaluator: races a candidate against its parent, and measures in full what wins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from agents.prompting.forward import Forward, Result
from agents.ring.endings import endings
from agents.ring.race import Capital, Paired, Race, compare
from agents.ring.unanswered import Unanswered
from protocols.errors import BudgetExhausted, ModelError, RunFailed
from protocols.messages import FIRST, Candidate, Evaluation, Message, Outcome
from protocols.task import Metric, Task, corpus_value

BURST = 10
"""Full evaluations: the share that may be left unanswered is never one of fewer examples than these ask."""
SLACK = 8
"""A racer may have more than its equal share of the calls in flight only up to its examples divided by this."""


@dataclass(frozen=True, slots=True)
class RaceSettings:
    """`alpha`: the chance, at most, that a child survives which is no better than its parent. `min_effect`: how much
    worse a shorter child may be. `futile`: the capital below which a race is given up, 0 for never. `critique`:
    training examples that a survivor is run on for its critic. `max_unanswered`: the share of examples that may be
    left unanswered. `at_once`: calls that all who race may have in flight together, and share equally; while fewer
    than `racers` do, each has more, within SLACK, for what is in flight when a race is lost is paid for."""

    alpha: float = 0.3
    min_effect: float = 0.01
    critique: int = 48
    max_unanswered: float = 0.05
    at_once: int = 128
    racers: int = 8
    futile: float = 0.6


class Evaluator:
    """Validation examples in a random order until the race is lost; for a survivor all of them, and then training
    examples for its critic."""

    address = "evaluator"
    accepts: tuple[type[Message], ...] = (Candidate,)

    def __init__(self, forward: Forward, task: Task, settings: RaceSettings, seed: int) -> None:
        self._forward, self._task, self.settings, self._seed = forward, task, settings, seed
        self.unanswered = Unanswered(settings.max_unanswered, BURST * len(task.validation))
        self._racing = 0

    async def handle(self, message: Message) -> Sequence[Message]:
        """Evaluate one candidate. What is drawn depends on the seed and the assignment alone, what is found on the
        answers alone, and neither on when they came.

        :raises ModelError: too few examples were answered to tell what the candidate is worth.
        :raises RunFailed: more than `max_unanswered` of the run's examples were left unanswered, or of the first
            prompt's, which all others are measured by.
        """
        assert isinstance(message, Candidate)
        rng = Random(f"{self._seed}/evaluator/{message.assignment}")
        order = rng.sample(range(len(self._task.validation)), len(self._task.validation))
        filled = self._forward.shelves.filled(message.prompt)
        race = self._race(message, filled, rng.random()) if message.parent_scores else None
        results = await self._run(message, order, race)
        survived = race is None or race.end()
        answered = [result for result in results if isinstance(result, Outcome)]
        errors = [result for result in results if isinstance(result, ModelError)]
        self._check(message, errors, len(answered), survived)
        scores: list[float | None] = [None] * len(order)
        for index, result in zip(order, results, strict=False):
            scores[index] = result.score if isinstance(result, Outcome) else None
        paired = compare(tuple(scores), message.parent_scores) if race else Paired(0, 0, 0)
        evaluation = Evaluation(
            assignment=message.assignment,
            prompt=message.prompt,
            scores=tuple(scores),
            survived=survived,
            gain=paired.gain,
            error=paired.error,
            paired=paired.n,
            unanswered=len(errors),
            outcomes=await self._minibatch(message, rng) if survived else (),
            value=value_of(self._task.metric, answered),
            filled=filled,
            **endings(answered),
        )
        return [evaluation]

    def _race(self, candidate: Candidate, filled: int, coin: float) -> Race:
        shorter = candidate.prompt.tokens + filled < candidate.parent_tokens
        total = sum(score is not None for score in candidate.parent_scores)
        floor = -self.settings.min_effect if shorter else 0.0
        return Race(Capital(self.settings.alpha, floor, total), self.settings.futile, coin)

    async def _run(self, candidate: Candidate, order: Sequence[int], race: Race | None) -> list[Result]:
        """The results in `order`, up to the look that lost the race.

        Answers are looked at in the order that was drawn and not as they come, for what comes first is what is
        answered fast, and the fast ones are no random sample. What was in flight beyond that look is paid for and
        counted, but in no figure, which would then depend on how fast it came.
        """
        came: dict[int, Result] = {}
        looked = 0

        def enough(place: int, result: Result) -> bool:
            nonlocal looked
            came[place] = result
            while race and looked in came and not race.lost:
                _look(race, came[looked], candidate.parent_scores[order[looked]])
                looked += 1
            return race is not None and race.lost

        questions = [(candidate.prompt, self._task.validation[index]) for index in order]
        forward = self._forward.on_behalf(candidate.assignment)
        with self._counted(race):
            await forward.until(questions, enough, self._room if race else None)
        self.unanswered.count(came.values())
        return [came[place] for place in range(looked if race and race.lost else len(order))]

    @contextmanager
    def _counted(self, race: Race | None) -> Iterator[None]:
        self._racing += race is not None
        try:
            yield
        finally:
            self._racing -= race is not None

    def _room(self) -> int:
        """Calls that one racer may have in flight now."""
        share, equal = self.settings.at_once // self._racing, self.settings.at_once // self.settings.racers
        return max(1, min(share, max(equal, len(self._task.validation) // SLACK)))

    def _check(self, candidate: Candidate, errors: Sequence[ModelError], answered: int, survived: bool) -> None:
        """:raises ModelError, RunFailed: see `handle`."""
        enough = answered and len(errors) <= self.settings.max_unanswered * (answered + len(errors))
        if errors and not enough and candidate.assignment == FIRST:
            raise RunFailed(f"the first prompt could not be evaluated: {self.unanswered}")
        self.unanswered.check()
        if errors and not enough and (survived or not answered):
            raise errors[0]

    async def _minibatch(self, candidate: Candidate, rng: Random) -> tuple[Outcome, ...]:
        """What a critic reads; nothing where a cap or failures forbid it, for the evaluation stands without."""
        train = self._task.train
        drawn = rng.sample(train, min(self.settings.critique, len(train)))
        try:
            results = await self._forward.on_behalf(candidate.assignment)(candidate.prompt, drawn)
        except BudgetExhausted:
            return ()
        self.unanswered.count(results)
        self.unanswered.check()
        return tuple(result for result in results if isinstance(result, Outcome))


def _look(race: Race, child: Result, parent: float | None) -> None:
    if parent is not None:
        race.look(child.score - parent if isinstance(child, Outcome) else None)


def value_of(metric: Metric, outcomes: Sequence[Outcome]) -> float:
    """The corpus metric over what was answered; 0 for nothing."""
    return corpus_value(metric, ((outcome.score, outcome.counts) for outcome in outcomes))
