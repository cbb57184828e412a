"""The command that steers a run: ctl."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.commands.console import emit, exit_codes, say
from agents.commands.options import AsJson, RunDirectory
from agents.run.steering import USAGE, command


def ctl(
    directory: RunDirectory,
    words: Annotated[list[str], typer.Argument(metavar="COMMAND...", help=USAGE)],
    as_json: AsJson = False,
) -> None:
    """Tell a run that is under way to pause, resume or stop, or to continue with other settings.

    Work in flight ends under the old settings; each command is in the run's journal before it takes effect.

    \b
    Examples:
      promptflow ctl runs/tickets-1 pause
      promptflow ctl runs/tickets-1 set budget.calls 5000
      promptflow ctl runs/tickets-1 freeze definitions
      promptflow ctl runs/tickets-1 inject mine.txt
    """
    with exit_codes(as_json):
        said = command(directory, words)
        emit({"said": said}) if as_json else say(said)
