"""A study, read from TOML: unchanged tasks as the baseline, and arms that change something in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from agents.config.catalogue import open_operators
from agents.config.configuration import build
from agents.config.reading import explain, read
from agents.config.tables.search import NONE, CapsTable
from agents.config.tables.values import Table
from agents.models.budget import caps
from agents.study.grid import MOST_SEARCHES, Cell, Grid, Vary, merge, overridden, spread
from protocols.errors import ConfigError

BASELINE = "baseline"
MOST_SEEDS = 10_000
OFF: Mapping[str, Mapping[str, Any]] = {
    "critic": {"agents": {"critic": NONE}},
    "memory": {"memory": {"read": False, "write": False}},
}
"""Names for `without` other than operators, and the settings that switch them off."""
OF_OPERATORS = (("models", "proposers"), ("agents", "proposers"), ("budget", "operators"))
"""Tables with a key for each operator."""


def _listed(seeds: object) -> object:
    """The seeds 0, 1, ... for a number of seeds."""
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        return tuple(range(min(seeds, MOST_SEEDS + 1)))
    return seeds


Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=2, max_length=MOST_SEEDS), BeforeValidator(_listed)
]


class StudyTable(Table):
    """`[study]`: `tasks` are paths of configurations, relative to the study's file. `seeds`: the seeds of every arm,
    or their number, counted from 0. `searches`: most concurrent searches. `directory`: for all output (None:
    `runs/<the study's name>`). `budget`: caps over all searches."""

    tasks: Annotated[tuple[Path, ...], Field(min_length=1)]
    seeds: Seeds = tuple(range(10))
    searches: Annotated[int, Field(ge=1, le=MOST_SEARCHES)] = 4
    directory: Path | None = None
    budget: CapsTable = CapsTable()


class StudyFile(Table):
    """The whole file. `[arms.<name>]` holds tables of a configuration, which override those of every task, and
    `without`, a list of what is switched off: `critic`, `memory` or names of operators."""

    study: StudyTable
    arms: Annotated[Mapping[str, Mapping[str, Any]], Field(min_length=1)]


def load_study(path: Path, settings: Sequence[str] = ()) -> Grid:
    """The grid of the study at `path`: its settings are `BASELINE` and the arms, and every cell has its own memory.
    `settings` (`table.key=value`) override the tasks, so they apply to the baseline, and to all arms that do not set
    the same key.

    :raises ConfigError: with what is wrong, and in which file.
    """
    try:
        file = StudyFile.model_validate(read(path))
    except ValidationError as error:
        reasons = "; ".join(explain(detail, StudyFile) for detail in error.errors())
        raise ConfigError(reasons, file=str(path)) from None
    if BASELINE in file.arms:
        raise ConfigError(f"arms.{BASELINE}: that is the tasks as they stand; name the arm otherwise", file=str(path))
    varied = {f"arms.{BASELINE}": _varied("", {}, settings)}
    varied |= {f"arms.{name}": _varied(f"{path}: arms.{name}", arm, settings) for name, arm in file.arms.items()}
    study = file.study
    grid = Grid(
        study.directory or Path("runs") / path.stem,
        study.searches,
        spread(path, study.tasks, study.seeds, varied),
        one_memory=False,
        budget=caps(study.budget),
        kind="study",
    )
    _check_apart(path, grid.cells)
    return grid


def _varied(where: str, arm: Mapping[str, Any], settings: Sequence[str]) -> Vary:
    def vary(task: dict[str, Any]) -> dict[str, Any]:
        above = {key: value for key, value in arm.items() if key != "without"}
        tables = merge(overridden(task, settings), above)
        out = arm.get("without", ())
        if not isinstance(out, list | tuple) or not all(isinstance(name, str) for name in out):
            raise ConfigError(f"{where}.without: give a list of names, of critic, memory or operators")
        for name in out:
            tables = merge(tables, OFF[name]) if name in OFF else _without_operator(where, tables, name)
        return tables

    return vary


def _without_operator(where: str, tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The tables without one operator and its settings."""
    used = build(tables, Path(), file=where).search_operators
    names = dict(zip(used, open_operators(used), strict=True))
    out = {given: own for given, own in names.items() if name in (given, own)}
    if not out:
        raise ConfigError(f"{where}.without: {name!r} is not critic, memory or one of {', '.join(names.values())}")
    left = [given for given in used if given not in out]
    if not left:
        raise ConfigError(f"{where}.without: no operator is left")
    fewer = deepcopy(merge(tables, {"search": {"operators": left}}))
    for table, inner in OF_OPERATORS:
        for own in out.values():
            fewer.get(table, {}).get(inner, {}).pop(own, None)
    return fewer


def _check_apart(path: Path, cells: Sequence[Cell]) -> None:
    """:raises ConfigError: searches would learn from each other, or an arm equals the baseline."""
    for cell in cells:
        memory = cell.configuration.memory
        if memory.path and memory.write:
            raise ConfigError(
                f"{cell.name} would write to memory.path, and the other searches read there what it has learned; "
                "leave memory.path out (each search then has a memory of its own), or set memory.write = false",
                file=str(path),
            )
    baseline = {(cell.task, cell.seed): cell.configuration for cell in cells if cell.setting == BASELINE}
    for arm in dict.fromkeys(cell.setting for cell in cells if cell.setting != BASELINE):
        mine = [cell for cell in cells if cell.setting == arm]
        if all(cell.configuration == baseline[cell.task, cell.seed] for cell in mine):
            raise ConfigError(f"arms.{arm} changes nothing of any task", file=str(path))
