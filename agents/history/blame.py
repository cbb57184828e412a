"""Blame: the edit that introduced each line of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from agents.directory.run_directory import read_configuration
from agents.history.trace import evaluation_of, lineage, winner
from protocols.errors import ConfigError
from protocols.files.prompt_file import readable
from protocols.messages import FIRST, Assignment, Envelope, Evaluation
from protocols.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of a lineage. `gain`: paired, over its parent, with its standard error `error`. Candidate 0 is the
    first prompt, which had no operator."""

    candidate: int
    operator: str = ""
    section: str = ""
    gradient: str = ""
    gain: float = 0.0
    error: float = 0.0
    paired: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a section, and the edit that introduced it."""

    section: str
    text: str
    edit: Edit


def blame(directory: Path, candidate: int | None = None) -> list[Line]:
    """The lines of `candidate`, or of the run's winner, in the order of the prompt. A line that is moved within its
    section counts as introduced by that edit; if a whole section is moved, its lines keep their edits. The header of
    a section is one of its lines if it states a form.

    :raises ConfigError: it is not a run directory, or has no such survivor.
    :raises MemoryMismatch, StorageFailed: one of its files is damaged, or of another version.
    """
    read_configuration(directory)
    chain = list(lineage(directory, winner(directory) if candidate is None else candidate))[::-1]
    lines: dict[str, list[Line]] = {}
    prompt: Prompt | None = None
    for envelopes in chain:
        evaluation = evaluation_of(envelopes)
        if evaluation is None:
            raise ConfigError(
                f"candidate {candidate} of {directory} was not evaluated, so nothing stands in a prompt"
            )
        prompt, edit = evaluation.prompt, _edit(envelopes, evaluation)
        lines = {s.name: carry(lines.get(s.name, []), readable(s), s.name, edit) for s in prompt}
    return [line for name in lines for line in lines[name]]


def carry(before: Sequence[Line], text: str, section: str, edit: Edit) -> list[Line]:
    """The lines of `text`: unchanged lines of `before` with their edits, the others with this edit."""
    after = text.split("\n") if text else []
    lines = [Line(section, line, edit) for line in after]
    matcher = SequenceMatcher(None, [line.text for line in before], after, autojunk=False)
    for old, new, size in matcher.get_matching_blocks():
        lines[new : new + size] = before[old : old + size]
    return lines


def _edit(envelopes: Sequence[Envelope], evaluation: Evaluation) -> Edit:
    asked = next((e.message for e in envelopes if isinstance(e.message, Assignment)), None)
    if asked is None:
        return Edit(FIRST)
    return Edit(
        asked.assignment,
        asked.operator,
        asked.section,
        asked.gradient,
        evaluation.gain,
        evaluation.error,
        evaluation.paired,
    )
