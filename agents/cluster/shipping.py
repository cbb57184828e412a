"""What the nodes of a cluster get: the working directory, and our package if it is a checkout."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.cluster.starting import ROOT
from agents.config.configuration import Configuration
from agents.config.tables.values import Table
from agents.study.grid import Cell, Grid
from protocols.data.huggingface import SCHEME
from protocols.errors import ConfigError
from protocols.providers.local.weights import HUB

PACKAGES = ("agents", "memory", "protocols")
LEFT_OUT = (".git", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")
"""Folders, wherever they are, that nobody needs on a node."""
SECRET = ".env"
MOST = 500 * 2**20
"""Bytes that Ray takes as a working directory."""
MADE = frozenset({"origin", "memory", "cache", "run"})
"""Keys and tables of paths that a run writes to."""


def shipping(grid: Grid, folder: Path) -> Mapping[str, Any]:
    """The `runtime_env` of a sweep whose working directory is `folder`.

    :raises ConfigError: a file of a task is not in the folder, or the folder is too large to be sent.
    """
    runs = [directory for directory in (Path("runs"), grid.directory) if not directory.is_absolute()]
    runs += [grid.directory.relative_to(folder)] if grid.directory.is_relative_to(folder) else []
    _check_files(grid, folder)
    _check_size(folder, {folder / directory for directory in runs})
    excludes = [f"/{directory.as_posix()}/" for directory in runs] + [f"{name}/" for name in LEFT_OUT] + [SECRET]
    environment: dict[str, Any] = {"working_dir": os.fspath(folder), "excludes": excludes}
    if (ROOT / "pyproject.toml").exists() and folder != ROOT:
        environment["py_modules"] = [os.fspath(ROOT / name) for name in PACKAGES]
    return environment


def relative(cell: Cell, folder: Path) -> Cell:
    """The same cell, with the folder of its configuration relative to `folder`, as it is on a node."""
    origin = _within(cell.configuration.origin, folder)
    return replace(cell, configuration=cell.configuration.model_copy(update={"origin": origin}))


def _within(path: Path, folder: Path) -> Path:
    """The path relative to `folder`, if it is in it."""
    placed = Path(os.path.normpath(folder / path))
    return placed.relative_to(folder) if placed.is_relative_to(folder) else path


def _check_files(grid: Grid, folder: Path) -> None:
    """:raises ConfigError: a task names a file that is not in `folder`."""
    for cell in grid.cells:
        for key, path in named_files(cell.configuration):
            placed = Path(os.path.normpath(folder / cell.configuration.path(path)))
            inside = placed.is_relative_to(folder) and not Path(path).is_absolute()
            if not inside or set(placed.relative_to(folder).parts) & {*LEFT_OUT, SECRET}:
                raise ConfigError(
                    f"{cell.task}: {key} = {path} does not reach the nodes, which get the working directory "
                    f"{folder}; put the file there, with a relative path, or run the command from above it"
                )


def named_files(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """The files that a configuration names, by their keys, as they are written; the weights of local models, which
    each node has of its own, are not among them."""
    for split in ("data", "train", "validation", "test"):
        place = getattr(configuration.task, split)
        if place and not place.startswith((SCHEME, HUB)):
            yield f"task.{split}", place
    yield from _paths(configuration, "", MADE)


def _paths(value: object, key: str, without: frozenset[str] = frozenset()) -> Iterator[tuple[str, str]]:
    match value:
        case Path():
            yield key, os.fspath(value)
        case Table():
            for name in set(type(value).model_fields) - without:
                yield from _paths(getattr(value, name), f"{key}.{name}".lstrip("."))
        case Mapping():
            for name, inner in value.items():
                yield from _paths(inner, f"{key}.{name}")


def _check_size(folder: Path, without: set[Path]) -> None:
    """:raises ConfigError: the folder is too large."""
    size, largest = 0, (0, folder)
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT_OUT and Path(place) / name not in without]
        for name in files:
            path = Path(place) / name
            bytes_of = path.stat().st_size if path.is_file() else 0
            size, largest = size + bytes_of, max(largest, (bytes_of, path))
    if size > MOST:
        raise ConfigError(
            f"the working directory {folder} has {size / 2**20:,.0f} MiB, and at most {MOST / 2**20:,.0f} can be "
            f"sent to the nodes; run the command from a smaller one (its largest file is {largest[1]})"
        )
