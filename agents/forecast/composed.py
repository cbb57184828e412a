"""What the critic and the operators ask, composed once from the first prompt and training examples, and sent to
nobody: so an estimate knows how long their requests are, whatever these say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Final

import anyio
from anyio import to_thread

from agents.operators.operator import Context, Operator
from agents.prompting.retrieval_slots import RetrievalSlots
from agents.ring.critic import Critic
from protocols.messages import FIRST, Assignment, Evaluation, Outcome, Partner, mean
from protocols.model import Reply, Request, Usage
from protocols.prompt import Prompt, estimate_tokens, estimate_turn
from protocols.task import Task

SECONDS: Final = 5.0
"""For one operator to say what it would ask: one of the user's may wait for something that is not there."""
ADVICE: Final = "Name the two answers that are confused most often, and the question that decides between them. " * 2
"""Stands for what a critic says of a section."""
SECTIONS: Final = 2
"""Sections of a prompt, at most, that an operator is tried on."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Model calls of one edit, or of one critique, where every reply can be read (`least`) and where none can
    (`most`); `input`: tokens of one of them, on average. `shows`: see `Operator`."""

    least: float
    most: float
    input: int
    shows: int = 0


UNKNOWN: Final = Asked(1.0, 2.0, 2000)
"""Of an operator that would not say."""


@dataclass(slots=True)
class Recorder:
    """A model that answers everything with one text, and counts what it is asked."""

    text: str
    name: str = "nobody"
    sizes: list[int] = field(default_factory=list)

    async def complete(self, request: Request) -> Reply:
        """Nobody is asked."""
        self.sizes.append(sum(map(estimate_turn, request.messages)))
        return Reply(self.text, Usage(1, 1), model=self.name)


async def composed(
    slots: RetrievalSlots, first: Prompt, operators: Mapping[str, Operator], critique: int
) -> Mapping[str, Asked]:
    """What `critic` and each `proposer/<operator>` that has a section to edit would ask, worked out in a thread:
    `operators` must be of no search. `critique`: training examples whose outcomes are shown."""
    return await to_thread.run_sync(partial(anyio.run, _composed, slots, first, operators, critique))


async def _composed(
    slots: RetrievalSlots, first: Prompt, operators: Mapping[str, Operator], critique: int
) -> Mapping[str, Asked]:
    task, outcomes = slots.task, _outcomes(slots.task, critique)
    scores = tuple(float(n % 2) for n in range(len(task.validation)))
    evaluation = Evaluation(1, first, scores, True, 0.0, 0.1, len(scores), 0, outcomes, 0.5)

    async def criticise(model: Recorder) -> None:
        await Critic(model, task, None).handle(evaluation)

    found = {"critic": await _asked([criticise], [""])}
    for name, operator in operators.items():
        try:
            targets = list(operator.targets(first, task))[:SECTIONS]
        except Exception:  # the user's own code
            targets = []
        edits = [partial(_edit, operator, target, slots, first, outcomes, scores) for target in targets]
        texts = [first[target].text if target in {s.name for s in first} else "" for target in targets]
        if edits:
            asked = await _asked(edits, texts)
            found[f"proposer/{name}"] = replace(asked, shows=getattr(operator, "shows", 0))
    return found


async def _edit(
    operator: Operator,
    target: str,
    slots: RetrievalSlots,
    first: Prompt,
    outcomes: tuple[Outcome, ...],
    scores: tuple[float, ...],
    model: Recorder,
) -> None:
    other = Prompt(tuple(s if s.frozen or not s.text else replace(s, text=f"{s.text} Decide.") for s in first))
    partner = Partner(2, other, scores[::-1], {}, first)
    assignment = Assignment(
        1, operator.name, target, FIRST, first, ADVICE, outcomes, scores, {}, (partner,), best=mean(scores)
    )
    await operator.edit(assignment, Context(slots.task, model, (), Random(0), slots, 0.0))


async def _asked(work: Sequence[Callable[[Recorder], Awaitable[None]]], texts: Sequence[str]) -> Asked:
    """Of several pieces of work of one agent, the mean. What they raise is of no matter."""
    counts: list[tuple[int, int]] = []
    sizes: list[int] = []
    for one, text in zip(work, texts, strict=True):
        counted = []
        for reply in (f"<new>{text or 'Decide by what is asked for.'}</new>", ""):
            model = Recorder(reply)
            with anyio.move_on_after(SECONDS) as scope:
                with suppress(Exception):  # no edit came of it, or the user's own code failed
                    await one(model)
            if scope.cancelled_caught and not model.sizes:
                return UNKNOWN
            counted.append(len(model.sizes))
            sizes += model.sizes
        counts.append((min(counted), max(counted)))
    n = max(1, len(counts))
    return Asked(
        least=sum(least for least, _ in counts) / n,
        most=sum(most for _, most in counts) / n,
        input=round(sum(sizes) / len(sizes)) if sizes else 0,
    )


def _outcomes(task: Task, count: int) -> tuple[Outcome, ...]:
    """As if every other training example had come out wrong, each with another one's answer, and one had a reply
    that could not be read."""
    some = task.train[:count]
    made = []
    for n, example in enumerate(some):
        target = task.kind.show(example.target)
        wrong = task.kind.show(some[(n + 1) % len(some)].target)
        answer = wrong if n % 2 else target
        feedback = f"expected {target}, answered {answer}" if n % 2 else ""
        made.append(Outcome(example.id, example.inputs, target, answer, answer, float(not n % 2), feedback))
    if made:
        made[-1] = replace(made[-1], answer=None, score=0.0, feedback="the reply holds no answer")
    return tuple(made)


def tokens_of(texts: Sequence[str]) -> int:
    """The mean length of some texts."""
    return round(sum(map(estimate_tokens, texts)) / len(texts)) if texts else 0
