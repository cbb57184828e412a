"""Commands that maintain a memory file."""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from agents.commands.console import drive, emit, exit_codes, say, stdout, tell
from agents.commands.options import AsJson
from agents.views.remembering import import_lines, memory_file, show_stats, write_lines
from memory import upkeep

MemoryFile = Annotated[Path, typer.Argument(metavar="MEMORY", help="A memory file, or a run directory that has one.")]


def stats(path: MemoryFile, as_json: AsJson = False) -> None:
    """Print the number of experiences, and their mean rewards by task, operator and kind of section."""
    with exit_codes(as_json):
        found = upkeep.stats(memory_file(path))
        if as_json:
            emit(asdict(found))
        else:
            show_stats(stdout(), found)


def export(
    path: MemoryFile,
    out: Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="A file that is not there yet.")],
    as_json: AsJson = False,
) -> None:
    """Write the experiences as JSON lines; from a damaged memory, those that can still be read."""
    with exit_codes(as_json):
        count, lost = write_lines(out, upkeep.export(memory_file(path)))
        if lost:
            tell(f"{path} is damaged: {lost} experiences cannot be read; `memory import` {out} into a new memory")
        emit({"exported": count, "unreadable": lost}) if as_json else say(f"{count} experiences written to {out}")


def take_in(
    path: MemoryFile,
    source: Annotated[Path, typer.Argument(metavar="IN.jsonl", help="What export wrote.")],
    as_json: AsJson = False,
) -> None:
    """Add experiences from JSON lines, to a new memory if there is none. All lines are checked first."""
    with exit_codes(as_json):
        added, known = drive(partial(import_lines, memory_file(path), source))
        if as_json:
            emit({"imported": added, "known": known})
        else:
            say(f"{added} experiences added, {known} were there already")


def prune(
    path: MemoryFile,
    older_than: Annotated[float | None, typer.Option(metavar="DAYS", min=0, help="Those that are older.")] = None,
    below_evidence: Annotated[int | None, typer.Option(metavar="N", min=0, help="Those with less evidence.")] = None,
    keep: Annotated[int | None, typer.Option(metavar="N", min=0, help="All but the N newest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Delete every experience that meets one of the conditions, without asking. Runs that use the memory notice.

    \b
    Example:
      promptflow memory prune memory.sqlite --older-than 365 --below-evidence 1
    """
    with exit_codes(as_json):
        gone = drive(partial(upkeep.prune, memory_file(path), time.time(), older_than, below_evidence, keep))
        if as_json:
            emit({"removed": sum(gone.values()), "operators": gone})
        else:
            say(f"{sum(gone.values())} experiences removed")
            for operator, count in gone.items():
                say(f"  {operator}: {count}")
