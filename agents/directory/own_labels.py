"""The corrections of gold answers with which a run began. Later ones are for other runs."""

from __future__ import annotations

from pathlib import Path

from agents.config.configuration import Configuration
from agents.config.loading import corrections, overlay_file
from agents.directory.run_directory import LABELS
from protocols.data.overlay import Correction
from protocols.errors import DataError


def with_own_labels(configuration: Configuration, directory: Path | None) -> Configuration:
    """The configuration with the corrections that the run in `directory` began with; as it is, if there is no such
    run, or an earlier release began it."""
    if directory is None or not (directory / LABELS).is_file():
        return configuration
    task = configuration.task.model_copy(update={"overlay": (directory / LABELS).absolute()})
    return configuration.model_copy(update={"task": task})


def later_labels(configuration: Configuration, directory: Path) -> str:
    """A line for the person if labels were corrected since the run in `directory` began, or if the corrections cannot
    be read; "" if none was."""
    try:
        began, now = _told(with_own_labels(configuration, directory)), _told(configuration)
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
