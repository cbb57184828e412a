"""The history of a run as a table: a row of plain values for each assignment that has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from agents.directory.run_directory import JOURNAL, read_configuration
from agents.history.progress import TOLD, Ending, Progress
from agents.models.budget import kept_prices
from memory.journals.reading import read_calls, read_journal
from protocols.budget.prices import Price
from protocols.messages import Envelope, Resumed
from protocols.wrappers.recorded import Call

Row = dict[str, str | int | float | None]


def row_of(ending: Ending, best: float | None, calls: int, tokens: int, dollars: float | None) -> Row:
    """The figures of an ending. `best`: the validation value of what would be the result now. `calls`, `tokens` and
    `dollars`: of the whole run until then; `dollars` None: a price is unknown."""
    return {
        "assignment": ending.assignment,
        "outcome": ending.kind,
        "operator": ending.operator if ending.parent is not None else "",
        "section": ending.section if ending.parent is not None else "",
        "parent": ending.parent,
        "gain": ending.gain,
        "error": ending.error,
        "examples": ending.paired,
        "value": ending.value,
        "best": best,
        "length": ending.tokens,
        "calls": calls,
        "tokens": tokens,
        "dollars": dollars,
        "reason": ending.reason,
    }


def history_of(directory: Path) -> list[Row]:
    """The rows of a run (see `row_of`), in the order in which the assignments ended. Those that a resumed run has
    issued again are there once, as they ended at last.

    :raises ConfigError: it is not a run directory.
    :raises MemoryMismatch, StorageFailed: a file of the run cannot be read.
    """
    configuration = read_configuration(directory)
    progress, known = Progress(configuration.search.prefer), kept_prices(directory, configuration)
    spent = _Spent(read_calls(directory / JOURNAL), known)
    rows: dict[int, Row] = {}
    for envelope in read_journal(directory / JOURNAL, TOLD, brief=True):
        ending = progress.follow(envelope)
        for undone in progress.reopened if isinstance(envelope.message, Resumed) else ():
            rows.pop(undone.assignment, None)
        if ending is not None:
            spent.until(envelope)
            best = progress.best.value if progress.best else None
            rows[ending.assignment] = row_of(ending, best, spent.calls, spent.tokens, spent.dollars)
    return [*rows.values()]


class _Spent:
    """Sums of the calls that had ended at a moment. `calls`: in the order in which they ended."""

    def __init__(self, calls: Iterator[Call], known: Mapping[str, Price]) -> None:
        self._left, self._known, self._next = calls, known, next(calls, None)
        self.calls = self.tokens = 0
        self.dollars: float | None = 0.0

    def until(self, envelope: Envelope) -> None:
        while self._next is not None and self._next.time <= envelope.time:
            call, self._next = self._next, next(self._left, None)
            self.calls += 1
            self.tokens += call.usage.total
            price = self._known.get(call.model)
            self.dollars = None if price is None or self.dollars is None else self.dollars + price.of(call.usage)
