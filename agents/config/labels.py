"""The labels of a task, as configured, and its kind."""

from __future__ import annotations

from collections import Counter

from agents.config.configuration import Configuration
from protocols.data.checks import Splits
from protocols.errors import ConfigError
from protocols.files.text_files import read_text
from protocols.kinds.kinds import LABELLED, TASK_KINDS
from protocols.task import TaskKind


def make_kind(configuration: Configuration, splits: Splits) -> TaskKind:
    """:raises DataError: a target does not fit the kind.
    :raises ConfigError: the labels cannot be read, or the kind has none."""
    name, labels = configuration.task.kind, known_labels(configuration)
    if not labels:
        return TASK_KINDS[name](splits)
    if name not in LABELLED:
        raise ConfigError(f"task.labels: a task of the kind {name} has no labels; there are {', '.join(LABELLED)}")
    return LABELLED[name](splits, labels)


def known_labels(configuration: Configuration) -> tuple[str, ...]:
    """The labels of `task.labels`, or of the file that it names, one a line; () if it is not set.

    :raises ConfigError: the file cannot be read, or a label is there twice.
    """
    given = configuration.task.labels
    if given is None:
        return ()
    file = configuration.path(given) if isinstance(given, str) else None
    text = read_text(file, ConfigError, "the labels") if file else ""
    labels = [line.strip() for line in text.splitlines() if line.strip()] if file else [*map(str, given)]
    twice = next((label for label, times in Counter(labels).items() if times > 1), None)
    if twice is not None or not labels:
        said = "task.labels names no label" if twice is None else f"task.labels has {twice!r} twice"
        raise ConfigError(said, file=str(file) if file else None)
    return tuple(labels)
