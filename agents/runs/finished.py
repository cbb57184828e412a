"""Whether a run directory holds a run that has come to its end, and what it found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from agents.runs.configuration import Configuration
from agents.runs.loading import load_corpus, load_first_prompt, load_task
from agents.runs.meaning import check_meaning, meaning
from agents.runs.run_directory import CONFIGURATION, RESULT, named, usable
from protocols.errors import StorageFailed

INTERRUPTED = "interrupted"
"""What stops a run that a person has stopped, and that goes on when it is begun again."""


def finished(configuration: Configuration, directory: Path | None) -> tuple[Path, Mapping[str, Any]] | None:
    """The run directory and its result, if the run that is asked for has ended and nothing would come of going on.

    An interrupted run goes on; so does one that a cap ended, or whose held-out report one cut short, once a cap
    differs; and one that ended for want of assignments once it is given more.

    :raises InputError: the directory holds a run that this configuration cannot go on with, or the input is wrong.
    :raises StorageFailed: a file of the run directory is damaged.
    """
    directory = named(configuration, directory)
    record = usable(directory) if directory is not None else None
    if directory is None or record is None:
        return None
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    check_meaning(record.meaning, meaning(configuration, task, load_corpus(configuration), first), directory)
    result, before = read_document(directory / RESULT), read_document(directory / CONFIGURATION)
    if result is None or before is None or _goes_on(configuration, before, result):
        return None
    return directory, result


def read_document(path: Path) -> Mapping[str, Any] | None:
    """One JSON file of a run directory; None if it is not there.

    :raises StorageFailed: it cannot be read.
    """
    try:
        document: Mapping[str, Any] = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError) as error:
        raise StorageFailed(f"cannot be read ({error}); it was changed or cut short", file=str(path)) from error
    return document


def _goes_on(now: Configuration, before: Mapping[str, Any], result: Mapping[str, Any]) -> bool:
    stopped_by = result["stopped_by"]
    if stopped_by == "assignments" and now.search.assignments > before["search"]["assignments"]:
        return True
    capped = stopped_by.startswith("budget") or result["test_missing"] is not None
    return stopped_by == INTERRUPTED or (capped and before["budget"] != now.budget.model_dump(mode="json"))
