"""The forward pass: runs prompts on examples."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from dataclasses import astuple, dataclass, replace
from functools import partial
from statistics import mean
from typing import TypeVar

import anyio

from agents.programs.running import Draw, Running
from agents.prompting.asking import TEMPERATURE, program_limit, task_request
from agents.prompting.records import BEGUN
from agents.prompting.retrieval_slots import RetrievalSlots, slots_of
from memory.journals.exchanges import Exchange, told, worst
from protocols.concurrency.threads import in_thread
from protocols.errors import ModelError
from protocols.files.users_code import users_code
from protocols.messages import OfModel, Outcome
from protocols.metrics.weighted import OverModels
from protocols.model import ChatMessage, ChatModel, Reply, Request, Usage
from protocols.program import Step
from protocols.prompt import Prompt, Template
from protocols.task import Counts, Example, Task
from protocols.wrappers.routed import Panel

Question = tuple[Prompt, Example]
Result = Outcome | ModelError
"""The result of one question: an outcome, or the final error of its call, which is no score."""
Messages = tuple[ChatMessage, ...]
Answer = Callable[[ChatModel, int], Awaitable[tuple[Reply, Messages, tuple[Step, ...]]]]
"""Has a model answer an example, given the number of the sample: the reply, the messages that it answers, () if a
program did, and the program's steps that led to it."""
Hear = Callable[[Prompt, Exchange], None]
"""Is told of each reply to a prompt, or of the error in its place."""
Enough = Callable[[int, Result], bool]
"""Takes a question's index and its result; returns whether to stop asking."""
T = TypeVar("T")


@dataclass(slots=True)
class Concurrency:
    """The maximum of concurrent `calls` >= 1 of each `Forward.until`. It may change during a run; calls already in
    flight are completed."""

    calls: int


