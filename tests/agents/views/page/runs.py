"""Run directories whose journal says what a test wants it to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from agents.config.configuration import load
from agents.directory.run_directory import JOURNAL
from agents.run.opening import open_run
from memory.journals.journal import open_journal
from protocols.messages import (
    Assignment,
    Candidate,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    Message,
    Outcome,
)
from protocols.prompt import Prompt, Section
from tests.small_task import write_task


async def write_run(folder: Path, messages: Sequence[tuple[str, Message]]) -> Path:
    """A run directory whose process was ended; its journal holds these messages, each beside whom it is to."""
    directory = folder / "run"
    async with open_run(load(write_task(folder / "task"), []), {}, directory):
        pass
    async with open_journal(directory / JOURNAL) as journal:
        for number, (to, message) in enumerate(messages, start=1):
            await journal.append(Envelope(number, None, "sender", to, 1e9 + number, message))
    return directory


def said(text: str, assignments: int = 3) -> Iterator[tuple[str, Message]]:
    """A run in which models and people said `text` wherever they say anything: a survivor, a loser and a rejected
    edit in turn."""
    outcome = Outcome("id " + text, {"text": text}, text, text, text, 0.0, text)
    first = Prompt((Section("task", "task", text), Section("input", "task", "{text}", True)))
    evaluation = Evaluation(0, first, (0.5,), True, 0, 0, 0, 0, (outcome,), 0.5)
    yield "evaluator", Candidate(0, first)
    yield "critic", evaluation
    yield "controller", Critique(0, evaluation, {"task": text})
    for number in range(1, assignments + 1):
        prompt = first.edit("task", f"{text} {number}", ("text",))
        yield "proposer/few_shot", Assignment(number, "few_shot", "task", 0, first, text, (outcome,), (0.5,))
        if number % 3 == 0:
            yield "controller", Failure(number, "rejected", text, text)
            continue
        kept = number % 3 == 1
        made = Evaluation(number, prompt, (0.5,), kept, 0.1, 0.1, 1, 0, (outcome,) * kept, 0.5 + number / 1e6)
        yield "evaluator", Candidate(number, prompt, (0.5,), 9, ())
        yield "critic", made
        yield "controller", Critique(number, made, {"task": text})
