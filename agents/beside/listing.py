"""Lists the run directories under a folder, those of sweeps and studies too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from agents.archive.ends import INTERRUPTED
from agents.directory.run_directory import (
    CONFIGURATION,
    JOURNAL,
    KEPT,
    LOCK,
    LOG,
    RECORD,
    RESULT,
    read_configuration,
    read_record,
)
from agents.history.progress import progress_of
from agents.results.finished import read_result
from memory.storage.sqlite import is_claimed
from protocols.errors import ConfigError, PromptFlowError
from protocols.text import one_line, printable

State = Literal["running", "finished", "stopped", "failed", "unreadable"]
DEEPEST = 4
"""Most levels below the folder: a sweep's run is on the second."""
LAST = 65_536
"""Bytes at the end of a log in which its last entries are read."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One run. `begun`: in Unix seconds. `first`, `best` and `interval`: test scores of the first prompt and the
    winner, and the winner's 95 % interval; `validation`: the value of the best so far. `tokens`: of the winner as it
    is sent. What is not known is None. `reason`: why the run failed, or cannot be read.

    `state`: running if a process works on it; finished; stopped by a person, or left by its process, so that the same
    command resumes it; failed with an error; unreadable: damaged, or no run.
    """

    directory: str
    state: State
    task: str = ""
    model: str = ""
    first: float | None = None
    best: float | None = None
    interval: tuple[float, float] | None = None
    validation: float | None = None
    tokens: int | None = None
    dollars: float | None = None
    begun: float | None = None
    reason: str = ""


def list_runs(folder: Path) -> list[Listed]:
    """The runs under a folder, or the run in it, the newest first; what cannot be read comes last.

    :raises ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; searches make it, or name another")
    found = [listed(path) for path in _runs(folder, folder, DEEPEST)]
    return sorted(found, key=lambda run: (run.begun is None, -(run.begun or 0.0), run.directory))


def listed(directory: Path) -> Listed:
    """One run directory; of a damaged or foreign one, why it cannot be read."""
    name = printable(str(directory))
    if not is_run(directory):
        return Listed(name, "unreadable", reason="no run")
    try:
        return _listed(directory, name)
    except (PromptFlowError, OSError) as error:  # damaged, of another release, or gone by now
        return Listed(name, "unreadable", reason=one_line(str(error).removeprefix(f"{directory}/"), 200))


def _listed(directory: Path, name: str) -> Listed:
    record, configuration = read_record(directory), read_configuration(directory)
    run = Listed(name, "stopped", configuration.task.name, configuration.models.answering, begun=record.begun)
    result = read_result(directory / RESULT)
    if result is not None:
        return _ended(run, result)
    progress = progress_of(directory) if (directory / JOURNAL).exists() else None
    best = progress.best if progress else None
    reason = _failure(directory / LOG)
    state: State = "running" if is_claimed(directory / LOCK) else "failed" if reason else "stopped"
    return Listed(
        run.directory,
        state,
        run.task,
        run.model,
        validation=best.value if best else None,
        tokens=best.tokens if best else None,
        begun=run.begun,
        reason=reason if state == "failed" else "",
    )


def _ended(run: Listed, result: Mapping[str, Any]) -> Listed:
    test, length = result["test"], result.get("length")
    low, high = test["best_score"]["interval"] if test else (None, None)
    return Listed(
        run.directory,
        "stopped" if result["stopped_by"] == INTERRUPTED else "finished",
        run.task,
        result["models"].get("task", run.model),
        first=test["first"] if test else None,
        best=test["best"] if test else None,
        interval=(low, high) if low is not None and high is not None else None,
        validation=result["best"]["value"],
        tokens=length["best"] if length else None,
        dollars=result["dollars"],
        begun=run.begun,
    )


def _runs(path: Path, top: Path, levels: int) -> Iterator[Path]:
    """The run directories at or below a path, and directories right below `top` that have none."""
    if is_run(path):
        yield path
        return
    below = [run for inner in _folders(path) for run in _runs(inner, top, levels - 1)] if levels else []
    yield from below
    if not below and path.parent == top and path != top:
        yield path


def is_run(path: Path) -> bool:
    """Whether a directory has files of a run."""
    return any((path / name).exists() for name in (RECORD, CONFIGURATION, *KEPT))


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(inner for inner in path.iterdir() if inner.is_dir() and not inner.name.startswith("."))
    except OSError:
        return []


def _failure(log: Path) -> str:
    """The error of a run's last process, if its log ends with one."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST))
            entry = orjson.loads(file.read().rstrip().rpartition(b"\n")[2])
        return one_line(str(entry["reason"]), 200) if entry["event"] == "run failed" else ""
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return ""
