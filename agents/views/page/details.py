"""The details of single candidates, from the journal: the prompt, the gradient behind it and its outcome."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from agents.directory.run_directory import JOURNAL, MEMORY, read_configuration
from agents.history.progress import Progress
from agents.views.page.changes import changes, fit, lines
from memory.experience import Experience
from memory.journals.journal import read_journal
from memory.upkeep import read_experiences
from protocols.errors import MemoryMismatch, StorageFailed
from protocols.messages import Assignment, Candidate, Critique, Evaluation, Failure, Outcome
from protocols.program import Step
from protocols.prompt import Prompt
from protocols.text import printable

Json = dict[str, Any]
STEPS, STEP = 8, 500
"""Most steps of a program on one example, and most characters of a text of a step, where texts are bounded."""


def details(directory: Path, number: int, most: int | None = None, answers: int | None = None) -> Json | None:
    """The details of one candidate, None if there is no candidate of that number. `most`: most characters of a text;
    `answers`: most answers.

    :raises ConfigError, MemoryMismatch, StorageFailed: it is no run directory, or damaged.
    """
    progress, summary, found = Progress(), "it is under way", False
    assignment: Assignment | None = None
    prompt: Prompt | None = None
    row: Json = {"candidate": number, "gradient": "", "recalled": [], "gradients": []}
    row |= {"rejected": "", "answers": [], "answered": 0}
    for envelope in read_journal(directory / JOURNAL, assignment=number):
        found = True
        match envelope.message:
            case Assignment() as assignment:
                row["gradient"] = fit(assignment.gradient, most)
            case Candidate(prompt=prompt, recalled=recalled):
                row["recalled"] = recalled
            case Evaluation(prompt=prompt):
                pass
            case Critique(evaluation=evaluation, gradients=gradients):
                prompt = evaluation.prompt
                row["gradients"] = [[printable(name), fit(text, most)] for name, text in gradients.items()]
                row["answers"] = [_answer(outcome, most) for outcome in _worst_first(evaluation.outcomes)[:answers]]
                row["answered"] = len(evaluation.outcomes)
            case Failure(text=text) if text:
                row["rejected"] = fit(text, most)
            case _:
                pass
        if (ending := progress.follow(envelope)) is not None:
            summary = str(ending)
    if not found:
        return None
    parent = assignment.prompt if assignment else None
    row |= {"summary": fit(summary, most), "parent": assignment.parent if assignment else None}
    after = prompt or parent
    row["sections"] = changes(parent, after, most) if after else []
    return row


def _answer(outcome: Outcome, most: int | None) -> Json:
    texts = {"target": outcome.target, "reply": outcome.reply, "feedback": outcome.feedback}
    inputs = [[printable(name), fit(text, most)] for name, text in outcome.inputs.items()]
    shown = {name: fit(text, most) for name, text in texts.items()}
    steps = [_step(step, most) for step in outcome.steps[: STEPS if most is not None else None]]
    row = {"example": printable(outcome.example), "score": outcome.score, "inputs": inputs, **shown}
    return row | {"steps": steps, "made": len(outcome.steps)}


def _step(step: Step, most: int | None) -> Json:
    """A call or a note of a program. In a report its texts are short, since there may be thousands of them."""
    longest = None if most is None else min(most, STEP)
    return {
        "prompt": printable(step.prompt),
        "values": [[printable(name), fit(text, longest)] for name, text in step.values.items()],
        "messages": [[message.speaker, fit(message.text, longest)] for message in step.messages],
        "reply": fit(step.reply, longest),
        "error": fit(step.error, longest),
        "input": step.usage.input,
        "output": step.usage.output,
        "seconds": step.seconds,
    }


def _worst_first(outcomes: Iterable[Outcome]) -> Sequence[Outcome]:
    return sorted(outcomes, key=lambda outcome: outcome.score)


def experiences(directory: Path, numbers: Sequence[int], most: int | None = None) -> Json:
    """The experiences that Proposers were shown, by id, without those that their memory no longer holds. `most`: most
    characters of a text.

    :raises ConfigError, StorageFailed: it is no run directory, or damaged.
    """
    if not numbers:
        return {}
    configuration = read_configuration(directory)
    named = configuration.memory.path
    own = [directory / MEMORY, directory.parent / MEMORY]  # the searches of a sweep share one
    path = configuration.path(named) if named else next((path for path in own if path.is_file()), own[0])
    try:
        return {str(known.id): _experience(known, most) for known in read_experiences(path, numbers)}
    except (StorageFailed, MemoryMismatch):
        return {}


def _experience(known: Experience, most: int | None) -> Json:
    changed = [line for line in lines(fit(known.before, most), fit(known.after, most)) if line[0] != "="]
    said = {"operator": known.operator, "section": printable(known.section), "task": printable(known.task)}
    earned = {"reward": known.reward, "outcome": known.outcome, "evidence": known.evidence}
    return {**said, **earned, "lines": changed, "gradient": fit(known.gradient, most)}
