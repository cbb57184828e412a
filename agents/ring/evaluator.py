"""The Evaluator: races a candidate against its parent, and evaluates a winner on all validation examples."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from random import Random

from agents.archive.endings import endings
from agents.archive.race import Capital, Paired, Race, compare, resolved
from agents.archive.unanswered import Unanswered
from agents.operators.operator import saved
from agents.prompting.forward import Forward, Result
from agents.prompting.retrieval_slots import measured
from memory.journals.exchanges import Exchange, Keep
from protocols.budget.funds import Funds
from protocols.errors import BadRequest, BudgetExhausted, ModelError, RunFailed, TooLong
from protocols.messages import FIRST, Candidate, Evaluation, Failure, Message, OfModel, Outcome
from protocols.metrics.weighted import OverModels
from protocols.model import Usage
from protocols.task import Example, Metric, SplitName, Task, corpus_value

BURST = 10
"""Minimum number of examples that `max_unanswered` is a share of, in full evaluations."""
DRAFTED = 12
"""Maximum number of training examples on which the drafts of one edit are compared."""
SLACK = 8
"""Beyond its equal share, a race may have at most its number of examples divided by this as calls in flight."""


@dataclass(frozen=True, slots=True)
class RaceSettings:
    """`alpha`: upper bound on the probability that a child no better than its parent survives. `min_effect`: how much
    worse a shorter child may be, if its parent is right on any example; a shrunk one may be worse by the standard
    error at this number of examples, if that is more (`resolved`). `futile`: the capital below which a race is given
    up, 0 for never. `critique`: training examples that a survivor is run on for the Critic. `max_unanswered`: the
    share of examples that may be left unanswered. `at_once`: calls in flight of all races together, which share them
    equally; while fewer than `racers` are running, each has more, but SLACK limits this, because the calls in flight
    are paid for even when the race is lost."""

    alpha: float = 0.3
    min_effect: float = 0.01
    critique: int = 48
    max_unanswered: float = 0.05
    at_once: int = 128
    racers: int = 8
    futile: float = 0.6


@dataclass(slots=True)
class Hearing:
    """The results of a candidate's evaluation. `came`: results by position in `order`, which was drawn at random; the
    race has seen the first `looked` of them. `refused`: requests that the provider refused for good. `outgrown`: the
    error of a request that was too long, on an example that the parent had answered."""

    candidate: Candidate
    order: Sequence[int]
    race: Race | None
    most_refused: float
    came: dict[int, Result] = field(default_factory=dict)
    looked: int = 0
    refused: list[BadRequest] = field(default_factory=list)
    outgrown: TooLong | None = None

    def take(self, place: int, result: Result) -> bool:
        """Add a result, and return whether the candidate can no longer win. The race sees results in the drawn order,
        not in order of arrival, because fast answers are not a random sample. Calls begin in the drawn order, so all
        those before this place have begun when the result is True."""
        self.came[place] = result
        if isinstance(result, BadRequest) and not isinstance(result, TooLong):
            self.refused.append(result)
        while self.race and self.looked in self.came and not self.over:
            self._look(self.race, self.came[self.looked])
        return self.over or self.given_up or (isinstance(result, TooLong) and self._parent(place) is not None)

    def _look(self, race: Race, result: Result) -> None:
        parent = self._parent(self.looked)
        if isinstance(result, TooLong) and parent is not None:
            self.outgrown = result
            return
        if parent is not None:
            race.look(result.score - parent if isinstance(result, Outcome) else None)
        self.looked += 1

    def _parent(self, place: int) -> float | None:
        """The parent's score on the example at a place of the order."""
        scores = self.candidate.parent_scores
        return scores[self.order[place]] if scores else None

    @property
    def over(self) -> bool:
        """Whether the race sees no more results."""
        return (self.race is not None and self.race.lost) or self.outgrown is not None

    @property
    def given_up(self) -> bool:
        """Whether the provider refused more requests than may be left unanswered."""
        return len(self.refused) > self.most_refused * len(self.order)

    @property
    def results(self) -> list[Result]:
        """The results in the drawn order, up to the one that decided the race."""
        end = self.looked if self.over else len(self.order)
        return [self.came[place] for place in range(end) if place in self.came]


