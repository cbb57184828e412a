"""What a sweep goes through, read from TOML: every task with every setting and every seed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from agents.runs.configuration import Configuration, Table, build, explain, override, read
from protocols.errors import ConfigError

NAME = re.compile(r"[\w-]+")


class SweepTable(Table):
    """`[sweep]`: `tasks` are configurations, by paths relative to the grid's file. `searches`: how many at once.
    `directory`: where everything is written (None: `runs/<the grid's name>`)."""

    tasks: Annotated[tuple[Path, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    searches: Annotated[int, Field(ge=1, le=256)] = 4
    directory: Path | None = None


class GridTable(Table):
    """The whole file. `[settings.<name>]` holds tables of a configuration, which go over those of every task."""

    sweep: SweepTable
    settings: Mapping[str, Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Cell:
    """One search of a sweep. `name` is that of its run directory, and of no other cell's."""

    name: str
    task: str
    setting: str
    seed: int
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells in the order in which they begin: seed after seed, so that all is compared early."""

    directory: Path
    searches: int
    cells: tuple[Cell, ...]


def load_grid(path: Path, settings: Sequence[str] = ()) -> Grid:
    """Read the grid at `path` and the configurations that it names, with `table.key=value` settings over all of them.

    :raises ConfigError: with what is wrong, and in which file.
    """
    try:
        table = GridTable.model_validate(read(path))
    except ValidationError as error:
        raise ConfigError(
            "; ".join(explain(detail, GridTable) for detail in error.errors()), file=str(path)
        ) from None
    sweep, named = table.sweep, table.settings or {"default": {}}
    cells = []
    for seed, task, (setting, tables) in itertools.product(sweep.seeds, sweep.tasks, named.items()):
        if not NAME.fullmatch(setting):
            raise ConfigError(f"settings.{setting}: use letters, digits, _ and - in a name", file=str(path))
        source = path.parent / task
        merged = merge(read(source), tables)
        for text in (*settings, f"search.seed={seed}"):
            override(merged, text)
        configuration = build(merged, source.parent, file=f"{source}, with settings.{setting} of {path}")
        stem = re.sub(r"[^\w-]+", "-", source.stem)
        cells.append(Cell(f"{stem}.{setting}.{seed}", stem, setting, seed, configuration))
    if len({cell.name for cell in cells}) < len(cells):
        raise ConfigError("sweep: two tasks or two seeds are the same, or two files have one name", file=str(path))
    return Grid(sweep.directory or Path("runs") / path.stem, sweep.searches, tuple(cells))


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, table by table; where both have a value, that of `above`."""
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = merge(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged
