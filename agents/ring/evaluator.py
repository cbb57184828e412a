"""The Evaluator: measures a candidate against its parent, and stops early where it loses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from agents.prompting.forward import Forward
from agents.ring.race import Paired, compare
from protocols.errors import BudgetExhausted, ModelError
from protocols.messages import Candidate, Evaluation, Message, Outcome
from protocols.prompt import Prompt
from protocols.task import Example, Metric, Task, corpus_value


@dataclass(frozen=True, slots=True)
class RaceSettings:
    """`minibatch`: validation examples of the first look. `critique`: training examples that a survivor is run on
    for its critic. `max_unanswered`: the share of calls that may fail before an evaluation is worth nothing."""

    minibatch: int = 32
    critique: int = 48
    max_unanswered: float = 0.05


class Evaluator:
    """Minibatch first, all of validation for those that are not behind, then a training minibatch for the critic."""

    address = "evaluator"
    accepts: tuple[type[Message], ...] = (Candidate,)

    def __init__(self, forward: Forward, task: Task, settings: RaceSettings, seed: int) -> None:
        self._forward, self._task, self._settings, self._seed = forward, task, settings, seed

    async def handle(self, message: Message) -> Sequence[Message]:
        """Evaluate one candidate. What is drawn depends on the seed and the assignment alone.

        :raises ModelError: more than `max_unanswered` of the calls of one look failed, or all of them.
        """
        assert isinstance(message, Candidate)
        rng = Random(f"{self._seed}/evaluator/{message.assignment}")
        scores: list[float | None] = [None] * len(self._task.validation)
        answered: list[Outcome] = []
        unanswered = 0
        for look in self._looks(message, rng):
            outcomes = await self._ask(message.prompt, [self._task.validation[i] for i in look])
            for index, outcome in zip(look, outcomes, strict=True):
                scores[index] = outcome.score if isinstance(outcome, Outcome) else None
            unanswered += sum(isinstance(outcome, ModelError) for outcome in outcomes)
            answered += [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
            paired = compare(tuple(scores), message.parent_scores) if message.parent_scores else Paired(0, 0, 0)
            if paired.gain < 0:
                break
        survived = not message.parent_scores or _wins(message, paired)
        evaluation = Evaluation(
            assignment=message.assignment,
            prompt=message.prompt,
            scores=tuple(scores),
            survived=survived,
            gain=paired.gain,
            error=paired.error,
            paired=paired.n,
            unanswered=unanswered,
            outcomes=await self._minibatch(message.prompt, rng) if survived else (),
            value=value_of(self._task.metric, answered),
            refused=sum(outcome.finish == "refusal" for outcome in answered),
            truncated=sum(outcome.finish == "length" for outcome in answered),
        )
        return [evaluation]

    def _looks(self, candidate: Candidate, rng: Random) -> list[list[int]]:
        order = rng.sample(range(len(self._task.validation)), len(self._task.validation))
        first = self._settings.minibatch if candidate.parent_scores else len(order)
        return [look for look in (order[:first], order[first:]) if look]

    async def _minibatch(self, prompt: Prompt, rng: Random) -> tuple[Outcome, ...]:
        """What a critic reads; nothing where a cap or failures forbid it, for the evaluation stands without."""
        train = self._task.train
        drawn = rng.sample(train, min(self._settings.critique, len(train)))
        try:
            outcomes = await self._forward(prompt, drawn)
        except BudgetExhausted:
            return ()
        return tuple(outcome for outcome in outcomes if isinstance(outcome, Outcome))

    async def _ask(self, prompt: Prompt, examples: Sequence[Example]) -> list[Outcome | ModelError]:
        outcomes = await self._forward(prompt, examples)
        errors = [outcome for outcome in outcomes if isinstance(outcome, ModelError)]
        if errors and len(errors) > min(self._settings.max_unanswered * len(outcomes), len(outcomes) - 1):
            raise errors[0]
        return outcomes


def _wins(candidate: Candidate, paired: Paired) -> bool:
    """Better on the same examples, or as good and shorter; on none it is neither."""
    return paired.gain > 0 or (
        paired.n > 0 and paired.gain == 0 and candidate.prompt.tokens < candidate.parent_tokens
    )


def value_of(metric: Metric, outcomes: Sequence[Outcome]) -> float:
    """The corpus metric over what was answered; 0 for nothing."""
    return corpus_value(metric, ((outcome.score, outcome.counts) for outcome in outcomes))
