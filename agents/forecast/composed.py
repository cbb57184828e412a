"""Composes the requests of the critic and the operators once, from the first prompt and training examples, and sends
none: so an estimate knows their number and length, even for a user's own operators."""

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
from protocols.files.users_code import users_code
from protocols.messages import FIRST, Assignment, Evaluation, Outcome, Partner, mean
from protocols.model import Reply, Request, Usage
from protocols.prompt import Prompt, estimate_tokens, estimate_turn
from protocols.task import Task

SECONDS: Final = 5.0
"""Time limit for one operator to compose its requests: a user's own may wait for something that is not there."""
ADVICE: Final = "Name the two answers that are confused most often, and the question that decides between them. " * 2
"""Placeholder for a critic's advice about a section."""
SENTENCES: Final = "This is an answer of a sentence or two, of which nothing is known before it is given. " * 2
"""Placeholder for the answer to an example without a target."""
SECTIONS: Final = 2
"""Maximum number of sections of a prompt on which an operator is tried."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Model calls of one edit or one critique: `least` if every reply can be read, `most` if none can. `input`: mean
    tokens of a call. `shows`: see `Operator`."""

    least: float
    most: float
    input: int
    shows: int = 0


UNKNOWN: Final = Asked(1.0, 2.0, 2000)
"""For an operator that composed no request in time."""


@dataclass(slots=True)
class Recorder:
    """A model that answers every request with the same text, and records the `sizes` of requests in tokens."""

    text: str
    name: str = "nobody"
    sizes: list[int] = field(default_factory=list)

    async def complete(self, request: Request) -> Reply:
        """Answer with the text; nothing is sent."""
        self.sizes.append(sum(map(estimate_turn, request.messages)))
        return Reply(self.text, Usage(1, 1), model=self.name)


async def composed(
    slots: RetrievalSlots, first: Prompt, operators: Mapping[str, Operator], critique: int
) -> Mapping[str, Asked]:
    """The calls of `critic` and of each `proposer/<operator>` that has a section to edit. They are composed in a
    thread, so no search may use these `operators`. `critique`: number of training examples whose outcomes are
    shown."""
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
    """The mean over several pieces of work of one agent; their exceptions are ignored."""
    counts: list[tuple[int, int]] = []
    sizes: list[int] = []
    for one, text in zip(work, texts, strict=True):
        counted = []
        for reply in (f"<new>{text or 'Decide by what is asked for.'}</new>", ""):
            model = Recorder(reply)
            with anyio.move_on_after(SECONDS) as scope:
                with suppress(Exception), users_code("an edit"):  # the reply is no edit, or the user's code fails
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
    """Made-up outcomes: every other training example is wrong, with another example's answer, and the last has a
    reply that could not be read."""
    some = task.train[:count]
    made = []
    for n, example in enumerate(some):
        target = task.kind.show(example.target)
        wrong = task.kind.show(some[(n + 1) % len(some)].target)
        answer = (wrong if n % 2 else target) or SENTENCES
        feedback = f"expected {target}, answered {answer}" if n % 2 else ""
        made.append(Outcome(example.id, example.inputs, target, answer, answer, float(not n % 2), feedback))
    if made:
        made[-1] = replace(made[-1], answer=None, score=0.0, feedback="the reply holds no answer")
    return tuple(made)


def tokens_of(texts: Sequence[str]) -> int:
    """The mean length of some texts in tokens."""
    return round(sum(map(estimate_tokens, texts)) / len(texts)) if texts else 0
