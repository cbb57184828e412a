"""Commands about a run that may be under way: ctl and watch."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from agents import foreground
from agents.commands.console import drive, emit, exit_codes, say, stdout
from agents.commands.options import AsJson, Port, RunDirectory
from agents.run.reviewing import waiting
from agents.run.steering import USAGE, command
from agents.views.live.terminal import Onlooker
from agents.views.reviewing import show_waiting


def ctl(
    directory: RunDirectory,
    words: Annotated[list[str], typer.Argument(metavar="COMMAND...", help=USAGE)],
    as_json: AsJson = False,
) -> None:
    """Tell a run that is under way to pause, resume or stop, or to continue with other settings; or what you think of
    the edits that wait for you, if it has search.review.

    Work in flight ends under the old settings; each command is in the run's journal before it takes effect.

    \b
    Examples:
      promptflow ctl runs/tickets-1 pause
      promptflow ctl runs/tickets-1 set budget.calls 5000
      promptflow ctl runs/tickets-1 freeze definitions
      promptflow ctl runs/tickets-1 inject mine.txt
      promptflow ctl runs/tickets-1 waiting
      promptflow ctl runs/tickets-1 accept 7
      promptflow ctl runs/tickets-1 reject 9 "names a customer"
    """
    with exit_codes(as_json):
        if words == ["waiting"]:
            rows = waiting(directory)
            emit({"waiting": [asdict(row) for row in rows]}) if as_json else show_waiting(stdout(), directory, rows)
            return
        said = command(directory, words)
        emit({"said": said}) if as_json else say(said)


def watch(directory: RunDirectory, port: Port = 0) -> None:
    """Show a run, finished or still running, in the browser until Ctrl-C.

    Prints the address to open. Only this machine reaches it, and only with the token in the address.

    \b
    Example:
      promptflow watch runs/tickets-1
    """
    with exit_codes(as_json=False):
        drive(partial(foreground.watch_run, directory, Onlooker(stderr=True), port))
