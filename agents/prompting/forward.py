"""The forward pass: a prompt on examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import anyio

from agents.prompting.shelves import Shelves
from protocols.errors import ModelError
from protocols.messages import Outcome
from protocols.model import ChatModel, Request
from protocols.prompt import Prompt
from protocols.task import Example, Task


class Forward:
    """Runs prompts on examples: `model` answers, the metric of `task` judges, `at_once` >= 1 calls at a time for
    those who wait for them together.

    `shelves` fill what a prompt leaves to be filled for each input."""

    def __init__(self, model: ChatModel, task: Task, shelves: Shelves, at_once: int) -> None:
        self.task = task
        self._model, self._shelves, self._at_once = model, shelves, at_once

    async def __call__(self, prompt: Prompt, examples: Sequence[Example]) -> list[Outcome | ModelError]:
        """One outcome per example, in order; see `each`."""
        return await self.each([(prompt, example) for example in examples])

    async def each(self, questions: Sequence[tuple[Prompt, Example]]) -> list[Outcome | ModelError]:
        """One outcome per prompt and example, in order; a call that failed is its error, never a score.

        :raises ModelError: a fatal one, which every other call would meet as well.
        :raises Exception: what else a call or the metric raised, such as BudgetExhausted. What was in flight was paid
            for, so it is waited for.
        """
        results: list[Outcome | ModelError | None] = [None] * len(questions)
        ends: list[Exception] = []

        async def work(todo: Iterator[tuple[int, tuple[Prompt, Example]]]) -> None:
            try:
                for index, (prompt, example) in todo:
                    if ends:
                        return
                    results[index] = await self._one(prompt, example)
            except Exception as error:
                ends.append(error)

        todo = iter(enumerate(questions))
        async with anyio.create_task_group() as tasks:
            for number in range(min(self._at_once, len(questions))):
                tasks.start_soon(work, todo, name=f"forward#{number}")
        if ends:
            raise ends[0]
        return [result for result in results if result is not None]

    async def _one(self, prompt: Prompt, example: Example) -> Outcome | ModelError:
        try:
            reply = await self._model.complete(Request(prompt.render(self._shelves.inputs(prompt, example.inputs))))
            judged = await self.task.metric.judge(example, reply.text)
        except ModelError as error:
            if error.fatal:
                raise
            return error
        return Outcome(
            example=example.id,
            inputs=example.inputs,
            target=self.task.kind.show(example.target),
            reply=reply.text,
            answer=judged.answer,
            score=judged.score,
            feedback=judged.feedback,
            counts=judged.counts,
            mistakes=judged.mistakes,
            finish=reply.finish,
        )