class Forward:
    """Runs prompts on examples: `model` answers, or the task's program, which calls it; the metric of `task` judges,
    `concurrency` limits the examples at work. `assignment`: the assignment that the calls are made for, if any. Each
    example is asked `repeats` >= 1 times, and its outcome is the mean. All models of a `Panel` answer each example,
    at the same time; then the task's metric is one `OverModels`, and its outcome is of all of them.

    `slots`: fill a prompt's placeholders for examples and passages."""

    def __init__(
        self,
        model: ChatModel,
        task: Task,
        slots: RetrievalSlots,
        concurrency: Concurrency,
        repeats: int = 1,
        assignment: int | None = None,
    ) -> None:
        self.task, self.slots, self._repeats = task, slots, repeats
        self._samples: Sequence[int] = range(repeats)
        self._temperature: float | None = TEMPERATURE
        self._model, self._concurrency, self._assignment = model, concurrency, assignment
        self._panel = model.models if isinstance(model, Panel) else ()
        self._metric = task.metric if assignment is None else task.metric.attributed_to(assignment)
        limit = partial(program_limit, task)
        self._program = Running(task.program, model, task.placeholders, limit, slots.inputs) if task.program else None
        self._hear: Hear | None = None
        self._together = False
        self._divided: tuple[Prompt, Template, Request] | None = None
        self._searched: tuple[Prompt, bool] | None = None

    def attributed_to(self, assignment: int) -> Forward:
        """A copy whose calls are made for this assignment."""
        other = Forward(self._model, self.task, self.slots, self._concurrency, self._repeats, assignment)
        other._together = self._together
        return other

    def at_once(self) -> Forward:
        """A copy that asks all questions and repeats at the same time, for a model that gathers calls."""
        other = copy(self)
        other._concurrency, other._together = Concurrency(sys.maxsize), True
        return other

    def heard_by(self, hear: Hear) -> Forward:
        """A copy that tells `hear` of each question and its answer."""
        other = copy(self)
        other._hear = hear
        return other

    def through(self, wrap: Callable[[ChatModel], ChatModel]) -> Forward:
        """A copy whose calls go through a wrapper around the model."""
        model = wrap(self._model)
        return Forward(model, self.task, self.slots, self._concurrency, self._repeats, self._assignment)

    def drawn(self, sample: int, temperature: float | None) -> Forward:
        """A copy that asks each example once, with this sample number and temperature; None: the model's default."""
        other = copy(self)
        other._samples, other._temperature = (sample,), temperature
        return other

    async def __call__(self, prompt: Prompt, examples: Sequence[Example]) -> list[Result]:
        """Run one prompt; returns one result per example, in order. See `each`."""
        return await self.each([(prompt, example) for example in examples])

    async def each(self, questions: Sequence[Question]) -> list[Result]:
        """Returns one result per question, in order.

        :raises Exception: as `until`.
        """
        results: dict[int, Result] = {}

        def keep(index: int, result: Result) -> bool:
            results[index] = result
            return False

        await self.until(questions, keep)
        return [results[index] for index in range(len(questions))]

    async def until(
        self, questions: Sequence[Question], enough: Enough, room: Callable[[], int] | None = None
    ) -> None:
        """Pass each result to `enough` as it arrives. Calls begin in the order of the questions.

        Once `enough` returns True, no more calls begin; those in flight are paid for, so they are completed and
        passed on, too. `room` >= 1 is called whenever a call ends and may lower the number of concurrent calls.

        :raises ModelError: a fatal error, which every other call would meet as well.
        :raises Exception: any other error of a call or the metric, such as BudgetExhausted. Calls in flight are paid
            for, so they are completed first.
        """
        ends: list[Exception] = []
        begun = ended = working = 0
        done = False

        def most() -> int:
            return self._concurrency.calls if room is None else min(self._concurrency.calls, room())

        def grow() -> None:
            nonlocal working
            while not done and working < min(most(), len(questions) - ended):
                working += 1
                tasks.start_soon(work, name=f"forward#{working}")

        async def work() -> None:
            nonlocal begun, ended, done, working
            try:
                while not done and begun < len(questions) and working <= most():
                    index, begun = begun, begun + 1
                    with users_code(f"what answers example {questions[index][1].id}"):
                        result = await self._one(*questions[index])
                    ended += 1
                    done = enough(index, result) or done
                    grow()
            except Exception as error:
                done = True
                ends.append(error)
            working -= 1

        async with anyio.create_task_group() as tasks:
            grow()
        if ends:
            raise ends[0]

    async def reply(self, prompt: Prompt, example: Example, sample: int) -> Reply:
        """The reply to one example, which no metric judges.

        :raises ModelError, BudgetExhausted: the call failed, or was refused.
        """
        answer = await self._answering(prompt, example)
        reply, _, _ = await answer(self._model, sample)
        return reply

    def _divide(self, prompt: Prompt, inputs: Mapping[str, str]) -> tuple[Template, Request]:
        """The prompt as it is sent, and a request without messages: made once for a prompt that is asked on one
        example after the other, all of which have the same fields."""
        divided = self._divided
        if divided is None or divided[0] is not prompt:
            template = prompt.template(inputs)
            divided = self._divided = prompt, template, task_request(self.task.kind, prompt, ())
        return divided[1:]

    def _request(self, prompt: Prompt, inputs: Mapping[str, str], sample: int) -> Request:
        template, blank = self._divide(prompt, inputs)
        return Request(
            template.render(inputs),
            self._temperature,
            blank.max_tokens,
            sample,
            self._assignment,
            fixed=len(template.fixed),
            offer=blank.offer,
        )

    def _filled(self, prompt: Prompt, example: Example, sample: int) -> Request:
        return self._request(prompt, self.slots.inputs(prompt, example.inputs), sample)

    async def _one(self, prompt: Prompt, example: Example) -> Result:
        """The outcome of all models; of one that left the example unanswered, its error."""
        answer = await self._answering(prompt, example)
        if not self._panel:
            return await self._of_model(prompt, example, answer, self._model)
        asked = [partial(self._of_model, prompt, example, answer, model) for model in self._panel]
        outcomes: dict[str, Outcome] = {}
        for model, result in zip(self._panel, await _all_of(asked), strict=True):
            if not isinstance(result, Outcome):
                return result
            outcomes[model.name] = result
        assert isinstance(self._metric, OverModels)
        return over_models(self._metric, outcomes)

    async def _of_model(self, prompt: Prompt, example: Example, answer: Answer, model: ChatModel) -> Result:
        """The mean of the repeats that were answered, asked one after the other, so that no more calls are in flight;
        but see `at_once`."""
        asked = [partial(self._judged, prompt, example, answer, model, sample) for sample in self._samples]
        results = await _all_of(asked) if self._together else [await ask() for ask in asked]
        outcomes = [result for result in results if isinstance(result, Outcome)]
        return averaged(outcomes) if outcomes else results[0]

    async def _answering(self, prompt: Prompt, example: Example) -> Answer:
        """A function of the model and the sample's number that answers the example, with one call or through the
        program."""
        if self._program is not None:
            run, temperature, assignment = self._program, self._temperature, self._assignment

            async def run_it(model: ChatModel, sample: int) -> tuple[Reply, Messages, tuple[Step, ...]]:
                reply, steps = await run.answer(prompt, example, Draw(sample, temperature, assignment))
                return reply, (), steps

            return run_it
        if self._searched is None or self._searched[0] is not prompt:
            self._searched = prompt, bool(slots_of(prompt))
        first = self._samples[0]
        if self._searched[1]:  # for what is like each input: that may take milliseconds
            request = await in_thread(self._filled, prompt, example, first)
        else:
            request = self._request(prompt, example.inputs, first)

        async def answer(model: ChatModel, sample: int) -> tuple[Reply, Messages, tuple[Step, ...]]:
            asked = request if sample == first else replace(request, sample=sample)
            return await model.complete(asked), asked.messages, ()

        return answer

    async def _judged(
        self, prompt: Prompt, example: Example, answer: Answer, model: ChatModel, sample: int
    ) -> Result:
        name = model.name if self._panel else ""
        try:
            reply, messages, steps = await answer(model, sample)
            said = reply.said
            judged = await self._metric.judge(example, said, reply.finish, sample)
        except ModelError as error:
            if error.fatal:
                raise
            if self._hear is not None:
                self._hear(prompt, Exchange(example.id, (), "", error=str(error), model=name))
            return error
        outcome = Outcome(
            example=example.id,
            inputs=example.inputs,
            target=self.task.kind.show(example.target),
            reply=said,
            answer=judged.answer,
            score=judged.score,
            feedback=judged.feedback,
            counts=judged.counts,
            mistakes=judged.mistakes,
            finish=reply.finish,
            instead=reply.instead,
            usage=reply.usage,
            steps=steps,
        )
        if self._hear is not None:
            self._hear(prompt, exchange_of(outcome, messages, reply, name))
        return outcome