class Evaluator:
    """Runs a candidate on the validation examples in a random order until its race is lost, or on all of them; then
    runs a survivor on training examples for the Critic, except a shrunk one, which is not criticised."""

    address = "evaluator"
    accepts: tuple[type[Message], ...] = (Candidate,)

    def __init__(
        self,
        forward: Forward,
        task: Task,
        settings: RaceSettings,
        seed: int,
        keep: Keep | None = None,
        first: Forward | None = None,
        funds: Funds | None = None,
    ) -> None:
        """`keep` None: what is asked and answered is not kept. `first`: validates the first prompt, if it is not
        `forward`. `funds` pay for the races, and for the first prompt's validation; None: there
        are no caps."""
        self._forward, self._task, self.settings, self._seed = forward, task, settings, seed
        self._first = first or forward
        self._keep, self._funds = keep, funds
        self.unanswered = Unanswered(settings.max_unanswered, BURST * len(task.validation))
        self._racing = 0

    async def handle(self, message: Message) -> Sequence[Message]:
        """Evaluate one candidate. The random draws depend only on the seed and the assignment, the outcome only on
        the answers, and neither on timing. A candidate fails if it is longer than the cap on prompts, or too long for
        an example that its parent answered; an example that was too long for the parent, too, is left out.

        :raises ModelError: too few examples were answered to judge the candidate.
        :raises RunFailed: more than `max_unanswered` of the run's examples were left unanswered, or of the first
            prompt's, which all others are compared with; or the first prompt is too long for every example.
        """
        assert isinstance(message, Candidate)
        slots = self._forward.slots
        if message.assignment != FIRST and (reason := await measured(slots.over_cap, message.prompt)):
            return [_failure(message, reason)]
        rng = Random(f"{self._seed}/evaluator/{message.assignment}")
        message, drafted = await self._best_draft(message)
        order = rng.sample(range(len(self._task.validation)), len(self._task.validation))
        filled = await measured(slots.filled, message.prompt)
        race = self._race(message, filled, rng.random()) if message.parent_scores else None
        heard = await self._run(Hearing(message, order, race, self.settings.max_unanswered))
        if heard.outgrown is not None:
            return [_failure(message, str(heard.outgrown))]
        results = heard.results
        survived = race is None or race.end()
        answered = [result for result in results if isinstance(result, Outcome)]
        errors = [r for r in results if isinstance(r, ModelError) and not isinstance(r, TooLong)]
        self._check(message, results, errors, len(answered), survived)
        scores: list[float | None] = [None] * len(order)
        for index, result in zip(order, results, strict=False):
            scores[index] = result.score if isinstance(result, Outcome) else None
        read, cut = await self._minibatch(message, rng) if survived and not message.shrunk else ((), "")
        outcomes = tuple(result for _, result in read if isinstance(result, Outcome))
        asked = [(self._task.validation[i], result) for i, result in zip(order, results, strict=False)]
        long = tuple(example.id for example, result in (*asked, *read) if isinstance(result, TooLong))
        self.unanswered.too_long.update(long)
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
            outcomes=outcomes,
            value=value_of(self._task.metric, answered),
            usage=sum((outcome.usage for outcome in answered), Usage()),
            models=by_model(self._task.metric, answered),
            filled=filled,
            unread=sum(isinstance(r, ModelError) and not isinstance(r, TooLong) for _, r in read),
            cut=cut,
            too_long=long,
            drafted=drafted,
            **endings(answered),
        )
        return [evaluation]

    def _race(self, candidate: Candidate, filled: int, coin: float) -> Race:
        shorter = candidate.prompt.tokens + filled < candidate.parent_tokens
        answered = [score for score in candidate.parent_scores if score is not None]
        worse = max(self.settings.min_effect, resolved(len(answered)) if candidate.shrunk else 0.0)
        # A parent that is right on no example has nothing to lose, so a child has to be better to survive.
        floor = -worse if shorter and any(answered) else 0.0
        return Race(Capital(self.settings.alpha, floor, len(answered)), self.settings.futile, coin)

    async def _run(self, heard: Hearing) -> Hearing:
        """Ask the questions until the race is lost or the candidate is given up.

        Results beyond the one that decided the race are paid for but not used in any figure: the figures would
        depend on timing, and differ when the run is resumed.

        :raises BadRequest: a racing candidate was refused on more examples than may be left unanswered.
        """
        candidate, race = heard.candidate, heard.race
        questions = [(candidate.prompt, self._task.validation[index]) for index in heard.order]
        async with self._kept(candidate, "validation") as forward, self._affordable(race, len(questions)) as answered:
            with self._counted(race):

                def take(place: int, result: Result) -> bool:
                    answered()
                    return heard.take(place, result)

                await forward.until(questions, take, self._room if race else None)
        given_up = race is not None and not heard.over and heard.given_up
        self.unanswered.count(heard.results, given_up or heard.outgrown is not None)
        if given_up:
            self.unanswered.check()
            raise heard.refused[0]
        return heard

    @asynccontextmanager
    async def _kept(self, candidate: Candidate, split: SplitName) -> AsyncIterator[Forward]:
        """The forward pass for a candidate; what was asked and answered is kept when the block ends, also by an
        error."""
        waits = candidate.assignment == FIRST and split == "validation"
        forward = (self._first if waits else self._forward).attributed_to(candidate.assignment)
        if self._keep is None:
            with self._lent(waits):
                yield forward
            return
        exchanges: list[Exchange] = []
        try:
            with self._lent(waits):
                yield forward.heard_by(lambda prompt, exchange: exchanges.append(exchange))
        finally:
            await self._keep(candidate.assignment, split, exchanges)

    def _lent(self, first: bool) -> AbstractContextManager[None]:
        return self._funds.lending() if first and self._funds else nullcontext()

    @asynccontextmanager
    async def _affordable(self, race: Race | None, answers: int) -> AsyncIterator[Callable[[], None]]:
        """Wait until the caps can pay for the race; yields a callback, to be called for each answer."""
        if race is None or self._funds is None:
            yield lambda: None
            return
        async with self._funds.race(answers) as answered:
            yield answered

    @contextmanager
    def _counted(self, race: Race | None) -> Iterator[None]:
        self._racing += race is not None
        try:
            yield
        finally:
            self._racing -= race is not None

    def _room(self) -> int:
        """Calls that one race may have in flight now."""
        share, equal = self.settings.at_once // self._racing, self.settings.at_once // self.settings.racers
        return max(1, min(share, max(equal, len(self._task.validation) // SLACK)))

    def _check(
        self,
        candidate: Candidate,
        results: Sequence[Result],
        errors: Sequence[ModelError],
        answered: int,
        survived: bool,
    ) -> None:
        """:raises ModelError, RunFailed: see `handle`."""
        enough = answered and len(errors) <= self.settings.max_unanswered * (answered + len(errors))
        if errors and not enough and candidate.assignment == FIRST:
            raise RunFailed(f"the first prompt could not be evaluated: {self.unanswered}")
        self.unanswered.check()
        if errors and not enough and (survived or not answered):
            raise errors[0]
        if not answered and results and isinstance(results[0], TooLong):
            raise RunFailed(
                "the first prompt could not be evaluated: with it, every validation example is too long for the "
                f"model ({results[0]}); shorten the prompt or the examples, or name a model with a larger window"
            )

    async def _best_draft(self, candidate: Candidate) -> tuple[Candidate, int]:
        """The candidate with the draft that scores best on a few training examples (the shortest on a tie), and the
        number of questions asked for that.

        :raises BudgetExhausted: a cap refuses the calls.
        """
        if not candidate.drafts:
            return candidate, 0
        drafts = [candidate.prompt, *candidate.drafts]
        rng = Random(f"{self._seed}/drafts/{candidate.assignment}")
        train = self._task.train
        drawn = rng.sample(train, min(self.settings.critique, DRAFTED, len(train)))
        questions = [(draft, example) for draft in drafts for example in drawn]
        async with self._kept(candidate, "train") as forward:
            results = await forward.each(questions)
        scores = [result.score if isinstance(result, Outcome) else 0.0 for result in results]
        sums = [sum(scores[n * len(drawn) : (n + 1) * len(drawn)]) for n in range(len(drafts))]
        best = max(range(len(drafts)), key=lambda n: (sums[n], -drafts[n].tokens, -n))
        return replace(candidate, prompt=drafts[best], drafts=()), len(questions)

    def _drawn(self, candidate: Candidate, rng: Random) -> list[Example]:
        """The training examples for the Critic: half are examples that the parent was run on, so that the two can be
        compared; the others are new."""
        train, count = self._task.train, min(self.settings.critique, len(self._task.train))
        known = frozenset(candidate.known)
        old = [example for example in train if example.id in known]
        new = [example for example in train if example.id not in known]
        some = min(len(old), max(count // 2, count - len(new)))
        return [*rng.sample(old, some), *rng.sample(new, count - some)]

    async def _minibatch(self, candidate: Candidate, rng: Random) -> tuple[Sequence[tuple[Example, Result]], str]:
        """The training examples for the Critic with their results, and the name of the cap that refused them, "" for
        none. After a refusal there are no examples: the evaluation is complete without them."""
        drawn = self._drawn(candidate, rng)
        try:
            async with self._kept(candidate, "train") as forward:
                results = await forward(candidate.prompt, drawn)
        except BudgetExhausted as error:
            return (), error.name
        self.unanswered.count(results)
        self.unanswered.check()
        return list(zip(drawn, results, strict=True)), ""


def _failure(candidate: Candidate, reason: str) -> Failure:
    """The failure of a candidate that is longer than the cap, or too long for an example that its parent answered."""
    text = saved(candidate.prompt, candidate.section) if candidate.section else ""
    return Failure(candidate.assignment, "too long", reason, text)


def value_of(metric: Metric, outcomes: Sequence[Outcome]) -> float:
    """The corpus metric over the answered examples; 0 if there are none."""
    return corpus_value(metric, ((outcome.score, outcome.counts) for outcome in outcomes))


def by_model(metric: Metric, outcomes: Sequence[Outcome]) -> dict[str, OfModel]:
    """The corpus metric and the usage of each of several models over the answered examples; {} of one model."""
    if not isinstance(metric, OverModels) or not outcomes:
        return {}
    marks = {name: metric.marks(name, outcomes) for name in metric.models}
    values = {n: corpus_value(metric.metric, ((mark.score, mark.counts) for mark in of)) for n, of in marks.items()}
    used = {name: (outcome.models[name].usage for outcome in outcomes) for name in metric.models}
    return {name: OfModel(values[name], sum(used[name], Usage())) for name in metric.models}
