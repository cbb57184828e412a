"""What a run keeps from its beginning, although it is not in its configuration: corrections of gold answers, of which
later ones are for other runs, and the width that followed from other settings."""

from __future__ import annotations

from pathlib import Path

from agents.config.configuration import Configuration
from agents.config.loading import corrections, overlay_file
from agents.directory.run_directory import LABELS, find
from agents.ring.controller import WIDTH
from protocols.data.overlay import Correction
from protocols.errors import DataError


def as_begun(configuration: Configuration, directory: Path | None) -> Configuration:
    """The configuration with the corrections and the width that the run in `directory` began with; as it is, if there
    is no such run.

    :raises ConfigError, MemoryMismatch, StorageFailed: as `find`.
    """
    if directory is None:
        return configuration
    if (directory / LABELS).is_file():  # an earlier release has none
        task = configuration.task.model_copy(update={"overlay": (directory / LABELS).absolute()})
        configuration = configuration.model_copy(update={"task": task})
    record = find(directory)
    return configuration.with_width(record.meaning.get(WIDTH)) if record else configuration


def later_labels(configuration: Configuration, directory: Path) -> str:
    """A line for the person if labels were corrected since the run in `directory` began, or if the corrections cannot
    be read; "" if none was."""
    try:
        began, now = _told(as_begun(configuration, directory)), _told(configuration)
    except DataError as error:
        return str(error)
    if not (differing := {name for name in (*began, *now) if began.get(name) != now.get(name)}):
        return ""
    labels = "1 label was" if len(differing) == 1 else f"{len(differing):,} labels were"
    return (
        f"{labels} corrected in {overlay_file(configuration)} since the run in {directory} began, which keeps those "
        "that it began with; to search with the corrections, name another directory with --out"
    )


def _told(configuration: Configuration) -> dict[str, tuple[object, bool]]:
    said: dict[str, Correction] = dict(corrections(configuration))
    return {name: (one.target, one.wrong) for name, one in said.items()}
