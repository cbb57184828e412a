"""The demo's final output: the first prompt and its mistakes, the best prompt, and the answers that it corrects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.directory.run_directory import FIRST_PROMPT, JOURNAL
from agents.prompting.retrieval_slots import uses
from agents.results.saved import load_prompt
from agents.views.chat import show_messages
from agents.views.report import show_result
from memory.journals.reading import read_journal
from protocols.files import prompt_file
from protocols.messages import FIRST, Critique, Outcome
from protocols.text import one_line

MOST = 5
"""Most examples shown of each kind."""
WIDEST, LONGEST = 72, 1200
"""Most characters of a text in a table, and of a message."""


def show_demonstration(console: Console, directory: Path, result: Mapping[str, Any]) -> None:
    """Print the prompts as they are sent for one example, and answers to other examples; then the result.

    :raises InputError, StorageFailed: a file of the run directory cannot be read.
    """
    gained = gains(result)
    wrong = mistakes(directory)
    inputs = gained[0]["inputs"] if gained else wrong[0].inputs if wrong else None
    first = prompt_file.load(directory / FIRST_PROMPT)
    if inputs is not None and not uses(first):  # a user's prompt may be filled from examples, which are not kept
        _title(console, "The first prompt, as it was sent")
        show_messages(console, first.render(inputs), LONGEST)
    if wrong:
        _title(console, "Some of its wrong answers, on training examples")
        rows = [(_asked(each.inputs), each.target, each.reply) for each in wrong[:MOST]]
        console.print(_table(("asked", "right", "answered"), rows))
    if result["candidate"] == FIRST:
        _title(console, "No edit was better than the first prompt")
    elif inputs is not None:
        _title(console, "The best prompt, as it is sent for the same input")
        show_messages(console, load_prompt(directory).render(inputs), LONGEST)
    if gained:
        test = result["test"]
        _title(console, f"Wrong before, right now: {len(test['gained'])} of {test['n']} test examples, such as")
        compared = [(_asked(one["inputs"]), one["target"], *one["replies"]) for one in gained[:MOST]]
        console.print(_table(("asked", "right", "answered before", "answered now"), compared))
    _title(console, "The score")
    show_result(console, result)


def gains(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The test examples quoted by a result on which the best prompt scores higher than the first."""
    changed = result["test"]["changed"] if result["test"] else ()
    return [one for one in changed if one["scores"][1] > one["scores"][0]]


def mistakes(directory: Path) -> Sequence[Outcome]:
    """The training examples read by the first prompt's critic that the prompt did not answer fully right."""
    for envelope in read_journal(directory / JOURNAL, (Critique,)):
        if isinstance(envelope.message, Critique) and envelope.message.assignment == FIRST:
            return [outcome for outcome in envelope.message.evaluation.outcomes if outcome.score < 1]
    return ()


def _asked(inputs: Mapping[str, str]) -> str:
    return " / ".join(inputs.values())


def _title(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}", style="bold"), soft_wrap=True)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of texts from data and models, each as one line of at most `WIDEST` characters."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(text, WIDEST)) for text in row))
    return table
