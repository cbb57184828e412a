"""self_consistency: draw several rewrites and keep the one that the others agree with (after arXiv 2203.11171)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import anyio
import numpy as np

from agents.operators.operator import Context, of_kinds
from agents.operators.rewriting import ask, failures, rewrite_request
from agents.prompting.requests import block, compose, instruction, read_tagged
from protocols.embedding import HashedNgrams, Vector
from protocols.errors import (
    BudgetExhausted,
    EditRejected,
    InapplicableError,
    Interrupted,
    ModelError,
    UnreadableReply,
)
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task

DRAWS = 4
LEVEL = 0.01


class SelfConsistency:
    """Applies to what tells the model what to do, what things mean and how to reason.

    The kept rewrite is the medoid: the one with the highest mean cosine to the others. Where several are level
    (within `LEVEL` of the best), the model is asked to choose.
    """

    name = "self_consistency"

    def __init__(self, embedder: HashedNgrams | None = None) -> None:
        self._embedder = embedder or HashedNgrams()

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Instructions, definitions and reasoning."""
        return of_kinds(prompt, "task", "definitions", "reasoning")

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: nothing failed.
        :raises UnreadableReply: fewer than two draws are edits.
        :raises ModelError, BudgetExhausted: fewer than two draws came, or every other call would fail as well.
        """
        if not failures(assignment.outcomes):
            raise InapplicableError("no training example of the minibatch failed")
        drawn = await self._draw(assignment, context)
        level = self._most_agreed(drawn)
        text = level[0] if len(level) == 1 else await self._judge(assignment, context, level)
        return assignment.prompt.edit(assignment.section, text, context.task.fields)

    async def _draw(self, assignment: Assignment, context: Context) -> list[str]:
        """The texts of the draws, all asked for at once, in the order of their numbers."""
        texts, ends = dict[int, str](), list[ModelError | BudgetExhausted | Interrupted]()

        async def draw(number: int) -> None:
            sample = DRAWS * assignment.assignment + number
            request = partial(rewrite_request, assignment, context, "self_reflection.txt", sample=sample)
            try:
                texts[number] = (await ask(request, assignment, context))[assignment.section].text
            except (UnreadableReply, EditRejected):
                pass
            except (ModelError, BudgetExhausted, Interrupted) as error:
                ends.append(error)

        async with anyio.create_task_group() as tasks:
            for number in range(DRAWS):
                tasks.start_soon(draw, number)
        for error in ends:
            if len(texts) < 2 or ends_all(error):
                raise error
        if len(texts) < 2:
            raise UnreadableReply(f"{len(texts)} of {DRAWS} rewrites can be used; two are needed")
        return [texts[number] for number in sorted(texts)]

    def _most_agreed(self, texts: Sequence[str]) -> list[str]:
        """The distinct texts whose agreement is within `LEVEL` of the best, best first."""
        vectors: Vector = np.stack([self._embedder.vector(text) for text in texts])
        agreement = (vectors @ vectors.T).sum(axis=1) - 1.0
        best = float(agreement.max())
        order = sorted(range(len(texts)), key=lambda index: (-round(float(agreement[index]), 6), index))
        close = [texts[index] for index in order if best - float(agreement[index]) <= LEVEL * (len(texts) - 1)]
        return list(dict.fromkeys(close))

    async def _judge(self, assignment: Assignment, context: Context, texts: Sequence[str]) -> str:
        """The model's choice by number; the first where its reply names none of them, or none came."""
        shown = [block("text", text, number=str(number)) for number, text in enumerate(texts, start=1)]
        question = instruction("agents.operators", "self_consistency.txt", {"section": assignment.section})
        try:
            reply = await context.model.complete(compose(shown, question, assignment.assignment, model=context.model))
            choice = read_tagged(reply.text, "choice", reply.finish).strip()
        except UnreadableReply:
            return texts[0]
        except (ModelError, BudgetExhausted) as error:
            if error.fatal if isinstance(error, ModelError) else error.ends_search:
                raise
            return texts[0]
        return texts[int(choice) - 1] if choice.isdecimal() and 1 <= int(choice) <= len(texts) else texts[0]


def ends_all(error: ModelError | BudgetExhausted | Interrupted) -> bool:
    """Whether what one draw met is more than the loss of that draw."""
    match error:
        case ModelError():
            return error.fatal
        case BudgetExhausted():
            return error.ends_search
        case _:
            return True
