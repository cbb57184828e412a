"""The command that shows a run in the browser: watch."""

from __future__ import annotations

from functools import partial

from agents import foreground
from agents.commands.console import drive, exit_codes
from agents.commands.options import Port, RunDirectory
from agents.views.live.terminal import Onlooker


def watch(directory: RunDirectory, port: Port = 0) -> None:
    """Show a run, finished or still running, in the browser until Ctrl-C.

    Prints the address to open. Only this machine reaches it, and only with the token in the address.

    \b
    Example:
      promptflow watch runs/tickets-1
    """
    with exit_codes(as_json=False):
        drive(partial(foreground.watch_run, directory, Onlooker(stderr=True), port))
