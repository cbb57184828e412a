"""The command that begins a task: init."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from agents.beginning.begin import Begun, Said, begin, check_header, usual_model, write_all
from agents.beginning.guess import Guess, Wishes, guess
from agents.beginning.sources import Source, look
from agents.commands.console import emit, environment, exit_codes, program, say, tell
from agents.commands.options import AsJson
from protocols.errors import ConfigError
from protocols.task import KindName
from protocols.text import one_line, printable

SHOWN = 8
"""Most labels that are shown."""


def init(
    data: Annotated[
        Path | None,
        typer.Argument(metavar="[DATA]", help="CSV, TSV, JSON, JSON lines or Parquet, or a folder of three."),
    ] = None,
    target: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column of the answer.")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="COLUMN", help="A column that the model sees; repeatable.")
    ] = None,
    identity: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="The column of ids, or none.")
    ] = None,
    kind: Annotated[KindName | None, typer.Option(help="The kind of task.")] = None,
    instruction: Annotated[
        str | None, typer.Option("--say", metavar="TEXT", help="What the model should do, in a sentence.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="openai/<model>, anthropic/<model> or local/<model>.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the task and its files.  [default: the data file's]")] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the files go.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    no_questions: Annotated[bool, typer.Option("--yes", help="Ask nothing; what is not said is guessed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a configuration and a first prompt for a file of examples: what is not said is guessed.

    On a terminal it asks which column holds the answer, what the model should do, and which model to take. The
    configuration says in comments what was guessed and how to change it.

    \b
    Examples:
      promptflow init tickets.csv
      promptflow init tickets.csv --target department --input message --model openai/<model> --yes
    """
    with exit_codes(as_json):
        asking = sys.stdin.isatty() and sys.stdout.isatty() and not as_json and not no_questions
        wishes = Wishes(target, tuple(inputs or ()), identity, kind)
        said = Said(instruction, model, name, out)
        if data is None and not asking:
            raise ConfigError(f"name a file of examples: {program()} init tickets.csv")
        source = look(data or Path(_ask("Which file holds your examples")))
        check_header(source, wishes)
        if asking:
            wishes, said = _questions(source, wishes, said)
        begun = begin(source, wishes, said, environment())
        write_all(begun, force)
        if as_json:
            emit(_document(begun))
        else:
            _show(begun)


def _questions(source: Source, wishes: Wishes, said: Said) -> tuple[Wishes, Said]:
    """Ask what the person has not said yet."""
    if wishes.target is None and source.columns:
        names = [column.name for column in source.columns]
        first = next(iter(source.files.values()))
        guessed = _guessed(source, wishes, first)
        wishes = replace(wishes, target=_ask(f"Which column holds the answer? ({', '.join(names)})", guessed))
    if said.instruction is None:
        told = _ask("What should the model do, in a sentence? (Enter: the usual words for such answers)", "")
        said = replace(said, instruction=told.strip() or None)
    if said.model is None:
        said = replace(said, model=_ask("Which model should answer", usual_model(environment())))
    return wishes, said


def _guessed(source: Source, wishes: Wishes, file: Path) -> str | None:
    try:
        return guess(source.columns, wishes, file).target.name
    except ConfigError:
        return None


def _ask(question: str, usual: str | None = None) -> str:
    answer: str = typer.prompt(one_line(question, 300), default=usual, show_default=bool(usual), err=True)
    return answer


def _show(begun: Begun) -> None:
    """Say what was guessed and written, and what comes next."""
    task, found = begun.task, begun.guess
    sizes = f"{len(task.train):,} to train, {len(task.validation):,} to validate, {len(task.test):,} to test"
    say(f"Kind: {task.kind.name}" + (f" ({one_line(found.why)})" if found else ""))
    if found:
        say(f"Input: {_names(found)}; answer: {one_line(found.target.name)}{_labels(begun)}")
    if found and found.others:
        say(f"Not used: {one_line(', '.join(found.others), 200)}")
    say(f"Examples: {sizes}")
    for remark in begun.remarks:
        tell(remark)
    say(f"Written: {', '.join(map(str, begun.files))}")
    config = shlex.quote(str(begun.configuration))
    say(f"""Next:
  {program()} doctor {config}
  {program()} search {config}""")


def _names(found: Guess) -> str:
    return one_line(", ".join(column.name for column in found.inputs), 200)


def _labels(begun: Begun) -> str:
    """The labels, the most frequent first, if answers are labels."""
    labels: Sequence[str] = list(begun.task.answers)
    if not labels:
        return ""
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return " " + one_line(f"({len(labels)}: {', '.join(labels[:SHOWN])}{more})", 300)


def _document(begun: Begun) -> dict[str, object]:
    task, found = begun.task, begun.guess
    return {
        "configuration": printable(str(begun.configuration)),
        "files": [printable(str(path)) for path in begun.files],
        "kind": task.kind.name,
        "why": found.why if found else "",
        "target": found.target.name if found else None,
        "input": [column.name for column in found.inputs] if found else list(task.fields),
        "id": found.id if found else None,
        "others": list(found.others) if found else [],
        "sure": found.sure if found else True,
        "labels": list(task.answers),
        "examples": {"train": len(task.train), "validation": len(task.validation), "test": len(task.test)},
        "remarks": list(begun.remarks),
    }
