"""Commands that show runs beside each other: runs and compare."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from agents import foreground
from agents.beside.listing import list_runs
from agents.commands.console import drive, emit, environment, exit_codes, say, stdout, tell
from agents.commands.options import AsJson, Settings
from agents.config.configuration import load
from agents.directory.run_directory import RUNS, check_writable
from agents.views.beside import show_beside, show_runs
from agents.views.live.terminal import Onlooker
from agents.views.page.comparison import write_comparison
from protocols.errors import ConfigError
from protocols.text import printable


def runs(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where the run directories are.")] = RUNS,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first, with those of sweeps and studies: task, model, state, scores, tokens and cost.

    \b
    Example:
      promptflow runs
    """
    with exit_codes(as_json):
        found = list_runs(folder)
        if as_json:
            emit({"runs": [asdict(run) for run in found]})
        elif found:
            show_runs(stdout(), found)
        else:
            say(f"There is no run in {folder}.")


def compare(
    given: Annotated[
        list[Path], typer.Argument(metavar="RUN_DIR|PROMPT...", help="Two run directories or prompt files, or more.")
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="CONFIG.toml", help="On whose test examples prompt files are scored.  [default: the first run's]"
        ),
    ] = None,
    settings: Settings = None,
    page: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page, too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs on the test examples that all of them answered, each with the first, and show their prompts.

    Differences are paired, with 95 % intervals. Runs with other test examples or another metric are refused. A
    prompt file answers the test examples now, as `evaluate --split test` asks them; runs ask nothing.

    \b
    Examples:
      promptflow compare runs/tickets-1 runs/tickets-2 --html beside.html
      promptflow compare runs/tickets-1 mine.txt
      promptflow compare old.txt new.txt --config tickets.toml
    """
    with exit_codes(as_json):
        if settings and config is None:
            raise ConfigError("--set changes a configuration: name it with --config")
        configuration = None if config is None else load(config, settings or [])
        if page is not None:
            check_writable(page)  # before prompts are paid for
        beside = drive(partial(foreground.compare, given, configuration, environment(), Onlooker(stderr=True)))
        if page is not None:
            write_comparison(beside, page)
        if as_json:
            emit(asdict(beside) | {"html": None if page is None else printable(str(page))})
            return
        show_beside(stdout(), beside)
        if page is not None:
            tell(f"the page is {page}")
