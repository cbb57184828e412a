"""Whether a run directory holds a finished run, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.archive.aims import setting_of
from agents.archive.ends import ALL_MADE, ALLOWANCES, INTERRUPTED, end_in_words
from agents.config.configuration import Configuration
from agents.config.loading import load_corpus, load_first_prompt, load_task
from agents.directory.begun_with import as_begun
from agents.directory.intact import check_there
from agents.directory.resume_fingerprint import check_fingerprint, resume_fingerprint
from agents.directory.run_directory import CONFIGURATION, RESULT, named, read_document, usable
from agents.directory.shared_caps import raised_shared_caps, shared_cap
from agents.results.earlier import as_result
from agents.ring.controller import OF_OPERATORS
from protocols.errors import StorageFailed, cap_setting


def finished(configuration: Configuration, directory: Path | None) -> tuple[Path, Mapping[str, Any]] | None:
    """The run directory and its result, if the requested run has ended and resuming it would change nothing.

    A run can be resumed if it was interrupted; if a cap ended it and that cap is raised now, or was one over several
    runs, which does not hold for this one alone; if a cap cut short its held-out report and any cap is raised; or if
    it made all of its assignments and gets more now.

    :raises InputError: the directory holds a run that this configuration cannot resume, or the input is wrong.
    :raises StorageFailed: a file of the run directory is damaged.
    """
    directory = named(configuration, directory)
    record = usable(directory) if directory is not None else None
    if directory is None or record is None:
        return None
    check_there(directory)
    configuration = as_begun(configuration, directory)
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    check_fingerprint(
        record.meaning, resume_fingerprint(configuration, task, load_corpus(configuration), first), directory
    )
    result, before = read_result(directory / RESULT), read_document(directory / CONFIGURATION)
    if result is None or before is None:
        return None
    try:
        more = shared_cap(result["stopped_by"]) in raised_shared_caps(directory, None)
        return None if more or _goes_on(configuration, before, result) else (directory, result)
    except (KeyError, TypeError, AttributeError) as error:
        path = directory / CONFIGURATION
        raise StorageFailed(f"not the configuration of a run ({error!r}); it was changed", file=str(path)) from error


def read_result(path: Path) -> Mapping[str, Any] | None:
    """The result of a run, None before there is one.

    :raises StorageFailed: it cannot be read, or not by this release.
    """
    document = read_document(path)
    return None if document is None else as_result(document, path)


def raised(before: Mapping[str, Any], now: Mapping[str, Any], table: str = "budget") -> frozenset[str]:
    """The dotted names of the caps that are higher than before, or removed. `before` and `now`: nested tables of
    caps."""
    found: set[str] = set()
    for name, cap in now.items():
        earlier = before.get(name)
        if isinstance(cap, Mapping):
            found |= raised(earlier or {}, cap, f"{table}.{name}")
        elif cap != earlier and (cap is None or earlier is None or cap > earlier):
            found.add(f"{table}.{name}")
    for name, earlier in before.items():
        if isinstance(earlier, Mapping) and name not in now:
            found |= raised(earlier, dict.fromkeys(earlier), f"{table}.{name}")
    return frozenset(found)


def reopened(before: Mapping[str, Any], now: Configuration) -> tuple[str, ...]:
    """The operators whose own caps are higher now than in the configuration `before`."""
    names = [
        name.removeprefix(OF_OPERATORS).rpartition(".")[0]
        for name in raised(before["budget"], now.budget.model_dump(mode="json"))
        if name.startswith(OF_OPERATORS)
    ]
    return tuple(sorted(set(names)))


def remedy(result: Mapping[str, Any]) -> str:
    """The reason why a run ended, and how to resume it, on one line."""
    stopped_by, missing = result["stopped_by"], result["test_missing"]
    if setting := _setting(stopped_by):
        said = f"{end_in_words(stopped_by)}; to go on, raise {setting}"
    elif stopped_by == ALLOWANCES:
        said = f"{end_in_words(stopped_by)}; to go on, raise one in {OF_OPERATORS.rstrip('.')}"
    elif stopped_by == ALL_MADE:
        said = f"all {result['assignments']} assignments were made; to go on, raise search.assignments"
    else:
        said = end_in_words(stopped_by)
    return said if missing is None else f"{said}; the test split was not read to its end: {missing}"


def _goes_on(now: Configuration, before: Mapping[str, Any], result: Mapping[str, Any]) -> bool:
    stopped_by, more = result["stopped_by"], raised(before["budget"], now.budget.model_dump(mode="json"))
    # If a cap refused one of the last assignments, an earlier release reported that all were made.
    incomplete = result["test_missing"] is not None or "budget" in result["failures"] or result["unremembered"]
    return (
        stopped_by == INTERRUPTED
        or (stopped_by == ALL_MADE and now.search.assignments > before["search"]["assignments"])
        or (stopped_by == ALLOWANCES and any(name.startswith(OF_OPERATORS) for name in more))
        or _setting(stopped_by) in more
        or bool(incomplete and not _setting(stopped_by) and more)
        or bool(result["test_missing"] is not None and more)
    )


def _setting(stopped_by: str) -> str:
    """The setting of the cap, target or patience that ended a run; "" if none did."""
    kind, _, cap = stopped_by.partition(": ")
    return cap_setting(cap) if kind == "budget" and cap else setting_of(stopped_by)
