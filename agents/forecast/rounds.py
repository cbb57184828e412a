"""The width of a search that few assignments or a low cap make short."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agents.config.configuration import Configuration
from agents.config.metrics import calls_per_example, verdicts_per_example
from protocols.budget.amount import COUNTED, Amount
from protocols.task import Task

ROUNDS: Final = 5
"""Minimum number of rounds: assignments that are allowed and can be paid for, divided by the width. Those in flight
together do not build on each other: with ten in flight and calls for twelve, all are edits of the first prompt."""
LEAST_NARROWED: Final = 2
SHARE_ASKED: Final = 0.5
"""Share of validation that an assignment is run on, on average: an edit that loses its race about 0.3, one that wins
all of it and the Critic's examples besides."""


def narrowed(configuration: Configuration, task: Task, takes: Amount) -> Configuration:
    """The configuration with a width that leaves the search ROUNDS: no wider than follows from the concurrency. As it
    is, if the width is settled. `takes`: the least that a run takes, as from `check_caps`."""
    if configuration.settled_width is not None:
        return configuration
    payable = min((configuration.search.assignments, *_payable(configuration, task, takes)))
    return configuration.with_width(min(configuration.width, max(LEAST_NARROWED, int(payable / ROUNDS))))


def _payable(configuration: Configuration, task: Task, takes: Amount) -> Iterator[float]:
    """The assignments that each cap of the run on calls, tokens and dollars pays for, and the task's cap on calls."""
    answers = len(task.validation) + 2 * len(task.test)  # those that `takes` is for
    asked = len(task.validation) * SHARE_ASKED
    for cap in COUNTED:
        limit = getattr(configuration.budget, cap)
        if limit is not None and takes.of(cap):
            yield (limit / takes.of(cap) - 1) * answers / asked
    own = configuration.budget.roles.get("task")
    if own is not None and own.calls is not None:
        each = calls_per_example(configuration) - verdicts_per_example(configuration)
        yield (own.calls / each - answers) / asked
