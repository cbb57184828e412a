"""Corrects the gold answers of a task, in the file that lies over its data: for the command and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from agents.config.configuration import Configuration
from agents.config.labels import make_kind
from agents.config.loading import Examples, found_in, in_splits, make_task, overlay_file, sources
from agents.directory.run_directory import write
from protocols.data import load_examples
from protocols.data.overlay import Correction, overlaid, read_overlay, write_overlay
from protocols.errors import ConfigError
from protocols.task import Example, Json
from protocols.text import one_line

CLOSED = ("classification", "ordinal")
"""Kinds whose answers are one of a few."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """The correction that was written to `file`, which now has `corrections` of them. `before`: the gold answer that
    the data has, `target` the new one; None if the example is left out."""

    file: Path
    id: str
    split: str
    what: Literal["corrected", "left out", "as in the data"]
    before: Json
    target: Json
    corrections: int

    def __str__(self) -> str:
        change = f", from {as_given(self.before)} to {as_given(self.target)}" if self.what == "corrected" else ""
        said = f"{self.split} example {one_line(self.id)}: {self.what}{one_line(change, 300)}"
        count = "1 correction" if self.corrections == 1 else f"{self.corrections:,} corrections"
        return f"{said}. The next run reads it: {self.file} has {count}."


@dataclass(frozen=True, slots=True)
class Gold:
    """The gold answer of an example in the data, and what was noted of it: the right one (`noted`), or that it is
    `wrong`. Answers are written as `label` takes them. `choices`: all answers, if they are one of a few."""

    split: str
    target: str
    noted: str | None
    wrong: bool
    choices: Sequence[str]


def gold(configuration: Configuration, identity: str) -> Gold:
    """What is known of the gold answer of an example.

    :raises ConfigError: there is no such example, or the task has no targets.
    :raises DataError: the data or the corrections cannot be read.
    """
    splits, split, example = _found(configuration, identity)
    told = _corrections(overlay_file(configuration)).get(identity)
    noted = None if told is None or told.wrong else as_given(told.target)
    choices = make_kind(configuration, splits).labels if configuration.task.kind in CLOSED else ()
    return Gold(split, as_given(example.target), noted, told is not None and told.wrong, choices)


def label(configuration: Configuration, identity: str, target: str | None, wrong: bool) -> Labelled:
    """Note the right answer of an example, or that its answer is `wrong`; neither, or the answer that the data has:
    forget what was noted. The task is checked with it before anything is written.

    :raises ConfigError: there is no such example, or the task has no targets.
    :raises DataError: the task cannot be used with it.
    :raises StorageFailed: the file cannot be written.
    """
    path = overlay_file(configuration)
    splits, split, example = _found(configuration, identity)
    new = None if target is None else _target(target, example.target)
    corrections = _corrections(path)
    corrections.pop(identity, None)
    if wrong or (target is not None and as_given(new) != as_given(example.target)):
        corrections[identity] = Correction(new, wrong)
    make_task(configuration, overlaid(splits, corrections))
    write(path, write_overlay(corrections))
    what: Literal["corrected", "left out", "as in the data"] = (
        "left out" if wrong else "corrected" if identity in corrections else "as in the data"
    )
    return Labelled(path, identity, split, what, example.target, new, len(corrections))


def _found(configuration: Configuration, identity: str) -> tuple[Mapping[str, Examples], str, Example]:
    """The splits as the data has them, and the example with its split.

    :raises ConfigError: there is none of this id, or the task has no targets.
    """
    loaded = {name: load_examples(source, name) for name, source in sources(configuration).items()}
    splits = in_splits(configuration, loaded, corrected=False)
    split, example = found_in(splits, identity)
    if example.target is None:
        raise ConfigError("the task has no targets, so there is none to correct")
    return splits, split, example


def _corrections(path: Path) -> dict[str, Correction]:
    return read_overlay(path) if path.exists() else {}


def as_given(target: Json) -> str:
    """A target as a person gives it to `label`: a text as it is, anything else in JSON."""
    return target if isinstance(target, str) else orjson.dumps(target).decode("utf-8")


def _target(text: str, before: Json) -> Json:
    """The target in the form of the one before: a text as it is, anything else from JSON.

    :raises ConfigError: it is not of that form.
    """
    if isinstance(before, str):
        return text
    try:
        target: Json = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ConfigError(f"the targets are no texts; write one in JSON, such as {as_given(before)}") from None
    return target
