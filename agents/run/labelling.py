"""Corrects the gold answers of a task, in the file that lies over its data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from agents.config.configuration import Configuration
from agents.config.loading import found_in, in_splits, make_task, overlay_file, sources
from agents.directory.run_directory import write
from protocols.data import load_examples
from protocols.data.overlay import Correction, overlaid, read_overlay, write_overlay
from protocols.errors import ConfigError
from protocols.task import Json


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


def label(configuration: Configuration, identity: str, target: str | None, wrong: bool) -> Labelled:
    """Note the right answer of an example, or that its answer is `wrong`; neither: forget what was noted. The task is
    checked with it before anything is written.

    :raises ConfigError: there is no such example, or the task has no targets.
    :raises DataError: the task cannot be used with it.
    :raises StorageFailed: the file cannot be written.
    """
    path = overlay_file(configuration)
    loaded = {name: load_examples(source, name) for name, source in sources(configuration).items()}
    splits = in_splits(configuration, loaded, corrected=False)
    split, example = found_in(splits, identity)
    if example.target is None:
        raise ConfigError("the task has no targets, so there is none to correct")
    new = None if target is None else _target(target, example.target)
    corrections = read_overlay(path) if path.exists() else {}
    corrections.pop(identity, None)
    if wrong or target is not None:
        corrections[identity] = Correction(new, wrong)
    make_task(configuration, overlaid(splits, corrections))
    write(path, write_overlay(corrections))
    what: Literal["corrected", "left out", "as in the data"] = (
        "left out" if wrong else "as in the data" if target is None else "corrected"
    )
    return Labelled(path, identity, split, what, example.target, new, len(corrections))


def _target(text: str, before: Json) -> Json:
    """The target in the form of the one before: a text as it is, anything else from JSON.

    :raises ConfigError: it is not of that form.
    """
    if isinstance(before, str):
        return text
    try:
        target: Json = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ConfigError(
            f"the targets are no texts; write one in JSON, such as {orjson.dumps(before).decode()}"
        ) from None
    return target