async def _all_of(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results of calls made at the same time, in order. If some raise, all end before the first error goes on:
    they are paid for."""
    results, failed = dict[int, T](), list[Exception]()

    async def one(place: int) -> None:
        try:
            with users_code("what answers an example"):
                results[place] = await calls[place]()
        except Exception as error:  # a group would wrap it
            failed.append(error)

    async with anyio.create_task_group() as tasks:
        for place in range(len(calls)):
            tasks.start_soon(one, place, name=f"answer#{place}")
    if failed:
        raise failed[0]
    return [results[place] for place in range(len(calls))]


def exchange_of(outcome: Outcome, messages: Messages, reply: Reply, model: str) -> Exchange:
    """The exchange that led to an outcome. `model`: of several, the one that was asked."""
    return Exchange(
        outcome.example,
        told(messages),
        outcome.reply,
        outcome.finish,
        outcome.instead,
        outcome.usage,
        reply.latency,
        reply.from_cache,
        outcome.target,
        outcome.answer,
        outcome.score,
        outcome.feedback,
        outcome.inputs,
        outcome.steps,
        model=model,
    )


def over_models(metric: OverModels, outcomes: Mapping[str, Outcome]) -> Outcome:
    """The outcome of one example over the models that answered it, in the order of the metric's; see `Outcome`."""
    each = [*outcomes.values()]
    shown = worst(each)
    return replace(
        shown,
        score=metric.combined([outcome.score for outcome in each]),
        counts=metric.counts(each),
        usage=sum((outcome.usage for outcome in each), Usage()),
        models={
            name: OfModel(one.score, one.usage, one.answer and one.answer[:BEGUN]) for name, one in outcomes.items()
        },
        model=next(name for name, outcome in outcomes.items() if outcome is shown),
    )


def averaged(outcomes: Sequence[Outcome]) -> Outcome:
    """The mean score, counts, mistakes and usage of one or more outcomes of one example; all else is from the worst,
    the first of equals, since a critic learns most from it.

    Corpus metrics are quotients of sums of counts, so means give the same as the counts of all replies together.
    """
    worst = min(outcomes, key=lambda outcome: outcome.score)
    if len(outcomes) == 1:
        return worst
    return replace(
        worst,
        score=mean(outcome.score for outcome in outcomes),  # statistics.mean is exact: equal scores stay the same
        counts=_means([outcome.counts for outcome in outcomes]),
        mistakes=_means([outcome.mistakes for outcome in outcomes]),
        usage=_mean_usage([outcome.usage for outcome in outcomes]),
    )


def _mean_usage(usages: Sequence[Usage]) -> Usage:
    """The mean usage of one reply, in whole tokens."""
    summed = astuple(sum(usages, Usage()))
    return Usage(*(round(total / len(usages)) for total in summed))


def _means(counts: Sequence[Counts]) -> Counts:
    names = dict.fromkeys(name for one in counts for name in one)
    return {name: mean(float(one.get(name, 0.0)) for one in counts) for name in names}
