"""Commands that go on from a run: continue and transfer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agents.commands.console import emit, exit_codes, say, stdout, tell
from agents.commands.options import AsJson, Out, Port, RunDirectory, Settings, Verbose, Watch
from agents.commands.searching import train
from agents.moving.continuing import continue_from
from agents.views.report import show_result
from protocols.text import one_line, printable


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

    The result is no worse than that prompt on the old validation examples; otherwise the prompt stays.
    Writes a run directory of its own; the same command with that directory as --out resumes it.

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
            say(f"Run directory: {written}")
