"""What the searches of a sweep have spent in earlier processes, by their journals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from agents.config.configuration import Configuration
from agents.directory.run_directory import JOURNAL, read_configuration
from agents.models.budget import kept_prices, prices
from memory.journals.reading import read_processes, read_spent
from protocols.budget.amount import ZERO, Amount
from protocols.budget.budget_scope import Cost
from protocols.budget.ledger import cost_of
from protocols.budget.shared_budget import SharedBudget


def count_spent(
    budget: SharedBudget, directory: Path, configurations: Mapping[str, Configuration], environ: Mapping[str, str]
) -> None:
    """Let the budget take up what was spent in all run directories under `directory`, also by searches that are no
    longer in the file. `configurations`: of the searches, by the names of their directories.

    :raises MemoryMismatch, StorageFailed: a file of a run directory cannot be read.
    """
    periods = list[tuple[float, float]]()
    for path in sorted(directory.iterdir()):
        if (path / JOURNAL).exists():
            spent = spent_by(path, configurations.get(path.name), environ)
            budget.take_up(int(spent.calls), Cost(int(spent.tokens), spent.dollars))
            periods += read_processes(path / JOURNAL)
    budget.worked(covered(periods))


def spent_by(directory: Path, configuration: Configuration | None, environ: Mapping[str, str]) -> Amount:
    """What one run has spent, by its journal, at the prices of the configuration, or else those that it was opened
    with.

    :raises MemoryMismatch, StorageFailed: a file cannot be read.
    """
    known = kept_prices(directory, read_configuration(directory))
    if configuration is not None:
        known |= prices(configuration, environ)
    spent = ZERO
    for account in read_spent(directory / JOURNAL):
        spent += Amount(account.calls, *cost_of(account.usage, known.get(account.model)))
    return spent


def covered(periods: Iterable[tuple[float, float]]) -> float:
    """The length of the union of periods, each from its first number to its second."""
    total, until = 0.0, float("-inf")
    for begin, end in sorted(periods):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
