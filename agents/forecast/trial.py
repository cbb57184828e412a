"""Tries a program on a few examples before a search, since only its calls show how many there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from agents.programs.trial import CountingModel, PromptUse, Trial, added
from agents.programs.watched import HELD_UP
from agents.prompting.asking import TEMPERATURE
from agents.prompting.forward import Forward, Result
from protocols.errors import ProgramFailed
from protocols.messages import Outcome
from protocols.model import ChatModel, Request
from protocols.prompt import Prompt
from protocols.task import Example
from protocols.text import one_line

TRIED: Final = 3
"""Examples that a program is tried on."""
NOTES, LONGEST = 5, 300
"""Most notes of a program that are kept, and most characters of a text."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial, and the first request to each prompt with the id of its example."""

    trial: Trial
    requests: tuple[tuple[str, Request], ...]


async def try_program(forward: Forward, first: Prompt, examples: Sequence[Example]) -> Tried:
    """Run the program of the forward's task once on each of the `examples`, on all at the same time, and count its
    calls.

    :raises Exception: as `Forward.until`.
    """
    assert forward.task.program is not None, "only programs are tried"
    counted: dict[int, CountingModel] = {}
    results: dict[int, Result] = {}
    failed: list[Exception] = []

    async def one(index: int, example: Example) -> None:
        def counting(model: ChatModel) -> ChatModel:
            counted[index] = CountingModel(model)
            return counted[index]

        try:
            (results[index],) = await forward.through(counting).drawn(0, TEMPERATURE)(first, [example])
        except Exception as error:
            failed.append(error)

    async with anyio.create_task_group() as tasks:
        for index, example in enumerate(examples):
            tasks.start_soon(one, index, example, name=f"trial#{index}")
    if failed:
        raise failed[0]
    names = tuple(forward.task.program.prompts)
    models = [counted[index] for index in range(len(examples))]
    uses = added(names, [model.uses for model in models])
    requests: dict[str, tuple[str, Request]] = {}
    for example, model in zip(examples, models, strict=True):
        for name, request in model.requests.items():
            requests.setdefault(name, (example.id, request))
    trial = _trial(examples, [results[index] for index in range(len(examples))], uses)
    return Tried(trial, tuple(requests[name] for name in names if name in requests))


def _trial(examples: Sequence[Example], results: Sequence[Result], uses: Mapping[str, PromptUse]) -> Trial:
    errors = [result for result in results if not isinstance(result, Outcome)]
    traces = [error.trace for error in errors if isinstance(error, ProgramFailed) and error.trace]
    steps = [step for result in results if isinstance(result, Outcome) for step in result.steps]
    notes = dict.fromkeys(one_line(step.reply, LONGEST) for step in steps if not step.prompt and step.reply)
    return Trial(
        tuple(example.id for example in examples),
        uses,
        tuple(one_line(one.reply, LONGEST) if isinstance(one, Outcome) else None for one in results),
        tuple(map(str, errors)),
        traces[0] if traces else "",
        tuple(notes)[:NOTES],
    )


def told(trial: Trial) -> Iterator[str]:
    """Lines for a person about a trial: the number of calls, prompts that were never called, and the first error."""
    count = len(trial.examples)
    each = ", ".join(f"{name} {use.each:.3g}" for name, use in trial.prompts.items())
    yield f"calls on {count} examples, for each: {each}"
    for name in trial.never_called:
        yield f"the prompt {name} was never called on {count} examples"
    yield from (note for note in trial.notes if HELD_UP in note)
    yield from trial.errors[:1]
