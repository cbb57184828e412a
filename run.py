#!/usr/bin/env python3
"""The command line. Its commands are in `agents/commands`."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

HERE = Path(__file__).resolve().parent


def set_up(problem: str) -> str:
    """One line that says what is missing, and how to set it up."""
    if (HERE / ".venv/bin/python").exists():
        remedy = f"use {HERE / '.venv/bin/python'}, or set it up anew: make -C {HERE} clean demo"
    elif (HERE / "requirements.txt").exists():
        remedy = f"make -C {HERE} demo sets up {HERE / '.venv/bin/python'}, or: pip install -r requirements.txt"
    else:
        remedy = "pip install promptflow-agents, into an environment of its own"
    return f"promptflow: {problem}; {remedy}\n"


if sys.version_info < (3, 11):  # noqa: UP036 - older versions cannot parse the modules imported below
    sys.stderr.write(set_up(f"needs Python 3.11 or newer, and this is {sys.version.split()[0]}"))
    sys.exit(2)
try:
    import typer

    from agents.commands import (
        beginning,
        checking,
        comparing,
        demonstrating,
        exporting,
        looking,
        moving,
        pricing,
        remembering,
        searching,
        steering,
    )
    from agents.commands.console import Commands, command_name, leave, version
except KeyboardInterrupt:  # while the modules are imported, which takes a second or more
    sys.stderr.write("promptflow: stopped at once\n")
    sys.exit(130)
except ImportError as error:
    sys.stderr.write(set_up(f"this environment ({sys.executable}) lacks what it needs: {error}"))
    sys.exit(2)

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Train prompts the way networks are trained.

    Start with `demo`: it trains a prompt on a small language model on this machine, with no key. Then `init` writes a
    configuration for a file of examples of yours, `doctor` checks it, and `search` trains its prompt.

    \b
    Exit codes: 0 done; 1 the run could not be completed; 2 something in the input is wrong, and
    nothing was written, unless a metric of yours gave no score; 130 stopped before its end. With --json,
    standard output is one JSON document: the answer, or {"error": {"type": ..., "message": ...}}.
    """,
)


def say_version(asked: bool) -> None:
    """Print the version, and exit, if that is asked."""
    if asked:
        typer.echo(f"promptflow {version()}")
        raise typer.Exit


@app.callback()
def root(
    asked: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=say_version, help="Print the version, and exit.")
    ] = False,
) -> None:
    pass


COMMANDS: tuple[Callable[..., None], ...] = (
    beginning.init,
    searching.search,
    searching.sweep,
    searching.study,
    checking.evaluate,
    checking.ask,
    checking.label,
    checking.judge,
    checking.doctor,
    pricing.prices,
    looking.show,
    comparing.runs,
    comparing.compare,
    steering.ctl,
    looking.report,
    steering.watch,
    demonstrating.demo,
    looking.replay,
    looking.trace,
    looking.blame,
    looking.diff,
    moving.transfer,
    exporting.export,
)
for command in COMMANDS:
    app.command()(command)
app.command("import")(exporting.take_in)
app.command("continue")(moving.go_on)

memory_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look after a memory file.")
OF_MEMORY: dict[str, Callable[..., None]] = {
    "stats": remembering.stats,
    "export": remembering.export,
    "import": remembering.take_in,
    "prune": remembering.prune,
}
for name, command in OF_MEMORY.items():
    memory_app.command(name)(command)
app.add_typer(memory_app, name="memory")


def main() -> None:
    """The console script `promptflow`."""
    sys.path.append(os.getcwd())  # so that a configuration can name module:name
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app(prog_name=command_name())
    except SystemExit as ended:
        leave(ended.code)
        raise


if __name__ == "__main__":
    main()
