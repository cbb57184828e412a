"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agents.engines import EngineName

Config = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The configuration of the task.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Override a setting; may be given many times."),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Short for --set search.seed=N.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="The run directory.  [default: the next free runs/<task>-<n>]")
]
RunDirectory = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run directory.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port of the page.  [default: any free one]")]
Watch = Annotated[bool, typer.Option("--watch", help="Show the search in the browser, too.")]
Batch = Annotated[
    bool, typer.Option("--batch", help="Ask in batches, for half the price, within a day.  [run.batch=true]")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else.")]
Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="-v: what happens, as it happens. -vv: prompts too.")
]
OfCandidate = Annotated[
    int | None, typer.Argument(metavar="CANDIDATE", min=0, help="Its number.  [default: the winner, or best so far]")
]
OnEngine = Annotated[
    EngineName, typer.Option("--engine", help="Where searches run: in this process, or on Ray (docs/scale.md).")
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="The Ray cluster: auto, HOST:PORT or ray://HOST:PORT.  [default: start Ray on this machine]",
    ),
]


def with_batch(settings: list[str] | None, batch: bool) -> list[str]:
    """The settings, and what --batch is short for."""
    return [*(settings or []), *(["run.batch=true"] if batch else [])]
