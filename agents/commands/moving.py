"""Commands that go on from the best prompt of a run: continue and transfer."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from agents import foreground
from agents.commands.console import drive, emit, environment, exit_codes, say_where, stdout, tell
from agents.commands.options import AsJson, Out, Port, RunDirectory, Settings, Verbose, Watch
from agents.commands.searching import train
from agents.moving.continuing import continue_from
from agents.moving.transferring import transfer_to
from agents.views.live.terminal import Onlooker
from agents.views.moving import show_transferred
from agents.views.report import show_result
from protocols.text import one_line, printable

SHORT = 20
"""Assignments on another model: a short search."""


def go_on(
    directory: RunDirectory,
    more: Annotated[Path, typer.Argument(metavar="NEW", help="The new examples, in the form of the run's data.")],
    settings: Settings = None,
    out: Out = None,
    watch: Watch = False,
    port: Port = 0,
    verbose: Verbose = 0,
    as_json: AsJson = False,
) -> None:
    """Search from the best prompt of a run, with new examples added to its splits.

    The result is no worse than that prompt on the old validation examples; if nothing else is, that prompt
    stays. Writes a run directory of its own; the same command with that directory as --out resumes it.

    \b
    Example:
      promptflow continue runs/tickets-1 new.jsonl
    """
    with exit_codes(as_json):
        continued = continue_from(directory, more, settings or [])
        for line in continued.told:
            tell(one_line(line, 500))
        with continued.inputs.kept(out) as (configuration, place):
            result, written = train(configuration, place, verbose, port if watch else None)
        if as_json:
            emit({**result, "directory": printable(str(written))})
        else:
            show_result(stdout(), result)
            say_where(written)


def transfer(
    directory: RunDirectory,
    to: Annotated[
        list[str],
        typer.Option("--to", metavar="MODEL", help="The other model, such as openai/<model>; again for several."),
    ],
    assignments: Annotated[int, typer.Option(min=0, help="Edits tried on the other model.")] = SHORT,
    settings: Settings = None,
    out: Out = None,
    verbose: Verbose = 0,
    as_json: AsJson = False,
) -> None:
    """Take the best prompt of a run to another model, and tell whether to keep it there or to train it again.

    A short search on the other model begins with that prompt. The first prompt of the run, its best one and the
    result of the search are compared on the test split. Writes a run directory of its own; the same command
    with that directory as --out resumes it.

    \b
    Example:
      promptflow transfer runs/tickets-1 --to openai/<model>
    """
    with exit_codes(as_json):
        plan = transfer_to(to, directory, assignments, settings or [])
        with plan.inputs.kept(out) as (configuration, place):
            console = Onlooker(stderr=True)
            found = drive(partial(foreground.transfer, plan, configuration, environment(), place, console, verbose))
        if as_json:
            emit(asdict(found))
        else:
            show_transferred(stdout(), found)
            say_where(Path(found.directory))
