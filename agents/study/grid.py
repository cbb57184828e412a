"""The grid of a sweep, read from TOML: every task with every setting and every seed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from agents.config.configuration import Configuration, build
from agents.config.reading import explain, override, read
from agents.config.tables.search import CapsTable
from agents.config.tables.values import Table
from agents.models.budget import caps
from protocols.budget.budget_scope import NO_CAPS, Caps
from protocols.errors import ConfigError
from protocols.files.named import USE

NAME = re.compile(r"[\w-]+")
MOST_SEARCHES = 1024
"""Most concurrent searches: each has about ten files open."""
Vary = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes the tables of a setting from those of a task."""


class SweepTable(Table):
    """`[sweep]`: `tasks` are paths of configurations, relative to the grid's file. `searches`: most concurrent
    searches. `directory`: for all output (None: `runs/<the grid's name>`). `budget`: caps over all searches."""

    tasks: Annotated[tuple[Path, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    searches: Annotated[int, Field(ge=1, le=MOST_SEARCHES)] = 4
    directory: Path | None = None
    budget: CapsTable = CapsTable()


class GridTable(Table):
    """The whole file. `[settings.<name>]` holds tables of a configuration, which override those of every task."""

    sweep: SweepTable
    settings: Mapping[str, Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Cell:
    """One search of a sweep. `name`: of its run directory, unique in the grid."""

    name: str
    task: str
    setting: str
    seed: int
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells in the order in which they begin: seed after seed, so that all settings can be compared early.
    `one_memory`: all cells share a memory; otherwise each has its own, in its run directory. `budget`: caps over all
    cells, whose settings are in the table `kind`, one of `SHARED`."""

    directory: Path
    searches: int
    cells: tuple[Cell, ...]
    one_memory: bool = True
    budget: Caps = NO_CAPS
    kind: str = "sweep"


def load_grid(path: Path, settings: Sequence[str] = ()) -> Grid:
    """Read the grid at `path` and its configurations. `settings` (`table.key=value`) override all of them.

    :raises ConfigError: with what is wrong, and in which file.
    """
    try:
        table = GridTable.model_validate(read(path))
    except ValidationError as error:
        raise ConfigError(
            "; ".join(explain(detail, GridTable) for detail in error.errors()), file=str(path)
        ) from None
    sweep, named = table.sweep, table.settings or {"default": {}}
    varied = {
        f"settings.{setting}": lambda below, above=tables: overridden(merge(below, above), settings)
        for setting, tables in named.items()
    }
    cells = spread(path, sweep.tasks, sweep.seeds, varied)
    return Grid(sweep.directory or Path("runs") / path.stem, sweep.searches, cells, budget=caps(sweep.budget))


def spread(path: Path, tasks: Sequence[Path], seeds: Sequence[int], varied: Mapping[str, Vary]) -> tuple[Cell, ...]:
    """The cells of every task with every variation and every seed. The keys of `varied` are those in the file at
    `path`: after the first dot comes the setting's name.

    :raises ConfigError: see `load_grid`.
    """
    cells = []
    for seed, task, (key, vary) in itertools.product(seeds, tasks, varied.items()):
        setting = key.partition(".")[2]
        if not NAME.fullmatch(setting):
            raise ConfigError(f"{key}: use letters, digits, _ and - in a name", file=str(path))
        source = path.parent / task
        tables = overridden(deepcopy(vary(read(source))), [f"search.seed={seed}"])
        configuration = build(tables, source.parent, file=f"{source}, with {key} of {path}")
        if configuration.search.review:
            raise ConfigError(
                "search.review: the searches of a sweep wait for nobody; leave it out", file=str(source)
            )
        stem = re.sub(r"[^\w-]+", "-", source.stem)
        cells.append(Cell(f"{stem}.{setting}.{seed}", stem, setting, seed, configuration))
    if len({cell.name for cell in cells}) < len(cells):
        raise ConfigError("two tasks or two seeds are the same, or two files have one name", file=str(path))
    return tuple(cells)


def overridden(table: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The same table, changed by settings of the form `table.key=value`.

    :raises ConfigError: one is no setting.
    """
    for setting in settings:
        override(table, setting)
    return table


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, table by table; where both have a value, that of `above`. Parameters go with what they are
    parameters of."""
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping) and not _differ(inner, value):
            value = merge(inner, value)
        merged[key] = value
    return merged


def _differ(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    """Whether both say whose parameters they are, and not of the same."""
    return USE in below and USE in above and below[USE] != above[USE]
