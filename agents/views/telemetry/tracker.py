"""The interface of tools that keep runs, such as MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Beginning:
    """`run`: its unique id, by which a tracker finds the entry of a resumed run. `settings`: by dotted key."""

    run: str
    task: str
    directory: Path
    settings: Mapping[str, str]


class Tracker(Protocol):
    """A tool that keeps runs. Its methods are called in a thread, one at a time, and may raise anything."""

    def begin(self, beginning: Beginning) -> None:
        """Begin an entry, or go on with that of the same run."""

    def measured(self, assignment: int, figures: Mapping[str, float]) -> None:
        """Add the figures of an assignment that has ended."""

    def end(self, figures: Mapping[str, float], files: Sequence[Path], failed: bool) -> None:
        """Add the figures of the result and files, and end the entry."""
