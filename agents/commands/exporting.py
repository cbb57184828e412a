"""Commands that take a prompt elsewhere, and bring a task from elsewhere: export and import."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agents.commands.console import emit, exit_codes, print_as_is, program, say, tell
from agents.commands.options import AsJson
from agents.exports.formats import Format
from agents.exports.writing import export_to
from agents.imports.writing import Origin, import_to
from protocols.text import printable


def export(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|PROMPT", help="A run directory, a prompt file, or a folder of them.")
    ],
    to: Annotated[Format, typer.Option("--to", help="The format.")],
    out: Annotated[
        Path | None,
        typer.Option(help="A file, or a folder where the export is several files.  [default: standard output]"),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="NAME", help="An input field; for a prompt that no run has saved."),
    ] = None,
    fixed_examples: Annotated[
        bool,
        typer.Option("--fixed-examples", help="In a template: the same examples for all inputs, not the nearest."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a prompt for use elsewhere: the messages that it renders are those of the search.

    python, promptfoo and dspy also find the examples nearest to each input; the other formats are
    templates and cannot. With --json: the remarks, and the paths of the files, or without --out their texts
    by name.

    \b
    Examples:
      promptflow export runs/tickets-1 --to python --out tickets.py
      promptflow export runs/tickets-1 --to langfuse
    """
    with exit_codes(as_json):
        exported = export_to(source, to, out, field or (), fixed_examples)
        if as_json:
            files = exported.files if out is None else [printable(name) for name in exported.files]
            emit({"files": files, "remarks": list(map(printable, exported.remarks))})
            return
        for remark in exported.remarks:
            tell(printable(remark))
        if out is None:
            print_as_is(next(iter(exported.files.values())).encode("utf-8"))
        else:
            for name in exported.files:
                say(f"Written: {name}")


def take_in(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="The file, or several: an eval's definition and its data."),
    ],
    origin: Annotated[Origin, typer.Option("--from", help="What the file is.")],
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to make.  [default: one with the file's name, here]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a task of another tool's files: a folder with data, a prompt and a configuration to search with.

    What cannot be carried over is listed, by line.

    \b
    Examples:
      promptflow import promptfooconfig.yaml --from promptfoo
      promptflow import eval.json data.jsonl --from openai-evals --out sorting
    """
    with exit_codes(as_json):
        imported = import_to(origin, files, out)
        if as_json:
            emit(asdict(imported))
            return
        for remark in imported.remarks:
            tell(printable(remark))
        config = shlex.quote(imported.configuration)
        say(f"{imported.examples} examples; next: {program()} doctor {config} --offline")
