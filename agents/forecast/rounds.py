"""The width of a search that few assignments or a low cap make short."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agents.config.configuration import Configuration
from protocols.budget.amount import COUNTED, Amount
from protocols.providers.catalogue import EMBEDDED
from protocols.task import Task

ROUNDS: Final = 5
"""How often, at least, a search should be able to choose all assignments in flight anew. Those chosen at the same
time do not build on each other: with ten in flight and calls for twelve, all are edits of the first prompt."""
NARROWEST: Final = 2
ASKED: Final = 0.5
"""Share of validation that an assignment is run on, on average: an edit that loses its race about 0.3, one that wins
all of it and the Critic's examples besides."""


def in_rounds(configuration: Configuration, task: Task, takes: Amount) -> Configuration:
    """The configuration with a width that leaves the search ROUNDS: no wider than follows from the concurrency, and
    narrower if it may make few assignments, or if a cap pays for few. As it is, if the width is set. `takes`: the
    least that a run takes, as from `check_caps`."""
    if configuration.search.width is not None or configuration.models.answering == EMBEDDED:
        return configuration
    most = min((configuration.search.assignments, *_payable(configuration, task, takes)))
    width = min(configuration.width, max(NARROWEST, int(most / ROUNDS)))
    search = configuration.search.model_copy(update={"width": width})
    return configuration.model_copy(update={"search": search})


def _payable(configuration: Configuration, task: Task, takes: Amount) -> Iterator[float]:
    """The assignments that each cap on calls, tokens and dollars pays for."""
    validation = len(task.validation)
    answers = validation + 2 * len(task.test)  # those that `takes` is for
    tables = (configuration.budget, configuration.budget.roles.get("task"))
    for table in tables:
        for cap in COUNTED:
            limit = getattr(table, cap, None)
            if limit is not None and takes.of(cap):
                yield (limit / takes.of(cap) - 1) * answers / (validation * ASKED)
