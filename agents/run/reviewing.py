"""Edits that have won their races and wait for a person: which there are, and what a person says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.directory.run_directory import JOURNAL, read_configuration
from agents.history.progress import Ending, progress_in
from agents.results.prompt_diff import SectionChange, changes_of
from protocols.errors import ConfigError
from protocols.messages import Accept, Reject


@dataclass(frozen=True, slots=True)
class Waiting:
    """An edit that waits for a person. `ending`: its measured gain and value. `parent_value`: that of its parent on
    validation. `changes`: of the sections that differ from the parent's."""

    ending: Ending
    parent_value: float | None
    changes: Sequence[SectionChange]


def waiting(directory: Path) -> list[Waiting]:
    """What waits for a person in a run, the first that came first; also in a run on which no process works.

    :raises ConfigError: it is not a run directory.
    :raises MemoryMismatch, StorageFailed: one of its files is damaged, or of another version.
    """
    configuration = read_configuration(directory)
    if not (directory / JOURNAL).exists():
        return []
    progress, rows = progress_in(directory / JOURNAL, configuration.search.prefer), []
    for each in progress.waiting.values():
        parent = progress.survivors.get(each.assignment.parent)
        changes = changes_of(each.assignment.prompt, each.standing.prompt)
        differing = [change for change in changes if change.change != "same"]
        rows.append(Waiting(each.ending, parent.value if parent else None, differing))
    return rows


def decision(words: Sequence[str]) -> Accept | Reject:
    """What a person says of a candidate.

    :raises ConfigError: the words say nothing of one.
    """
    match list(words):
        case ["accept", number]:
            return Accept(_number(number))
        case ["reject", number, reason] if reason.strip():
            return Reject(_number(number), reason.strip())
        case ["reject", number, *_]:
            raise ConfigError(f'say why in one argument, which later edits are told: reject {number} "why"')
        case _:
            raise ConfigError(f"{' '.join(words)!r} names no candidate; `waiting` lists those that wait")


def check_waits(directory: Path, candidate: int) -> None:
    """:raises ConfigError: the candidate does not wait for a person."""
    if not read_configuration(directory).search.review:
        raise ConfigError(f"no edit of {directory} waits for a person; it began without search.review")
    there = [each.ending.assignment for each in waiting(directory)]
    if candidate not in there:
        others = f"those that wait are {', '.join(map(str, there))}" if there else "none does"
        raise ConfigError(f"candidate {candidate} does not wait for a person; {others}")


def _number(word: str) -> int:
    """:raises ConfigError: it is no number of a candidate."""
    if not (word.isascii() and word.isdecimal() and len(word) < 10):
        raise ConfigError(f"{word!r} is no number of a candidate; `waiting` lists those that wait")
    return int(word)
