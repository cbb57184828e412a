"""The command that steers a run: ctl."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from agents.commands.console import emit, exit_codes, say, stdout
from agents.commands.options import AsJson, RunDirectory
from agents.run.reviewing import waiting
from agents.run.steering import USAGE, command
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
