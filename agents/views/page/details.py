"""The details of single candidates, from the journal: the prompt, the gradient behind it and its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents.directory.run_directory import JOURNAL, MEMORY, read_configuration
from agents.history.progress import Progress
from agents.views.page.answers import asked
from agents.views.page.changes import changes, fit, lines
from memory.experience import Experience
from memory.journals.reading import read_journal
from memory.upkeep import read_experiences
from protocols.errors import MemoryMismatch, StorageFailed
from protocols.files import prompt_file
from protocols.messages import Assignment, Candidate, Critique, Evaluation, Failure, Outcome
from protocols.prompt import Prompt
from protocols.text import printable

Json = dict[str, Any]
FILE = 100_000
"""Most characters of a prompt file where texts are bounded. A longer one is left out, since a part of it is none."""


def details(
    directory: Path, number: int, most: int | None = None, answers: int | None = None, spread: bool = False
) -> Json | None:
    """The details of one candidate, None if there is no candidate of that number. `most`: most characters of a text;
    `answers`, `spread`: see `Answers.split`. `file`: the whole prompt as a prompt file, None if it is too long.

    :raises ConfigError, MemoryMismatch, StorageFailed: it is no run directory, or damaged.
    """
    progress, summary, found, models = Progress(), "it is under way", False, ""
    assignment: Assignment | None = None
    prompt: Prompt | None = None
    outcomes: Sequence[Outcome] = ()
    row: Json = {"candidate": number, "gradient": "", "recalled": [], "gradients": []}
    row |= {"rejected": ""}
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
                prompt, outcomes = evaluation.prompt, evaluation.outcomes
                models = "".join(f"; {name} {of.value:.3f}" for name, of in evaluation.models.items())
                row["gradients"] = [[printable(name), fit(text, most)] for name, text in gradients.items()]
            case Failure(text=text) if text:
                row["rejected"] = fit(text, most)
            case _:
                pass
        if (ending := progress.follow(envelope)) is not None:
            summary = f"{ending}{models}"
    if not found:
        return None
    parent = assignment.prompt if assignment else None
    row |= {"summary": fit(summary, most), "parent": assignment.parent if assignment else None}
    after = prompt or parent
    row["sections"] = changes(parent, after, most) if after else []
    text = prompt_file.dumps(prompt) if prompt else ""
    row["file"] = text if most is None or len(text) <= FILE else None
    kind = read_configuration(directory).task.kind
    return row | {"asked": asked(directory, kind, number, outcomes, most, answers, spread)}


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
