"""What the demo shows at its end: the first prompt and what it got wrong, the best one, and what is right now."""

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
from memory.journals.journal import read_journal
from protocols.files import prompt_file
from protocols.messages import FIRST, Critique, Outcome
from protocols.plain import one_line

MOST = 5
"""Examples that are shown of each kind."""
WIDEST, LONGEST = 72, 1200
"""Characters of a text in a table, and of a message."""


def show_demonstration(console: Console, directory: Path, result: Mapping[str, Any]) -> None:
    """The prompts as they are sent for one example, and answers to others; then the result.

    :raises InputError, StorageFailed: a file of the run directory cannot be read.
    """
    gained = gains(result)
    wrong = mistakes(directory)
    inputs = gained[0]["inputs"] if gained else wrong[0].inputs if wrong else None
    first = prompt_file.load(directory / FIRST_PROMPT)
    if inputs is not None and not uses(first):  # a prompt of one's own may be filled from examples, not kept for it
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
    """The test examples that a result quotes on which the best prompt scores more."""
    changed = result["test"]["changed"] if result["test"] else ()
    return [one for one in changed if one["scores"][1] > one["scores"][0]]


def mistakes(directory: Path) -> Sequence[Outcome]:
    """What the first prompt did not get right of the training examples that its critic read."""
    for envelope in read_journal(directory / JOURNAL, (Critique,)):
        if isinstance(envelope.message, Critique) and envelope.message.assignment == FIRST:
            return [outcome for outcome in envelope.message.evaluation.outcomes if outcome.score < 1]
    return ()


def _asked(inputs: Mapping[str, str]) -> str:
    return " / ".join(inputs.values())


def _title(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}", style="bold"), soft_wrap=True)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Texts of data and models are cut, and stand on one line as far as it is wide."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(text, WIDEST)) for text in row))
    return table
