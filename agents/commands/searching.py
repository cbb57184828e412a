"""Commands that search: search, demo, sweep and study."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from agents import foreground
from agents.commands.console import drive, emit, environment, exit_codes, say, say_where, stdout, tell
from agents.commands.options import (
    Address,
    AsJson,
    Batch,
    Config,
    OnEngine,
    Out,
    Port,
    Seed,
    Settings,
    Verbose,
    Watch,
    with_batch,
)
from agents.config.configuration import Configuration, load
from agents.directory.begun_with import later_labels
from agents.engines import EngineName, chosen, limits_of
from agents.models.quotas import Quotas
from agents.results.finished import remedy
from agents.study.effects import effects
from agents.study.grid import Grid, load_grid
from agents.study.study import load_study
from agents.study.sweep import RESULTS
from agents.views.live.sweeping import show_summary, spending, spent_under, summarise
from agents.views.live.terminal import Onlooker
from agents.views.report import show_result
from agents.views.studying import EFFECTS, FIGURE, ROWS, show_study, write_study
from agents.views.studying import as_json as effect_json
from protocols.text import printable


def search(
    config: Config,
    settings: Settings = None,
    out: Out = None,
    seed: Seed = None,
    batch: Batch = False,
    watch: Watch = False,
    port: Port = 0,
    engine: OnEngine = EngineName.PROCESS,
    address: Address = None,
    verbose: Verbose = 0,
    as_json: AsJson = False,
) -> None:
    """Train the prompt of a task, then compare it with the first one on the test split.

    Writes a run directory: the best prompt, result.json, and a journal of all messages. Ctrl-C once
    stops with a result, twice at once. With the run directory of an earlier search as --out, the same
    command resumes it, however it ended. With --batch the first prompt's evaluation and the comparison
    on the test split cost half, and take up to a day each. With --engine ray the search shares the
    limits of its accounts with all that run on the cluster; it runs here.

    \b
    Examples:
      promptflow search examples/home.toml
      promptflow search examples/tickets.toml --set models.default=openai/<model> --set budget.dollars=2
    """
    with exit_codes(as_json):
        configuration = load(config, with_batch(with_seed(settings, seed), batch))
        with limits_of(engine, address) as quotas:
            result, directory = train(configuration, out, verbose, port if watch else None, quotas)
        if as_json:
            emit({**result, "directory": printable(str(directory))})
        else:
            show_result(stdout(), result)
            say_where(directory)


def sweep(
    grid: Annotated[Path, typer.Argument(metavar="GRID.toml", help="Which tasks, settings and seeds.")],
    settings: Settings = None,
    engine: OnEngine = EngineName.PROCESS,
    address: Address = None,
    verbose: Verbose = 0,
    as_json: AsJson = False,
) -> None:
    """Search every task of a grid with every setting and every seed, several searches at once.

    All share the limits of their accounts, a reply cache and a memory. Writes a run directory for each
    search, and results.jsonl. The same command again runs the searches that have no result yet. Exit
    code 1 if a search failed or was stopped.

    \b
    Example:
      promptflow sweep examples/sweep.toml
    """
    with exit_codes(as_json):
        cells = load_grid(grid, settings or [])
        swept = _run(cells, engine, address, verbose)
        rows = swept.rows
        results = cells.directory / RESULTS
        if as_json:
            emit({"results": printable(str(results)), "rows": rows, "summary": summarise(rows), **_spent(swept)})
        else:
            show_summary(stdout(), rows)
            say(f"Results: {results}")
        _check_whole(cells, swept)


def study(
    file: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="Which tasks, seeds and arms.")],
    settings: Settings = None,
    engine: OnEngine = EngineName.PROCESS,
    address: Address = None,
    verbose: Verbose = 0,
    as_json: AsJson = False,
) -> None:
    """Measure the effect of each agent, operator, model or setting: arms against unchanged tasks.

    Every arm is searched with the same seeds as the baseline, each search with a memory of its own; limits
    and reply cache are shared. Prints the effects with 95 % intervals, and writes them, a figure and the
    rows beside the run directories. The same command again runs the searches that have no result yet, also
    those of new arms. Exit code 1 if a search failed or was stopped.

    \b
    Example:
      promptflow study examples/study.toml
    """
    with exit_codes(as_json):
        grid = load_study(file, settings or [])
        swept = _run(grid, engine, address, verbose)
        rows = swept.rows
        found = effects(grid.cells, rows)
        write_study(grid.directory, found, rows)
        if as_json:
            directory, measured = printable(str(grid.directory)), list(map(effect_json, found))
            emit({"directory": directory, "effects": measured, "rows": rows, **_spent(swept)})
        else:
            show_study(stdout(), found, rows)
            say(f"Written to {grid.directory}: {', '.join((RESULTS, ROWS, EFFECTS, FIGURE))}")
        _check_whole(grid, swept)


def _run(grid: Grid, engine: EngineName, address: str | None, verbose: int) -> foreground.Swept:
    """See `foreground.sweep`.

    :raises PromptFlowError: as `chosen` and `foreground.sweep`.
    """
    with chosen(engine, address, grid) as opened:
        return drive(partial(foreground.sweep, grid, environment(), Onlooker(stderr=True), verbose, opened))


def _spent(swept: foreground.Swept) -> Mapping[str, object]:
    """The spending of all searches for the JSON of a command, if there are caps over all."""
    return {"spent": spent_under(swept.budget)} if swept.budget else {}


def _check_whole(grid: Grid, swept: foreground.Swept) -> None:
    """Tell what was spent, if there are caps over all searches.

    :raises typer.Exit: a search failed, or has not ended.
    """
    if swept.budget is not None:
        tell(f"spent: {spending(swept.budget)}")
    if not swept.whole:
        same = "the same command runs the others"
        tell(f"{len(swept.rows)} of {len(grid.cells)} searches have ended; {swept.shortfall or same}")
    if not swept.whole or any(row.error for row in swept.rows):
        raise typer.Exit(1)


def train(
    configuration: Configuration, out: Path | None, verbose: int, port: int | None, quotas: Quotas | None = None
) -> tuple[Mapping[str, Any], Path]:
    """Search with output for a person; returns the result and the run directory. `port`: of the page, None for none.

    :raises PromptFlowError: see `foreground.train`.
    :raises KeyboardInterrupt: it was stopped before there was a result.
    """
    console = Onlooker(stderr=True)
    trained = drive(partial(foreground.train, configuration, environment(), out, console, verbose, port, quotas))
    directory = trained.directory
    if trained.result is None:
        raise KeyboardInterrupt(f"stopped at once; {foreground.goes_on(directory)}")
    if trained.already:
        tell(f"{directory} holds a run that is finished ({remedy(trained.result)}); this is its result")
        if line := later_labels(configuration, directory):
            tell(line)
    return trained.result, directory


def with_seed(settings: list[str] | None, seed: int | None) -> list[str]:
    return [*(settings or []), *([] if seed is None else [f"search.seed={seed}"])]
